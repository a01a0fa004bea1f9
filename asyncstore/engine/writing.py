"""
What a whole write took: counts the requests that were sent again, and the time.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from asyncstore.errors import StorageError
from asyncstore.types import ObjectInfo, WriteResult
from asyncstore.uri import ObjectURI

if TYPE_CHECKING:
    from asyncstore.engine.requests import Requests

#: The write that the requests of this task, and of those that it has started, belong to.
WRITING: Final[ContextVar[Writing | None]] = ContextVar("writing", default=None)


class Writing:
    """
    One write: in its ``with`` block retries are counted, and errors get the name that the caller knows it by.

    Counting costs nothing as long as nothing is retried.

    Args:
        op: The operation of the caller.
        source: The object that is copied, if any; its requests count, too.
    """

    def __init__(self, requests: Requests, op: str, target: ObjectURI, source: ObjectURI | None = None) -> None:
        self._requests = requests
        self._op = op
        self._target = target
        self._source = source
        self._attempts = 1
        self._started = requests.retry.now()
        self._token: Token[Writing | None] | None = None

    def __enter__(self) -> Self:
        self._token = WRITING.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            WRITING.reset(self._token)
        if isinstance(error, StorageError):
            self._requests.name(error, self._op, self._target)

    def retried(self, uri: ObjectURI) -> None:
        """
        Count a request about *uri* that is sent again, unless it is not of this write: a stream that is
        written may itself read from the storage.
        """
        if uri in (self._target, self._source):
            self._attempts += 1

    def result(self, info: ObjectInfo) -> WriteResult:
        """
        Return *info*, the object that was written, with what it took.
        """
        return WriteResult.of(info, attempts=self._attempts, seconds=self._requests.retry.now() - self._started)
