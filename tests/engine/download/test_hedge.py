"""
A range whose reply is late is requested once more: the first reply wins, the other request ends.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asyncstore import PermissionDeniedError, ThrottledError, UnavailableError, open_storage
from asyncstore.config import StorageConfig
from asyncstore.driver import ReadBody
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import ByteRange, MiB, ReadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver, instantly
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT, at_rest, patterned
from tests.servers.scripted import Exchange, reply, saying, scripted

DATA = patterned(1000)
SOON = 0.01
LATER = 3600.0
KEYS: dict[str, Any] = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret", "region": "us-east-1"}


class Late(MemoryDriver):
    """
    Memory whose replies to reads come when the test says: the n-th waits for the n-th future, if there is one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[asyncio.Future[None]] = []
        self.asked = 0

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        number, self.asked = self.asked, self.asked + 1
        if number < len(self.turns):
            await self.turns[number]
        return await super().open_read(uri, options)

    async def reached(self, number: int) -> None:
        while self.asked < number:
            await asyncio.sleep(0)


@pytest.fixture
async def late() -> Late:
    driver = Late()
    driver.turns = [asyncio.get_running_loop().create_future() for _ in range(3)]
    return driver


async def begun(late: Late) -> tuple[Storage, asyncio.Task[bytes]]:
    """Begin to read a range whose first request is late, so that a second one is on its way."""
    storage = Storage(late, StorageConfig(uri=ROOT), sleep=instantly)
    await storage.put(KEY, DATA)
    task = asyncio.create_task(read(storage, "read", hedge_after=SOON))
    await late.reached(2)
    return storage, task


async def read(storage: Storage, way: str, **options: Any) -> bytes:
    if way == "read":
        return await storage.read(KEY, range=(10, 20), **options)
    if way == "read_ranges":
        return (await storage.read_ranges(KEY, [ByteRange(10, 20)], **options))[0]
    if way == "get":
        async with storage.get(KEY, range=(10, 20), **options) as stream:
            return await stream.read()
    async with storage.open(KEY, options=ReadOptions(**options)) as file:
        await file.seek(10)
        return await file.read(10)


@pytest.mark.parametrize("way", ["read", "read_ranges", "get", "open"])
async def test_the_second_request_wins(storage: Storage, faults: FaultyDriver, way: str) -> None:
    """
    Two requests, one answer, nothing left in flight, and both are counted.
    """
    await storage.put(KEY, DATA)
    before = storage.statistics().requests
    faults.hang("open_read")

    assert await read(storage, way, hedge_after=SOON) == DATA[10:20]
    assert faults.calls["open_read"] == 2
    counts = storage.statistics()
    assert (counts.hedged, counts.hedges_won) == (1, 1)
    assert counts.requests - before == 2 + (way == "open")
    at_rest(storage, faults)


async def test_a_reply_in_time_needs_no_second_request(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)

    assert await read(storage, "read", hedge_after=LATER) == DATA[10:20]
    assert faults.calls["open_read"] == 1
    assert storage.statistics().hedged == 0


@pytest.mark.parametrize("options", [{}, {"hedge_after": SOON, "range": None}])
async def test_only_ranges_and_only_if_chosen(storage: Storage, faults: FaultyDriver, options: Any) -> None:
    """
    Without the option, and for whole objects, a late reply is waited for.
    """
    await storage.put(KEY, DATA)
    stop = faults.hang("open_read")
    task = asyncio.create_task(storage.read(KEY, **options))
    await stop.reached()
    stop.release()

    assert await task == DATA
    assert faults.calls["open_read"] == 1


async def test_the_first_request_wins(storage: Storage, faults: FaultyDriver) -> None:
    """
    The second request is late, too: the first one is read, the second one ends.
    """
    await storage.put(KEY, DATA)
    first, second = faults.hang("open_read"), faults.hang("open_read")
    task = asyncio.create_task(read(storage, "read", hedge_after=SOON))
    await first.reached()
    await second.reached()
    first.release()

    assert await task == DATA[10:20]
    counts = storage.statistics()
    assert (counts.hedged, counts.hedges_won) == (1, 0)
    at_rest(storage, faults)


async def test_both_replies_at_once(storage: Storage, faults: FaultyDriver) -> None:
    """
    The body that nobody reads is closed.
    """
    await storage.put(KEY, DATA)
    first, second = faults.hang("open_read"), faults.hang("open_read")
    task = asyncio.create_task(read(storage, "get", hedge_after=SOON))
    await first.reached()
    await second.reached()
    first.release()
    second.release()

    assert await task == DATA[10:20]
    at_rest(storage, faults)


