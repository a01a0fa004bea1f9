"""
Measures how long the callbacks of an event loop block it.
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
    The longest callback of a loop, in processor time of its thread.

    Other processes make a callback take longer on a busy machine, but do not use its processor time.

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
    Time every callback of *loop* while the block runs.
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
    Run *work* in a new loop in this thread, and return the measurements.
    """
    with asyncio.Runner() as runner, watching(runner.get_loop()) as watch:
        runner.run(work())
        return watch
