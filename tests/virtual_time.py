"""
An event loop whose clock jumps to the next timer when nothing else is left to do.

What takes minutes takes milliseconds, and always the same number of steps.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class _Selector(selectors.SelectSelector):
    """
    Does not wait, but counts the seconds that it would have waited.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left to do, and no timer is set")
        ready = super().select(0)
        if not ready:
            self.waited += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        return self._waits.waited


def in_virtual_time(run: Coroutine[Any, Any, _T]) -> _T:
    """
    Return what *run* returns, in a loop of its own whose clock starts at 0; it must not use threads or sockets.
    """
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(run)
