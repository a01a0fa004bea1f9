"""
Threads for work that needs the processor: few of them, and more while they wait for a slow disk.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

# More would slow each other down: between two system calls each waits for the global
# interpreter lock.
_FEW: Final = 2

# As many as requests in flight by default.
_MOST: Final = 64

# Seconds for one write, of up to 1 MiB: far more than a copy into the page cache, and than the wait
# for the interpreter lock.
_SLOW: Final = 0.01


class Crew:
    """
    A pool of two threads, to which others are added while writes are slow.

    The two have a pool of their own, so that as long as writes are quick no third thread ever
    runs: each keeps a buffer that should stay in the processor's cache.

    Attributes:
        allowed: How many threads may work now.
    """

    def __init__(self, name: str) -> None:
        self.allowed = _FEW
        self._few = ThreadPoolExecutor(_FEW, thread_name_prefix=name)
        self._more = ThreadPoolExecutor(_MOST - _FEW, thread_name_prefix=f"{name}-slow")
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._lock = threading.Lock()
        self._working = {self._few: 0, self._more: 0}

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        """
        Call *work* in a thread as soon as one may; its calls begin in their order.
        """
        ended: Future[_T] = Future()
        with self._lock:
            self._waiting.append((work, ended))
            self._start(1)
        return ended

    def wrote(self, seconds: float) -> None:
        """
        Note how long one write took.
        """
        if seconds >= _SLOW:
            with self._lock:
                self.allowed = min(_MOST, 2 * self.allowed)
                # RuntimeError: the interpreter is ending; the threads that work already do the rest.
                with suppress(RuntimeError):
                    self._start(len(self._waiting))
        elif self.allowed > _FEW:
            with self._lock:
                self.allowed = max(_FEW, self.allowed - 1)

    def _start(self, count: int) -> None:
        for _ in range(count):
            if self._working[self._few] < _FEW:
                pool = self._few
            elif self._working[self._more] < self.allowed - _FEW:
                pool = self._more
            else:
                return
            pool.submit(self._work, pool)
            self._working[pool] += 1

    def _work(self, pool: ThreadPoolExecutor) -> None:
        while True:
            with self._lock:
                superfluous = pool is self._more and self._working[pool] > self.allowed - _FEW
                if superfluous or not self._waiting:
                    self._working[pool] -= 1
                    return
                work, ended = self._waiting.popleft()
            _do(work, ended)


def _do(work: Callable[[], _T], ended: Future[_T]) -> None:
    try:
        result = work()
    except BaseException as exc:  # noqa: BLE001 - raised where the result is awaited
        ended.set_exception(exc)
    else:
        ended.set_result(result)