async def test_cancelling_ends_both(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    first, second = faults.hang("open_read"), faults.hang("open_read")
    task = asyncio.create_task(read(storage, "read", hedge_after=SOON))
    await first.reached()
    await second.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    at_rest(storage, faults)


async def test_one_for_each_range_whatever_fails(late: Late) -> None:
    """
    Both requests fail, the retry is late, and is not hedged again.
    """
    storage, task = await begun(late)
    late.turns[1].set_exception(UnavailableError("reset"))
    await asyncio.sleep(0)
    late.turns[0].set_exception(UnavailableError("reset"))
    await late.reached(3)
    # Longer than the delay, whatever the machine is busy with.
    await asyncio.sleep(3 * SOON)
    late.turns[2].set_result(None)

    assert await task == DATA[10:20]
    assert late.asked == 3
    counts = storage.statistics()
    assert (counts.hedged, counts.hedges_won, counts.retries) == (1, 0, 1)
    assert counts.requests_in_flight == 0


async def test_a_transient_failure_waits_for_the_other(late: Late) -> None:
    """
    The first request breaks: the second one is on its way already, so nothing is retried.
    """
    storage, task = await begun(late)
    late.turns[0].set_exception(UnavailableError("reset"))
    await asyncio.sleep(0)
    late.turns[1].set_result(None)

    assert await task == DATA[10:20]
    counts = storage.statistics()
    assert (counts.hedges_won, counts.retries) == (1, 0)


async def test_a_second_request_that_is_throttled_counts(late: Late) -> None:
    """
    The budget hears of the refusal, and the first request is waited for.
    """
    storage, task = await begun(late)
    late.turns[1].set_exception(ThrottledError("slow down"))
    while not storage.statistics().throttled:
        await asyncio.sleep(0)
    late.turns[0].set_result(None)

    assert await task == DATA[10:20]
    counts = storage.statistics()
    assert (counts.hedges_won, counts.retries, counts.throttled) == (0, 0, 1)


async def test_a_refusal_is_an_answer(late: Late) -> None:
    """
    An error that no retry changes is raised at once.
    """
    storage, task = await begun(late)
    late.turns[0].set_exception(PermissionDeniedError("no"))
    with pytest.raises(PermissionDeniedError):
        await task

    assert storage.statistics().requests_in_flight == 0


async def test_at_most_one_range_in_ten(storage: Storage, faults: FaultyDriver) -> None:
    """
    A service that is slow as a whole does not get twice the load.
    """
    await storage.put(KEY, DATA)
    faults.slow("open_read", 3 * SOON)

    for _ in range(25):
        assert await read(storage, "read", hedge_after=SOON) == DATA[10:20]

    assert storage.statistics().hedged == 3
    assert faults.calls["open_read"] == 28
    at_rest(storage, faults)


async def test_none_while_others_wait_for_places(faults: FaultyDriver) -> None:
    """
    A second request takes no place that another request waits for.
    """
    storage = faults.storage("memory://bucket", max_requests=1)
    await storage.put(KEY, DATA)
    stop = faults.hang("open_read")
    task = asyncio.create_task(read(storage, "read", hedge_after=SOON))
    await stop.reached()
    # Longer than the delay, whatever the machine is busy with.
    await asyncio.sleep(3 * SOON)
    stop.release()

    assert await task == DATA[10:20]
    assert storage.statistics().hedged == 0


async def test_ranges_of_a_large_download(storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """
    A range that hangs is fetched by a second request, of the version that the first reply had.
    """
    data = patterned(4 * MiB)
    await storage.put(KEY, data)
    faults.hang("open_read", after=2)

    await storage.download(KEY, tmp_path / "file", part_size=MiB, hedge_after=50 * SOON)

    assert (tmp_path / "file").read_bytes() == data
    assert faults.calls["open_read"] == 5
    assert storage.statistics().hedges_won == 1
    at_rest(storage, faults)


async def test_connections_of_losers_are_closed() -> None:
    """
    Over HTTP: the late reply is not read, and its connection is gone.
    """
    asked: list[str] = []

    async def never(exchange: Exchange) -> None:
        asked.append(exchange.headers["range"])
        await exchange.reader.read(1)
        raise EOFError

    part = reply(206, DATA[10:20], Content_Range="bytes 10-19/1000", ETag='"e"')
    async with scripted(never, saying(part)) as server:
        async with open_storage("s3://bucket", endpoint_url=server.url, **KEYS) as storage:
            data = await storage.read("key", range=(10, 20), hedge_after=SOON)
            while server.open > 1:
                await asyncio.sleep(0)

            assert data == DATA[10:20]
            assert [exchange.headers["range"] for exchange in server.requests] == ["bytes=10-19"] * 2
            assert asked == ["bytes=10-19"]
        assert await server.settled() == 0


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf")])
def test_senseless_delays_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="hedge_after must be above 0 seconds"):
        ReadOptions(hedge_after=seconds)
