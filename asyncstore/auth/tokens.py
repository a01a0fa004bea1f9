"""
Secrets and leases, and the source that refreshes a lease in time.

A credential takes these forms: a setting (text, a :class:`Secret` or a function), which
:func:`secret_text` reads; a :class:`Grant`, which a provider issued; and a :class:`Lease`,
which requests use.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

import anyio.to_thread

from asyncstore._support.redact import redact
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Seconds before its real end at which a lease counts as expired.
SKEW: Final = 60.0

#: Seconds before its real end at which a lease is refreshed in the background.
EARLY: Final = 300.0

_MIN_BACKOFF: Final = 1.0
_MAX_BACKOFF: Final = 30.0

# A provider's Retry-After overrides the back-off, up to the longest rate-limit window of any provider.
_MAX_WAIT: Final = 3600.0


class MissingCredentialsError(UnauthenticatedError):
    """
    A method does not apply here: its variable, file or service does not exist. The next method may apply.
    """


class NoLocalServiceError(UnavailableError):
    """
    A service of this machine did not answer: the machine does not have it, or it is down.
    """


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


async def secret_text(name: str, value: Any) -> str | None:
    """
    Return the text of a secret setting: text, a :class:`Secret`, or a function that returns one of them.

    A plain function runs in a thread.

    Raises:
        ConfigurationError: The value, or the function's result, is something else.
    """
    if inspect.iscoroutinefunction(value):
        value = await value()
    elif callable(value):
        # It may wait for a person: cancelling must not wait for it.
        value = await anyio.to_thread.run_sync(value, abandon_on_cancel=True)
        value = await value if inspect.isawaitable(value) else value
    if isinstance(value, Secret):
        value = value.reveal()
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} is text, a Secret or a function that returns one, not {type(value).__name__}")
    return value


class Scope(NamedTuple):
    """
    Where a signature is valid.
    """

    region: str
    service: str = "s3"


@dataclass(frozen=True, slots=True)
class Grant(Generic[T]):
    """
    Credentials as a provider issued them.

    Attributes:
        value: The token or keys.
        ttl: Seconds from now until they expire; ``None`` if they do not.
        early: Seconds before the end at which to refresh them, if the provider prescribes it.
        source: Where they came from, if that is more specific than the method's own source; never a secret.
    """

    value: T = field(repr=False)
    ttl: float | None = None
    early: float | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Lease(Generic[T]):
    """
    Credentials that requests use until they expire. A lease equals only itself.

    Attributes:
        value: The token or keys, complete.
        expires_at: Monotonic time from which they are not used any more.
        refresh_at: Monotonic time from which they are refreshed in the background.
        ends_at: Monotonic time at which the provider says they expire.
    """

    value: T = field(repr=False)
    expires_at: float | None = None
    refresh_at: float | None = None
    ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class Refresh:
    """
    One request for new credentials.

    Attributes:
        name: The name of the credentials, for messages.
        seconds: How long it took.
        error: The error that the request failed with; ``None`` for success.
    """

    name: str
    seconds: float
    error: StorageError | None


def lease_of(grant: Grant[T], now: float) -> Lease[T]:
    """
    Return the lease for *grant*, which was received at monotonic time *now*.

    The lease expires a little before the provider's own time. The refresh starts
    five minutes before that, or at half of a short lifetime.
    """
    if grant.ttl is None:
        return Lease(grant.value)
    hard = now + grant.ttl - (SKEW if grant.ttl > 2 * SKEW else grant.ttl * 0.5)
    early = min(grant.ttl * 0.5, EARLY) if grant.early is None else grant.early
    return Lease(grant.value, hard, min(now + grant.ttl - early, hard), now + grant.ttl)


class TokenSource(Generic[T]):
    """
    Keeps one lease and refreshes it once for all concurrent callers.

    Cancelling one waiter does not affect the others or the refresh. A failed refresh
    is not retried at once: for 1 to 30 seconds, or as long as ``Retry-After`` says,
    all callers get its error. While the old lease is still valid they keep getting
    that lease, and the failure is logged.

    A source belongs to the event loop that first used it.

    Args:
        fetch: Makes one request to the provider. Callers get its :class:`StorageError`;
            any other exception becomes an :class:`UnavailableError`.
        name: What is refreshed, for messages.
        clock: Monotonic seconds.
        timeout: Seconds that one *fetch* may take.

    Attributes:
        on_refresh: Called after each *fetch*; must neither block nor raise.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Grant[T]]],
        *,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = 60.0,
    ) -> None:
        self.on_refresh: Callable[[Refresh], None] | None = None
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
        Return the lease if it needs no refresh, else ``None``; never waits.
        """
        lease = self._lease
        if lease is None or lease.refresh_at is None or self._clock() < lease.refresh_at:
            return lease
        return None

    async def get(self) -> Lease[T]:
        """
        Return a valid lease, refreshed if necessary.

        Raises:
            StorageError: The provider issued no credentials.
            RuntimeError: The source belongs to another event loop, or is closed.
        """
        self._bind()
        lease, now = self._lease, self._clock()
        if lease is None or not _is_valid(lease, now):
            return await self._refreshed(now)
        if lease.refresh_at is not None and now >= lease.refresh_at and now >= self._retry_at:
            self._start()
        return lease

    async def refresh(self, stale: Lease[T] | None = None) -> Lease[T]:
        """
        Return another lease than *stale*, which the provider rejected.

        Nothing is fetched if *stale* was replaced in the meantime. *stale* itself is
        returned if it was itself issued by a refresh within the last second, so that a
        provider that rejects what it just issued is not asked over and over.

        Raises:
            StorageError: The provider issued no other credentials.
            RuntimeError: The source belongs to another event loop, or is closed.
        """
        self._bind()
        lease, now = self._lease, self._clock()
        fresh = lease is not stale or now < self._replaced_at + _MIN_BACKOFF
        if lease is not None and stale is not None and fresh and _is_valid(lease, now):
            return lease
        refreshed = await self._refreshed(now)
        if stale is not None:
            self._replaced_at = self._clock()
        return refreshed

    async def aclose(self) -> None:
        """
        Cancel a running refresh; its waiters get an error.
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
            raise RuntimeError(f"{self._name}: these credentials belong to another event loop; create new ones here")
        if self._closed:
            raise RuntimeError(f"{self._name}: these credentials are closed")

    async def _refreshed(self, now: float) -> Lease[T]:
        if self._running is None and self._error is not None and now < self._retry_at:
            raise _copy_of(self._error, self._retry_at - now)
        outcome = await asyncio.shield(self._running or self._start())
        if isinstance(outcome, StorageError):
            raise _copy_of(outcome, None)
        return outcome

    def _start(self) -> asyncio.Future[Lease[T] | StorageError]:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_future()
            # All waiters share this task, and it must outlive any of them.
            self._task = asyncio.create_task(self._attempt())  # noqa: TID251 - no caller's group may own it
            # Not a "finally" inside: a task that is cancelled before its first step never enters it.
            self._task.add_done_callback(self._settle)
        return self._running

    def _settle(self, task: asyncio.Task[Lease[T] | StorageError]) -> None:
        running, self._running = self._running, None
        if running is None or running.done():
            return
        if task.cancelled() or task.exception() is not None:
            running.set_result(UnauthenticatedError(f"{self._name}: closed during a refresh"))
        else:
            running.set_result(task.result())

    async def _attempt(self) -> Lease[T] | StorageError:
        started = self._clock()
        outcome = await self._fetched()
        if self.on_refresh is not None:
            error = outcome if isinstance(outcome, StorageError) else None
            self.on_refresh(Refresh(self._name, self._clock() - started, error))
        return outcome

    async def _fetched(self) -> Lease[T] | StorageError:
        try:
            async with asyncio.timeout(self._timeout):
                grant = await self._fetch()
            if grant.ttl is not None and grant.ttl <= 0:
                raise UnauthenticatedError(f"{self._name}: the credentials received have already expired")
        except Exception as exc:  # noqa: BLE001 - the waiters get it, whatever it is
            return self._failed(exc)
        self._error, self._failures = None, 0
        self._lease = lease = lease_of(grant, self._clock())
        return lease

    def _failed(self, exc: Exception) -> StorageError:
        error = _as_storage_error(exc, self._name, self._timeout)
        now = self._clock()
        wait = min(_MIN_BACKOFF * 2**self._failures, _MAX_BACKOFF)
        self._retry_at = now + max(wait, min(error.retry_after or 0.0, _MAX_WAIT))
        self._failures = min(self._failures + 1, 10)
        self._error = error
        if self._failures == 1 and self._lease is not None and _is_valid(self._lease, now):
            _log.warning("%s: refresh failed, the current credentials are still valid: %s", self._name, error)
        return error


def _is_valid(lease: Lease[T], now: float) -> bool:
    return lease.expires_at is None or now < lease.expires_at


def _as_storage_error(exc: Exception, name: str, timeout: float) -> StorageError:
    if isinstance(exc, StorageError):
        return exc
    if isinstance(exc, TimeoutError):
        return UnavailableError(f"{name}: no credentials within {timeout:g} s")
    # Not chained: such an error can hold a whole request with its headers.
    return UnavailableError(f"{name}: {type(exc).__name__}: {redact(str(exc))}")


def _copy_of(error: StorageError, retry_after: float | None) -> StorageError:
    # One exception raised in many tasks would mix up their tracebacks.
    copied = copy.copy(error)
    if copied.retryable and retry_after is not None:
        copied.retry_after = retry_after
    copied.__cause__ = error.__cause__
    copied.__suppress_context__ = True
    return copied
