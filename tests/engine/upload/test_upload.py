"""
Objects are written completely or not at all, even if replies are lost.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncstore.driver.body import BytesBody
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotSupportedError,
    PreconditionFailedError,
    ThrottledError,
    UnavailableError,
)
from asyncstore.options import CopyOptions, DeleteOptions, MiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm
from tests.build import KEY, ROOT, ChecksumFirst, at_rest, changed, patterned, stream, written

DATA = patterned(3500)
PARTS = UploadOptions(part_size=1000, multipart_threshold=1000)
CRC32C = ChecksumAlgorithm.CRC32C
NEW = UploadOptions(if_none_match="*")
NEW_PARTS = UploadOptions(part_size=1000, multipart_threshold=1000, if_none_match="*")


@pytest.fixture(autouse=True)
async def nothing_held(storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> Any:
    yield
    at_rest(storage, faults)
    assert {} == memory.uploads


def multipart_calls(faults: FaultyDriver) -> list[int]:
    ops = ("initiate_multipart_upload", "upload_part", "complete_multipart_upload", "abort_multipart_upload")
    return [faults.calls[op] for op in ops]


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 2000, 2001, 3500])
async def test_requests_for_a_file(storage: Storage, faults: FaultyDriver, tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "file", DATA[:size])
    info = await storage.upload(path, KEY, options=PARTS)

    assert (size, DATA[:size]) == (info.size, await storage.read(KEY))
    assert [faults.calls["put"], *multipart_calls(faults)] == (
        [1, 0, 0, 0, 0] if size < 1000 else [0, 1, -(-size // 1000), 1, 0]
    )


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 2000, 2001, 3500])
async def test_requests_for_a_stream(storage: Storage, faults: FaultyDriver, small_chunks: int, size: int) -> None:
    """
    Multipart only if it is longer than one part.
    """
    info = await storage.put(KEY, stream(DATA[:size]), options=PARTS)

    assert (size, DATA[:size]) == (info.size, await storage.read(KEY))
    assert [faults.calls["put"], *multipart_calls(faults)] == (
        [1, 0, 0, 0, 0] if size <= 1000 else [0, 1, -(-size // 1000), 1, 0]
    )


@pytest.mark.parametrize("algorithm", [None, *ChecksumAlgorithm])
async def test_checksums_of_any_kind(storage: Storage, tmp_path: Path, algorithm: ChecksumAlgorithm | None) -> None:
    options = UploadOptions(part_size=1000, multipart_threshold=1000, checksum=algorithm)
    await storage.upload(written(tmp_path / "file", DATA), KEY, options=options)
    await storage.put(ROOT / "stream", stream(DATA), options=options)

    assert DATA == await storage.read(KEY) == await storage.read(ROOT / "stream")


@pytest.mark.parametrize("max_buffer_bytes", [1, 4000, 100_000])
async def test_checksums_sent_first(tmp_path: Path, small_chunks: int, max_buffer_bytes: int) -> None:
    """
    Memory is not reused while its part is still being sent.
    """
    driver = ChecksumFirst()
    faults = FaultyDriver(driver)
    storage = faults.storage(ROOT, max_buffer_bytes=max_buffer_bytes)
    path = written(tmp_path / "file", patterned(50_000))
    faults.lose_reply("upload_part", times=4, after=2)
    await storage.upload(path, KEY, options=PARTS)

    assert patterned(50_000) == driver.objects["dir/key"]
    assert storage.statistics().bytes_peak <= max_buffer_bytes
    at_rest(storage, faults)


@pytest.mark.parametrize("fault", ["corrupt", "slow"])
async def test_checksums_sent_first_with_faults(tmp_path: Path, small_chunks: int, fault: str) -> None:
    driver = ChecksumFirst()
    faults = FaultyDriver(driver)
    storage = faults.storage(ROOT)
    path = written(tmp_path / "file", DATA)
    if fault == "slow":
        faults.slow("write", 0)
        await storage.upload(path, KEY, options=PARTS)
    else:
        faults.corrupt("upload_part")
        with pytest.raises(IntegrityError):
            await storage.upload(path, KEY, options=PARTS)

    assert ([DATA] if fault == "slow" else []) == list(driver.objects.values())


class TestFailures:
    """
    An upload that fails is aborted, once.
    """

    @pytest.mark.parametrize("op", ["upload_part", "complete_multipart_upload"])
    async def test_permanently(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, tmp_path: Path, op: str
    ) -> None:
        faults.fail(op, InvalidRequestError("no"))
        with pytest.raises(InvalidRequestError):
            await storage.upload(written(tmp_path / "file", DATA), KEY, options=PARTS)

        assert {} == memory.objects
        assert 1 == faults.calls["abort_multipart_upload"]

    @pytest.mark.parametrize("op", ["initiate_multipart_upload", "upload_part", "complete_multipart_upload"])
    async def test_after_all_attempts(self, storage: Storage, faults: FaultyDriver, tmp_path: Path, op: str) -> None:
        faults.fail(op, times=None)
        with pytest.raises(UnavailableError):
            await storage.upload(written(tmp_path / "file", DATA), KEY, options=PARTS)

        assert (0 if op.startswith("initiate") else 1) == faults.calls["abort_multipart_upload"]

    async def test_bytes_corrupted_in_transit(self, storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
        faults.corrupt("upload_part")
        with pytest.raises(IntegrityError):
            await storage.upload(written(tmp_path / "file", DATA), KEY, options=replace(PARTS, checksum=CRC32C))

    async def test_small_file_corrupted_in_transit(
        self, storage: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        Its bytes are in memory and the file is closed: whether it changed since says nothing.
        """
        faults.corrupt("put")
        with pytest.raises(IntegrityError):
            await storage.upload(written(tmp_path / "file", b"data"), KEY, options=UploadOptions(checksum=CRC32C))

    async def test_an_abort_that_fails_is_a_note(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, tmp_path: Path
    ) -> None:
        faults.fail("upload_part", InvalidRequestError("no"))
        faults.fail("abort_multipart_upload", InvalidRequestError("nor this"))
        with pytest.raises(InvalidRequestError, match="no") as caught:
            await storage.upload(written(tmp_path / "file", DATA), KEY, options=PARTS)

        assert ["nor this" in note for note in caught.value.__notes__] == [True]
        memory._world.uploads.clear()

    async def test_one_error_is_raised_and_others_are_notes(self, storage: Storage, faults: FaultyDriver) -> None:
        faults.fail("upload_part", InvalidRequestError("no"), times=2)
        with pytest.raises(InvalidRequestError):
            await storage.put(KEY, DATA, options=PARTS)

    async def test_no_part_is_sent_after_the_abort(
        self, storage: Storage, faults: FaultyDriver, small_chunks: int
    ) -> None:
        seen: list[str] = []
        original = faults._request

        async def noting(call: Any, send: Any) -> Any:
            seen.append(call.op)
            return await original(call, send)

        faults._request = noting  # type: ignore[method-assign]
        faults.fail("upload_part", InvalidRequestError("no"), after=1)
        with pytest.raises(InvalidRequestError):
            await storage.put(KEY, stream(patterned(20_000)), options=PARTS)

        assert "abort_multipart_upload" == seen[-1]


