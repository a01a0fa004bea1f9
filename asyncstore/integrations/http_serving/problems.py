"""
Errors of storages as HTTP statuses and problem details: https://www.rfc-editor.org/rfc/rfc9457

A problem says what happened in words of this module: the message of an error can have names of buckets, internal
addresses and text of the provider. Those of the server's own failures are logged under
``asyncstore.integrations.http_serving``.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple

from asyncstore.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    IntegrityError,
    InUseError,
    InvalidRequestError,
    InvalidURIError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionFailedError,
    QuotaExceededError,
    RangeNotSatisfiableError,
    SourceChangedError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)

LOGGER: Final = logging.getLogger("asyncstore.integrations.http_serving")

CONTENT_TYPE: Final = "application/problem+json"


class RequestBodyError(StorageError):
    """
    The body of a request cannot be stored; nothing of it was published.

    Attributes:
        http_status: The status of the reply.
    """

    http_status: int = 400
    default_message = "the body of the request cannot be stored"


class BodyTooLargeError(RequestBodyError):
    """
    The body of a request is larger than allowed.
    """

    http_status = 413
    default_message = "the body of the request is larger than allowed"


class UnsupportedBodyError(RequestBodyError):
    """
    The body of a request has a media type or an encoding that is not accepted.
    """

    http_status = 415


class ClientDisconnectedError(RequestBodyError):
    """
    The client disconnected before the end of the body.
    """

    default_message = "the client disconnected before the end of the body"


class InterruptedResponseError(RuntimeError):
    """
    A response broke off after its first byte: its status had been sent, so only the connection could be closed.
    """


class _Meaning(NamedTuple):
    status: int
    detail: str


# The first match counts, so subclasses come first. What the server's own credentials and settings cause is 502 or
# 500, never 401 or 403: the client cannot do anything about it.
_MEANINGS: Final[tuple[tuple[type[StorageError], _Meaning], ...]] = (
    (NotFoundError, _Meaning(404, "The object does not exist.")),
    (AlreadyExistsError, _Meaning(409, "The object already exists.")),
    (PreconditionFailedError, _Meaning(412, "The object does not meet the conditions of the request.")),
    (RangeNotSatisfiableError, _Meaning(416, "The object ends before the requested range.")),
    (InvalidURIError, _Meaning(400, "This is not a valid name of an object.")),
    (NotModifiedError, _Meaning(304, "The object has not been modified.")),
    (InUseError, _Meaning(409, "The object is the target of another transfer.")),
    (NotSupportedError, _Meaning(501, "The storage does not support this operation.")),
    (ThrottledError, _Meaning(503, "The storage has too many requests. Try again later.")),
    (DeadlineExceededError, _Meaning(504, "The storage did not answer in time.")),
    (UnavailableError, _Meaning(503, "The storage cannot be reached. Try again later.")),
    (SourceChangedError, _Meaning(503, "The object was replaced while it was read. Try again.")),
    (QuotaExceededError, _Meaning(507, "The storage is full.")),
    (UnauthenticatedError, _Meaning(502, "The storage refused the server.")),
    (PermissionDeniedError, _Meaning(502, "The storage refused the server.")),
    (InvalidRequestError, _Meaning(502, "The storage refused the request of the server.")),
    (IntegrityError, _Meaning(502, "The bytes were damaged on the way to or from the storage.")),
)
_OTHER: Final = _Meaning(500, "The server could not carry out the request.")


@dataclass(frozen=True, slots=True)
class Problem:
    """
    The reply to a request that failed.

    Attributes:
        status: HTTP status.
        detail: What happened, in a sentence for the client.
        headers: Of the reply, without its length.
    """

    status: int
    detail: str
    headers: Mapping[str, str]

    def document(self) -> dict[str, str | int]:
        """
        Return the members of the problem details.
        """
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}

    def body(self) -> bytes:
        """
        Return the problem details as JSON; nothing for a status that has no body.
        """
        return b"" if self.status == 304 else json.dumps(self.document()).encode()


def problem_of(error: StorageError, headers: Mapping[str, str] | None = None, *, log: bool = True) -> Problem:
    """
    Return the problem that a client is shown in place of *error*.

    Args:
        headers: Those of the request, with names in lower case: a write with ``If-None-Match`` that finds an object
            has failed its precondition.
        log: Whether to log an error that is the server's.
    """
    meaning = _meaning(error)
    if isinstance(error, AlreadyExistsError) and headers and "if-none-match" in headers:
        meaning = _meaning(PreconditionFailedError())
    if log and meaning.status >= 500:
        LOGGER.error("%s", error)
    more = {} if meaning.status == 304 else {"Content-Type": CONTENT_TYPE}
    if meaning.status == 503 and error.retry_after is not None:
        more["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, UnsupportedBodyError):
        # The codings that are accepted: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
        more["Accept-Encoding"] = "identity"
    return Problem(meaning.status, meaning.detail, more)


def _meaning(error: StorageError) -> _Meaning:
    if isinstance(error, RequestBodyError):
        sentence = error.message[:1].upper() + error.message[1:]
        return _Meaning(error.http_status, f"{sentence}.")
    return next((meaning for kind, meaning in _MEANINGS if isinstance(error, kind)), _OTHER)
