"""
Reading into the caller's memory: what it accepts, how it counts, and when it stops writing.
"""

import asyncio
import ctypes
import mmap
import threading
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from asyncstore.checksum import Hasher, compute
from asyncstore.driver.body import MemorySink
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import IntegrityError, InvalidRequestError, UnavailableError
from asyncstore.options import ByteRange, DownloadOptions, KiB, MiB, ReadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import UNKNOWN, ChecksumAlgorithm, ProgressEvent
from tests.build import KEY, at_rest, changed, patterned
from tests.engine.download.test_read import Odd
from tests.engine.test_memory import Nowhere

DATA = patterned(5 * MiB)
PARTS = DownloadOptions(part_size=MiB, max_concurrency=3)


async def test_requests_are_counted(storage: Storage, faults: FaultyDriver) -> None:
    """
    One request for each part: the first is for all, and is closed after its part.
    """
    await storage.put(KEY, DATA)

    await storage.read_into(KEY, bytearray(5 * MiB), options=PARTS)

    assert (5, 0) == (faults.calls["open_read"], faults.calls["stat"])
    at_rest(storage, faults)


async def test_small_parts(storage: Storage, faults: FaultyDriver) -> None:
    """
    Also of an object that would fit into one of the usual size.
    """
    await storage.put(KEY, DATA[:3500])
    buffer = bytearray(3500)

    await storage.read_into(KEY, buffer, options=DownloadOptions(part_size=1000))

    assert buffer == DATA[:3500]
    assert 4 == faults.calls["open_read"]


@pytest.mark.parametrize("algorithm", [ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.SHA256])
async def test_checksums_of_parts_are_combined_or_computed_again(
    storage: Storage, faults: FaultyDriver, algorithm: ChecksumAlgorithm
) -> None:
    """
    Bytes of several parts are verified also by a checksum that cannot be combined.
    """
    await storage.put(KEY, DATA, options=UploadOptions(checksum=algorithm, multipart_threshold=6 * MiB))
    buffer = bytearray(5 * MiB)

    await storage.read_into(KEY, buffer, options=PARTS)
    assert buffer == DATA

    faults.corrupt("read", after=2)
    with pytest.raises(IntegrityError):
        await storage.read_into(KEY, buffer, options=PARTS)


async def test_an_array_of_ctypes_and_a_mapped_file(storage: Storage) -> None:
    """
    Memory whose items have a byte order, which memoryview.cast() does not know, and memory that can be closed.
    """
    await storage.put(KEY, bytes(range(40)))
    numbers = (ctypes.c_uint32 * 10)()
    mapped = mmap.mmap(-1, 40)

    assert 40 == await storage.read_into(KEY, numbers)
    assert 40 == await storage.read_into(KEY, mapped)

    assert bytes(range(40)) == bytes(numbers) == mapped[:]
    # Refused while something refers to it.
    mapped.close()


