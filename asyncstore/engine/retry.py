"""
The only retry loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, Final, TypeVar

import anyio
import tenacity

from asyncstore.config import RetryOptions
from asyncstore.errors import DeadlineExceededError, StorageError, ThrottledError

_T = TypeVar("_T")

#: Called before each retry with the failure, its attempt's number and the seconds of the wait.
BeforeWait = Callable[[StorageError, int, float], None]

#: Waits for a number of seconds.
Sleep = Callable[[float], Awaitable[None]]

#: Without a deadline, seconds from the start of the first attempt to that of the last, at most.
RETRY_WINDOW: Final = 300.0


def is_retryable(error: BaseException) -> bool:
    """
    Whether another attempt may succeed where *error* was raised.
    """
    # A list of what to retry, never of what not to: tenacity shows this
    # predicate CancelledError too (jd/tenacity#529).
    return isinstance(error, StorageError) and error.retryable


class Retry:
    """
    Retries after a transient error.

    Waits are random between 0 and ``initial_backoff * 2 ** n`` seconds, at most
    ``max_backoff`` ("full jitter",
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/),
    or what the provider asks for. A deadline ends the attempt under way; a wait that
    would end after it does not begin.

    Attributes:
        options: The limits.
        sleep: Waits for a number of seconds.
        now: The clock, in seconds.
    """

    def __init__(
        self,
        options: RetryOptions,
        *,
        sleep: Sleep = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.options = options
        self.sleep = sleep
        self.now = clock
        self._jitter = jitter

    def left(self, started: float) -> float:
        """
        Return the seconds that are left to a request that *started* then; infinite without a deadline.
        """
        return inf if self.options.deadline is None else max(0.0, started + self.options.deadline - self.now())

    def within_deadline(self, call: Callable[..., Awaitable[_T]], started: float) -> Callable[..., Awaitable[_T]]:
        """
        Return *call*, which is cancelled when the deadline of a request that *started* then has passed.

        Raises, when called:
            DeadlineExceededError: It was cancelled.
        """
        seconds = self.options.deadline
        if seconds is None:
            return call

        async def limited(*args: Any) -> _T:
            scope = asyncio.timeout(self.left(started))
            try:
                async with scope:
                    return await call(*args)
            except TimeoutError:
                if not scope.expired():
                    raise
                raise DeadlineExceededError(f"not finished within the deadline of {seconds:g} s") from None

        return limited

    async def run_after(
        self,
        failed: StorageError,
        call: Callable[[], Awaitable[_T]],
        before_wait: BeforeWait | None = None,
        *,
        started: float | None = None,
        sleep: Sleep | None = None,
        progress: Callable[[], int] = int,
    ) -> _T:
        """
        Retry *call*, whose first attempt *failed* outside of this loop.

        Requests that succeed at once do not pay for the loop.

        Args:
            started: When the first attempt began, by :attr:`now`.
            sleep: Used for the waits, instead of :attr:`sleep`.
            progress: Grows whenever another request succeeds. A throttled attempt does not
                count towards ``attempts`` if it has grown since the one before: the provider
                is busy with the others, and this one's turn will come.

        Raises:
            DeadlineExceededError: The deadline has passed, or would pass during the next wait.
        """
        loop = _Attempts(self, failed, self.now() if started is None else started, progress)
        first: list[StorageError] = [failed]

        async def attempt() -> _T:
            if first:
                raise first.pop()
            return await call()

        def announce(state: tenacity.RetryCallState) -> None:
            if before_wait is not None:
                before_wait(loop.last, state.attempt_number, state.upcoming_sleep)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(is_retryable),
            stop=loop.give_up,
            wait=loop.backoff,
            sleep=sleep or self.sleep,
            before_sleep=announce,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except DeadlineExceededError as exc:
            raise exc from loop.last
        except StorageError as exc:
            if not exc.retryable:
                raise
            if loop.late and self.options.deadline is not None:
                raise _exceeded(self.options.deadline, exc) from exc
            tried = retrying.statistics.get("attempt_number", 1)
            exc.add_note(f"gave up after {tried} attempts in {self.now() - loop.started:.1f} s")
            raise

    def backoff(self, error: StorageError, number: int) -> float:
        """
        Return the seconds to wait after *error* of attempt *number* (from 1).
        """
        if error.retry_after is not None:
            return max(0.0, error.retry_after)
        # Capped, so that the power fits a float after any number of attempts.
        ceiling = self.options.initial_backoff * 2.0 ** min(number, 64)
        return self._jitter(0.0, min(self.options.max_backoff, ceiling))


class _Attempts:
    """
    Counts the attempts of one request, and decides when to give up.

    Attributes:
        started: When the first began.
        last: The latest failure.
        late: Whether the next wait would end after the deadline.
    """

    def __init__(self, retry: Retry, failed: StorageError, started: float, progress: Callable[[], int]) -> None:
        self.started = started
        self.last = failed
        self.late = False
        self._retry = retry
        self._progress = progress
        self._progressed = progress()
        self._counted = 0

    def backoff(self, state: tenacity.RetryCallState) -> float:
        """
        Take the failure of an attempt into account, and return the seconds to wait.
        """
        error = state.outcome.exception() if state.outcome is not None else None
        assert isinstance(error, StorageError)
        self.last = error
        before, self._progressed = self._progressed, self._progress()
        if not (self._counted and isinstance(error, ThrottledError) and self._progressed > before):
            self._counted += 1
        return self._retry.backoff(error, self._counted)

    def give_up(self, state: tenacity.RetryCallState) -> bool:
        """
        Return whether the latest attempt was the last; called after :meth:`backoff`.
        """
        options = self._retry.options
        window = RETRY_WINDOW if options.deadline is None else options.deadline
        self.late = self._retry.now() - self.started + state.upcoming_sleep > window
        return self.late or self._counted >= options.attempts


def _exceeded(seconds: float, last: StorageError) -> DeadlineExceededError:
    return DeadlineExceededError(
        f"not finished within the deadline of {seconds:g} s; the last attempt failed: {last.message}",
        code=last.code,
        request_id=last.request_id,
        status=last.status,
        retry_after=last.retry_after,
    )
