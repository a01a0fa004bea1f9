"""
A budget that callers share, and the streams of callers that read from it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from types import TracebackType
from typing import Final, Self

#: Seconds without a byte after which a caller's stream counts as stalled.
PATIENCE: Final = 1.0
# The same while more than the total is in use: a stream that has waited for another one does so with every part.
_SHORT_PATIENCE: Final = 0.05


class Budget:
    """
    A fair semaphore over several units: first come, first served.

    Taking free units never switches tasks, since it happens on every request.

    Attributes:
        total: All units.
        used: Units taken now.
        peak: The most units taken at the same time so far.
        on_shortage: Called before a caller waits or overdraws: what is kept only because there was room for it is
            released.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.peak = 0
        self.on_shortage: list[Callable[[], None]] = []
        self._waiting: deque[tuple[int, asyncio.Future[int]]] = deque()
        # Units whose holders wait for stalled streams; see Filling.
        self._stalled = 0
        # How many callers hold up all further ones; see RequestBudget.held().
        self._holds = 0

    @property
    def waiting(self) -> int:
        """The number of callers waiting for units."""
        return len(self._waiting)

    def take(self, amount: int = 1) -> bool:
        """
        Take *amount* units if they are free now; return whether they were.
        """
        if self._waiting or self._holds or self.used + amount > self.total:
            return False
        self._grant(amount)
        return True

    async def acquire(self, amount: int = 1) -> int:
        """
        Take *amount* units, waiting until they are free; return how many were used then, these included.

        A caller that is cancelled while waiting has taken nothing.

        Raises:
            ValueError: *amount* exceeds the total, so the wait would never end.
        """
        if self.take(amount):
            return self.used
        if amount > self.total:
            raise ValueError(f"cannot take {amount} units: there are only {self.total}")
        if self.on_shortage and self._relieved(amount):
            return self.used
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        entry = (amount, turn)
        self._waiting.append(entry)
        self._wake()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                # A release in the same loop iteration has removed it already.
                with suppress(ValueError):
                    self._waiting.remove(entry)
                self._wake()
            else:
                # Granted and cancelled in the same loop iteration.
                self.release(amount)
            raise

    def release(self, amount: int = 1) -> None:
        """
        Release *amount* units.
        """
        self.used -= amount
        if self._waiting:
            self._wake()

    def reserve(self, amount: int) -> Reservation:
        """
        Return a block that holds *amount* units, at most all of them.

        Operations that a caller's stream starts while it is read may exceed the total instead of waiting:
        the operation that reads the stream could hold the units that they would wait for.
        """
        return Reservation(self, min(amount, self.total))

    def filling(self, amount: int, patience: float = PATIENCE) -> Filling:
        """
        Return a block in which *amount* reserved units are filled from a caller's stream.

        When stalled streams hold all units in use, the next caller exceeds the total instead of waiting. Otherwise one
        task that writes several streams in turn could deadlock: each would wait for units that the others hold.

        Args:
            patience: Seconds without a byte after which the stream counts as stalled; with 0 it always does.
        """
        return Filling(self, amount, patience)

    def _stall(self, amount: int) -> None:
        self._stalled += amount
        if amount > 0:
            self._wake()

    async def _take_or_overdraw(self, amount: int) -> None:
        if not Feed.in_context():
            await self.acquire(amount)
        elif not self._relieved(amount):
            self._grant(amount)

    def _relieved(self, amount: int) -> bool:
        for release in tuple(self.on_shortage):
            release()
        return self.take(amount)

    def _grant(self, amount: int) -> None:
        self.used += amount
        self.peak = max(self.peak, self.used)

    def _wake(self) -> None:
        while self._waiting and not self._holds and self._has_room(self._waiting[0][0]):
            amount, turn = self._waiting.popleft()
            if not turn.done():
                self._grant(amount)
                turn.set_result(self.used)

    def _has_room(self, amount: int) -> bool:
        return self.used + amount <= self.total or 0 < self.used <= self._stalled


class Reservation:
    """
    Units of a budget that are held during an ``async with`` block; see :meth:`Budget.reserve`.
    """

    # Not a generator, since every small file has one.
    __slots__ = ("_amount", "_budget")

    def __init__(self, budget: Budget, amount: int) -> None:
        self._budget = budget
        self._amount = amount

    async def __aenter__(self) -> None:
        if not self._budget.take(self._amount):
            await self._budget._take_or_overdraw(self._amount)  # noqa: SLF001 - its own block

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.release(self._amount)


class Filling:
    """
    Reserved units that are filled from a caller's stream during a ``with`` block; see :meth:`Budget.filling`.
    """

    __slots__ = ("_amount", "_budget", "_moved", "_patience", "_stalled", "_watch")

    def __init__(self, budget: Budget, amount: int, patience: float) -> None:
        self._budget = budget
        self._amount = amount
        self._patience = patience
        self._moved = False
        self._stalled = False
        self._watch: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if self._budget.used > self._budget.total:
            self._patience = min(self._patience, _SHORT_PATIENCE)
        if self._patience:
            self._look_later()
        else:
            self._stop()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._go_on()

    def moved(self) -> None:
        """
        Note that the stream has yielded bytes.
        """
        self._moved = True
        if self._stalled and self._patience:
            self._go_on()
            self._look_later()

    def _look(self) -> None:
        # Not a timer for each chunk.
        if self._moved:
            self._look_later()
        else:
            self._stop()

    def _look_later(self) -> None:
        self._moved = False
        self._watch = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _stop(self) -> None:
        self._stalled = True
        self._budget._stall(self._amount)  # noqa: SLF001 - its own block

    def _go_on(self) -> None:
        if self._stalled:
            self._stalled = False
            self._budget._stall(-self._amount)  # noqa: SLF001 - its own block


class Feed:
    """
    A caller's stream that an operation reads while it holds units of a budget.

    The operations that the stream starts itself, on any storage, are known by their context, which
    the tasks that it starts inherit.

    Attributes:
        open: Whether somebody waits for the stream.
    """

    def __init__(self) -> None:
        self.open = True

    @contextmanager
    def pulled(self) -> Iterator[None]:
        """
        Run the caller's code in the block.
        """
        token = _feed.set(self)
        try:
            yield
        finally:
            _feed.reset(token)

    def close(self) -> None:
        """
        Nobody waits for the stream any more: tasks that it has left behind share the budgets again.
        """
        self.open = False

    @staticmethod
    def in_context() -> bool:
        """
        Return whether the current code is run for a stream that somebody waits for.
        """
        feed = _feed.get()
        return feed is not None and feed.open

    @staticmethod
    def of(context: Context) -> Feed | None:
        """
        Return the stream for which the code of *context* is run.
        """
        return context.get(_feed)


_feed: ContextVar[Feed | None] = ContextVar("asyncstore_feed", default=None)
