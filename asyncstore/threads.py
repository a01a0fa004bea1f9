"""
File work off the event loop, in threads that are waited for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

import anyio

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Enough to keep a disk busy. The threads are shared by all storages.
_WORKERS = 8
_executor: ThreadPoolExecutor | None = None


async def in_thread(func: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    Call *func* in a thread and return its result.

    A thread cannot be interrupted. When the caller is cancelled, this waits for
    the thread to end before it lets the cancellation out, so that no thread uses a
    file or a buffer that its owner has given up. Keep each call short.
    """
    future = asyncio.wrap_future(_submit(lambda: func(*args, **kwargs)))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await _ended(future)
        raise


async def _ended(future: asyncio.Future[Any]) -> None:
    # The scope keeps anyio's cancellation out, which would come again and again;
    # the loop takes further native ones.
    with anyio.CancelScope(shield=True):
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
    if not future.cancelled():
        # Seen here, or the loop reports it as never retrieved.
        future.exception()


def _submit(work: Callable[[], _T]) -> Future[_T]:
    global _executor  # noqa: PLW0603 - one pool for the process, made when first needed
    if _executor is None:
        _executor = ThreadPoolExecutor(_WORKERS, thread_name_prefix="asyncstore")
    return _executor.submit(work)


def _forget() -> None:
    global _executor  # noqa: PLW0603
    _executor = None


# A forked child has the pool but none of its threads.
os.register_at_fork(after_in_child=_forget)
