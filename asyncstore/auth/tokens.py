"""
Secrets, leases on them, and the source that renews a lease in time.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from asyncstore.auth.redact import redact
from asyncstore.errors import StorageError, UnauthenticatedError, UnavailableError

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Seconds before the real end at which a lease counts as ended.
SKEW: Final = 60.0

#: Seconds before the real end at which renewal starts in the background.
EARLY: Final = 300.0

_MIN_BACKOFF: Final = 1.0
_MAX_BACKOFF: Final = 30.0

# What a provider asks for goes before that, up to the longest window of any of them.
_MAX_WAIT: Final = 3600.0


class Secret:
    """
    A text that shows as ``***`` wherever it is printed.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """
        Return the text itself.
        """
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Grant(Generic[T]):
    """
    What a provider gave us, with the time it said that it lasts.

    Attributes:
        value: The token or keys.
        ttl: Seconds from now; ``None`` lasts for good.
        early: Seconds before its end at which to renew it, where the provider
            has a rule of its own.
    """

    value: T = field(repr=False)
    ttl: float | None = None
    early: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Lease(Generic[T]):
    """
    Credentials for as long as they are good. Two leases are equal only if they are one.

    Attributes:
        value: The token or keys; all that belongs together is in here.
        expires_at: Monotonic time from which they are not used any more.
        refresh_at: Monotonic time from which renewal runs in the background.
        ends_at: Monotonic time of the end that the provider said.
    """

    value: T = field(repr=False)
    expires_at: float | None = None
    refresh_at: float | None = None
    ends_at: float | None = None


def lease_of(grant: Grant[T], now: float) -> Lease[T]:
    """
    Return the lease on *grant*, which was received at monotonic time *now*.

    It ends a little before the provider's own time, and its renewal starts
    before that: five minutes, or at half of a short life.
    """
    if grant.ttl is None:
        return Lease(grant.value)
    hard = now + grant.ttl - (SKEW if grant.ttl > 2 * SKEW else grant.ttl * 0.5)
    early = min(grant.ttl * 0.5, EARLY) if grant.early is None else grant.early
    return Lease(grant.value, hard, min(now + grant.ttl - early, hard), now + grant.ttl)


