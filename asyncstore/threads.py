"""
File work off the event loop, in threads that are waited for.
"""

from __future__ import annotations

import asyncio
import functools
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

# More get in each other's way: between two calls of the system each needs the
# interpreter's lock, and sleeps for it if another has it.
_BUSY = 2
_busy: ThreadPoolExecutor | None = None

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
    return await _result(_submit(functools.partial(func, *args, **kwargs)))


async def in_busy_thread(func: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    As :func:`in_thread`, for what keeps a processor busy and never waits for the network.
    """
    return await _result(_submit_busily(functools.partial(func, *args, **kwargs)))


async def in_patient_thread(func: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    As :func:`in_thread`, for what may wait for long: reading a caller's own pipe.

    A cancelled caller waits for it all the same.
    """
    return await _result(_submit_patiently(functools.partial(func, *args, **kwargs)))


async def _result(work: Future[_T]) -> _T:
    # By hand: asyncio's own bridge and a shield around it cost a third of a hop.
    ended = asyncio.get_running_loop().create_future()
    work.add_done_callback(functools.partial(_tell, ended))
    try:
        await ended
    except asyncio.CancelledError:
        await _until_ended(work)
        raise
    return work.result()


def _tell(ended: asyncio.Future[None], _: Future[Any]) -> None:
    # RuntimeError: the loop was closed under its tasks, and nobody waits any more.
    with suppress(RuntimeError):
        ended.get_loop().call_soon_threadsafe(_set, ended)


def _set(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


async def _until_ended(work: Future[Any]) -> None:
    future = asyncio.wrap_future(work)
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


def _submit_busily(work: Callable[[], _T]) -> Future[_T]:
    global _busy  # noqa: PLW0603 - as above
    if _busy is None:
        _busy = ThreadPoolExecutor(_BUSY, thread_name_prefix="asyncstore-bodies")
    return _busy.submit(work)


def _submit_patiently(work: Callable[[], _T]) -> Future[_T]:
    global _patient  # noqa: PLW0603 - as above
    if _patient is None:
        _patient = ThreadPoolExecutor(_PATIENT, thread_name_prefix="asyncstore-pipes")
    return _patient.submit(work)


def _forget() -> None:
    global _executor, _busy, _patient  # noqa: PLW0603
    _executor = _busy = _patient = None


# A forked child has the pool but none of its threads.
os.register_at_fork(after_in_child=_forget)
