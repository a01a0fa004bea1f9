"""
Everything that can go wrong, as classes a caller can act on.

::

    StorageError
    ├── InvalidURIError (ValueError)      the text is not a URI we understand
    ├── ConfigurationError (ValueError)   settings that are missing, unknown or contradict each other
    ├── NotSupportedError                 the provider cannot do this; raised before any request
    ├── NotFoundError                     no such object, upload, bucket or version
    ├── PreconditionFailedError           if_match, if_none_match or a date condition did not hold
    │   └── AlreadyExistsError            create-only, and there is an object already
    ├── NotModifiedError                  conditional read: the caller's copy is still good
    ├── RangeNotSatisfiableError          the range starts at or after the end of the object
    ├── UnauthenticatedError              no credentials, or ones the provider does not accept
    ├── PermissionDeniedError             valid credentials without the right to do this
    ├── QuotaExceededError                an account, bucket or disk is full
    ├── InvalidRequestError               the provider refused the request as malformed
    ├── IntegrityError                    bytes differ from their checksum or length
    ├── SourceChangedError                the source changed while it was being read
    ├── DeadlineExceededError             the caller's total time ran out
    └── UnavailableError                  a passing fault: connection lost, 5xx, time-out
        └── ThrottledError                the provider asks for fewer requests

All can be pickled. None carries a secret: messages, ``uri`` and ``code`` come
from the caller's own input or from bounded parts of the provider's reply.
"""

from __future__ import annotations

from typing import Any, ClassVar

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


class StorageError(Exception):
    """
    An operation on a storage did not do what was asked.

    Attributes:
        message: What happened, in a few words.
        op: The operation as the caller named it, such as ``"upload"``.
        uri: The object, bucket or prefix concerned.
        provider: The driver that reported it, such as ``"s3"``.
        code: The provider's own error code, such as ``"SlowDown"``.
        request_id: The provider's id of the request, for its support desk.
        status: The HTTP status, if there was a reply.
        retry_after: Seconds the provider asked us to wait.
        retryable: Whether the same request may succeed later.
    """

    #: Whether errors of this class are worth another attempt.
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

    def __str__(self) -> str:
        where = " ".join(part for part in (self.op, self.uri) if part)
        what = self.message or type(self).__name__
        facts = [str(self.status)] if self.status else []
        facts += [self.code] if self.code else []
        facts += [f"request id {self.request_id}"] if self.request_id else []
        text = f"{where}: {what}" if where else what
        return f"{text} ({', '.join(facts)})" if facts else text

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
    A setting is missing, unknown or contradicts another.
    """


class NotSupportedError(StorageError):
    """
    This provider cannot do this; nothing was sent.
    """


class NotFoundError(StorageError):
    """
    There is no such object, version, upload or bucket.
    """


class PreconditionFailedError(StorageError):
    """
    A condition of the request did not hold, and nothing was changed.
    """


class AlreadyExistsError(PreconditionFailedError):
    """
    A create-only write found an object in its place.
    """


class NotModifiedError(StorageError):
    """
    The object is the one the caller has already.
    """


class RangeNotSatisfiableError(StorageError):
    """
    The range starts at or after the end of the object.
    """


class UnauthenticatedError(StorageError):
    """
    There are no credentials, or the provider does not accept them.
    """


class PermissionDeniedError(StorageError):
    """
    The credentials are valid and do not allow this.
    """


class QuotaExceededError(StorageError):
    """
    An account, a bucket or the local disk is full.
    """


class InvalidRequestError(StorageError):
    """
    The provider refused the request as malformed.
    """


class IntegrityError(StorageError):
    """
    Bytes differ from their checksum, or are more or fewer than announced.

    Attributes:
        expected: What the checksum or length should have been.
        actual: What it was.
    """

    def __init__(
        self, message: str = "", *, expected: str | None = None, actual: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        text = super().__str__()
        if self.expected is None:
            return text
        return f"{text}: expected {self.expected}, got {self.actual}"


class SourceChangedError(StorageError):
    """
    The file or object being read changed meanwhile, so nothing was published.
    """


class DeadlineExceededError(StorageError):
    """
    The total time allowed for the operation ran out.
    """


class UnavailableError(StorageError):
    """
    A fault that is expected to pass: a lost connection, a time-out, a 5xx.
    """

    default_retryable = True


class ThrottledError(UnavailableError):
    """
    The provider asks for fewer requests; *retry_after* says when, if it said so.
    """
