"""
Operations of a driver that take several requests, sent one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from asyncstore._support.cleanup import clean_up
from asyncstore.driver import Pending
from asyncstore.engine.requests import OnRetry, Requests
from asyncstore.engine.retry import RETRY_WINDOW, Retry
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")


#: Wraps the function that sends a request, to watch its calls.
Watching = Callable[[Any], Any]


def unwatched(send: Any) -> Any:
    """
    Return *send* as it is.
    """
    return send


async def outcome_of(
    requests: Requests,
    op: str,
    uri: ObjectURI,
    step: _T | Pending[_T],
    on_retry: OnRetry | None = None,
    watching: Watching = unwatched,
) -> _T | StorageError:
    """
    Send what *step* leaves to do, each request with its own retries, and return the outcome.

    The outcome is the result, or the error with which the provider aborted the operation. A failure or a
    cancellation undoes what was done.

    Raises:
        UnavailableError: A request failed, or too many of them in turn achieved nothing.
    """
    outcome: Any = step
    patience = _Patience(requests.retry)
    while isinstance(outcome, Pending):
        pending = outcome
        try:
            with requests.error_context(op, uri):
                wait = patience.wait(pending)
            if wait:
                await requests.retry.sleep(wait)
            outcome = await requests(op, uri, watching(requests.driver.advance), pending, on_retry=on_retry)
        except BaseException as exc:
            await clean_up(_undo(requests, op, uri, pending, exc), exc)
            raise
        if isinstance(outcome, StorageError):
            await clean_up(_undo(requests, op, uri, pending, outcome), outcome)
    result: _T | StorageError = outcome
    return result


async def result_of(
    requests: Requests,
    op: str,
    uri: ObjectURI,
    step: _T | Pending[_T],
    on_retry: OnRetry | None = None,
    watching: Watching = unwatched,
) -> _T:
    """
    Like :func:`outcome_of`, but raise the error if the provider aborted the operation.
    """
    outcome = await outcome_of(requests, op, uri, step, on_retry, watching)
    if isinstance(outcome, StorageError):
        requests.add_context(outcome, op, uri)
        raise outcome
    return outcome


class _Patience:
    """
    Ends an operation whose requests succeed and achieve nothing: as many, with the same waits and in the same
    time, as a request that fails is sent.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._in_vain = 0
        self._since = 0.0

    def wait(self, pending: Pending[Any]) -> float:
        """
        Return the seconds to wait before the next request.

        Raises:
            UnavailableError: There is to be none.
        """
        if not pending.stuck:
            self._in_vain = 0
            return pending.wait
        if not self._in_vain:
            self._since = self._retry.now()
        self._in_vain += 1
        error = UnavailableError(f"{pending.stuck}, {self._in_vain} times in a row", retryable=False)
        wait = max(pending.wait, self._retry.backoff(error, self._in_vain))
        deadline = self._retry.options.deadline
        window = RETRY_WINDOW if deadline is None else deadline
        if self._in_vain > self._retry.options.attempts or self._retry.now() + wait - self._since > window:
            raise error
        return wait


async def _undo(requests: Requests, op: str, uri: ObjectURI, pending: Pending[Any], error: BaseException) -> None:
    left: Pending[Any] | None = pending
    while left is not None:
        left = await requests(op, uri, requests.driver.undo, left, error)
