"""
Bounded, structured concurrency.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
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
        async with iterating(items) as source:
            await _work(_one_at_a_time(source), handle, max_concurrency)
    else:
        await _work(_at_once(iter(items)), handle, max_concurrency)


@asynccontextmanager
async def iterating(items: AsyncIterable[_Item]) -> AsyncIterator[AsyncIterator[_Item]]:
    """
    Iterate *items*; if they come from a generator, close it when the block ends.

    Else it is closed when it is collected, by a task that nobody waits for.
    """
    source = aiter(items)
    try:
        yield source
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _work(
    draw: Callable[[], Awaitable[_Item]], handle: Callable[[_Item], Awaitable[None]], max_concurrency: int
) -> None:
    exhausted = False
    workers = 1

    async def worker() -> None:
        nonlocal exhausted, workers
        while not exhausted:
            try:
                item = await draw()
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


def _one_at_a_time(source: AsyncIterator[_Item]) -> Callable[[], Awaitable[_Item]]:
    # Two tasks cannot be inside one async generator.
    drawing = anyio.Lock(fast_acquire=True)
    exhausted = False

    async def draw() -> _Item:
        nonlocal exhausted
        async with drawing:
            if exhausted:
                raise StopAsyncIteration
            try:
                return await anext(source)
            except StopAsyncIteration:
                exhausted = True
                raise

    return draw


def _at_once(items: Iterator[_Item]) -> Callable[[], Awaitable[_Item]]:
    # Nothing waits between two items, so nobody need be kept out.
    async def draw() -> _Item:
        for item in items:
            return item
        raise StopAsyncIteration

    return draw


@contextmanager
def single_error() -> Iterator[None]:
    """
    Let the first error of a task group out by itself, with the others as notes.

    Errors come out of a group together; callers await one operation and catch one
    error. A group that the caller's own code raised is left as it is.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = group.exceptions
    else:
        return
    # Whoever asked the program to stop goes first.
    first = next((error for error in errors if not isinstance(error, Exception)), errors[0])
    for other in errors:
        if other is not first:
            first.add_note(f"meanwhile: {other!r}")
    context = first.__context__
    try:
        raise first
    finally:
        # Not the group, which says the same once more.
        first.__context__ = context
        del first, errors, context
