"""Measures what a piece of work costs its process."""

import resource
import time
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict


class Cost(TypedDict):
    """Seconds of wall clock, seconds of CPU (user and system), and peak bytes resident."""

    wall: float
    cpu: float
    rss: int


class Meter:
    """
    Measures the block it surrounds.

    The peak memory is that of the whole process, including the interpreter and imports,
    because that is what users need. The process must not have done other work before.
    """

    def __init__(self, *, children: bool = False) -> None:
        self._who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
        self._children = children

    def __enter__(self) -> Self:
        self._cpu, self._wall = self._used(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wall, self._cpu = time.perf_counter() - self._wall, self._used() - self._cpu

    def cost(self) -> Cost:
        """Return the cost of the block."""
        return {"wall": self._wall, "cpu": self._cpu, "rss": self._peak()}

    def _used(self) -> float:
        usage = resource.getrusage(self._who)
        return usage.ru_utime + usage.ru_stime

    def _peak(self) -> int:
        if self._children:
            return resource.getrusage(self._who).ru_maxrss * 1024
        # Not ru_maxrss: after exec it still includes the process that started this one.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
