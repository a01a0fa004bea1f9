"""
Files that write: they publish only when they are closed, wait for the upload, and leave nothing.
"""

import asyncio
import gc
import io
import warnings
from array import array
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import (
    AlreadyExistsError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
)
from asyncstore.options import KiB, MiB, ReadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.build import KEY, ROOT, at_rest, changed, patterned

PARTS = UploadOptions(part_size=5 * MiB)


async def test_a_short_file_is_one_request(storage: Storage, faults: FaultyDriver) -> None:
    async with storage.open(KEY, "wb") as file:
        for _ in range(1000):
            await file.write(b"line\n")
        assert 0 == faults.calls["put"]

    assert b"line\n" * 1000 == await storage.read(KEY)
    assert (1, 0) == (faults.calls["put"], faults.calls["initiate_multipart_upload"])
    assert 5000 == file.info.size if file.info else None
    at_rest(storage, faults)


async def test_a_long_file_is_sent_while_it_is_written(storage: Storage, faults: FaultyDriver) -> None:
    data = patterned(18 * MiB)
    async with storage.open(KEY, "wb", options=PARTS) as file:
        for start in range(0, len(data), 300_000):
            await file.write(data[start : start + 300_000])
        assert faults.calls["upload_part"] >= 2
        assert not await storage.exists(KEY)

    assert data == await storage.read(KEY)
    at_rest(storage, faults)


async def test_a_write_waits_for_the_upload(faults: FaultyDriver) -> None:
    """
    While no part is stored, no more is taken than the byte budget allows, and what was last written.
    """
    storage = faults.storage(ROOT, max_buffer_bytes=10 * MiB)
    stop = faults.hang("upload_part", times=None)
    written = 0

    async def write() -> None:
        nonlocal written
        async with storage.open(KEY, "wb", options=PARTS) as file:
            for _ in range(40):
                written += await file.write(bytes(MiB))

    task = asyncio.create_task(write())
    await stop.reached()
    for _ in range(200):
        await asyncio.sleep(0)
    # Two parts, of which the second waits for its last MiB.
    assert 9 * MiB <= written <= 12 * MiB
    assert 10 * MiB == storage.statistics().bytes_peak
    stop.release()
    await task

    assert bytes(40 * MiB) == await storage.read(KEY)
    at_rest(storage, faults)


async def test_files_that_are_written_in_turn(faults: FaultyDriver) -> None:
    """
    One task can write more files than there is memory for parts.
    """
    storage = faults.storage(ROOT, max_buffer_bytes=10 * MiB)
    data = patterned(11 * MiB)

    async with asyncio.timeout(30), AsyncExitStack() as stack:
        files = [await stack.enter_async_context(storage.open(KEY / f"{n}", "wb", options=PARTS)) for n in range(4)]
        for start in range(0, len(data), MiB):
            for file in files:
                await file.write(data[start : start + MiB])

    assert [await storage.read(KEY / f"{n}") == data for n in range(4)] == [True] * 4
    at_rest(storage, faults)


async def test_what_was_written_may_be_changed(storage: Storage) -> None:
    """
    The memory belongs to the caller again: it can be changed, and resized.
    """
    buffer = bytearray(b"a" * MiB)
    async with storage.open(KEY, "wb") as file:
        await file.write(buffer)
        buffer[:] = b"b" * MiB
        await file.write(buffer)
        buffer.clear()
        await file.write(array("I", [1, 2]))
        await file.write(memoryview(b"abcdef")[::2])
        await file.write(b"")

    numbers = array("I", [1, 2]).tobytes()
    assert b"a" * MiB + b"b" * MiB + numbers + b"ace" == await storage.read(KEY)


async def test_an_interrupted_write_publishes_nothing(storage: Storage, faults: FaultyDriver) -> None:
    """
    Also if the caller goes on: nobody knows how much of it was taken.
    """
    stop = faults.hang("upload_part", times=None)
    options = UploadOptions(part_size=5 * MiB, max_concurrency=1)
    file = await storage.open(KEY, "wb", options=options)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            for _ in range(20):
                await file.write(bytes(MiB))
    with pytest.raises(StorageError, match="was interrupted"):
        await file.write(b"more")
    stop.release()
    with pytest.raises(StorageError, match="was interrupted"):
        await file.close()

    assert file.closed
    assert not await storage.exists(KEY)
    assert [] == [upload async for upload in storage.list_multipart_uploads()]
    at_rest(storage, faults)


async def test_an_upload_that_failed_is_not_closed_with_success(storage: Storage, faults: FaultyDriver) -> None:
    """
    A caller that ignores the error of a write gets it again.
    """
    faults.fail("upload_part", PermissionDeniedError("no"), times=None)
    failed = 0
    file = await storage.open(KEY, "wb", options=PARTS)
    for _ in range(12):
        try:
            await file.write(bytes(MiB))
        except PermissionDeniedError:
            failed += 1
    with pytest.raises(PermissionDeniedError):
        await file.close()

    assert failed
    at_rest(storage, faults)


async def test_copying_with_files_in_little_memory(faults: FaultyDriver) -> None:
    """
    What the caller does while a file is open for writing does not wait for the bytes that the upload holds.
    """
    storage = faults.storage(ROOT, max_buffer_bytes=5 * MiB)
    data = patterned(12 * MiB)
    await storage.put(ROOT / "source", data)
    async with asyncio.timeout(20):
        async with storage.open(ROOT / "source") as source, storage.open(KEY, "wb", options=PARTS) as target:
            while chunk := await source.read(MiB):
                await target.write(chunk)
                # These reserve bytes, and would wait for the upload, which waits for this task.
                async with storage.open(ROOT / "beside", "wb", options=PARTS) as beside:
                    await beside.write(bytes(6 * MiB))
                await storage.read_into(ROOT / "beside", bytearray(6 * MiB))

    assert data == await storage.read(KEY)
    at_rest(storage, faults)


