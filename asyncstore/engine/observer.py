"""
Reports what a storage does to observers: attempts, credential refreshes, narrowed capabilities.

Statistics, adaptive limits and tracing attach here. Without an observer a successful
request costs nothing more; retries, refreshes and narrowings are always logged at DEBUG.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from asyncstore._support.redact import redact
from asyncstore.auth.credentials import Refresh
from asyncstore.driver import Body, Narrowing, ReadBody
from asyncstore.driver.noted import NotedRequest
from asyncstore.errors import StorageError
from asyncstore.uri import ObjectURI

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    One call of the driver, which a retry repeats. Recoveries in it, such as a refresh after a 401, are part of it.

    Attributes:
        op: The operation, as in :attr:`StorageError.op`.
        uri: The object or prefix.
        number: 1 for the first attempt, 2 for the first retry.
        error: ``None`` for success, else a :class:`StorageError`, or what ended the
            attempt from outside, such as a cancellation.
        seconds: Until the driver's call returned: for a stream that is until the head
            of the reply. Waiting for a place in the budget and between attempts does not count.
        sent: Bytes of the body; ``None`` without one.
        received: Bytes of the object in the reply; ``None`` if it has none.
        requests: The HTTP requests of the attempt, in order, recoveries included; none for memory and local files.
            Those that obtain credentials are not among them.
    """

    op: str
    uri: ObjectURI
    number: int
    error: BaseException | None
    seconds: float
    sent: int | None
    received: int | None
    requests: Sequence[NotedRequest] = ()


class Observer(Protocol):
    """
    Called in the event loop, so it must not block. Exceptions that it raises are logged.
    """

    def attempted(self, attempt: Attempt) -> None:
        """An attempt has ended."""

    def refreshed(self, refresh: Refresh) -> None:
        """Credentials were fetched or refreshed, or could not be."""

    def narrowed(self, narrowing: Narrowing) -> None:
        """The endpoint turned out to support less than its provider."""


class Observers:
    """
    The observers of one storage, and its debug log.

    Attributes:
        listening: The observers, in the order in which they are called.
    """

    def __init__(self) -> None:
        self.listening: list[Observer] = []

    def attempted(self, attempt: Attempt) -> None:
        """
        Report an attempt to the observers.
        """
        self._tell(lambda observer: observer.attempted(attempt))

    def retrying(self, op: str, uri: ObjectURI, error: StorageError, number: int, wait: float) -> None:
        """
        Log that attempt *number* failed and that the next one follows after *wait* seconds.
        """
        _LOG.debug("%s %s: attempt %d failed, retry in %.2f s: %s", op, uri, number, wait, redact(error))

    def refreshed(self, refresh: Refresh) -> None:
        """
        Log a refresh of credentials and report it to the observers.
        """
        outcome = "succeeded" if refresh.error is None else f"failed: {redact(refresh.error)}"
        _LOG.debug("refresh of %s after %.2f s %s", refresh.name, refresh.seconds, outcome)
        self._tell(lambda observer: observer.refreshed(refresh))

    def narrowed(self, narrowing: Narrowing) -> None:
        """
        Log what the endpoint does not support and report it to the observers.
        """
        _LOG.debug("the endpoint does not support %s: %s", narrowing.feature, redact(narrowing.reason))
        self._tell(lambda observer: observer.narrowed(narrowing))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        for observer in self.listening:
            try:
                call(observer)
            except Exception:  # noqa: BLE001 - telemetry must not fail the request that it describes
                _LOG.exception("an observer failed")


def bytes_sent(args: tuple[object, ...]) -> int | None:
    """
    Return the size of the body among the arguments of a driver's method.
    """
    return next((arg.size for arg in args if isinstance(arg, Body)), None)


def bytes_received(result: object) -> int | None:
    """
    Return how many bytes of the object come with what a driver's method returned.
    """
    body = result[0] if isinstance(result, tuple) and result else result
    return body.end - body.start if isinstance(body, ReadBody) else None
