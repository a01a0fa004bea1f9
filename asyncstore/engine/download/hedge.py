"""
Hedged requests: a second one for a range whose reply is late; the first to answer is read.

After "The Tail at Scale" (J. Dean, L. A. Barroso, https://doi.org/10.1145/2408776.2408794).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asyncstore._support.cleanup import clean_up
from asyncstore.driver.body import ReadBody
from asyncstore.engine.requests import Requests
from asyncstore.options import ReadOptions
from asyncstore.uri import ObjectURI

#: Opens a read, as :meth:`Driver.open_read`.
OpenRead = Callable[[ObjectURI, ReadOptions], Awaitable[ReadBody]]


def opener(requests: Requests, options: ReadOptions) -> OpenRead:
    """
    Return what opens one read with *options*, for all its attempts: the driver's method, hedged if they say so.
    """
    if options.hedge_after is None or options.range is None:
        return requests.driver.open_read
    return _Hedged(requests, options.hedge_after)


class _Hedged:
    """
    Opens one range: by one request, and by a second one if the reply takes longer than *after* seconds.

    Both are for the same range of the same version. The second one is sent once for all attempts, if a place among the
    requests is free that no other request waits for, and if the storage has not sent too many of them.
    """

    def __init__(self, requests: Requests, after: float) -> None:
        self._requests = requests
        self._after = after
        self._hedges = requests.hedges
        self._hedges.ranges += 1
        self._sent = False

    async def __call__(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        send = self._requests.driver.open_read
        if self._sent:
            return await send(uri, options)
        loop = asyncio.get_running_loop()
        first: asyncio.Task[ReadBody | None] = loop.create_task(_awaited(send(uri, options)))
        tasks: list[asyncio.Task[ReadBody | None]] = [first]
        winner: asyncio.Task[ReadBody | None] | None = None
        try:
            await asyncio.wait(tasks, timeout=self._after)
            if not first.done():
                tasks.append(loop.create_task(self._second(uri, options)))
            winner = await _answered(tasks, self._retryable)
            body = winner.result()
            assert body is not None
            self._hedges.won += winner is not first
            return body
        finally:
            losers = [task for task in tasks if task is not winner]
            if losers:
                await clean_up(_release(losers))

    async def _second(self, uri: ObjectURI, options: ReadOptions) -> ReadBody | None:
        if not self._hedges.allowed() or (place := self._requests.free_place()) is None:
            return None
        self._sent = True
        self._hedges.sent += 1
        return await self._requests.send_beside(place, self._requests.driver.open_read, uri, options)

    def _retryable(self, error: BaseException) -> bool:
        known = self._requests.classify(error) if isinstance(error, Exception) else None
        return known is not None and known.retryable


async def _awaited(reply: Awaitable[ReadBody]) -> ReadBody:
    return await reply


async def _answered(
    tasks: list[asyncio.Task[ReadBody | None]], retryable: Callable[[BaseException], bool]
) -> asyncio.Task[ReadBody | None]:
    """
    Return the first of *tasks* that has a reply; the very first one if none has, or if it has failed for good.
    """
    first, *others = tasks
    while True:
        if first.done() and (_has_reply(first) or not _is_transient(first, retryable)):
            return first
        for other in others:
            if other.done() and _has_reply(other):
                return other
        waiting = [task for task in tasks if not task.done()]
        if not waiting:
            return first
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


def _is_transient(task: asyncio.Task[ReadBody | None], retryable: Callable[[BaseException], bool]) -> bool:
    return not task.cancelled() and (error := task.exception()) is not None and retryable(error)


def _has_reply(task: asyncio.Task[ReadBody | None]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result() is not None


async def _release(tasks: list[asyncio.Task[ReadBody | None]]) -> None:
    """
    End *tasks*, whose replies nobody reads, and release their connections.
    """
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if _has_reply(task) and (body := task.result()) is not None:
            await body.aclose()
