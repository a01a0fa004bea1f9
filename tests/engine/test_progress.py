"""
Progress is counted once, told in order, and never slows what it tells of.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.progress import HighWater, Meter, Transfer, track
from asyncstore.errors import InvalidRequestError, NotFoundError, ThrottledError
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, ProgressEvent, Upload
from tests.engine.build import KEY, ROOT, at_rest, patterned, written

DATA = patterned(3500)
PARTS = UploadOptions(part_size=1000, multipart_threshold=1000)

Events = list[ProgressEvent]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return written(tmp_path / "large", DATA)


def check(events: Events, total: int, objects: int = 1) -> None:
    """
    Nothing goes down, all bytes are counted once, and the end comes once, last.
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


async def test_bytes_that_are_sent_again_count_once(
    storage: Storage, faults: FaultyDriver, large: Path, small_chunks: int
) -> None:
    events: Events = []
    faults.lose_reply("upload_part", times=3)
    faults.fail("upload_part", ThrottledError("busy"))
    await storage.upload(large, KEY, options=PARTS, progress=events.append)

    check(events, len(DATA))
    assert 4 == events[-1].retries
    assert {"retry", "throttle"} <= {event.kind for event in events}


async def test_bytes_that_come_again_count_once(
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


class TestTrack:
    """
    An operation seen through its events.
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

    async def test_waiting_for_the_end(self, storage: Storage, large: Path) -> None:
        async with track(storage.upload, large, KEY) as transfer:
            info = await transfer.wait()

        assert info is transfer.result

    async def test_a_slow_reader_slows_nothing_and_misses_no_last_word(
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
        An object whose last word is old is told of before one whose last word is new.
        """
        transfer: Transfer[None] = Transfer()
        meter = Meter(transfer.publish)
        first, second = meter.object(ROOT / "1", 10), meter.object(ROOT / "2", 10)
        first.advance(1)
        second.advance(1)
        first.advance(1)
        transfer._ended.set()

        assert [2, 3] == [event.bytes_done async for event in transfer]

    async def test_its_error_is_plain(self, storage: Storage, tmp_path: Path) -> None:
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
    async def test_the_callers_own_error_comes_out_as_it_is(
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

    async def test_the_result_of_what_is_no_storage(self) -> None:
        async def operation(number: int, *, progress: Any) -> int:
            return number + 1

        async with track(operation, 1) as transfer:
            assert 2 == await transfer.wait()


async def test_operations_are_plain_coroutines(storage: Storage, tmp_path: Path, large: Path) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(storage.upload(large, KEY))
        group.create_task(storage.put(ROOT / "other", b""))
    async with asyncio.timeout(5):
        await storage.download(KEY, tmp_path / "new")
    second = await asyncio.create_task(storage.stat(KEY))

    assert first.result().etag == second.etag
