"""
Shards: items of a long operation that one worker carries out together.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from asyncstore.engine.task_pool import iterating
from asyncstore.errors import StorageError
from asyncstore.options import MiB
from asyncstore.protocols import ProgressSink
from asyncstore.types import BulkResult
from asyncstore.uri import ObjectURI

# A shard takes a second or so, far longer than it takes to hand it over, and little is done again if its worker
# dies. The last ones of an operation are short enough for all workers to end at about the same time.
_MAX_BYTES: Final = 128 * MiB
_MAX_ITEMS: Final = 500


@dataclass(frozen=True, slots=True)
class Shard:
    """
    Some items of an operation. It can be carried out again: items that are complete are written once more.

    Attributes:
        number: Counts the shards of the operation, from 0.
        items: What the job of the operation knows how to carry out.
    """

    number: int
    items: Sequence[Any]


class OpenJob(Protocol):
    """
    A job whose storages are open, in a worker.
    """

    async def __call__(self, items: Sequence[Any], progress: ProgressSink | None) -> BulkResult:
        """Carry out *items*, and return their outcomes."""
        ...

    def watch_uploads(self, changed: Callable[[Mapping[str, ObjectURI]], None]) -> None:
        """Call *changed* with the ids and objects of all multipart uploads in progress, whenever they change."""
        ...

    def watch_throttling(self, throttled: Callable[[], None]) -> None:
        """Call *throttled* whenever the provider makes a storage send fewer requests."""
        ...

    def throttled_elsewhere(self) -> None:
        """Send fewer requests: the provider has throttled another worker."""
        ...


class Job(Protocol):
    """
    What is done with the items of an operation; it is pickled once for each worker.
    """

    def size(self, item: Any) -> int | None:
        """Return the bytes of *item*, if they are known."""
        ...

    def opened(self, workers: int) -> AbstractAsyncContextManager[OpenJob]:
        """Open the storages of the job, in one of so many *workers*, which share their limits."""
        ...

    def failed(self, items: Sequence[Any], error: StorageError) -> BulkResult:
        """Return the result of *items* that could not be carried out."""
        ...

    async def abort(self, uploads: Mapping[str, ObjectURI]) -> None:
        """Abort the multipart uploads of a worker that died."""
        ...


async def cut(job: Job, items: AsyncIterator[Any]) -> AsyncGenerator[Shard, None]:
    """
    Yield shards of *items*, which are drawn as shards are needed: each has at most 500 items, and ends with the item
    that brings it to 128 MiB.
    """
    number = size = 0
    group: list[Any] = []
    async with iterating(items) as source:
        async for item in source:
            group.append(item)
            size += job.size(item) or 0
            if size >= _MAX_BYTES or len(group) >= _MAX_ITEMS:
                yield Shard(number, group)
                number, size, group = number + 1, 0, []
    if group:
        yield Shard(number, group)
