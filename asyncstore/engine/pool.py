"""
Bounded, structured concurrency.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar

import anyio

_Item = TypeVar("_Item")


async def for_each(
    items: Iterable[_Item] | AsyncIterable[_Item],
    handle: Callable[[_Item], Awaitable[None]],
    *,
    max_concurrency: int,
) -> None:
    """
    Call *handle* on every item, at most *max_concurrency* at a time.

    Items are drawn one by one as workers come free, so *items* may be a generator
    of any length. The first failure cancels the rest and is raised by itself, with
    the others as notes.
    """
    if isinstance(items, AsyncIterable):
        async with aclosing(_drawn(items)) as source:
            await _work(source, handle, max_concurrency)
    else:
        await _work(_Shared(iter(items)), handle, max_concurrency)


async def _work(source: AsyncIterator[_Item], handle: Callable[[_Item], Awaitable[None]], max_concurrency: int) -> None:
    drawing = anyio.Lock()
    exhausted = False
    workers = 1

    async def worker() -> None:
        nonlocal exhausted, workers
        while True:
            # One at a time: two tasks cannot be inside one async generator.
            async with drawing:
                if exhausted:
                    return
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    exhausted = True
                    return
                if workers < max_concurrency:
                    # Workers are started as there is work, not all at once.
                    workers += 1
                    group.start_soon(worker)
            await handle(item)

    with single_error():
        async with anyio.create_task_group() as group:
            group.start_soon(worker)


class _Shared(AsyncIterator[_Item]):
    def __init__(self, items: Iterator[_Item]) -> None:
        self._items = items

    async def __anext__(self) -> _Item:
        for item in self._items:
            return item
        raise StopAsyncIteration


async def _drawn(items: AsyncIterable[_Item]) -> AsyncGenerator[_Item, None]:
    async for item in items:
        yield item


@contextmanager
def single_error() -> Iterator[None]:
    """
    Let the first error of a task group out by itself, with the others as notes.

    Errors come out of a group together; callers await one operation and catch one
    error.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        first, *others = _leaves(group)
        for other in others:
            first.add_note(f"meanwhile: {other!r}")
        raise first from first.__cause__


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
