"""
The way of every request: a place in the budget, the driver, the error's facts, another attempt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from asyncstore.driver import Driver
from asyncstore.engine.journal import Journal
from asyncstore.engine.limits import Limits, Statistics
from asyncstore.engine.retry import Retry, RetryObserver
from asyncstore.errors import StorageError
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")


class Calls:
    """
    Sends a driver's requests.

    Attributes:
        driver: Whose requests.
        limits: The storage's budgets.
        retry: When to send again.
        uploads: Ids of the uploads by parts that are under way or left here.
        journal: The uploads by parts that were left, to be gone on with.
        batches: Until the endpoint has shown that it cannot delete many objects by one request.
    """

    def __init__(self, driver: Driver, limits: Limits, retry: Retry) -> None:
        self.driver = driver
        self.limits = limits
        self.retry = retry
        self.uploads: set[str] = set()
        self.journal = Journal()
        self.batches = True
        self._sent = 0
        self._retries = 0

    @property
    def batch_size(self) -> int:
        """
        Keys that one request can delete; 0 if none deletes more than one.
        """
        return self.driver.capabilities.delete_batch_size if self.batches else 0

    async def __call__(
        self,
        op: str,
        uri: ObjectURI,
        send: Callable[..., Awaitable[_T]],
        *args: Any,
        again: bool = True,
        keep: bool = False,
        observer: RetryObserver | None = None,
    ) -> _T:
        """
        Return ``await send(*args)``, sent again after a passing fault if *again*.

        With *keep* the place in the budget is kept after success, for a reply whose
        body is read by the engine: give it back with ``limits.requests.release()``.

        Raises:
            StorageError: With the operation, URI and provider filled in.
        """
        started = self.retry.now()
        try:
            return await self._once(send, args, keep)
        except StorageError as exc:
            self.complete(exc, op, uri)
            if not (again and exc.retryable):
                raise
            failed = exc
        return await self.again(op, uri, failed, send, *args, keep=keep, observer=observer, started=started)

    async def again(
        self,
        op: str,
        uri: ObjectURI,
        failed: StorageError,
        send: Callable[..., Awaitable[_T]],
        *args: Any,
        keep: bool = False,
        observer: RetryObserver | None = None,
        started: float | None = None,
    ) -> _T:
        """
        Go on after an attempt that *failed*: wait, then send.
        """
        attempt, count = partial(self._once, send, args, keep), partial(self._count, observer)
        try:
            return await self.retry.again(failed, attempt, count, started=started)
        except StorageError as exc:
            self.complete(exc, op, uri)
            raise

    def named(self, error: Exception) -> StorageError | None:
        """
        Return *error* as a :class:`StorageError`; ``None`` if it is none of the provider's.
        """
        return error if isinstance(error, StorageError) else self.driver.classify(error)

    def complete(self, error: StorageError, op: str, uri: ObjectURI) -> None:
        """
        Fill in what the driver does not know.
        """
        error.op = error.op or op
        error.uri = error.uri or str(uri)
        error.provider = error.provider or self.driver.provider

    @contextmanager
    def naming(self, op: str, uri: ObjectURI) -> Iterator[None]:
        """
        Name the errors of a whole operation as its caller does, those of local files included.
        """
        try:
            yield
        except StorageError as exc:
            # Not those of another object, which this one was being made of.
            if exc.uri in (None, str(uri)):
                exc.op = op
            self.complete(exc, op, uri)
            raise

    def statistics(self) -> Statistics:
        """
        Return what is under way now, and was.
        """
        requests, buffered = self.limits.requests, self.limits.bytes
        return Statistics(
            requests_in_flight=requests.used,
            requests_peak=requests.peak,
            requests_waiting=requests.waiting,
            bytes_buffered=buffered.used,
            bytes_peak=buffered.peak,
            requests=self._sent,
            retries=self._retries,
        )

    async def _once(self, send: Callable[..., Awaitable[_T]], args: tuple[Any, ...], keep: bool) -> _T:
        requests = self.limits.requests
        if not requests.take():
            await requests.acquire()
        self._sent += 1
        kept = False
        try:
            result = await send(*args)
            kept = keep
            return result
        except StorageError:
            raise
        except Exception as exc:
            named = self.driver.classify(exc)
            if named is None:
                raise
            raise named from exc
        finally:
            if not kept:
                requests.release()

    def _count(self, observer: RetryObserver | None, error: StorageError) -> None:
        self._retries += 1
        if observer is not None:
            observer(error)
