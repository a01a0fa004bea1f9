"""
Operations are cut into shards lazily, by bytes and by count; a budget is divided by the workers that share it.
"""

from collections.abc import AsyncIterator
from typing import Any

from asyncstore.engine.ceilings import Ceilings
from asyncstore.engine.limits import Limits
from asyncstore.engine.progress import Meter, ShardMeter
from asyncstore.engine.shards.shard import cut
from asyncstore.options import MiB
from asyncstore.types import ProgressEvent
from asyncstore.uri import parse_uri

KEY = parse_uri("memory://bucket/key")


class Sizes:
    """The part of a job that cutting needs: items are their sizes."""

    def size(self, item: int | None) -> int | None:
        return item


async def shards(*sizes: int | None) -> list[list[int | None]]:
    async def items() -> AsyncIterator[int | None]:
        for size in sizes:
            yield size

    job: Any = Sizes()
    found = [shard async for shard in cut(job, items())]
    assert [shard.number for shard in found] == list(range(len(found)))
    return [list(shard.items) for shard in found]


async def test_cut_by_bytes() -> None:
    """A shard ends with the item that brings it to 128 MiB."""
    assert await shards(100 * MiB, 28 * MiB, 1, 500 * MiB, 2) == [[100 * MiB, 28 * MiB], [1, 500 * MiB], [2]]


async def test_cut_by_count() -> None:
    """A shard has at most 500 items, of unknown size or small ones."""
    assert [len(shard) for shard in await shards(*[None] * 501, *[1] * 10)] == [500, 11]
    assert await shards() == []


async def test_items_are_drawn_lazily() -> None:
    """No more items are drawn than the shards that are asked for need, and the source is closed."""
    drawn, closed = 0, False

    async def items() -> AsyncIterator[int]:
        nonlocal drawn, closed
        try:
            while True:
                drawn += 1
                yield 1
        finally:
            closed = True

    job: Any = Sizes()
    source = cut(job, items())
    await anext(source)
    await anext(source)
    assert drawn == 1000
    await source.aclose()
    assert closed


async def test_limits_are_divided() -> None:
    """Four workers send as many requests together as one process would; each can buffer two parts."""
    limits = Limits(128, 96 * MiB)
    limits.share(4)
    assert (limits.requests.most, limits.requests.total, limits.bytes.total) == (32, 16, 32 * MiB)
    small = Limits(2, 8 * MiB)
    small.share(4)
    assert (small.requests.most, small.requests.total, small.bytes.total) == (1, 1, 8 * MiB)


def test_rates_are_divided() -> None:
    """Four workers together stay below the ceilings of one process."""
    ceilings = Ceilings(upload_bytes_per_second=64 * MiB, requests_per_second=100)
    assert ceilings.sent.piece == 1 * MiB
    ceilings.share(64)
    assert ceilings.sent.piece == 1 * MiB // 16
    assert not ceilings.received


async def test_throttling_elsewhere_halves_once() -> None:
    """What another worker was refused halves the number, once a second; own throttling is reported."""
    limits = Limits(128, 96 * MiB)
    budget, told = limits.requests, []
    budget.slowed = lambda: told.append(budget.total)
    budget.refused_elsewhere()
    budget.refused_elsewhere()
    assert budget.total == 8
    assert told == []

    other = Limits(128, 96 * MiB).requests
    other.slowed = lambda: told.append(other.total)
    for _ in range(3):
        other.refuse(0, 16)
    assert told == [other.total]
    # Both were throttled together.
    other.refused_elsewhere()
    assert told == [other.total]


def test_repeated_shard_counts_once() -> None:
    """A shard that begins again counts only what goes beyond the first time, in events with the totals of all."""
    events: list[ProgressEvent] = []
    meter = Meter(events.append)
    one, other = ShardMeter(meter), ShardMeter(meter)

    def event(**counts: Any) -> ProgressEvent:
        return ProgressEvent(kind="progress", uri=KEY, object_bytes_done=5, **counts)

    one.reached(event(bytes_done=10, bytes_total=20, objects_done=1))
    other.reached(event(bytes_done=100, bytes_total=100, objects_failed=1, retries=2))
    one.reached(event(bytes_done=3, bytes_total=20))
    one.reached(event(bytes_done=20, bytes_total=20, objects_done=2))
    assert [item.bytes_done for item in events] == [10, 110, 110, 120]
    last = events[-1]
    assert (last.bytes_total, last.objects_done, last.objects_failed, last.retries) == (120, 2, 1, 2)
    assert (last.uri, last.object_bytes_done) == (KEY, 5)