class TokenSource(Generic[T]):
    """
    Keeps one lease and renews it once, however many ask.

    A caller who is cancelled while waiting takes nobody along, and the renewal
    goes on. A renewal that fails is not tried again at once: its error is
    handed to all who ask within a back-off of 1 to 30 seconds, or for as long as
    the provider asks to be left alone. While the old lease is still good its failed
    renewal is logged and nobody notices.

    A source belongs to the event loop that first asked it.

    Args:
        fetch: Asks the provider once. Its :class:`StorageError` is what callers
            get; any other becomes an :class:`UnavailableError`.
        name: What is renewed, for messages.
        clock: Monotonic seconds.
        timeout: Seconds that one *fetch* may take.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Grant[T]]],
        *,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = 60.0,
    ) -> None:
        self._fetch = fetch
        self._name = name
        self._clock = clock
        self._timeout = timeout
        self._lease: Lease[T] | None = None
        self._running: asyncio.Future[Lease[T] | StorageError] | None = None
        self._task: asyncio.Task[Lease[T] | StorageError] | None = None
        self._error: StorageError | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._replaced_at = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def current(self) -> Lease[T] | None:
        """
        Return the lease if it needs no renewal, else ``None``; never waits.
        """
        lease = self._lease
        if lease is None or lease.refresh_at is None or self._clock() < lease.refresh_at:
            return lease
        return None

    async def get(self) -> Lease[T]:
        """
        Return a lease that is good, renewed if it has to be.

        Raises:
            StorageError: There is none, and the provider gave none.
            RuntimeError: The source belongs to another event loop.
        """
        self._bind()
        lease, now = self._lease, self._clock()
        if lease is None or not _good(lease, now):
            return await self._renewed(now)
        if lease.refresh_at is not None and now >= lease.refresh_at and now >= self._retry_at:
            self._start()
        return lease

    async def refresh(self, stale: Lease[T] | None = None) -> Lease[T]:
        """
        Return another lease than *stale*, which the provider refused.

        Nothing is fetched if somebody has renewed it already. *stale* itself
        comes back if it is the fruit of such a renewal a moment ago: a provider
        that refuses what it has just given would be asked over and over.

        Raises:
            StorageError: The provider gave no other.
            RuntimeError: The source belongs to another event loop.
        """
        self._bind()
        lease, now = self._lease, self._clock()
        fresh = lease is not stale or now < self._replaced_at + _MIN_BACKOFF
        if lease is not None and stale is not None and fresh and _good(lease, now):
            return lease
        renewed = await self._renewed(now)
        if stale is not None:
            self._replaced_at = self._clock()
        return renewed

    async def aclose(self) -> None:
        """
        Stop a renewal that is under way; whoever waits for it gets an error.
        """
        self._closed = True
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError(f"{self._name}: these credentials belong to another event loop; make new ones for this")
        if self._closed:
            raise RuntimeError(f"{self._name}: these credentials are closed")

    async def _renewed(self, now: float) -> Lease[T]:
        if self._running is None and self._error is not None and now < self._retry_at:
            raise _again(self._error, self._retry_at - now)
        outcome = await asyncio.shield(self._running or self._start())
        if isinstance(outcome, StorageError):
            raise _again(outcome, None)
        return outcome

    def _start(self) -> asyncio.Future[Lease[T] | StorageError]:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_future()
            # All who wait share this task, and it must outlive any of them.
            self._task = asyncio.create_task(self._attempt())  # noqa: TID251 - no caller's group may own it
            # Not a "finally" inside: a task that is cancelled before its first step has none.
            self._task.add_done_callback(self._settle)
        return self._running

    def _settle(self, task: asyncio.Task[Lease[T] | StorageError]) -> None:
        running, self._running = self._running, None
        if running is None or running.done():
            return
        if task.cancelled() or task.exception() is not None:
            running.set_result(UnauthenticatedError(f"{self._name}: closed while being renewed"))
        else:
            running.set_result(task.result())

    async def _attempt(self) -> Lease[T] | StorageError:
        try:
            async with asyncio.timeout(self._timeout):
                grant = await self._fetch()
            if grant.ttl is not None and grant.ttl <= 0:
                raise UnauthenticatedError(f"{self._name}: the credentials offered have expired already")
        except Exception as exc:  # noqa: BLE001 - the waiters get it, whatever it is
            return self._failed(exc)
        self._error, self._failures = None, 0
        self._lease = lease = lease_of(grant, self._clock())
        return lease

    def _failed(self, exc: Exception) -> StorageError:
        error = _named(exc, self._name, self._timeout)
        now = self._clock()
        wait = min(_MIN_BACKOFF * 2**self._failures, _MAX_BACKOFF)
        self._retry_at = now + max(wait, min(error.retry_after or 0.0, _MAX_WAIT))
        self._failures = min(self._failures + 1, 10)
        self._error = error
        if self._failures == 1 and self._lease is not None and _good(self._lease, now):
            _log.warning("%s: renewal failed, the credentials in use are still good: %s", self._name, error)
        return error


def _good(lease: Lease[T], now: float) -> bool:
    return lease.expires_at is None or now < lease.expires_at


def _named(exc: Exception, name: str, timeout: float) -> StorageError:
    if isinstance(exc, StorageError):
        return exc
    if isinstance(exc, TimeoutError):
        return UnavailableError(f"{name}: no credentials within {timeout:g} s")
    # Not chained: such an error can hold a whole request with its headers.
    return UnavailableError(f"{name}: {type(exc).__name__}: {redact(str(exc))}")


def _again(error: StorageError, retry_after: float | None) -> StorageError:
    # One exception raised in many tasks would mix up their tracebacks.
    again = copy.copy(error)
    if again.retryable and retry_after is not None:
        again.retry_after = retry_after
    again.__cause__ = error.__cause__
    again.__suppress_context__ = True
    return again
