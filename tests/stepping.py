"""
Cancels an operation at every step of the event loop.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

import anyio

Operation = Callable[[], Awaitable[Any]]

#: More steps than any operation under test takes.
_STEPS = 3000


class Cancelled(ABC):
    """
    One way to cancel an operation that runs in its own task.
    """

    def __init__(self) -> None:
        self.cancelled = False

    async def run(self, operation: Operation) -> None:
        await operation()

    @abstractmethod
    async def cancel(self, task: asyncio.Task[None]) -> None:
        """
        Cancel *task*, which runs the operation.
        """


class ByTask(Cancelled):
    async def run(self, operation: Operation) -> None:
        try:
            await operation()
        except asyncio.CancelledError:
            self.cancelled = True

    async def cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel()


class ByTaskRepeatedly(ByTask):
    """
    ``task.cancel()`` in each of the next 40 iterations of the loop.
    """

    async def cancel(self, task: asyncio.Task[None]) -> None:
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

    async def cancel(self, task: asyncio.Task[None]) -> None:
        self.scope.cancel()


class ByTimeout(Cancelled):
    async def run(self, operation: Operation) -> None:
        try:
            async with asyncio.timeout(None) as self.timeout:
                await operation()
        except TimeoutError:
            self.cancelled = True

    async def cancel(self, task: asyncio.Task[None]) -> None:
        self.timeout.reschedule(asyncio.get_running_loop().time())


WAYS: list[type[Cancelled]] = [ByTask, ByTaskRepeatedly, ByScope, ByTimeout]


async def cancelled_at(step: int, way: Cancelled, operation: Operation) -> bool:
    """
    Cancel *operation* after *step* iterations of the loop; return ``False`` if it had ended before.

    Errors of the operation are ignored: the tests check what it leaves behind.
    """
    task = asyncio.ensure_future(_run(way, operation))
    for _ in range(step):
        await asyncio.sleep(0)
        if task.done():
            return False
    await way.cancel(task)
    with suppress(asyncio.CancelledError):
        await task
    return True


async def _run(way: Cancelled, operation: Operation) -> None:
    # The operation can fail before the cancellation, or because of it.
    with suppress(Exception):
        await way.run(operation)


async def at_every_step(
    way: type[Cancelled], make: Callable[[], Operation], check: Callable[[], None], every: int = 1
) -> int:
    """
    Run what *make* returns again and again, cancelled one step later each time.

    *check* runs after each. Returns the number of steps after which it ended by itself.
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
    raise AssertionError(f"the operation did not end within {_STEPS} steps")


async def _settled() -> None:
    # One iteration for the loop's own callbacks; the operation itself has nothing left to run.
    await asyncio.sleep(0)


def inline(work: Callable[[], Any]) -> "Future[Any]":
    """
    Do the work of a thread at once, and deliver its result two iterations later.

    This makes the steps of an operation the same in every run, and lets a cancellation
    arrive while the thread seems to work.
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
