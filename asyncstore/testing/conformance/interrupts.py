"""
The four ways to cancel an operation, at the moment when it reaches a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import anyio

from asyncstore.testing.conformance.harness import turns
from asyncstore.testing.fault_rules import Hang

#: Cancels *work* once it reaches *stop*, then releases *stop* and waits for *work* to end.
Interrupt = Callable[[Coroutine[Any, Any, Any], Hang], Awaitable[None]]


async def by_task(work: Coroutine[Any, Any, Any], stop: Hang) -> None:
    """
    ``task.cancel()``.
    """
    await _interrupt(work, stop, lambda task: task.cancel())


async def by_task_twice(work: Coroutine[Any, Any, Any], stop: Hang) -> None:
    """
    ``task.cancel()``, and again while the task cleans up.
    """
    task = asyncio.ensure_future(work)
    await _wait_until_reached(task, stop)
    task.cancel()
    await turns()
    task.cancel()
    await _release_and_wait(task, stop)


async def by_scope(work: Coroutine[Any, Any, Any], stop: Hang) -> None:
    """
    A cancel scope of anyio.
    """
    scope = anyio.CancelScope()

    async def scoped() -> None:
        with scope:
            await work

    await _interrupt(scoped(), stop, lambda _: scope.cancel())
    assert scope.cancelled_caught


async def by_timeout(work: Coroutine[Any, Any, Any], stop: Hang) -> None:
    """
    ``asyncio.timeout()``.
    """
    deadline = asyncio.timeout(None)

    async def timed() -> None:
        with suppress(TimeoutError):
            async with deadline:
                await work

    await _interrupt(timed(), stop, lambda _: deadline.reschedule(0))
    assert deadline.expired()


INTERRUPTS: Final[dict[str, Interrupt]] = {
    "task": by_task,
    "task-twice": by_task_twice,
    "scope": by_scope,
    "timeout": by_timeout,
}


async def _interrupt(
    work: Coroutine[Any, Any, Any], stop: Hang, interrupt: Callable[[asyncio.Task[Any]], object]
) -> None:
    task = asyncio.get_running_loop().create_task(work)
    await _wait_until_reached(task, stop)
    interrupt(task)
    await _release_and_wait(task, stop)


async def _wait_until_reached(task: asyncio.Task[Any], stop: Hang) -> None:
    reached = asyncio.ensure_future(stop.reached())
    await asyncio.wait([task, reached], return_when=asyncio.FIRST_COMPLETED)
    if not reached.done():
        reached.cancel()
        await task
    assert reached.done(), "the operation ended without reaching the fault"


async def _release_and_wait(task: asyncio.Task[Any], stop: Hang) -> None:
    # Tasks that the operation left hanging, to clean up after itself, continue now.
    await turns()
    stop.release()
    with suppress(asyncio.CancelledError):
        await task
