"""
Blocking work in threads that are always awaited.
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

from asyncstore._support.crew import Crew

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Enough to keep a disk busy. The threads are shared by all storages.
_WORKERS = 8
_executor: ThreadPoolExecutor | None = None

_busy: Crew | None = None

# One for each file of a caller that is being read; they may wait without using a disk.
_PATIENT = 64
_patient: ThreadPoolExecutor | None = None


async def in_thread(func: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    Call *func* in a thread and return its result.

    A thread cannot be interrupted. When the caller is cancelled, this waits for the
    thread to end before it raises the cancellation, so that no thread uses a file or
    buffer that its owner has released. Keep each call short.
    """
    return await _result(_submit(functools.partial(func, *args, **kwargs)))


async def in_busy_thread(func: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    Like :func:`in_thread`, for CPU-bound work that never waits for the network.

    If it writes to a disk, it says by :func:`wrote` how long that took.
    """
    return await _result(_submit_busily(functools.partial(func, *args, **kwargs)))


async def in_patient_thread(func: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    Like :func:`in_thread`, for calls that may block for long, such as reading a caller's file.

    A cancelled caller still waits for it to end.
    """
    return await _result(_submit_patiently(functools.partial(func, *args, **kwargs)))


class Together:
    """
    Calls in threads, of one event loop: those that begin in one turn of the loop share one thread, one after the other.

    For short calls that do not wait for a disk: to switch to a thread and back takes longer.
    """

    def __init__(self) -> None:
        self._begun: list[_Call] = []

    async def __call__(self, func: Callable[[], Any]) -> Any:
        """
        Like :func:`in_thread`.
        """
        loop = asyncio.get_running_loop()
        call = _Call(func, loop.create_future())
        if not self._begun:
            loop.call_soon(self._start, loop)
        self._begun.append(call)
        try:
            await call.ended
        except asyncio.CancelledError:
            if call in self._begun:
                self._begun.remove(call)
            elif not call.over:
                call.ended = loop.create_future()
                await _until_done(call.ended)
            raise
        if call.error is not None:
            raise call.error
        return call.result

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        calls, self._begun = self._begun, []
        if not calls:
            return
        try:
            _submit(functools.partial(_run_all, calls, loop))
        except RuntimeError as exc:
            # The interpreter is ending.
            for call in calls:
                call.error = exc
            _end_all(calls)


class _Call:
    __slots__ = ("ended", "error", "func", "over", "result")

    def __init__(self, func: Callable[[], Any], ended: asyncio.Future[None]) -> None:
        self.func = func
        self.ended = ended
        self.over = False
        self.result: Any = None
        self.error: BaseException | None = None


def _run_all(calls: list[_Call], loop: asyncio.AbstractEventLoop) -> None:
    for call in calls:
        try:
            call.result = call.func()
        except BaseException as exc:  # noqa: BLE001 - raised where the result is awaited
            call.error = exc
    # RuntimeError: the loop was closed while its tasks were running.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_end_all, calls)


def _end_all(calls: list[_Call]) -> None:
    for call in calls:
        call.over = True
        _set(call.ended)


def wrote(seconds: float) -> None:
    """
    Note how long one write in a busy thread took: others work meanwhile if the disk is slow.
    """
    if _busy is not None:
        _busy.wrote(seconds)


async def _result(work: Future[_T]) -> _T:
    # Not asyncio.wrap_future with a shield: those cost a third of the whole call.
    ended = asyncio.get_running_loop().create_future()
    work.add_done_callback(functools.partial(_notify, ended))
    try:
        await ended
    except asyncio.CancelledError:
        await _until_ended(work)
        raise
    return work.result()


def _notify(ended: asyncio.Future[None], _: Future[Any]) -> None:
    # RuntimeError: the loop was closed while its tasks were running.
    with suppress(RuntimeError):
        ended.get_loop().call_soon_threadsafe(_set, ended)


def _set(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


async def _until_ended(work: Future[Any]) -> None:
    future = asyncio.wrap_future(work)
    await _until_done(future)
    if not future.cancelled():
        # Retrieved here, or the loop reports it as never retrieved.
        future.exception()


async def _until_done(future: asyncio.Future[Any]) -> None:
    # The scope shields from anyio's cancellation, which is raised repeatedly; the loop
    # catches further native ones.
    with anyio.CancelScope(shield=True):
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])


def _submit(work: Callable[[], _T]) -> Future[_T]:
    global _executor  # noqa: PLW0603 - one pool for the process, created when first needed
    if _executor is None:
        _executor = ThreadPoolExecutor(_WORKERS, thread_name_prefix="asyncstore")
    return _executor.submit(work)


def _submit_busily(work: Callable[[], _T]) -> Future[_T]:
    global _busy  # noqa: PLW0603 - as above
    if _busy is None:
        _busy = Crew("asyncstore-bodies")
    return _busy.submit(work)


def _submit_patiently(work: Callable[[], _T]) -> Future[_T]:
    global _patient  # noqa: PLW0603 - as above
    if _patient is None:
        _patient = ThreadPoolExecutor(_PATIENT, thread_name_prefix="asyncstore-pipes")
    return _patient.submit(work)


def _reset() -> None:
    global _executor, _busy, _patient  # noqa: PLW0603
    _executor = _busy = _patient = None


# A forked child inherits the pool without its threads.
os.register_at_fork(after_in_child=_reset)
