"""
Blocking calls off the event loop, without losing sight of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

_T = TypeVar("_T")


async def in_thread(function: Callable[..., _T], *args: object) -> _T:
    """
    Call *function* in a thread, and return only when it has ended.

    A thread cannot be stopped. Cancelled by a scope or natively, this still
    waits for it, so that nothing goes on behind the back of whoever cleans up;
    keep *function* short. It may be called while being cancelled.
    """
    running = asyncio.ensure_future(to_thread.run_sync(function, *args))
    interrupted: asyncio.CancelledError | None = None
    # The scope stops anyio's cancellation, which would come again at each turn
    # of the loop; wait() keeps a native one from the thread's task.
    with anyio.CancelScope(shield=True):
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as exc:
                interrupted = exc
    if interrupted is None:
        return running.result()
    if not running.cancelled():
        running.exception()  # seen, so that it is not reported as forgotten
    raise interrupted
