"""
The path of every request: a place in the budget, the driver's call, the error's context, a retry.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from asyncstore._support.callers import is_callers
from asyncstore.auth.credentials import Credentials
from asyncstore.driver import Driver
from asyncstore.driver.contract import Condition
from asyncstore.driver.noted import NOTED, NotedRequest
from asyncstore.engine.limits import Limits, Statistics
from asyncstore.engine.observer import Attempt, Observers, bytes_received, bytes_sent
from asyncstore.engine.retry import Retry
from asyncstore.engine.task_pool import has_place
from asyncstore.engine.upload.disk_journal import DiskJournal
from asyncstore.engine.upload.journal import Journal
from asyncstore.engine.writing import WRITING
from asyncstore.errors import UNREADABLE, StorageError, ThrottledError, unreadable
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

#: Called with each failure that is followed by another attempt.
OnRetry = Callable[[StorageError], None]


@dataclass(slots=True)
class Hedges:
    """
    Counts of the hedged reads of one storage and its wrappers.

    Attributes:
        ranges: Ranges that could be hedged.
        sent: Second requests that were sent.
        won: Those of them that answered first.
    """

    ranges: int = 0
    sent: int = 0
    won: int = 0

    def allowed(self) -> bool:
        """
        Return whether another one may be sent: one for every ten ranges, and the first.

        A delay that 95 % of the replies beat, as the authors of the method advise, hedges 5 %: this leaves room for
        accidents, and keeps a service that is slow as a whole from getting twice the load.
        """
        return self.sent <= self.ranges // 10


class Uploads:
    """
    The multipart uploads that are in progress.

    Attributes:
        objects: The object of each, by the id of the upload.
        changed: Called after every change.
    """

    def __init__(self) -> None:
        self.objects: dict[str, ObjectURI] = {}
        self.changed: Callable[[], None] | None = None

    def add(self, upload_id: str, uri: ObjectURI) -> None:
        """
        Note that the upload of *uri* is in progress.
        """
        self.objects[upload_id] = uri
        if self.changed is not None:
            self.changed()

    def discard(self, upload_id: str | None) -> None:
        """
        Note that the upload is not in progress any more, if it was.
        """
        if upload_id is not None and self.objects.pop(upload_id, None) is not None and self.changed is not None:
            self.changed()

    def __contains__(self, upload_id: str) -> bool:
        return upload_id in self.objects


class Requests:
    """
    Sends a driver's requests.

    Attributes:
        driver: The driver that makes the requests.
        limits: The storage's budgets.
        retry: When to retry.
        journal: Interrupted multipart uploads that can be resumed until the storage is closed.
        disk_journal: Those that other processes can resume.
        observers: Receive every attempt.
        ranges_proven: Whether a request for a range was answered with a part.
        uploads: The multipart uploads that are in progress, or left in the journal.
        proven: Conditions of the driver's ``unproven`` that the endpoint turned out not to ignore.
        hedges: The second requests for ranges whose replies were late.
    """

    def __init__(self, driver: Driver, limits: Limits, retry: Retry, disk_journal: DiskJournal) -> None:
        self.driver = driver
        self.limits = limits
        self.retry = retry
        self.journal = Journal()
        self.disk_journal = disk_journal
        self.observers = Observers()
        self.uploads = Uploads()
        self.ranges_proven = False
        self.proven: set[Condition] = set()
        self.hedges = Hedges()
        self._sent = 0
        self._retries = 0
        driver.on_narrowing = self.observers.narrowed
        if isinstance(driver.credentials, Credentials):
            driver.credentials.on_refresh(self.observers.refreshed)

    def over(self, driver: Driver) -> Requests:
        """
        Return the requests of a *driver* that wraps this one: with the same budgets, retries and observers.
        """
        other = copy.copy(self)
        other.driver = driver
        other.journal = Journal()
        other.uploads = Uploads()
        other._sent = other._retries = 0  # noqa: SLF001 - our own
        return other

    async def __call__(
        self,
        op: str,
        uri: ObjectURI,
        send: Callable[..., Awaitable[_T]],
        *args: Any,
        replayable: bool = True,
        keep: bool = False,
        on_retry: OnRetry | None = None,
    ) -> _T:
        """
        Return ``await send(*args)``, retried after a transient error if it is *replayable*.

        With *keep* the place in the budget is kept after success, for a reply whose
        body is read by the engine: release it with ``limits.requests.release()``.

        Raises:
            StorageError: With the operation, URI and provider filled in.
        """
        requests = self.limits.requests
        place = requests.used if requests.take() else await requests.acquire()
        if (noted := has_place.get()) is not None:
            noted()
        # From here on: a deadline does not count the wait for a place in the budget.
        started = self.retry.now()
        if self.observers.listening or self.retry.options.deadline is not None:
            send = self._wrap(op, uri, send, 1, started)
        try:
            return await self._once(send, args, keep, place)
        except StorageError as exc:
            self.add_context(exc, op, uri)
            if not (replayable and exc.retryable):
                raise
            failed = exc
        again = partial(self._again, send, args, keep)
        return await self.retry_after(op, uri, failed, again, on_retry, started, self._progress)

    def free_place(self) -> int | None:
        """
        Take a place in the budget if one is free that nobody waits for, and return its number, else ``None``.
        """
        requests = self.limits.requests
        return requests.used if requests.take() else None

    async def send_beside(self, place: int, send: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        """
        Return ``await send(*args)``, sent once in the *place* that the caller has taken; it is released at the end.
        """
        return await self._once(send, args, keep=False, place=place)

    async def send_again(
        self,
        op: str,
        uri: ObjectURI,
        failed: StorageError,
        send: Callable[..., Awaitable[_T]],
        *args: Any,
        keep: bool = False,
        on_retry: OnRetry | None = None,
        started: float | None = None,
    ) -> _T:
        """
        Like a call, but after the caller's own attempt, which *started* then, *failed*: wait, then send.
        """
        started = self.retry.now() if started is None else started
        send = self._wrap(op, uri, send, 2, started)
        again = partial(self._again, send, args, keep)
        return await self.retry_after(op, uri, failed, again, on_retry, started, self._progress)

    async def retry_after(
        self,
        op: str,
        uri: ObjectURI,
        failed: StorageError,
        attempt: Callable[[], Awaitable[_T]],
        on_retry: OnRetry | None = None,
        started: float | None = None,
        progress: Callable[[], int] = int,
    ) -> _T:
        """
        Retry *attempt*, whose first call *failed*; it takes its place in the budget itself.

        Args:
            progress: As in :meth:`Retry.run_after`.
        """
        requests = self.limits.requests
        last = failed

        def note(error: StorageError, number: int, wait: float) -> None:
            nonlocal last
            last = error
            self._retries += 1
            self.observers.retrying(op, uri, error, number, wait)
            if (writing := WRITING.get()) is not None:
                writing.retried(uri)
            if on_retry is not None:
                on_retry(error)

        async def sleep(seconds: float) -> None:
            if isinstance(last, ThrottledError) and last.retry_after:
                # The provider asks this client to wait, not this request.
                with requests.held():
                    await self.retry.sleep(seconds)
            else:
                await self.retry.sleep(seconds)

        try:
            return await self.retry.run_after(failed, attempt, note, started=started, sleep=sleep, progress=progress)
        except StorageError as exc:
            self.add_context(exc, op, uri)
            raise

    def classify(self, error: Exception) -> StorageError | None:
        """
        Return *error* as a :class:`StorageError`; ``None`` if it does not come from the provider.

        A driver's reader that did not expect a reply raises what Python raises for unexpected data.
        """
        if isinstance(error, StorageError):
            return error
        known = self.driver.classify(error)
        if known is None and isinstance(error, UNREADABLE) and not is_callers(error):
            return unreadable(error)
        return known

    def add_context(self, error: StorageError, op: str, uri: ObjectURI) -> None:
        """
        Fill in what the driver left out: the operation, URI and provider.
        """
        error.op = error.op or op
        error.uri = error.uri or str(uri)
        error.provider = error.provider or self.driver.provider

    @contextmanager
    def error_context(self, op: str, uri: ObjectURI) -> Iterator[None]:
        """
        Name the errors of a whole operation as its caller does, including those of local files.
        """
        try:
            yield
        except StorageError as exc:
            self.name(exc, op, uri)
            raise

    def name(self, error: StorageError, op: str, uri: ObjectURI) -> None:
        """
        Name the *error* of a whole operation as its caller does.
        """
        # An error about another object, such as the source of a copy, keeps its own operation.
        if error.uri in (None, str(uri)):
            error.op = op
        self.add_context(error, op, uri)

    def statistics(self) -> Statistics:
        """
        Return what is in progress now, and the totals.
        """
        requests, buffered = self.limits.requests, self.limits.bytes
        return Statistics(
            requests_in_flight=requests.used,
            requests_allowed=requests.total,
            requests_ceiling=requests.most,
            requests_peak=requests.peak,
            requests_waiting=requests.waiting,
            bytes_buffered=buffered.used,
            bytes_peak=buffered.peak,
            requests=self._sent,
            retries=self._retries,
            throttled=requests.throttled,
            hedged=self.hedges.sent,
            hedges_won=self.hedges.won,
        )

    def at_a_time(self, wanted: int | None) -> int:
        """
        Return how many workers may share an operation: *wanted*, or as many as there can be requests.
        """
        return self.limits.requests.most if wanted is None else wanted

    def _progress(self) -> int:
        # A request that was refused because the budget had grown too far is not to blame.
        return self.limits.requests.successes + self.limits.requests.overreached

    async def _again(self, send: Callable[..., Awaitable[_T]], args: tuple[Any, ...], keep: bool) -> _T:
        requests = self.limits.requests
        place = requests.used if requests.take() else await requests.acquire()
        return await self._once(send, args, keep, place)

    async def _once(self, send: Callable[..., Awaitable[_T]], args: tuple[Any, ...], keep: bool, place: int) -> _T:
        """
        Send once, in the *place* in the budget that the caller has taken.
        """
        requests = self.limits.requests
        epoch = requests.epoch
        self._sent += 1
        kept = False
        try:
            result = await send(*args)
        except StorageError as exc:
            if isinstance(exc, ThrottledError):
                requests.refuse(epoch, place)
            raise
        except Exception as exc:
            error = self.classify(exc)
            if error is None:
                raise
            raise error from exc
        else:
            kept = keep
            requests.successes += 1
            if place > requests.served:
                requests.served_at(epoch, place)
            return result
        finally:
            if not kept:
                requests.release()

    def _wrap(
        self, op: str, uri: ObjectURI, send: Callable[..., Awaitable[_T]], number: int, started: float
    ) -> Callable[..., Awaitable[_T]]:
        """
        Return *send*, limited by the deadline of a request that *started* then, and reported to the observers.
        """
        limited = self.retry.within_deadline(send, started)
        return self._observed(op, uri, limited, number) if self.observers.listening else limited

    def _observed(
        self, op: str, uri: ObjectURI, send: Callable[..., Awaitable[_T]], number: int
    ) -> Callable[..., Awaitable[_T]]:
        """
        Return *send*, wrapped to report each call to the observers; the first call is attempt *number*.
        """

        async def attempt(*args: Any) -> _T:
            nonlocal number
            error: BaseException | None = None
            result: _T | None = None
            started = self.retry.now()
            noted: list[NotedRequest] = []
            listening = NOTED.set(noted)
            try:
                result = await send(*args)
                return result
            except BaseException as exc:
                error = exc
                if isinstance(exc, Exception) and (classified := self.classify(exc)) is not None:
                    error = classified
                    self.add_context(classified, op, uri)
                if error is exc:
                    raise
                raise error from exc
            finally:
                NOTED.reset(listening)
                self.observers.attempted(
                    Attempt(
                        op=op,
                        uri=uri,
                        number=number,
                        error=error,
                        seconds=self.retry.now() - started,
                        sent=bytes_sent(args),
                        received=bytes_received(result),
                        requests=tuple(noted),
                    )
                )
                number += 1

        return attempt
