"""
A worker thread with an event loop of its own, for an SDK that blocks the loop it runs on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import anyio.to_thread

R = TypeVar("R")


class Abandonment:
    """
    What to stop when nobody waits for a thread any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: list[Callable[[], object]] | None = []

    def stops(self, stop: Callable[[], object]) -> None:
        """
        Call *stop* on abandonment: later, or now if that is past.
        """
        with self._lock:
            if self._stops is not None:
                self._stops.append(stop)
                return
        stop()

    def abandon(self) -> None:
        with self._lock:
            stops, self._stops = self._stops or [], None
        for stop in stops:
            stop()


async def on_own_loop(start: Callable[[], Coroutine[Any, Any, R]], abandonment: Abandonment) -> R:
    """
    Return what *start* gives on a loop in a thread.

    When the caller is cancelled it is cancelled too, and nobody waits for that: a
    thread that reads a file or looks up a name cannot be interrupted. The processes
    that were started on the loop end with it.
    """

    def run() -> R:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            return runner.run(_stoppable(start, abandonment))

    try:
        return await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
    except asyncio.CancelledError:
        abandonment.abandon()
        raise


async def _stoppable(start: Callable[[], Coroutine[Any, Any, R]], abandonment: Abandonment) -> R:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop() -> None:
        # RuntimeError: it has ended already, and its loop with it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)

    abandonment.stops(stop)
    return await start()


class _Loop(asyncio.SelectorEventLoop):
    """
    An event loop that ends the processes that were started on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started: list[asyncio.SubprocessTransport] = []

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        transport, protocol = await super().subprocess_exec(*args, **options)
        self._started.append(transport)
        return transport, protocol

    def close(self) -> None:
        running = [transport for transport in self._started if transport.get_returncode() is None]
        if running:
            self.run_until_complete(_end(running))
        super().close()


async def _end(running: list[asyncio.SubprocessTransport]) -> None:
    for transport in running:
        transport.close()
    with anyio.move_on_after(5):
        while any(item.get_returncode() is None for item in running):  # noqa: ASYNC110 - transports have no event for it
            await asyncio.sleep(0.01)