@pytest.mark.parametrize(
    ("buffer", "why"),
    [
        (b"bytes", "read-only"),
        (memoryview(bytearray(10))[::2], "not contiguous"),
        (memoryview((ctypes.c_uint32 * 3)()), "a memoryview of its '<I' items"),
        ("text", "not str"),
        (None, "not NoneType"),
    ],
)
async def test_what_is_no_buffer(storage: Storage, faults: FaultyDriver, buffer: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        await storage.read_into(KEY, buffer)
    assert not faults.calls


async def test_progress_adds_up(storage: Storage, faults: FaultyDriver) -> None:
    """
    Each byte is counted once, also those of a reply that broke.
    """
    await storage.put(KEY, DATA)
    faults.truncate(after=300 * KiB)
    events: list[ProgressEvent] = []

    await storage.read_into(KEY, bytearray(5 * MiB), options=PARTS, progress=events.append)

    assert ("done", 5 * MiB, 5 * MiB) == (events[-1].kind, events[-1].bytes_done, events[-1].bytes_total)


async def test_a_server_without_ranges(storage: Storage, faults: FaultyDriver) -> None:
    """
    One request reads all.
    """
    changed(faults, ranges=False)
    await storage.put(KEY, DATA)
    buffer = bytearray(5 * MiB)

    await storage.read_into(KEY, buffer, options=PARTS)

    assert buffer == DATA
    assert 1 == faults.calls["open_read"]


@pytest.mark.parametrize("room", [0, 9, 10, 11])
async def test_an_object_whose_size_shows_at_its_end(room: int) -> None:
    """
    It is read if it fits, and an error if it does not.
    """

    class Ending(Odd):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for chunk in super().__aiter__():
                yield chunk
            self.end = 10

    class Unknown(MemoryDriver):
        async def open_read(self, uri: Any, options: ReadOptions) -> Odd:
            body = await super().open_read(uri, options)
            return Ending(replace(body.info, size=UNKNOWN), 0, UNKNOWN, [b"01234", b"56789"])

    driver = FaultyDriver(Unknown())
    storage = driver.storage(KEY)
    await storage.put(KEY, b"0123456789")
    buffer = bytearray(room)
    if room < 10:
        with pytest.raises(InvalidRequestError, match="the buffer has"):
            await storage.read_into(KEY, buffer)
    else:
        assert 10 == await storage.read_into(KEY, buffer)
        assert buffer[:10] == b"0123456789"
    buffer.clear()


async def test_no_thread_writes_after_a_cancellation(
    storage: Storage, faults: FaultyDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A read that is cancelled while a thread writes to the buffer ends after the thread.
    """
    await storage.put(KEY, DATA)
    entered, go_on = threading.Event(), threading.Event()
    write, ended = MemorySink.__call__, []

    def slow(sink: MemorySink, data: Any) -> None:
        entered.set()
        assert go_on.wait(20)
        write(sink, data)
        ended.append(len(data))

    monkeypatch.setattr(MemorySink, "__call__", slow)
    buffer = bytearray(5 * MiB)
    options = DownloadOptions(part_size=5 * MiB)
    task = asyncio.create_task(storage.read_into(KEY, buffer, options=options))
    while not entered.is_set():
        await asyncio.sleep(0)
    task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended
    count = len(ended)
    buffer.clear()
    await asyncio.sleep(0)
    assert count == len(ended)
    at_rest(storage, faults)


async def test_a_failure_frees_the_buffer(storage: Storage, faults: FaultyDriver) -> None:
    """
    While the caller handles the error, whose traceback has all frames, the buffer can be resized.
    """
    await storage.put(KEY, DATA)
    faults.fail("read", UnavailableError("reset"), times=None)
    buffer = bytearray(5 * MiB)
    try:
        await storage.read_into(KEY, buffer, options=PARTS)
    except UnavailableError:
        buffer.clear()
    assert not buffer
    at_rest(storage, faults)


async def test_memory_does_not_grow() -> None:
    """
    Beside the buffer there are a few MiB, whatever the size of the object.
    """
    storage = FaultyDriver(Nowhere()).storage(KEY)
    with mmap.mmap(-1, 300 * MiB) as buffer:
        await storage.read_into(KEY, buffer, range=ByteRange(0, 8 * MiB), options=DownloadOptions(verify=False))
        tracemalloc.start()
        try:
            await storage.read_into(KEY, buffer, options=DownloadOptions(verify=False))
            assert tracemalloc.get_traced_memory()[1] < 32 * MiB
        finally:
            tracemalloc.stop()


async def test_the_sum_of_a_hashed_sink() -> None:
    """
    A sink hashes what it takes, in both ways in which it takes bytes.
    """
    memory, hasher = bytearray(10), Hasher(ChecksumAlgorithm.CRC32C)
    sink = MemorySink(memoryview(memory), hasher)
    sink(b"01234")
    with sink.room(5) as room:
        room[:3] = b"567"
    sink.received(3)
    sink(b"89")

    assert memory == b"0123456789"
    assert compute(ChecksumAlgorithm.CRC32C, b"0123456789") == hasher.checksum()
    with pytest.raises(InvalidRequestError):
        sink(b"0")
