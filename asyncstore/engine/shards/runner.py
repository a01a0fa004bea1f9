"""
Where shards are carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from asyncstore.engine.shards.shard import Shard
from asyncstore.errors import StorageError
from asyncstore.types import BulkResult, ProgressEvent

#: Takes an event of a shard, with the shard's cumulative counts.
ShardSink = Callable[[ProgressEvent], None]


class WorkerDiedError(StorageError):
    """
    A worker ended before the shards that it had begun.
    """

    default_message = "was being transferred when the worker process ended"


class Runner(Protocol):
    """
    Carries out shards in workers.

    Attributes:
        slots: Shards that are handed over at the same time.
    """

    slots: int

    async def run(self, shard: Shard, progress: ShardSink | None) -> BulkResult:
        """
        Carry out *shard*.

        Raises:
            WorkerDiedError: The worker has ended; another one can carry out the shard.
        """
        ...