class TestLostReplies:
    """
    The object itself shows whether the request took place.
    """

    async def test_of_a_completion(self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
        memory._world.finished = lambda *_: None  # type: ignore[method-assign]
        faults.lose_reply("complete_multipart_upload")
        info = await storage.put(KEY, DATA, options=PARTS)

        assert DATA == memory.objects["dir/key"]
        assert info.etag == (await storage.stat(KEY)).etag
        assert 0 == faults.calls["abort_multipart_upload"]

    async def test_of_a_create_only_completion(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver
    ) -> None:
        memory._world.finished = lambda *_: None  # type: ignore[method-assign]
        faults.lose_reply("complete_multipart_upload")
        await storage.put(KEY, DATA, options=NEW_PARTS)

        assert DATA == memory.objects["dir/key"]

    async def test_of_a_completion_onto_another_object(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver
    ) -> None:
        """
        After a lost reply, another program's object is not taken for ours.
        """
        upload_part = memory.upload_part

        async def after_another_program(*args: Any) -> Any:
            # It has written its object after we looked whether there is one.
            memory.upload_part = upload_part  # type: ignore[method-assign]
            await memory.put(KEY, BytesBody(DATA[::-1]), UploadOptions())
            return await upload_part(*args)

        memory.upload_part = after_another_program  # type: ignore[assignment,method-assign]
        faults.fail("complete_multipart_upload", UnavailableError("lost"))
        with pytest.raises(AlreadyExistsError):
            await storage.put(KEY, DATA, options=NEW_PARTS)

        assert 1 == faults.calls["abort_multipart_upload"]

    async def test_of_an_initiation(self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
        """
        The upload whose id was lost is aborted after ours has ended.
        """
        faults.lose_reply("initiate_multipart_upload")
        await storage.put(KEY, DATA, options=PARTS)

        assert DATA == memory.objects["dir/key"]
        assert [2, 4, 1, 1] == multipart_calls(faults)

    async def test_of_every_initiation(self, storage: Storage, faults: FaultyDriver) -> None:
        faults.lose_reply("initiate_multipart_upload", times=None)
        with pytest.raises(UnavailableError):
            await storage.put(KEY, DATA, options=PARTS)

    async def test_sweeping_spares_uploads_in_progress(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver
    ) -> None:
        """
        Another task writes the same key and has not sent a part yet.
        """
        stop = faults.hang("upload_part")
        other = asyncio.ensure_future(storage.put(KEY, DATA, options=UploadOptions(multipart_threshold=0)))
        await stop.reached()
        faults.lose_reply("initiate_multipart_upload")
        await storage.put(KEY, DATA[::-1], options=PARTS)
        stop.release()
        await other

        assert DATA == memory.objects["dir/key"]

    async def test_sweeping_spares_other_keys_and_uploads_with_parts(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver
    ) -> None:
        kept = await storage.initiate_multipart_upload(KEY)
        await storage.upload_part(KEY, kept, 1, b"part")
        below = await storage.initiate_multipart_upload(ROOT / "dir/key2")
        faults.lose_reply("initiate_multipart_upload")
        await storage.put(KEY, DATA, options=PARTS)

        assert {kept: "dir/key", below: "dir/key2"} == memory.uploads
        await storage.abort_multipart_upload(KEY, kept)
        await storage.abort_multipart_upload(ROOT / "dir/key2", below)

    async def test_of_a_put(self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
        faults.lose_reply("put")
        info = await storage.put(KEY, DATA, options=NEW)

        assert info.etag == (await storage.stat(KEY)).etag

    async def test_of_a_put_that_replaces(self, storage: Storage, faults: FaultyDriver) -> None:
        old = await storage.put(KEY, b"old")
        faults.lose_reply("put")
        await storage.put(KEY, DATA, options=UploadOptions(if_match=old.etag))

        assert DATA == await storage.read(KEY)

    @pytest.mark.parametrize("other", [DATA[::-1], DATA[:-1], b""])
    async def test_of_a_put_onto_another_object(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, other: bytes
    ) -> None:
        faults.fail("put", UnavailableError("lost"))
        await storage.put(ROOT / "other", b"")
        await memory.put(KEY, lost_body(other), UploadOptions())
        faults.fail("put", UnavailableError("lost"))
        with pytest.raises(AlreadyExistsError):
            await storage.put(KEY, DATA, options=NEW)

        assert other == memory.objects["dir/key"]

    async def test_a_refusal_without_a_lost_reply_is_final(self, storage: Storage, faults: FaultyDriver) -> None:
        await storage.put(KEY, DATA)
        faults.fail("put", ThrottledError("busy", status=503, code="SlowDown"))
        with pytest.raises(AlreadyExistsError):
            await storage.put(KEY, DATA, options=NEW)

        assert 0 == faults.calls["stat"]

    async def test_of_a_copy(self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
        await storage.put(KEY, DATA)
        faults.lose_reply("copy")
        await storage.copy(KEY, ROOT / "copy", options=CopyOptions(if_none_match="*"))

        assert DATA == memory.objects["copy"]

    async def test_of_a_copy_onto_another_object(self, storage: Storage, faults: FaultyDriver) -> None:
        await storage.put(KEY, DATA)
        await storage.put(ROOT / "copy", DATA[::-1])
        faults.fail("copy", UnavailableError("lost"))
        with pytest.raises(AlreadyExistsError):
            await storage.copy(KEY, ROOT / "copy", options=CopyOptions(if_none_match="*"))

    async def test_of_a_deletion(self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
        info = await storage.put(KEY, DATA)
        faults.lose_reply("delete")
        await storage.delete(KEY, options=DeleteOptions(if_match=info.etag))

        assert {} == memory.objects

    async def test_of_a_deletion_of_another_object(self, storage: Storage, faults: FaultyDriver) -> None:
        await storage.put(KEY, DATA)
        faults.fail("delete", UnavailableError("lost"))
        with pytest.raises(PreconditionFailedError):
            await storage.delete(KEY, options=DeleteOptions(if_match="other"))


def lost_body(data: bytes) -> Any:
    return BytesBody(data)


class TestInitiation:
    """
    No upload is left behind when its initiation fails.
    """

    async def test_cancelled_before_the_id_arrives(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver
    ) -> None:
        stop = faults.hang_reply("initiate_multipart_upload")
        task = asyncio.ensure_future(storage.put(KEY, DATA, options=PARTS))
        await stop.reached()
        task.cancel()
        await asyncio.sleep(0.01)

        assert 1 == len(memory.uploads)
        assert 1 == storage.statistics().requests_in_flight

        stop.release()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert {} == memory.uploads

    async def test_an_id_that_never_arrives(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The request is cancelled, and the upload that it left behind is found.
        """
        monkeypatch.setattr("asyncstore.engine.upload.multipart.CLEANUP_TIMEOUT", 0.04)
        stop = faults.hang_reply("initiate_multipart_upload")
        task = asyncio.ensure_future(storage.put(KEY, DATA, options=PARTS))
        await stop.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert {} == memory.uploads

    async def test_cancelled_between_attempts_is_quick(self, faults: FaultyDriver) -> None:
        async def sleep(_: float) -> None:
            await asyncio.Event().wait()

        storage = faults.storage(ROOT)
        storage._requests.retry.sleep = sleep
        faults.fail("initiate_multipart_upload")
        task = asyncio.ensure_future(storage.put(KEY, DATA, options=PARTS))
        await asyncio.sleep(0.01)
        task.cancel()
        async with asyncio.timeout(0.5):
            with pytest.raises(asyncio.CancelledError):
                await task

        assert [1, 0, 0, 0] == multipart_calls(faults)

    async def test_cancelled_while_waiting_for_a_request_slot_is_quick(self, faults: FaultyDriver) -> None:
        storage = faults.storage(ROOT, max_requests=1)
        await storage._requests.limits.requests.acquire()
        task = asyncio.ensure_future(storage.put(KEY, DATA, options=PARTS))
        await asyncio.sleep(0.01)
        task.cancel()
        async with asyncio.timeout(0.5):
            with pytest.raises(asyncio.CancelledError):
                await task

        assert [0, 0, 0, 0] == multipart_calls(faults)


class UploadFile:
    """
    An asynchronous file as Starlette and aiofiles have them: only ``read()``.
    """

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self._file.read(size)


class Part:
    """
    A part of a form as aiohttp has them: its ``read()`` takes no size.
    """

    def __init__(self, data: bytes) -> None:
        self._chunks = [data[:10], data[10:]]

    async def read(self, *, decode: bool = False) -> bytes:
        raise AssertionError("not in pieces")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


class TestStreams:
    """
    Streams of any length, with little memory.
    """

    @pytest.mark.parametrize("kind", [UploadFile, Part])
    async def test_asynchronous_file(self, storage: Storage, small_chunks: int, kind: Any) -> None:
        await storage.put(KEY, kind(DATA), options=PARTS)

        assert await storage.read(KEY) == DATA

    async def test_stream_reader_without_lines(self, storage: Storage) -> None:
        """
        Bytes without a line end are read in pieces, not in lines, whose length asyncio limits.
        """
        reader = asyncio.StreamReader(limit=16)
        reader.feed_data(DATA.replace(b"\n", b" "))
        reader.feed_eof()
        await storage.put(KEY, reader)

        assert await storage.read(KEY) == DATA.replace(b"\n", b" ")

    async def test_asynchronous_file_in_text_mode(self, storage: Storage, faults: FaultyDriver) -> None:
        class Text:
            async def read(self, size: int) -> str:
                return "text"

        data: Any = Text()
        with pytest.raises(TypeError, match="yielded str, not bytes: open files in binary mode"):
            await storage.put(KEY, data)
        at_rest(storage, faults)

    async def test_many_at_once_share_a_small_budget(self, memory: MemoryDriver, small_chunks: int) -> None:
        """
        They do not deadlock over the budget.
        """
        faults = FaultyDriver(memory)
        storage = faults.storage(ROOT, max_buffer_bytes=4000)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(storage.put(ROOT / f"{number}", stream(patterned(9000)), options=PARTS))

        assert {patterned(9000)} == set(memory.objects.values())
        assert storage.statistics().bytes_peak <= 4000
        at_rest(storage, faults)

    async def test_a_budget_of_one_part(self, memory: MemoryDriver, small_chunks: int) -> None:
        storage = FaultyDriver(memory).storage(ROOT, max_buffer_bytes=1000)
        async with asyncio.timeout(20):
            await storage.put(KEY, stream(DATA), options=PARTS)

        assert DATA == memory.objects["dir/key"]

    async def test_parts_are_at_least_the_providers_minimum(self, memory: MemoryDriver, small_chunks: int) -> None:
        changed(memory, min_part_size=1500)
        faults = FaultyDriver(memory)
        storage = faults.storage(ROOT, max_buffer_bytes=1)
        await storage.put(KEY, stream(DATA), options=PARTS)

        assert DATA == memory.objects["dir/key"]
        assert 3 == faults.calls["upload_part"]

    async def test_a_stream_longer_than_memory_allows(self, faults: FaultyDriver, small_chunks: int) -> None:
        changed(faults, max_parts=3)
        storage = faults.storage(ROOT, max_buffer_bytes=1000)
        with pytest.raises(InvalidRequestError, match="max_buffer_bytes"):
            await storage.put(KEY, stream(DATA), options=PARTS)

    async def test_too_large_an_object(self, storage: Storage, faults: FaultyDriver, small_chunks: int) -> None:
        changed(faults, max_object_size=2500)
        with pytest.raises(InvalidRequestError, match="at most"):
            await storage.put(KEY, stream(DATA), options=PARTS)

    @pytest.mark.parametrize(("size", "fits"), [(2000, True), (2001, False)])
    async def test_without_multipart(self, memory: MemoryDriver, small_chunks: int, size: int, fits: bool) -> None:
        """
        The whole stream is in memory, so memory limits its size.
        """
        faults = FaultyDriver(memory)
        changed(faults, multipart=False)
        storage = faults.storage(ROOT, max_buffer_bytes=2000)
        if fits:
            await storage.put(KEY, stream(DATA[:size]))
        else:
            with pytest.raises(NotSupportedError, match="max_buffer_bytes"):
                await storage.put(KEY, stream(DATA[:size]))

        assert fits == bool(memory.objects)
        at_rest(storage, faults)

    async def test_an_endless_stream_stays_in_its_budget(self, memory: MemoryDriver) -> None:
        """
        The source is not read ahead of what was sent (developmentseed/obstore#540).
        """
        faults = FaultyDriver(memory)
        storage = faults.storage(ROOT, max_buffer_bytes=4 * MiB)
        stop = faults.hang("upload_part", times=None)
        drawn = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal drawn
            while True:
                drawn += MiB
                yield bytes(MiB)

        task = asyncio.ensure_future(storage.put(KEY, endless(), options=UploadOptions(part_size=MiB)))
        await stop.reached()
        for _ in range(200):
            await asyncio.sleep(0)

        assert drawn <= 5 * MiB

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        at_rest(storage, faults)


async def test_a_plain_generator_is_closed_when_its_write_fails(memory: MemoryDriver) -> None:
    """
    At once, although the caller still has it: what its with blocks hold is released.
    """
    closed = []

    def source() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(1 << 20)
        finally:
            closed.append(True)

    changed(memory, max_object_size=20 << 20)
    chunks = source()
    async with FaultyDriver(memory).storage(ROOT) as storage:
        with pytest.raises(InvalidRequestError):
            await storage.put(KEY, chunks)

    assert [True] == closed


async def test_a_file_below_the_threshold_is_not_read_whole(memory: MemoryDriver, tmp_path: Path) -> None:
    """
    However high the threshold is: it is read while it is sent, a chunk at a time.
    """
    held: list[bool] = []

    class Watched(MemoryDriver):
        async def put(self, uri: Any, body: Any, options: Any) -> Any:
            held.append(body.data is not None)
            return await super().put(uri, body, options)

    driver = Watched("bucket")
    storage = FaultyDriver(driver).storage(ROOT, max_buffer_bytes=MiB)
    path = written(tmp_path / "file", patterned(3 * MiB))
    await storage.upload(path, KEY, options=UploadOptions(multipart_threshold=1 << 30))

    assert [False] == held
    assert patterned(3 * MiB) == driver.objects["dir/key"]


async def test_a_create_only_upload_looks_first(storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """
    A large file whose object exists costs one request, not its bytes.
    """
    path = written(tmp_path / "file", patterned(MiB))
    options = replace(PARTS, if_none_match="*")
    await storage.put(KEY, b"there")
    sent = storage.statistics().requests
    with pytest.raises(AlreadyExistsError):
        await storage.upload(path, KEY, options=options)

    assert 1 == storage.statistics().requests - sent
    assert 0 == faults.calls["upload_part"]
