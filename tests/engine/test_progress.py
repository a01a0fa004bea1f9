"""
Progress is counted once, reported in order, and never slows the operation.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.progress import HighWater, Meter, Transfer, track
from asyncstore.errors import InvalidRequestError, NotFoundError, ThrottledError
from asyncstore.options import (
    BulkOptions,
    ByteRange,
    CopyOptions,
    DownloadOptions,
    KiB,
    MiB,
    ReadOptions,
    UploadOptions,
)
from asyncstore.protocols import ReadStream
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, ProgressEvent, Upload
from tests.build import KEY, ROOT, at_rest, patterned, written

DATA = patterned(3500)
PARTS = UploadOptions(part_size=1000, multipart_threshold=1000)

Events = list[ProgressEvent]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return written(tmp_path / "large", DATA)


def check(events: Events, total: int, objects: int = 1) -> None:
    """
    Counts never decrease, every byte is counted once, and the end comes once, last.
    """
    for name in (
        "bytes_done",
        "bytes_total",
        "objects_done",
        "objects_failed",
        "objects_skipped",
        "retries",
        "elapsed",
    ):
        values = [getattr(event, name) for event in events]
        assert values == sorted(values)
    by_object: dict[Any, list[int]] = {}
    for event in events:
        by_object.setdefault(event.uri, []).append(event.object_bytes_done)
    assert all(values == sorted(values) for values in by_object.values())
    last = events[-1]
    assert ["done"] == [event.kind for event in events if event.kind == "done"]
    assert ("done", None) == (last.kind, last.uri)
    assert (total, total, objects) == (last.bytes_done, last.bytes_total, last.objects_done)


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 3500])
async def test_both_ways(storage: Storage, tmp_path: Path, small_chunks: int, size: int) -> None:
    events: Events = []
    path = written(tmp_path / "file", DATA[:size])
    await storage.upload(path, KEY, options=PARTS, progress=events.append)
    check(events, size)
    events.clear()
    await storage.download(KEY, tmp_path / "new", options=DownloadOptions(part_size=1000), progress=events.append)
    check(events, size)


async def test_resent_bytes_count_once(storage: Storage, faults: FaultyDriver, large: Path, small_chunks: int) -> None:
    events: Events = []
    faults.lose_reply("upload_part", times=3)
    faults.fail("upload_part", ThrottledError("busy"))
    await storage.upload(large, KEY, options=PARTS, progress=events.append)

    check(events, len(DATA))
    assert 4 == events[-1].retries
    assert {"retry", "throttle"} <= {event.kind for event in events}


async def test_bytes_received_again_count_once(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, small_chunks: int
) -> None:
    events: Events = []
    await storage.put(KEY, DATA)
    faults.truncate(after=400, times=4)
    await storage.download(KEY, tmp_path / "new", options=DownloadOptions(part_size=1000), progress=events.append)

    check(events, len(DATA))
    assert events[-1].retries >= 4


async def test_many_objects(storage: Storage, faults: FaultyDriver, large: Path) -> None:
    events: Events = []
    items = [Upload(large, ROOT / f"{number}") for number in range(5)]
    await storage.bulk_upload(items, options=BulkOptions(upload=PARTS), progress=events.append)
    check(events, 5 * len(DATA), 5)
    events.clear()
    downloads = [Download(ROOT / f"{number}", large.parent / f"{number}") for number in range(5)]
    await storage.bulk_download(downloads, progress=events.append)
    check(events, 5 * len(DATA), 5)
    events.clear()
    await storage.bulk_delete([ROOT / "0", ROOT / "1"], progress=events.append)
    check(events, 0, 2)


async def test_objects_that_fail_or_are_skipped(storage: Storage, faults: FaultyDriver, large: Path) -> None:
    events: Events = []
    await storage.put(ROOT / "1", b"old")
    faults.fail("put", InvalidRequestError("no"), where=lambda call: call.uri.key == "2")
    items = [Upload(large, ROOT / f"{number}") for number in range(3)]
    options = BulkOptions(upload=UploadOptions(if_none_match="*"))
    await storage.bulk_upload(items, options=options, progress=events.append)

    last = events[-1]
    assert (1, 1, 1, 3) == (last.objects_done, last.objects_skipped, last.objects_failed, last.objects_total)


def test_the_rate_is_of_the_last_seconds() -> None:
    now = 0.0
    events: Events = []
    meter = Meter(events.append, lambda: now)
    item = meter.object(KEY, 10_000)
    for second in range(1, 21):
        now = float(second)
        item.advance(100 if second <= 10 else 200)

    assert 200 == events[-1].rate


def test_high_water_counts_up_only() -> None:
    item = Meter(None).object(KEY, 100)
    water = HighWater(item)
    for position in (10, 50, 20, 60):
        water.reached(position)

    assert 60 == item.done


def gains(events: Events) -> list[int]:
    """
    By how many bytes the count grew, each time that it did.
    """
    counts = [event.bytes_done for event in events]
    return [after - before for before, after in itertools.pairwise(counts) if after > before]


async def stream(data: bytes, step: int = 300) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 3500])
async def test_bytes_written_from_memory(storage: Storage, size: int) -> None:
    events: Events = []
    await storage.put(KEY, DATA[:size], options=PARTS, progress=events.append)

    check(events, size)
    assert {size} == {event.object_bytes_total for event in events if event.uri}
    assert [min(1000, size - start) for start in range(0, size, 1000)] == sorted(gains(events), reverse=True)


@pytest.mark.parametrize("parts", [0, 1, 3])
async def test_the_size_of_a_stream_is_known_at_its_end(storage: Storage, parts: int) -> None:
    events: Events = []
    size = parts * MiB + 1
    options = UploadOptions(part_size=MiB, multipart_threshold=MiB, max_concurrency=1)
    await storage.put(KEY, stream(bytes(size), 64 * KiB), options=options, progress=events.append)

    check(events, size)
    moved = [(event.bytes_done, event.object_bytes_total) for event in events if event.uri]
    sent = [number * MiB for number in range(1, parts + 1)]
    assert ([*sent, size] if parts else []) == [done for done, total in moved if total is None]
    assert (size, size) == moved[-1]


async def test_parts_sent_again_count_once(storage: Storage, faults: FaultyDriver) -> None:
    options = UploadOptions(part_size=MiB, multipart_threshold=MiB)
    for data in (bytes(3 * MiB), stream(bytes(3 * MiB), MiB)):
        events: Events = []
        faults.lose_reply("upload_part", times=2)
        faults.fail("complete_multipart_upload", ThrottledError("busy"))
        await storage.put(KEY, data, options=options, progress=events.append)

        check(events, 3 * MiB)
        assert 3 == events[-1].retries


@pytest.mark.parametrize("data", [DATA, [DATA]], ids=["memory", "stream"])
async def test_one_request_sent_again(storage: Storage, faults: FaultyDriver, data: Any) -> None:
    events: Events = []
    faults.fail("put", ThrottledError("busy"), times=2)
    await storage.put(KEY, data, progress=events.append)

    check(events, len(DATA))
    assert ["progress", "throttle", "throttle", "progress", "object_done", "done"] == [event.kind for event in events]


async def test_bytes_read_into_memory(storage: Storage, faults: FaultyDriver) -> None:
    """
    They count as they arrive, and those received again count once.
    """
    await storage.put(KEY, bytes(3 * MiB))
    for options, total in ((ReadOptions(), 3 * MiB), (ReadOptions(range=ByteRange(500, 2 * MiB)), 2 * MiB - 500)):
        events: Events = []
        faults.truncate(after=MiB + 600)
        faults.truncate(after=400)
        data = await storage.read(KEY, options=options, progress=events.append)

        assert total == len(data)
        check(events, total)
        assert 2 == events[-1].retries
        assert [MiB, 600] == gains(events)[:2]


@pytest.mark.parametrize("wanted", [ByteRange(5, 5), ByteRange(0, 0)])
async def test_an_empty_range(storage: Storage, wanted: ByteRange) -> None:
    events: Events = []
    await storage.put(KEY, DATA)
    assert b"" == await storage.read(KEY, options=ReadOptions(range=wanted), progress=events.append)
    check(events, 0)
    events.clear()
    assert [b""] == await storage.read_ranges(KEY, [wanted], progress=events.append)
    check(events, 0)


async def test_bytes_of_a_stream_that_is_read(storage: Storage, faults: FaultyDriver) -> None:
    events: Events = []
    await storage.put(KEY, DATA)
    faults.truncate(after=400, times=3)
    async with storage.get(KEY, options=ReadOptions(range=ByteRange(500, None)), progress=events.append) as reading:
        assert (0, 3000) == (events[-1].bytes_done, events[-1].bytes_total)
        first = await reading.read(1)
        assert (1, 400) == (len(first), events[-1].bytes_done)
        await reading.read()
        assert "done" not in {event.kind for event in events}

    check(events, 3000)
    assert 3 == events[-1].retries


async def test_a_stream_that_is_not_read_to_its_end(storage: Storage) -> None:
    events: Events = []
    await storage.put(KEY, bytes(3 * MiB))
    async with storage.get(KEY, progress=events.append) as reading:
        await reading.read(1)

    assert events[-1].kind == "done"
    assert (MiB, 3 * MiB) == (events[-1].bytes_done, events[-1].bytes_total)


async def test_several_ranges(storage: Storage, faults: FaultyDriver) -> None:
    """
    The bytes of the requests count: close ranges share one, so that the gap counts too.
    """
    events: Events = []
    await storage.put(KEY, bytes(20 * MiB))
    ranges = [ByteRange(10 * MiB, 10 * MiB + 5), ByteRange(0, 10), ByteRange(15, 20), ByteRange(-7, None)]
    faults.fail("read", ThrottledError("busy"), times=2)
    assert [5, 10, 5, 7] == [len(part) for part in await storage.read_ranges(KEY, ranges, progress=events.append)]

    check(events, 20 + 5 + 7)
    assert 2 == events[-1].retries


async def test_a_copy_by_one_request(storage: Storage, faults: FaultyDriver) -> None:
    events: Events = []
    await storage.put(KEY, DATA)
    faults.fail("stat", ThrottledError("busy"))
    faults.lose_reply("copy")
    await storage.copy(KEY, ROOT / "copy", progress=events.append)

    check(events, len(DATA))
    assert 2 == events[-1].retries
    assert {ROOT / "copy", None} == {event.uri for event in events}


async def test_a_copy_by_parts(storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
    events: Events = []
    await storage.put(KEY, DATA)
    faults.capabilities = replace(faults.capabilities, max_copy_size=1000)
    faults.lose_reply("copy_part", times=2)
    await storage.copy(KEY, ROOT / "copy", options=CopyOptions(part_size=1000), progress=events.append)

    check(events, len(DATA))
    assert 2 == events[-1].retries
    assert [1000, 1000, 1000, 500] == sorted(gains(events), reverse=True)


@pytest.mark.parametrize("verb", ["put", "read", "get", "copy"])
async def test_what_failed_is_not_done(storage: Storage, faults: FaultyDriver, verb: str) -> None:
    events: Events = []
    await storage.put(KEY, DATA)
    faults.fail("open_read" if verb == "get" else verb, ThrottledError("busy"), times=None)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "put": lambda: storage.put(KEY, DATA, progress=events.append),
        "read": lambda: storage.read(KEY, progress=events.append),
        "get": lambda: storage.get(KEY, progress=events.append).__aenter__(),
        "copy": lambda: storage.copy(KEY, ROOT / "copy", progress=events.append),
    }
    with pytest.raises(ThrottledError):
        await calls[verb]()

    assert {"progress", "throttle"} >= {event.kind for event in events} >= {"throttle"}
    assert 0 == events[-1].bytes_done


async def test_a_sink_that_raises_ends_the_operation(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, large: Path
) -> None:
    def sink(event: ProgressEvent) -> None:
        if event.bytes_done:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await storage.upload(large, KEY, options=PARTS, progress=sink)

    assert ({}, {}) == (memory.objects, memory.uploads)
    at_rest(storage, faults)


@pytest.mark.parametrize("verb", ["read", "get", "put", "copy", "download"])
async def test_errors_of_a_sink_pass_through_every_verb(storage: Storage, tmp_path: Path, verb: str) -> None:
    """
    They are not taken for a reply that cannot be read.
    """
    await storage.put(KEY, bytes(100_000))

    def sink(event: ProgressEvent) -> None:
        if event.bytes_done:
            raise LookupError("mine")

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "read": lambda: storage.read(KEY, progress=sink),
        "put": lambda: storage.put(KEY, b"data", progress=sink),
        "copy": lambda: storage.copy(KEY, ROOT / "copy", progress=sink),
        "download": lambda: storage.download(KEY, tmp_path / "file", progress=sink),
        "get": lambda: read_all(storage.get(KEY, progress=sink)),
    }
    with pytest.raises(LookupError, match="mine"):
        await calls[verb]()


async def read_all(opened: AbstractAsyncContextManager[ReadStream]) -> bytes:
    async with opened as stream:
        return await stream.read()


class TestTrack:
    """
    An operation and its events.
    """

    async def test_events_and_result(self, storage: Storage, large: Path, small_chunks: int) -> None:
        events: Events = []
        async with track(storage.upload, large, KEY, options=PARTS) as transfer:
            with pytest.raises(RuntimeError, match="not ended"):
                _ = transfer.result
            async for event in transfer:
                events.append(event)
            assert len(DATA) == transfer.result.size

        check(events, len(DATA))
        assert transfer.result.uri == KEY
        assert transfer.latest is events[-1]

    async def test_each_verb(self, storage: Storage) -> None:
        await storage.put(KEY, DATA)
        verbs: dict[Callable[..., Awaitable[Any]], tuple[Any, ...]] = {
            storage.put: (ROOT / "other", [DATA]),
            storage.read: (KEY,),
            storage.read_ranges: (KEY, [ByteRange(0, 3500)]),
            storage.copy: (KEY, ROOT / "copy"),
        }
        for verb, arguments in verbs.items():
            async with track(verb, *arguments) as transfer:
                events = [event async for event in transfer]

            check(events, len(DATA))

    async def test_waiting_for_the_end(self, storage: Storage, large: Path) -> None:
        async with track(storage.upload, large, KEY) as transfer:
            info = await transfer.wait()

        assert info is transfer.result

    async def test_a_slow_reader_slows_nothing_and_gets_the_last_events(
        self, storage: Storage, memory: MemoryDriver, large: Path
    ) -> None:
        items = [Upload(large, ROOT / f"{number}") for number in range(9)]
        events: Events = []
        async with track(storage.bulk_upload, items, options=BulkOptions(upload=PARTS)) as transfer:
            async for event in transfer:
                events.append(event)
                if len(events) == 1:
                    while len(memory.objects) < 9:
                        await asyncio.sleep(0)

        check(events, 9 * len(DATA), 9)
        last = {event.uri: event.kind for event in events}
        assert {"object_done"} == {kind for uri, kind in last.items() if uri is not None}
        assert len(events) < 25

    async def test_a_slow_reader_never_sees_counts_go_down(self) -> None:
        """
        Events come in the order of the latest event of each object.
        """
        transfer: Transfer[None] = Transfer()
        meter = Meter(transfer.publish)
        first, second = meter.object(ROOT / "1", 10), meter.object(ROOT / "2", 10)
        first.advance(1)
        second.advance(1)
        first.advance(1)
        transfer._ended.set()

        assert [2, 3] == [event.bytes_done async for event in transfer]

    async def test_its_error_is_not_in_a_group(self, storage: Storage, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError):
            async with track(storage.upload, tmp_path / "none", KEY) as transfer:
                async for _ in transfer:
                    pass
        with pytest.raises(NotFoundError):
            _ = transfer.result

    async def test_leaving_early_cancels(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, large: Path, small_chunks: int
    ) -> None:
        faults.hang("complete_multipart_upload")
        async with track(storage.upload, large, KEY, options=PARTS) as transfer:
            async for event in transfer:
                if event.bytes_done > 1000:
                    break

        assert ({}, {}) == (memory.objects, memory.uploads)
        at_rest(storage, faults)
        with pytest.raises(RuntimeError, match="cancelled"):
            _ = transfer.result

    @pytest.mark.parametrize("error", [ZeroDivisionError(), ExceptionGroup("mine", [ValueError(), KeyError()])])
    async def test_the_callers_own_error_is_raised_unchanged(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, large: Path, error: Exception
    ) -> None:
        faults.hang("upload_part", times=None)
        with pytest.raises(type(error)) as caught:
            async with track(storage.upload, large, KEY, options=PARTS):
                raise error

        assert caught.value is error
        assert {} == memory.uploads

    @pytest.mark.parametrize(
        "cancel",
        [lambda task, scope: task.cancel(), lambda task, scope: scope.cancel()],
    )
    async def test_cancelled_from_outside(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, large: Path, cancel: Callable[..., None]
    ) -> None:
        stop = faults.hang("upload_part", times=None)
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                async with track(storage.upload, large, KEY, options=PARTS) as transfer:
                    async for _ in transfer:
                        pass

        task = asyncio.ensure_future(run())
        await stop.reached()
        cancel(task, scope)
        await asyncio.wait([task])

        assert task.cancelled() or scope.cancelled_caught
        assert {} == memory.uploads
        at_rest(storage, faults)

    async def test_the_result_of_another_function(self) -> None:
        async def operation(number: int, *, progress: Any) -> int:
            return number + 1

        async with track(operation, 1) as transfer:
            assert 2 == await transfer.wait()


async def test_unread_events_take_little_memory(memory: MemoryDriver) -> None:
    """
    Those of the last objects are kept, and the end of the transfer with them.
    """
    storage = FaultyDriver(memory).storage(ROOT)
    async with track(storage.bulk_delete, (ROOT / str(number) for number in range(2000))) as transfer:
        await transfer.wait()
        kept = len(transfer._pending)
        events = [event async for event in transfer]

    assert kept == len(events) == 256
    assert ("done", 2000) == (events[-1].kind, events[-1].objects_done)
    assert [str(ROOT / "1999")] == [str(event.uri) for event in events[-2:-1]]


async def test_operations_are_plain_coroutines(storage: Storage, tmp_path: Path, large: Path) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(storage.upload(large, KEY))
        group.create_task(storage.put(ROOT / "other", b""))
    async with asyncio.timeout(5):
        await storage.download(KEY, tmp_path / "new")
    second = await asyncio.create_task(storage.stat(KEY))

    assert first.result().etag == second.etag
