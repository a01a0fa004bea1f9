"""
Local files that are open for as long as a transfer takes: these wait while file descriptors are short.

Such files leave some descriptors free, for the connections and the short-lived files
without which no transfer could end and release its own.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from asyncstore._support.threads import in_thread

_T = TypeVar("_T")

#: Seconds to wait for a descriptor before the error is raised.
PATIENCE: Final = 30.0

_SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE})
_LEAST: Final = 16
_MOST: Final = 128
_held: set[int] = set()


async def opening(open_file: Callable[[], _T], call: Callable[[Callable[[], _T]], Awaitable[_T]] = in_thread) -> _T:
    """
    Return the result of *open_file*, called in a thread by *call*; call it again while descriptors are short.

    Raises:
        OSError: As *open_file*; also if no descriptor became free for :data:`PATIENCE` seconds.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + PATIENCE
    pause = 0.01
    while True:
        try:
            return await call(open_file)
        except OSError as exc:
            if exc.errno not in _SHORT or clock() > deadline:
                raise
        await anyio.sleep(pause)
        pause = min(0.5, 2 * pause)


def hold(descriptor: int) -> None:
    """
    Count a file as open for long, until :func:`release`.

    Raises:
        OSError: Too few descriptors are free, and other files that are open for long will
            be closed: close *descriptor* and try again.
    """
    if _held and descriptor >= _limit():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    _held.add(descriptor)


def release(descriptor: int) -> None:
    """
    Close a file that was counted.
    """
    _held.discard(descriptor)
    os.close(descriptor)


def _limit() -> int:
    # The kernel always gives the lowest free number.
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2**31
    return soft - max(_LEAST, min(_MOST, soft // 4))


def _reset() -> None:
    _held.clear()


os.register_at_fork(after_in_child=_reset)
