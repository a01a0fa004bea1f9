"""Keeps a number of requests in flight, in the same way for every contender."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def for_each(items: Iterable[Item], handle: Callable[[Item], Awaitable[object]], *, in_flight: int) -> None:
    """Call *handle* on every item, at most *in_flight* at a time."""
    remaining = iter(items)

    async def worker() -> None:
        for item in remaining:
            await handle(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(in_flight):
            tasks.create_task(worker())
