"""
How much may be under way at once: requests in flight, and bytes held in memory.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, cast

_Memory = bytearray | mmap.mmap

# Of the usual machines: https://docs.kernel.org/admin-guide/mm/transhuge.html
_HUGE_PAGE: Final = 2 * 1024 * 1024


class Budget:
    """
    A number of units that are taken and given back, first come first served.

    Taking is free of any switch of tasks while there are units left, since it
    happens on every request.

    Attributes:
        total: Units in all.
        used: Units taken now.
        peak: The most units that were ever taken at once.
        granted: Called whenever units have been taken.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.peak = 0
        self.granted: Callable[[], None] | None = None
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many callers wait for units."""
        return len(self._waiting)

    def take(self, amount: int = 1) -> bool:
        """
        Take *amount* units at once, or none.
        """
        if self._waiting or self.used + amount > self.total:
            return False
        self._grant(amount)
        return True

    async def acquire(self, amount: int = 1) -> None:
        """
        Take *amount* units as soon as they are free.

        A caller that is cancelled while it waits has taken nothing.

        Raises:
            ValueError: There are less than *amount* in all, so it would wait for ever.
        """
        if self.take(amount):
            return
        if amount > self.total:
            raise ValueError(f"{amount} of {self.total} units can never be taken")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (amount, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                # A release in the same turn of the loop has taken it out already.
                with suppress(ValueError):
                    self._waiting.remove(entry)
                self._wake()
            else:
                # Granted and cancelled in the same turn.
                self.release(amount)
            raise

    def release(self, amount: int = 1) -> None:
        """
        Give *amount* units back.
        """
        self.used -= amount
        if self._waiting:
            self._wake()

    @asynccontextmanager
    async def reserve(self, amount: int) -> AsyncIterator[None]:
        """
        Hold *amount* units for a block; more than there are counts as all of them.
        """
        amount = min(amount, self.total)
        await self.acquire(amount)
        try:
            yield
        finally:
            self.release(amount)

    def _grant(self, amount: int) -> None:
        self.used += amount
        self.peak = max(self.peak, self.used)
        if self.granted is not None:
            self.granted()

    def _wake(self) -> None:
        while self._waiting and self.used + self._waiting[0][0] <= self.total:
            amount, turn = self._waiting.popleft()
            if not turn.done():
                self._grant(amount)
                turn.set_result(None)


class Buffers:
    """
    Memory for parts, used again: fresh memory costs a page fault for each 4 KiB of every part.

    Who takes one has reserved its bytes from *budget*, and gives it back before
    they are released. What lies here unused and what is reserved are together no more
    than four thirds of the budget; when nothing is reserved, nothing is kept.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._free: list[_Memory] = []
        budget.granted = self._trim

    @property
    def kept(self) -> int:
        """Bytes that lie here unused."""
        return sum(map(len, self._free))

    def take(self, size: int) -> memoryview:
        """
        Return a buffer of *size* bytes, whatever is in it.
        """
        for index, free in enumerate(self._free):
            if len(free) >= size:
                return memoryview(self._free.pop(index))[:size]
        # Too short for this part, and the room is for it now.
        self._free.clear()
        return memoryview(_fresh(size))

    def give(self, buffer: memoryview) -> None:
        """
        Take a buffer back that nobody uses any more.
        """
        memory = cast("_Memory", buffer.obj)
        if self._budget.used <= len(memory):
            self._free.clear()
        else:
            self._free.append(memory)

    def _trim(self) -> None:
        # The third is for what was just given back and will be taken at once: no part that is held is larger.
        room = self._budget.total * 4 // 3 - self._budget.used
        while self._free and self.kept > room:
            self._free.pop()


def _fresh(size: int) -> _Memory:
    if size < _HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return bytearray(size)
    # From the system: nothing is touched before a thread fills it, where clearing a part of
    # 16 MiB takes 9 ms, on the event loop. In large pages that costs half as much too.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """
    What a storage has under way, and has done.

    Attributes:
        requests_in_flight: Requests now.
        requests_peak: The most at once so far.
        requests_waiting: Requests that wait for their turn.
        bytes_buffered: Bytes reserved for data on its way, now.
        bytes_peak: The most at once so far.
        requests: Requests sent, retries included.
        retries: Requests sent again.
    """

    requests_in_flight: int
    requests_peak: int
    requests_waiting: int
    bytes_buffered: int
    bytes_peak: int
    requests: int
    retries: int


class Limits:
    """
    The budgets of one storage, shared by all its operations.

    Take bytes before a request, never the other way round: what holds a request
    ends without waiting for bytes, so neither can block the other for ever.
    """

    def __init__(self, max_requests: int, max_buffer_bytes: int) -> None:
        self.requests = Budget(max_requests)
        self.bytes = Budget(max_buffer_bytes)
        self.buffers = Buffers(self.bytes)
