"""
Cleanup that completes even if its task is cancelled repeatedly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

import anyio

#: Seconds after which cleanup is abandoned; the provider's lifecycle rules do the rest.
CLEANUP_TIMEOUT = 10.0

# Seconds for a task to end after it was cancelled.
_GRACE = 1.0

_LOG: Final = logging.getLogger("asyncstore")


async def clean_up(work: Coroutine[Any, Any, None], error: BaseException | None = None) -> None:
    """
    Run *work* to its end, for at most :data:`CLEANUP_TIMEOUT` seconds.

    If it fails or takes longer, *error* gets a note: the original error is the one to
    raise. A cancellation that arrives during the wait is raised afterwards.
    """
    # In its own task: an anyio scope only shields from anyio's cancellation, so a
    # second task.cancel() would interrupt the work.
    task = asyncio.get_running_loop().create_task(work)
    interrupted = await ended(task, CLEANUP_TIMEOUT)
    problem = _problem(task)
    if problem:
        # Logged as well: a task group swallows a cancellation together with its notes.
        _LOG.warning("cleanup failed: %s", problem)
        if error is not None:
            error.add_note(f"cleanup failed: {problem}")
    if interrupted is not None:
        raise interrupted


async def ended(task: asyncio.Future[Any], seconds: float) -> asyncio.CancelledError | None:
    """
    Wait until *task* has ended; cancel it after *seconds*.

    Returns a cancellation that arrived during the wait, for the caller to raise.
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
        return f"it took longer than {CLEANUP_TIMEOUT} seconds"
    failure = task.exception()
    return repr(failure) if failure is not None else None
