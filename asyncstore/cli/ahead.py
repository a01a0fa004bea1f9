"""
Reading ahead: what is to be done is counted before its turn comes, so that the end can be told.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from asyncstore.cli.plan import Item, Refusal, Step
from asyncstore.engine.pool import single_error
from asyncstore.errors import StorageError

# Enough to know the size of most trees at once, without holding those that are huge.
_MAX_AHEAD: Final = 10_000


@dataclass
class Totals:
    """
    What has been found so far.

    Attributes:
        objects: Items to transfer.
        size: Bytes of them.
        complete: Whether that is all.
    """

    objects: int = 0
    size: int = 0
    complete: bool = False


@asynccontextmanager
async def read_ahead(steps: AsyncGenerator[Step, None], totals: Totals) -> AsyncIterator[AsyncIterator[Step]]:
    """
    Yield *steps* again, drawn and counted up to 10,000 before they are asked for.

    What drawing them raises comes out where they are drawn from the result.
    """
    send, receive = anyio.create_memory_object_stream[Step](_MAX_AHEAD)
    failed: list[StorageError] = []

    async def again() -> AsyncIterator[Step]:
        async for step in receive:
            yield step
        if failed:
            raise failed[0]

    with single_error():
        async with anyio.create_task_group() as group, receive:
            group.start_soon(_draw, steps, send, totals, failed)
            yield again()
            group.cancel_scope.cancel()


async def _draw(
    steps: AsyncGenerator[Step, None], send: MemoryObjectSendStream[Step], totals: Totals, failed: list[StorageError]
) -> None:
    async with send, aclosing(steps):
        try:
            async for step in steps:
                _count(step, totals)
                await send.send(step)
            totals.complete = True
        except StorageError as exc:
            failed.append(exc)


def _count(step: Step, totals: Totals) -> None:
    if not isinstance(step, Refusal):
        assert isinstance(step, Item)
        totals.objects += 1
        totals.size += step.size or 0
