"""
The event loop that runs every blocking call, in one thread for each process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from asyncstore.storage import Storage

_T = TypeVar("_T")

# Seconds that closing may take at the end of the process, as that of a storage may.
_CLOSING: Final = 10.0

#: Seconds that a thread waits before it looks for signals again. CPython can miss one that arrives just when a wait
#: begins, and without a limit it would be seen at the end of the wait only.
SIGNALS: Final = 1.0


class Background:
    """
    A thread with an event loop.

    Attributes:
        open: The storages that are closed when the process ends.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.open: WeakSet[Storage] = WeakSet()
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncstore.sync", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """
        Raise an error where a blocking call would never end.

        Raises:
            RuntimeError: This is a child of the process that started the loop, or the thread of the loop.
        """
        if os.getpid() != self.pid:
            raise RuntimeError(
                "this was opened before fork(), and its connections belong to the parent process: "
                "open the storage in the child, or start it with spawn and pickle the storage"
            )
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "a blocking call in the event loop of asyncstore.sync would wait for itself: progress callbacks and "
                "functions given to update() must not call the storage"
            )

    def run(self, start: Callable[[], Awaitable[_T]]) -> _T:
        """
        Run what *start* returns in the loop, in the context of the caller, and wait for it.

        An exception in the waiting thread, such as ``KeyboardInterrupt``, cancels it and waits for its clean-up; a
        second one ends the waiting.
        """
        self.check()
        call = Call(start)
        try:
            self.start(call)
            call.wait()
            return call.done.result()
        except BaseException:
            if not call.done.done():
                self.end(call)
            raise

    def start(self, call: Call[Any]) -> None:
        """
        Start *call* in the loop, in the context of the caller, without waiting for it.
        """
        self._loop.call_soon_threadsafe(call.begin, self._loop, self._tasks, context=copy_context())

    def end(self, call: Call[Any]) -> None:
        """
        Cancel *call* and wait for its clean-up, whatever the outcome is.
        """
        self.soon(call.cancel)
        call.wait()

    def soon(self, function: Callable[..., Any], *args: Any) -> None:
        """
        Call *function* in the loop.
        """
        self._loop.call_soon_threadsafe(function, *args)

    def close(self) -> None:
        """
        Close what is open, cancel what runs, and end the thread: at the end of the process.
        """
        if os.getpid() != self.pid or not self._thread.is_alive():
            return
        call = Call(self._close)
        self.start(call)
        with suppress(TimeoutError):
            call.done.exception(timeout=_CLOSING)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=_CLOSING)

    async def _close(self) -> None:
        # Operations first, whose clean-up needs the connections; then what is open; then what is left.
        own = asyncio.current_task()
        await _ended([task for task in self._tasks if task is not own])
        for storage in list(self.open):
            # Nobody is left who could be told.
            with suppress(Exception):
                await storage.aclose()
        await _ended([task for task in asyncio.all_tasks() if task is not own])


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


class Call(Generic[_T]):
    """
    A task in the loop that another thread waits for.

    Attributes:
        done: Its outcome, when the task has ended.
    """

    def __init__(self, start: Callable[[], Awaitable[_T]]) -> None:
        self.done: Future[_T] = Future()
        self._start = start
        self._task: asyncio.Task[_T] | None = None

    def begin(self, loop: asyncio.AbstractEventLoop, tasks: WeakSet[asyncio.Task[Any]]) -> None:
        """
        Start the task, and add it to *tasks*; called in the loop.
        """
        self._task = loop.create_task(self._run())
        tasks.add(self._task)
        self._task.add_done_callback(self._ended)

    def wait(self) -> None:
        """
        Wait until the task has ended; a signal ends the wait.
        """
        ended = False
        while not ended:
            with suppress(TimeoutError):
                self.done.exception(SIGNALS)
                ended = True

    def cancel(self) -> None:
        """
        Cancel the task; called in the loop.
        """
        if self._task is not None:
            self._task.cancel()
        elif not self.done.done():
            # It was interrupted before it was started.
            self.done.set_exception(RuntimeError("cancelled"))

    async def _run(self) -> _T:
        try:
            return await self._start()
        except (KeyboardInterrupt, SystemExit) as exc:
            # Raised by a function of the caller, whom it is for: here it would end the loop.
            self.done.set_exception(exc)
            raise asyncio.CancelledError from None

    def _ended(self, task: asyncio.Task[_T]) -> None:
        if self.done.done():
            return
        if task.cancelled():
            self.done.set_exception(RuntimeError("cancelled: the process ends, or the iterator was closed"))
        elif (error := task.exception()) is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(task.result())


class _Process:
    """What this process has."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.lock = threading.Lock()
        self.background: Background | None = None

    def close(self) -> None:
        if self.background is not None:
            self.background.close()


_process: Final = _Process()


def background() -> Background:
    """
    Return the loop of this process; the first call starts its thread.
    """
    with _process.lock:
        if _process.background is None:
            _process.background = Background()
        return _process.background


# The thread is not in a child, and another one of the parent may have held the lock.
os.register_at_fork(after_in_child=_process.start)
# Before threads are joined, since closing may need one; atexit comes after that. Python's own thread pools do the same.
getattr(threading, "_register_atexit", atexit.register)(_process.close)
