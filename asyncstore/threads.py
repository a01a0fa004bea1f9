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

# Enough for as many of the callers' own pipes, none of which holds up a disk.
_PATIENT = 64
_patient: ThreadPoolExecutor | None = None


async def in_thread(func: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    Call *func* in a thread and return its result.

    A thread cannot be interrupted. When the caller is cancelled, this waits for
    the thread to end before it lets the cancellation out, so that no thread uses a
    file or a buffer that its owner has given up. Keep each call short.
    """
    return await _result(_submit(lambda: func(*args, **kwargs)))


async def in_patient_thread(func: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    As :func:`in_thread`, for what may wait for long: reading a caller's own pipe.

    A cancelled caller waits for it all the same.
    """
    return await _result(_submit_patiently(lambda: func(*args, **kwargs)))


async def _result(work: Future[_T]) -> _T:
    future = asyncio.wrap_future(work)
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


def _submit_patiently(work: Callable[[], _T]) -> Future[_T]:
    global _patient  # noqa: PLW0603 - as above
    if _patient is None:
        _patient = ThreadPoolExecutor(_PATIENT, thread_name_prefix="asyncstore-pipes")
    return _patient.submit(work)


def _forget() -> None:
    global _executor, _patient  # noqa: PLW0603
    _executor = _patient = None


# A forked child has the pool but none of its threads.
os.register_at_fork(after_in_child=_forget)
