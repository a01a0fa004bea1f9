"""
Work that is carried out to its end, however often its task is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

import anyio

#: Seconds that cleaning up may take before it is left to the provider's own rules.
CLEANUP_TIMEOUT = 10.0

# Seconds that work may take to end after it was given up.
_GRACE = 1.0

_LOG: Final = logging.getLogger("asyncstore")


async def clean_up(work: Coroutine[Any, Any, None], error: BaseException | None = None) -> None:
    """
    Run *work* to its end, or for :data:`CLEANUP_TIMEOUT` seconds.

    If it fails, or has not ended by then, *error* gets a note: the first error is
    the one to be raised. A cancellation that comes meanwhile is raised afterwards.
    """
    # In a task of its own: an anyio scope holds off anyio's cancellation only, and
    # a second task.cancel() would cut the work short.
    task = asyncio.get_running_loop().create_task(work)
    interrupted = await ended(task, CLEANUP_TIMEOUT)
    problem = _problem(task)
    if problem:
        # Logged as well: a cancellation ends in the task group, and nobody sees its notes.
        _LOG.warning("could not clean up: %s", problem)
        if error is not None:
            error.add_note(f"could not clean up: {problem}")
    if interrupted is not None:
        raise interrupted


async def ended(task: asyncio.Future[Any], seconds: float) -> asyncio.CancelledError | None:
    """
    Wait until *task* has ended; one that takes longer than *seconds* is cancelled.

    Returns the cancellation that came meanwhile, for the caller to raise.
    """
    interrupted = await _wait(task, seconds)
    if not task.done():
        task.cancel()
        interrupted = await _wait(task, _GRACE) or interrupted
    return interrupted


async def _wait(task: asyncio.Future[Any], seconds: float) -> asyncio.CancelledError | None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    interrupted = None
    with anyio.CancelScope(shield=True):
        while not task.done() and (left := deadline - loop.time()) > 0:
            try:
                await asyncio.wait([task], timeout=left)
            except asyncio.CancelledError as exc:
                interrupted = exc
    return interrupted


def _problem(task: asyncio.Task[None]) -> str | None:
    if not task.done() or task.cancelled():
        return f"no end within {CLEANUP_TIMEOUT} seconds"
    failure = task.exception()
    return repr(failure) if failure is not None else None
