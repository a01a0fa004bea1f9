"""
Operations that are cancelled at every step of the event loop they go through.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

import anyio

Operation = Callable[[], Awaitable[Any]]

#: More steps than any of the operations here takes.
_STEPS = 3000


class Cancelled:
    """
    One way of cancelling an operation that runs in a task of its own.
    """

    def __init__(self) -> None:
        self.cancelled = False

    async def run(self, operation: Operation) -> None:
        await operation()

    async def strike(self, task: asyncio.Task[None]) -> None:
        raise NotImplementedError


class ByTask(Cancelled):
    async def run(self, operation: Operation) -> None:
        try:
            await operation()
        except asyncio.CancelledError:
            self.cancelled = True

    async def strike(self, task: asyncio.Task[None]) -> None:
        task.cancel()


class AgainAndAgain(ByTask):
    """
    Cancelled in each of the turns that follow, as by an impatient caller.
    """

    async def strike(self, task: asyncio.Task[None]) -> None:
        for _ in range(40):
            task.cancel()
            await asyncio.sleep(0)
            if task.done():
                return


class ByScope(Cancelled):
    async def run(self, operation: Operation) -> None:
        with anyio.CancelScope() as self.scope:
            await operation()
        self.cancelled = self.scope.cancelled_caught

    async def strike(self, task: asyncio.Task[None]) -> None:
        self.scope.cancel()


class ByTimeout(Cancelled):
    async def run(self, operation: Operation) -> None:
        try:
            async with asyncio.timeout(None) as self.timeout:
                await operation()
        except TimeoutError:
            self.cancelled = True

    async def strike(self, task: asyncio.Task[None]) -> None:
        self.timeout.reschedule(asyncio.get_running_loop().time())


WAYS: list[type[Cancelled]] = [ByTask, AgainAndAgain, ByScope, ByTimeout]


async def cancelled_at(step: int, way: Cancelled, operation: Operation) -> bool:
    """
    Cancel *operation* after *step* turns of the loop; whether it had not ended by then.

    Its own errors are no matter here: what it leaves behind is.
    """
    task = asyncio.ensure_future(_run(way, operation))
    for _ in range(step):
        await asyncio.sleep(0)
        if task.done():
            return False
    await way.strike(task)
    with suppress(asyncio.CancelledError):
        await task
    return True


async def _run(way: Cancelled, operation: Operation) -> None:
    # An operation may fail by itself, before the cancellation or because of it.
    with suppress(Exception):
        await way.run(operation)


async def at_every_step(
    way: type[Cancelled], make: Callable[[], Operation], check: Callable[[], None], every: int = 1
) -> int:
    """
    Run what *make* returns over and over, cancelled one step later each time.

    *check* looks at what is left after each. Returns in how many steps it ended.
    """
    for step in range(1, _STEPS, every):
        try:
            alive = await cancelled_at(step, way(), make())
            await _settled()
            check()
            assert [asyncio.current_task()] == [*asyncio.all_tasks()]
        except BaseException as exc:
            exc.add_note(f"cancelled at step {step}")
            raise
        if not alive:
            return step
    raise AssertionError(f"no end within {_STEPS} steps")


async def _settled() -> None:
    # A connection of the loop's own housekeeping, no more: nothing of the operation is left to run.
    await asyncio.sleep(0)


def inline(work: Callable[[], Any]) -> "Future[Any]":
    """
    Do the work of a thread at once, and let its result be seen two turns later.

    So the steps of an operation are the same each time, and a cancellation finds
    the thread at work.
    """
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    try:
        tell = partial(future.set_result, work())
    except BaseException as exc:
        tell = partial(future.set_exception, exc)
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, tell)
    return future
