"""
Everything that can go wrong, as classes a caller can act on.

::

    StorageError
    ├── InvalidURIError (ValueError)      the text is not a URI of any provider
    ├── ConfigurationError (ValueError)   settings that are missing, unknown or contradict each other
    ├── NotSupportedError                 the provider cannot do this; raised before any request
    ├── NotFoundError                     no such object, upload, bucket or version
    ├── PreconditionFailedError           if_match, if_none_match or a date condition did not hold
    │   └── AlreadyExistsError            create-only write, and the object already exists
    ├── NotModifiedError                  conditional read: the caller's copy is current
    ├── RangeNotSatisfiableError          the range starts at or after the end of the object
    ├── UnauthenticatedError              credentials are missing or rejected
    ├── PermissionDeniedError             the credentials are valid but do not allow this
    ├── QuotaExceededError                an account, bucket or disk is full
    ├── InvalidRequestError               the provider refused the request as malformed
    ├── IntegrityError                    bytes differ from their checksum or length
    ├── SourceChangedError                the source changed while it was being read
    ├── DeadlineExceededError             the caller's total time ran out
    └── UnavailableError                  a transient fault: connection lost, timeout, 5xx
        └── ThrottledError                the provider is throttling requests

All can be pickled. None contains a secret: messages, ``uri`` and ``code`` come
from the caller's own input or from bounded parts of the provider's reply.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

__all__ = [
    "AlreadyExistsError",
    "ConfigurationError",
    "DeadlineExceededError",
    "IntegrityError",
    "InvalidRequestError",
    "InvalidURIError",
    "NotFoundError",
    "NotModifiedError",
    "NotSupportedError",
    "PermissionDeniedError",
    "PreconditionFailedError",
    "QuotaExceededError",
    "RangeNotSatisfiableError",
    "SourceChangedError",
    "StorageError",
    "ThrottledError",
    "UnauthenticatedError",
    "UnavailableError",
]

_FULL_STOP: Final = re.compile(r"(?<![\s.])\.\Z")


class StorageError(Exception):
    """
    An operation on a storage failed.

    Attributes:
        message: What happened, in a few words; by default ``default_message``.
        op: The operation that the caller started, such as ``"upload"``.
        uri: The object, bucket or prefix concerned.
        provider: The driver that reported it, such as ``"s3"``.
        code: The provider's own error code, such as ``"SlowDown"``.
        request_id: The provider's id of the request, for its support desk.
        status: The HTTP status, if there was a reply.
        retry_after: Seconds that the provider asked the client to wait.
        retryable: Whether the same request may succeed later.
        sent: Whether the request may have reached the provider. It has not if no connection could be
            opened or no credentials were obtained, so it cannot have been carried out.
    """

    sent: bool = True

    #: What happened to ``uri``, for errors without their own message: a predicate.
    default_message: ClassVar[str] = ""

    #: Whether a request that failed with this class of error is retried.
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        op: str | None = None,
        uri: str | None = None,
        provider: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        message = message or self.default_message
        super().__init__(message)
        self.message = message
        self.op = op
        self.uri = uri
        self.provider = provider
        self.code = code
        self.request_id = request_id
        self.status = status
        self.retry_after = retry_after
        self.retryable = self.default_retryable if retryable is None else retryable

    @property
    def ambiguous(self) -> bool:
        """Whether a write that failed with this error may have been carried out all the same."""
        return False

    def __str__(self) -> str:
        """
        Return what happened to which object, then what the provider called it.

        ``s3://bucket/key does not exist (404 NoSuchKey, request id 7f3a, during stat)``
        """
        answer = " ".join(str(part) for part in (self.status, self.code) if part)
        request = f"request id {self.request_id}" if self.request_id else ""
        facts = [fact for fact in (answer, request, self.op and f"during {self.op}") if fact]
        return f"{self._what()} ({', '.join(facts)})" if facts else self._what()

    def _what(self) -> str:
        if self.message and self.message == self.default_message:
            return f"{self.uri or 'the object'} {self.message}"
        # The dot at the end of a provider's sentence, and not that of "the segment . or ..".
        message = _FULL_STOP.sub("", self.message) or type(self).__name__
        return f"{self.uri}: {message}" if self.uri else message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments are lost by the default of BaseException.
        return _rebuild, (type(self), self.message, self.__dict__)


def _rebuild(kind: type[StorageError], message: str, state: dict[str, Any]) -> StorageError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class InvalidURIError(StorageError, ValueError):
    """
    The text is not a URI of any provider, or could mean two things.
    """


class ConfigurationError(StorageError, ValueError):
    """
    A setting is missing, unknown, of the wrong type, or contradicts another.
    """


class NotSupportedError(StorageError):
    """
    The provider does not support this operation; nothing was sent.
    """

    default_message = "does not support this operation"


class NotFoundError(StorageError):
    """
    The object, version, upload or bucket does not exist.
    """

    default_message = "does not exist"


class PreconditionFailedError(StorageError):
    """
    A condition of the request did not hold, and nothing was changed.

    Attributes:
        after_lost_reply: Whether the reply to an earlier attempt at the same write was lost. That attempt may have
            been carried out, and its object replaced or deleted since.
    """

    after_lost_reply: bool = False

    default_message = "does not meet the condition of the request"

    @property
    def ambiguous(self) -> bool:
        return self.after_lost_reply


class AlreadyExistsError(PreconditionFailedError):
    """
    A create-only write found that the object already exists.
    """

    default_message = "already exists"


class NotModifiedError(StorageError):
    """
    The caller's copy of the object is current.
    """

    default_message = "has not been modified"


class RangeNotSatisfiableError(StorageError):
    """
    The range starts at or after the end of the object.
    """

    default_message = "ends before the requested range"


class UnauthenticatedError(StorageError):
    """
    Credentials are missing, or the provider rejected them.
    """

    default_message = "cannot be accessed without valid credentials"


class PermissionDeniedError(StorageError):
    """
    The credentials are valid but do not allow this operation.
    """

    default_message = "cannot be accessed with these credentials"


class QuotaExceededError(StorageError):
    """
    An account, a bucket or the local disk is full.
    """

    default_message = "exceeds the quota"


class InUseError(StorageError):
    """
    Another resumable transfer, of this process or another one, has the same target; nothing was changed.
    """

    default_message = "is the target of another transfer"


class InvalidRequestError(StorageError):
    """
    The provider refused the request as malformed.
    """

    default_message = "was refused as an invalid request"


class IntegrityError(StorageError):
    """
    Bytes do not match their checksum or the announced length.

    Attributes:
        expected: What the checksum or length should have been.
        actual: What it was.
    """

    default_message = "does not match its checksum"

    def __init__(
        self, message: str = "", *, expected: str | None = None, actual: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.expected = expected
        self.actual = actual

    def _what(self) -> str:
        text = super()._what()
        return text if self.expected is None else f"{text}: expected {self.expected}, got {self.actual}"


class SourceChangedError(StorageError):
    """
    The source file or object changed while it was being read; nothing was written.
    """

    default_message = "changed while it was being read"


class DeadlineExceededError(StorageError):
    """
    The total time allowed for the operation ran out.
    """

    default_message = "was not finished before the deadline"

    @property
    def ambiguous(self) -> bool:
        return self.sent and self.status is None


class UnavailableError(StorageError):
    """
    A transient fault: a lost connection, a timeout, a 5xx status.
    """

    default_message = "is temporarily unavailable"
    default_retryable = True

    @property
    def ambiguous(self) -> bool:
        # Without a reply; with one that only a gateway has written, or in which the service says that it
        # failed at some point; with a success in which there is an error.
        # https://www.rfc-editor.org/rfc/rfc9110#name-server-error-5xx
        return self.sent and (self.status is None or self.status < 300 or self.status >= 500)


class ThrottledError(UnavailableError):
    """
    The provider is throttling requests; *retry_after* is how long to wait, if it said so.
    """

    default_message = "is being throttled"

    @property
    def ambiguous(self) -> bool:
        # The service has turned the request away. A 503 without a code can be a gateway's, as a 502 is.
        return super().ambiguous and self.code is None


#: What code that reads a malformed reply raises, apart from :class:`StorageError`.
UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def unreadable(error: Exception) -> StorageError:
    """
    Return the error of a reply that made its reader raise *error*, one of :data:`UNREADABLE`.
    """
    if isinstance(error, UnicodeEncodeError):
        # Text is encoded for requests only.
        return InvalidRequestError(f"an argument has a character that UTF-8 does not have: {error.reason}")
    reason = str(error)[:200]
    return UnavailableError(f"the reply cannot be read: {type(error).__name__}: {reason}", retryable=False)
