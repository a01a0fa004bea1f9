"""
Spreads the items of an operation over workers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final, Literal

from asyncstore.engine.progress import Meter, ShardMeter
from asyncstore.engine.shards.runner import Runner, WorkerDiedError
from asyncstore.engine.shards.shard import Job, Shard, cut
from asyncstore.engine.task_pool import for_each
from asyncstore.types import BulkResult, ItemOutcome

# How often a shard is begun: if its worker dies as often, one of its items may be the reason.
_ATTEMPTS: Final = 3


async def spread(job: Job, items: AsyncIterator[Any], runner: Runner, meter: Meter) -> BulkResult:
    """
    Carry out *items* by *runner*, shard by shard.

    A shard whose worker dies is carried out again, by another one; the third time its items fail. Memory is bounded by
    the shards that are handed over, apart from the outcomes that the job keeps.
    """
    total = _Total()

    async def carry_out(shard: Shard) -> None:
        progress = ShardMeter(meter)
        sink = progress.reached if meter.listening else None
        for attempt in range(_ATTEMPTS):
            try:
                total.add(await runner.run(shard, sink))
                return
            except WorkerDiedError as exc:
                if attempt == _ATTEMPTS - 1:
                    total.add(job.failed(shard.items, exc))

    async with aclosing(cut(job, items)) as shards:
        await for_each(shards, carry_out, max_concurrency=runner.slots)
    meter.finish()
    return total.result(meter.elapsed)


_COUNTS: Final[tuple[Literal["done", "skipped", "failed", "total_bytes"], ...]] = (
    "done",
    "skipped",
    "failed",
    "total_bytes",
)


class _Total:
    """
    The sum of the results of shards.
    """

    def __init__(self) -> None:
        self._outcomes: list[ItemOutcome] = []
        self._counts = dict.fromkeys(_COUNTS, 0)

    def add(self, result: BulkResult) -> None:
        """
        Add the result of a shard.
        """
        self._outcomes += result.outcomes
        for name in _COUNTS:
            self._counts[name] += getattr(result, name)

    def result(self, elapsed: float) -> BulkResult:
        """
        Return the result of all shards.
        """
        return BulkResult(outcomes=self._outcomes, elapsed=elapsed, **self._counts)
