"""
Storages for interfaces that are made without an event loop, used in any, and never closed by their users.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from functools import partial
from typing import Final

from anyio import create_task_group

from asyncstore._support.cleanup import CLEANUP_TIMEOUT
from asyncstore.storage import Storage

_ALL: Final[weakref.WeakSet[OpenStorages]] = weakref.WeakSet()

# Storages of the process that this one was forked from. Closing one here would remove the sockets from the parent's
# event loop, which shares its epoll instance with this process, and end its TLS sessions; so would collecting it.
_INHERITED: Final[list[_InLoop]] = []

_CLOSING: Final[set[asyncio.Task[None]]] = set()


class OpenStorages:
    """
    Storages by root, opened on first use, separately in each event loop.

    They are closed with their loop if that is shut down as :func:`asyncio.run` does it, when this object is collected,
    or at the end of the process. A forked process opens its own.

    Args:
        open_root: Opens the storage of a root; must not wait.
    """

    def __init__(self, open_root: Callable[[str], Storage]) -> None:
        self._open_root = open_root
        self._in_loops: dict[asyncio.AbstractEventLoop, _InLoop] = {}
        _ALL.add(self)
        # Refers to the storages until they are closed: collected together with this, connections would say that nobody
        # closed them.
        weakref.finalize(self, _close_soon, self._in_loops).atexit = False

    def get(self, root: str) -> Storage:
        """
        Return the storage of *root* in the running event loop.
        """
        loop = asyncio.get_running_loop()
        here = self._in_loops.get(loop)
        if here is None:
            here = self._in_loops[loop] = _InLoop(loop, self._in_loops)
        storage = here.storages.get(root)
        if storage is None:
            storage = here.storages[root] = self._open_root(root)
        return storage

    async def aclose(self) -> None:
        """
        Close the storages of the running event loop; later uses open others.
        """
        here = self._in_loops.pop(asyncio.get_running_loop(), None)
        if here is not None:
            await here.life.aclose()

    def drop(self) -> None:
        """
        Let every event loop close its storages, without waiting for it.
        """
        _close_soon(self._in_loops)

    def inherit(self) -> None:
        """
        Put the storages of the parent process aside.
        """
        _INHERITED.extend(self._in_loops.values())
        self._in_loops.clear()


class _InLoop:
    """
    The storages of one event loop.

    Attributes:
        life: Closes them when it is closed. The event loop closes the asynchronous generators that began in it when it
            is shut down.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, siblings: dict[asyncio.AbstractEventLoop, _InLoop]) -> None:
        self.storages: dict[str, Storage] = {}
        self.loop = loop
        self._siblings = siblings
        self._close_at_exit = partial(_close_at_exit, weakref.ref(self), os.getpid())
        self.life = self._closing()
        with suppress(StopIteration):
            # Runs to the yield, which takes no waiting.
            self.life.__anext__().send(None)
        # For each loop, not once: handlers run last in, first out, so before one that stops the loop.
        atexit.register(self._close_at_exit)

    async def _closing(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            atexit.unregister(self._close_at_exit)
            if self._siblings.get(self.loop) is self:
                # The loop has been shut down: it is used no more, or others are opened.
                del self._siblings[self.loop]
            async with create_task_group() as group:
                for storage in self.storages.values():
                    group.start_soon(storage.aclose)


def _close_soon(in_loops: dict[asyncio.AbstractEventLoop, _InLoop]) -> None:
    for loop, here in list(in_loops.items()):
        in_loops.pop(loop, None)
        if not loop.is_closed():
            loop.call_soon_threadsafe(_begin_to_close, here)


def _begin_to_close(here: _InLoop) -> None:
    async def close() -> None:
        await here.life.aclose()

    task = here.loop.create_task(close())
    # Until it is done: the loop itself keeps only a weak reference.
    _CLOSING.add(task)
    task.add_done_callback(_CLOSING.discard)


def _close_at_exit(here: weakref.ref[_InLoop], pid: int) -> None:
    in_loop = here()
    if in_loop is None or pid != os.getpid() or in_loop.loop.is_closed():
        return
    if in_loop.loop.is_running():
        closed = asyncio.run_coroutine_threadsafe(in_loop.life.aclose(), in_loop.loop)
        with suppress(FutureTimeoutError):
            closed.result(CLEANUP_TIMEOUT)
    else:
        in_loop.loop.run_until_complete(in_loop.life.aclose())


def _after_fork() -> None:
    for storages in tuple(_ALL):
        storages.inherit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