async def test_a_file_closed_by_another_task(storage: Storage, faults: FaultyDriver) -> None:
    file = await storage.open(KEY, "wb")
    await file.write(b"data")
    info = await asyncio.create_task(file.close())

    assert info is await file.close() is file.info
    assert b"data" == await storage.read(KEY)


async def test_aborting(storage: Storage, faults: FaultyDriver) -> None:
    """
    Nothing is published; after a close it does nothing.
    """
    file = await storage.open(KEY, "wb", options=PARTS)
    await file.write(bytes(12 * MiB))
    await file.abort()
    await file.abort()
    with pytest.raises(ValueError, match="closed file"):
        await file.write(b"")
    with pytest.raises(ValueError, match="closed file"):
        await file.close()
    assert not await storage.exists(KEY)
    at_rest(storage, faults)

    async with storage.open(KEY, "wb") as file:
        await file.write(b"data")
        await file.close()
        await file.abort()
    assert b"data" == await storage.read(KEY)


async def test_closing_the_storage_closes_its_files(storage: Storage, faults: FaultyDriver) -> None:
    """
    What was not closed is not published, and its upload is aborted while that is possible.
    """
    await storage.put(ROOT / "read", bytes(MiB))
    writer = await storage.open(KEY, "wb", options=PARTS)
    await writer.write(bytes(12 * MiB))
    reader = await storage.open(ROOT / "read")
    await reader.read(1000)
    await storage.aclose()

    assert writer.closed
    assert reader.closed
    assert writer.info is None
    assert 1 == faults.calls["abort_multipart_upload"]
    at_rest(storage, faults)
    with pytest.raises(RuntimeError, match="closed"):
        storage.open(KEY)


async def test_aborting_before_the_upload_has_begun(storage: Storage, faults: FaultyDriver) -> None:
    file = await storage.open(KEY, "wb")
    await file.abort()

    assert not faults.calls
    at_rest(storage, faults)


async def test_conditions(storage: Storage, faults: FaultyDriver) -> None:
    """
    Those of the options hold; "xb" adds one, and is refused where the provider cannot.
    """
    info = await storage.put(KEY, b"old")
    async with storage.open(KEY, "wb", options=UploadOptions(if_match=info.etag)) as file:
        await file.write(b"new")
    file = await storage.open(KEY, "wb", options=UploadOptions(if_match=info.etag))
    with pytest.raises(PreconditionFailedError):
        await file.close()
    with pytest.raises(AlreadyExistsError):
        await storage.open(KEY, "wb", options=UploadOptions(if_none_match="*"))
    assert b"new" == await storage.read(KEY)

    changed(faults, conditional_create=False)
    with pytest.raises(NotSupportedError, match="create-only"):
        storage.open(KEY, "xb")


async def test_what_a_file_for_writing_refuses(storage: Storage) -> None:
    async with storage.open(KEY, "wb") as file:
        with pytest.raises(io.UnsupportedOperation):
            await file.read()
        with pytest.raises(io.UnsupportedOperation):
            await file.seek(0)
        with pytest.raises(TypeError):
            await file.write("text")  # type: ignore[arg-type]
        assert (False, False, True) == (file.readable(), file.seekable(), file.writable())
    with pytest.raises(TypeError, match="options must be UploadOptions"):
        storage.open(KEY, "wb", options=ReadOptions())  # type: ignore[call-overload]


async def test_a_forgotten_file_warns_and_publishes_nothing(memory: MemoryDriver) -> None:
    storage = FaultyDriver(memory).storage(ROOT)
    file: Any = await storage.open(KEY, "wb")
    await file.write(b"data")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        file.__del__()

    assert ["nothing is published" in str(warning.message) for warning in caught] == [True]
    await file.abort()
    gc.collect()
    assert not await storage.exists(KEY)


@pytest.mark.parametrize(
    ("newline", "expected"), [(None, b"a\nb\n"), ("", b"a\nb\n"), ("\r\n", b"a\r\nb\r\n"), ("\r", b"a\rb\r")]
)
async def test_ends_of_lines(storage: Storage, newline: Any, expected: bytes) -> None:
    async with storage.open(KEY, "w", newline=newline) as file:
        assert 2 == await file.write("a\n")
        await file.write("b\n")

    assert expected == await storage.read(KEY)
    assert file.info is not None


async def test_text_with_a_mark_and_text_that_cannot_be_encoded(storage: Storage) -> None:
    """
    The mark is written once; what cannot be encoded leaves the file as it was.
    """
    async with storage.open(KEY, "w", encoding="utf-16") as file:
        await file.write("ä")
        await file.write("b")
    async with storage.open(ROOT / "ascii", "w", encoding="ascii") as file:
        with pytest.raises(UnicodeEncodeError):
            await file.write("é")
        await file.write("e")

    assert "äb".encode("utf-16") == await storage.read(KEY)
    assert b"e" == await storage.read(ROOT / "ascii")


async def test_compression_that_is_interrupted_publishes_nothing(storage: Storage, faults: FaultyDriver) -> None:
    file = await storage.open(KEY, "wb", compression="gzip")
    task = asyncio.create_task(file.write(patterned(512 * KiB)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(StorageError, match="was interrupted"):
        await file.close()

    assert not await storage.exists(KEY)
    at_rest(storage, faults)
