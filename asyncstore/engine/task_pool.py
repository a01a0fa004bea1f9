"""
Bounded, structured concurrency.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import anyio

_Item = TypeVar("_Item")


#: Items of one pool that wait for their first request, or prepare it, at the same time.
AHEAD: Final = 4

# Seconds after which a worker that has nothing to do ends.
_LONG_IDLE: Final = 1.0

#: To be called when the first request of the current item has its place in the budget.
has_place: ContextVar[Callable[[], None] | None] = ContextVar("asyncstore_has_place", default=None)


def began() -> None:
    """
    Note that the current item has its place, which was taken before it was drawn.
    """
    if (noted := has_place.get()) is not None:
        noted()


async def for_each(
    items: Iterable[_Item] | AsyncIterable[_Item],
    handle: Callable[[_Item], Awaitable[None]],
    *,
    max_concurrency: int,
    ahead: int | None = None,
) -> None:
    """
    Call *handle* on every item, at most *max_concurrency* at a time.

    Items are drawn one by one as workers become free, so *items* may be a generator
    of any length, which is closed at the end. The first failure cancels the rest and is raised alone, with the
    others as notes.

    Args:
        ahead: At most so many items wait for their first request (see :data:`has_place`): others begin
            when these have their places. So several pools that share a budget get equal shares of it, and many of
            them need few tasks.
    """
    if isinstance(items, AsyncIterable):
        async with iterating(items) as source:
            await _Pool(_locked(source), handle, max_concurrency, ahead).run()
    else:
        with closing_generator(items) as source:
            await _Pool(_unlocked(iter(source)), handle, max_concurrency, ahead).run()


@asynccontextmanager
async def iterating(items: AsyncIterable[_Item]) -> AsyncIterator[AsyncIterator[_Item]]:
    """
    Iterate *items*; if they come from a generator, close it at the end of the block.

    Otherwise the garbage collector closes it later, in a task that is not awaited.
    """
    source = aiter(items)
    try:
        yield source
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


@contextmanager
def closing_generator(items: Iterable[_Item]) -> Iterator[Iterable[_Item]]:
    """
    Close *items* at the end of the block if it is a generator: what it holds is released at once.
    """
    try:
        yield items
    finally:
        if isinstance(items, Generator):
            items.close()


async def each(items: Iterable[_Item] | AsyncIterable[_Item]) -> AsyncGenerator[_Item, None]:
    """
    Yield *items*; a generator of them is closed at the end.
    """
    if isinstance(items, AsyncIterable):
        async with iterating(items) as source:
            async for item in source:
                yield item
    else:
        with closing_generator(items) as found:
            for item in found:
                yield item


class _Pool:
    """
    The workers of one :func:`for_each`.
    """

    def __init__(
        self,
        draw: Callable[[], Awaitable[Any]],
        handle: Callable[[Any], Awaitable[None]],
        max_concurrency: int,
        ahead: int | None,
    ) -> None:
        self._draw = draw
        self._handle = handle
        self._max_concurrency = max_concurrency
        self._paced = ahead is not None
        self._ahead = max_concurrency if ahead is None else ahead
        self._group = anyio.create_task_group()
        self._workers = 0
        # Workers that draw an item, or whose item has not got its place yet.
        self._waiting = 0
        # Workers that have no item until they are needed, and since when: waking one takes far less than a new task.
        self._idle: deque[tuple[asyncio.Future[bool], float]] = deque()
        self._exhausted = False

    async def run(self) -> None:
        """
        Handle all items.
        """
        with single_error():
            async with self._group:
                self._hire()

    def _hire(self) -> None:
        # Start workers only while there is work, and little of it waits.
        # Well below what makes a worker idle: otherwise each item would wake one.
        most = (self._ahead + 1) // 2 if self._paced else self._ahead
        if self._exhausted or self._waiting >= most:
            return
        if self._wake(needed=True):
            self._waiting += 1
        elif self._workers < self._max_concurrency:
            self._workers += 1
            self._waiting += 1
            self._group.start_soon(self._worker)

    async def _worker(self) -> None:
        waiting = True

        def placed() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._waiting -= 1
                self._hire()

        if self._paced:
            has_place.set(placed)
        try:
            while not self._exhausted:
                try:
                    item = await self._draw()
                except StopAsyncIteration:
                    self._exhausted = True
                    while self._wake(needed=False):
                        pass
                    return
                self._hire()
                await self._handle(item)
                if not waiting:
                    if self._waiting < self._ahead:
                        self._waiting += 1
                    elif not await self._needed():
                        return
                    waiting = True
        finally:
            self._workers -= 1
            self._waiting -= waiting

    async def _needed(self) -> bool:
        """
        Wait, as enough others wait for their places, until another worker is needed: return whether it is.

        The caller is counted as waiting then. Nobody is needed at the end, nor who was not for :data:`_LONG_IDLE`.
        """
        if self._exhausted:
            return False
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._idle and now - self._idle[0][1] > _LONG_IDLE:
            longest, _ = self._idle.popleft()
            if not longest.done():
                longest.set_result(False)
        turn: asyncio.Future[bool] = loop.create_future()
        self._idle.append((turn, now))
        return await turn

    def _wake(self, *, needed: bool) -> bool:
        """
        Wake the worker that became idle last; return whether there was one.
        """
        while self._idle:
            turn, _ = self._idle.pop()
            if not turn.done():
                turn.set_result(needed)
                return True
        return False


def _locked(source: AsyncIterator[_Item]) -> Callable[[], Awaitable[_Item]]:
    # Two tasks cannot run one async generator at the same time.
    # Not anyio's: it takes several times as long, for each item.
    drawing = asyncio.Lock()
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


def _unlocked(items: Iterator[_Item]) -> Callable[[], Awaitable[_Item]]:
    # Drawing never awaits, so it needs no lock.
    async def draw() -> _Item:
        for item in items:
            return item
        raise StopAsyncIteration

    return draw


@contextmanager
def single_error() -> Iterator[None]:
    """
    Raise the first error of a task group alone, with the others as notes.

    A task group raises an exception group, but callers await one operation and catch
    one error. A group that the caller's own code raised is not changed.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = group.exceptions
    else:
        return
    # KeyboardInterrupt and its like come first.
    first = next((error for error in errors if not isinstance(error, Exception)), errors[0])
    for other in errors:
        if other is not first:
            first.add_note(f"also failed: {other!r}")
    context = first.__context__
    try:
        raise first
    finally:
        # Without the group as context, since it would repeat the same errors.
        first.__context__ = context
        del first, errors, context
