"""
How many requests of a storage may be in flight: the number is found while they are.

See docs/decisions/0024-a-budget-that-adapts.md for the reasons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Final

from asyncstore.engine.budget import Budget

#: Requests in flight at first, and the fewest that are tried to find out whether fewer are enough.
START: Final = 16

# Seconds between two looks at what has arrived: about a round trip to a service that is far away.
_TICK: Final = 0.03

# Growing by a factor f has helped if the throughput has grown by a factor of 1 + _HELPFUL * (f - 1).
_HELPFUL: Final = 0.3

# Fewer requests are enough if they bring this part of the throughput.
_ENOUGH: Final = 0.9

# Seconds that a measurement takes at least: in less, other programs on the machine change the result.
_LONG: Final = 0.1

# Seconds without any report after which what was measured before holds no more.
_SILENCE: Final = 0.25

# Reports of one kind below which their number says nothing about the throughput.
_FEW_REPORTS: Final = 8

# Successes after which one refusal is an accident of the service, not its answer to too many requests.
_ISOLATED: Final = 20

# Seconds until another number is tried, and until more than was refused is tried: doubled each time, up to the longest.
_PATIENCE: Final = 1.0
_BODY_PATIENCE: Final = 5.0
_REFUSAL_PATIENCE: Final = 5.0
_MAX_PATIENCE: Final = 60.0


# Seconds in which several processes that share a service slow down once.
_SHARED_PATIENCE: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Counts:
    """
    What has arrived until *time*.

    Attributes:
        requests: Requests that were answered and whose bodies are short.
        pieces: Pieces of long bodies, which have *size* bytes together.
    """

    time: float
    requests: int
    pieces: int
    size: int

    def __sub__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.time - other.time, self.requests - other.requests, self.pieces - other.pieces, self.size - other.size
        )

    @property
    def reports(self) -> int:
        """How often anything has arrived."""
        return self.requests + self.pieces


@dataclass(frozen=True, slots=True)
class _Measured:
    """
    What arrived in some time with *places* requests in flight.
    """

    places: int
    counts: _Counts

    def gain(self, before: _Measured) -> float:
        """
        Return by which factor more arrives than *before*: of requests or of bytes, whichever has grown more.

        A mixture of both may change from one measurement to the next, so their sum would say little.
        """
        now, then = self.counts, before.counts
        return max(
            _ratio(now.requests, now.requests / now.time, then.requests / then.time),
            _ratio(now.pieces, now.size / now.time, then.size / then.time),
        )


def _ratio(reports: int, now: float, before: float) -> float:
    if reports < _FEW_REPORTS:
        return 0.0
    return now / before if before else inf


class RequestBudget(Budget):
    """
    The requests in flight: more while that brings more, fewer when the provider throttles.

    All requests of a storage go to one service, which counts them together: what it refuses
    to one of them holds for all.

    *Growing.* While callers wait for places, the number doubles until every place has reported something:
    before that nothing is known, and most transfers would be over before a measurement. Afterwards it
    doubles only if that has helped: the throughput is measured while every place reports once more, before
    and after. From time to time another number is tried.

    *Throttling.* The number is halved, once for all requests that were in flight together, but not below what
    the service has served; it grows again by one whenever as many requests have succeeded as are
    allowed ("additive increase, multiplicative decrease", as in
    https://www.rfc-editor.org/rfc/rfc5681#section-3.1). A number that was refused is tried again after 5 s, then
    less and less often.

    Attributes:
        most: The ceiling.
        epoch: How often requests were throttled, counting those that were in flight together once.
        successes: Requests that succeeded.
        throttled: Requests that were throttled.
        overreached: Those of them that were more than the service is known to serve at a time.
        served: The most requests that were in flight when one began that succeeded, since the last time that the
            number was halved.
        refused: The fewest that were in flight when one began that was refused, though fewer were served.
        slowed: Called when fewer requests are allowed because the provider has throttled one.
    """

    def __init__(self, most: int) -> None:
        super().__init__(min(START, most))
        self.most = most
        self.epoch = 0
        self.successes = 0
        self.throttled = 0
        self.overreached = 0
        self.served = 0
        self.refused: int | None = None
        self._bodies = 0
        self._pieces = 0
        self._size = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._mark = _Counts(0.0, 0, 0, 0)
        # The reports since that mark, and when the last one came.
        self._heard = (0, 0.0)
        # Requests that were in flight at that mark.
        self._earlier = 0
        # Whether all places have reported since the number was changed.
        self._settled = False
        # What was measured before the number was changed to find out whether that helps.
        self._before: _Measured | None = None
        self._seeking = True
        self._patience = _PATIENCE
        self._next_trial = 0.0
        self._next_up = True
        self.slowed: Callable[[], None] | None = None
        self._slowed_at = -inf
        self._calm_at = -inf
        self._refused_until = -inf
        self._refusal_patience = _REFUSAL_PATIENCE
        self._last_refused = 0
        self._recovered = 0

    def lower(self, most: int) -> None:
        """
        Set a lower ceiling, before the first request.
        """
        self.most = most
        self.total = min(self.total, most)

    async def acquire(self, amount: int = 1) -> int:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._start_timer(loop, loop.time())
            self._begin(loop.time())
        return await super().acquire(amount)

    def began_body(self) -> None:
        """
        A long body follows the reply that was counted as a success, or went before it.
        """
        self._bodies += 1

    def moved(self, size: int) -> None:
        """
        Another *size* bytes of a long body have arrived, or were acknowledged.
        """
        self._pieces += 1
        self._size += size

    def served_at(self, epoch: int, place: int) -> None:
        """
        Note a success of a request that began in *epoch*, as number *place* in flight: more than any before.
        """
        if epoch == self.epoch:
            self.served = place
        if self.refused is not None and place >= self.refused:
            # So it was not the number.
            self._forget_refusal()

    def refuse(self, epoch: int, place: int) -> None:
        """
        Allow fewer requests: one that began in *epoch*, as number *place* in flight, was throttled.
        """
        self.throttled += 1
        now = asyncio.get_running_loop().time()
        isolated = self.successes - self._last_refused >= _ISOLATED
        self._last_refused = self.successes
        half = max(1, min(self.total, max(place, self.used)) // 2)
        if place > self.served:
            # Only that there are more than before was refused: what is served goes on.
            self.overreached += self.served > 0
            fewer = max(1, self.served, place - 1)
            if epoch == self.epoch and fewer > self.served:
                fewer = max(self.served, min(half, fewer))
            self._remember_refusal(place, now)
        elif isolated or epoch != self.epoch:
            return
        else:
            fewer = half
            self.served = min(self.served, fewer)
        self.total = min(self.total, fewer)
        if epoch == self.epoch:
            self._slow_down(self.total, now)
            if self.slowed is not None:
                self.slowed()

    def _slow_down(self, total: int, now: float) -> None:
        self.total = total
        self.epoch += 1
        self._seeking = False
        self._slowed_at = now
        self._calm_at = now + _REFUSAL_PATIENCE
        self._recovered = self.successes
        self._begin(now)

    def refused_elsewhere(self) -> None:
        """
        Allow half as many requests: the provider has throttled another process that shares it.

        Not twice within a second: processes that are throttled together hear of one another.
        """
        now = asyncio.get_running_loop().time()
        if now - self._slowed_at < _SHARED_PATIENCE:
            return
        self._slow_down(max(1, self.total // 2), now)

    def _remember_refusal(self, place: int, now: float) -> None:
        if self.refused is None or place < self.refused:
            self.refused = place
        if now >= self._refused_until:
            self._refused_until = now + self._refusal_patience
            self._refusal_patience = min(_MAX_PATIENCE, 2 * self._refusal_patience)

    @contextmanager
    def held(self) -> Iterator[None]:
        """
        Start no request during the block, in which a caller waits because the provider asked for it.
        """
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._wake()

    def _counts(self, now: float) -> _Counts:
        return _Counts(now, self.successes - self._bodies, self._pieces, self._size)

    def _begin(self, now: float) -> None:
        """
        Begin to measure with another number, or anew.
        """
        self._mark = self._counts(now)
        self._heard = (0, now)
        self._earlier = self.used
        self._settled = False
        self._before = None

    def _start_timer(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._due = now + _TICK
        self._timer = loop.call_later(_TICK, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None
        self._timer = None
        if not self._waiting:
            # Nobody wants more: what arrives now says nothing, also about the number that is being tried.
            if self._before is not None:
                self.total = self._before.places
            return
        now = self._loop.time()
        late = now - self._due > _TICK
        self._start_timer(self._loop, now)
        if self._holds:
            self._begin(now)
        elif now < self._calm_at or (self.refused is not None and self.total >= self.refused - 1):
            self._recover(now)
        else:
            self._measure(now, late)

    def _set(self, total: int, now: float, before: _Measured | None = None) -> None:
        self.total = total
        self._begin(now)
        self._before = before
        self._wake()

    def _forget_refusal(self) -> None:
        self.refused = None
        self._refused_until = -inf
        self._refusal_patience = _REFUSAL_PATIENCE

    # After throttling

    def _recover(self, now: float) -> None:
        """
        Allow one request more for as many successes as there are places; at most twice as many at a time.
        """
        rounds = (self.successes - self._recovered) // self.total
        if rounds:
            self._recovered = self.successes
            self.total = max(self.total, min(2 * self.total, self.total + rounds, self._ceiling(now)))
            self._wake()

    def _ceiling(self, now: float) -> int:
        """
        Return the most that may be tried now: the number that was refused only after some time.
        """
        if self.refused is None:
            return self.most
        return min(self.most, self.refused - (now < self._refused_until))

    # By throughput

    def _measure(self, now: float, late: bool) -> None:
        counts = self._counts(now) - self._mark
        if counts.reports != self._heard[0]:
            self._heard = (counts.reports, now)
        elif now - self._heard[1] >= _SILENCE:
            # This is other work than what was measured.
            self._seeking = True
            self._begin(now)
            counts = self._counts(now) - self._mark
        if not self._settled:
            # Those that were in flight at the change report what was possible before it.
            if counts.requests - self._earlier + 2 * counts.pieces <= self.total:
                # A late look says that this process was busy, not that the service was slow.
                if self._seeking and not late and self.total < self._ceiling(now):
                    self._set(min(self._ceiling(now), 2 * self.total), now)
            elif self.used <= self.total:
                self._settled = True
                self._mark = self._counts(now)
                self._heard = (0, now)
        elif counts.requests + counts.pieces / 4 >= max(2 * START, self.total) and counts.time >= _LONG:
            # Pieces of many bodies come together: it takes four of each to tell.
            self._judge(_Measured(self.total, counts), now)

    def _judge(self, measured: _Measured, now: float) -> None:
        before = self._before
        if before is None:
            self._try_another(measured, now)
            return
        gain = measured.gain(before)
        if measured.places > before.places:
            if gain < 1 + _HELPFUL * (measured.places / before.places - 1):
                self._stay(before.places, measured, now)
            elif self.total < self._ceiling(now):
                self._set(min(self._ceiling(now), 2 * self.total), now, measured)
            else:
                self._stay(self.total, measured, now)
        elif gain < _ENOUGH:
            self._stay(before.places, measured, now)
        elif self.total > START:
            self._set(self._fewer(), now, measured)
        else:
            self._stay(self.total, measured, now)

    def _try_another(self, measured: _Measured, now: float) -> None:
        more, fewer = self.total < self._ceiling(now), self.total > START
        if self._seeking and more:
            self._set(min(self._ceiling(now), 2 * self.total), now, measured)
        elif self._seeking:
            self._stay(self.total, measured, now)
        elif now >= self._next_trial and (more or fewer):
            up = more and (self._next_up or not fewer)
            self._next_up = not up
            self._set(min(self._ceiling(now), 2 * self.total) if up else self._fewer(), now, measured)
        else:
            self._begin(now)

    def _fewer(self) -> int:
        return max(START, self.total * 3 // 4)

    def _stay(self, total: int, measured: _Measured, now: float) -> None:
        """
        Keep *total* for a while: longer with long bodies, of which those that have begun cannot be taken back.
        """
        self._seeking = False
        self._next_trial = now + max(self._patience, _BODY_PATIENCE if measured.counts.pieces else 0.0)
        self._patience = min(_MAX_PATIENCE, 2 * self._patience)
        self._set(total, now)
