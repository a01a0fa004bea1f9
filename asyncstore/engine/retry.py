"""
The only retry loop.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import tenacity

from asyncstore.config import RetryOptions
from asyncstore.errors import StorageError

_T = TypeVar("_T")

#: Told of each failure that is followed by another attempt.
RetryObserver = Callable[[StorageError], None]


def is_retryable(error: BaseException) -> bool:
    """
    Whether *error* is one that another attempt may not meet.
    """
    # A list of what to retry, never of what not to: tenacity shows this
    # predicate CancelledError too (jd/tenacity#529).
    return isinstance(error, StorageError) and error.retryable


class Retry:
    """
    Call again after a failure that is expected to pass.

    Waits are random between 0 and ``initial_backoff * 2 ** n`` seconds, at most
    ``max_backoff`` ("full jitter",
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/),
    or what the provider asks for. A wait that would end after the deadline is not
    begun: the last error is raised at once.

    Attributes:
        options: The limits.
        now: The clock, in seconds.
    """

    def __init__(
        self,
        options: RetryOptions,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.options = options
        self._sleep = sleep
        self.now = clock
        self._jitter = jitter

    async def again(
        self,
        failed: StorageError,
        call: Callable[[], Awaitable[_T]],
        observer: RetryObserver | None = None,
        *,
        started: float | None = None,
    ) -> _T:
        """
        Go on after the first attempt *failed*, which was made without this loop.

        So a request that succeeds at once pays nothing for what might have been.

        Args:
            started: When the first attempt was begun, by :attr:`now`.
        """
        started = self.now() if started is None else started
        first: list[StorageError] = [failed]

        async def attempt() -> _T:
            if first:
                raise first.pop()
            return await call()

        def give_up(state: tenacity.RetryCallState) -> bool:
            if state.attempt_number >= self.options.attempts:
                return True
            deadline = self.options.deadline
            return deadline is not None and self.now() - started + state.upcoming_sleep > deadline

        def announce(state: tenacity.RetryCallState) -> None:
            error = _error(state)
            if observer is not None and isinstance(error, StorageError):
                observer(error)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(is_retryable),
            stop=give_up,
            wait=self._backoff,
            sleep=self._sleep,
            before_sleep=announce,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except StorageError as exc:
            if exc.retryable:
                tried = retrying.statistics.get("attempt_number", 1)
                exc.add_note(f"gave up after {tried} attempts in {self.now() - started:.1f} s")
            raise

    def _backoff(self, state: tenacity.RetryCallState) -> float:
        error = _error(state)
        if isinstance(error, StorageError) and error.retry_after is not None:
            return max(0.0, error.retry_after)
        # An exponent that a float still holds, however many attempts there are.
        ceiling = self.options.initial_backoff * 2.0 ** min(state.attempt_number, 64)
        return self._jitter(0.0, min(self.options.max_backoff, ceiling))


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
