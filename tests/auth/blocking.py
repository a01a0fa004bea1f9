"""
How long the callbacks of an event loop keep it from all others.
"""

from __future__ import annotations

import asyncio
import gc
import time
from asyncio.events import Handle
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any


class Watch:
    """
    The longest callback of a loop, by the processor's time of its thread.

    Other processes on a busy machine make a callback last longer, and cost it no processor time.

    Attributes:
        longest: Seconds.
        culprit: The callback that took them.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.culprit = ""


@contextmanager
def watching(loop: asyncio.AbstractEventLoop) -> Iterator[Watch]:
    """
    Time every callback of *loop* while the block lasts.
    """
    watch, run = Watch(), Handle._run

    def timed(handle: Handle) -> None:
        if handle._loop is not loop:  # type: ignore[attr-defined]
            run(handle)
            return
        started = time.thread_time()
        run(handle)
        taken = time.thread_time() - started
        if taken > watch.longest:
            watch.longest, watch.culprit = taken, repr(handle)

    Handle._run = timed  # type: ignore[assignment,method-assign]
    # A collection falls on whoever happens to allocate next.
    gc.collect()
    gc.disable()
    try:
        yield watch
    finally:
        gc.enable()
        Handle._run = run  # type: ignore[method-assign]


def longest_callback(work: Callable[[], Coroutine[Any, Any, object]]) -> Watch:
    """
    Run *work* in a loop of its own, in this thread, and return what was watched.
    """
    with asyncio.Runner() as runner, watching(runner.get_loop()) as watch:
        runner.run(work())
        return watch
