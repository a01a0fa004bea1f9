"""
S3's error codes, as ours.

The codes are those of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from typing import Final

from asyncstore.drivers.s3 import xml
from asyncstore.errors import (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionFailedError,
    QuotaExceededError,
    RangeNotSatisfiableError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.http.reply import Reply

_BY_CODE: Final[dict[str, type[StorageError]]] = {
    "AccessDenied": PermissionDeniedError,
    "AccountProblem": PermissionDeniedError,
    "AllAccessDisabled": PermissionDeniedError,
    "AuthorizationHeaderMalformed": InvalidRequestError,
    "BadDigest": IntegrityError,
    "BandwidthLimitExceeded": ThrottledError,
    "ConditionalRequestConflict": UnavailableError,
    "EntityTooLarge": InvalidRequestError,
    "EntityTooSmall": InvalidRequestError,
    "ExpiredToken": UnauthenticatedError,
    "ExpiredTokenException": UnauthenticatedError,
    "IncompleteBody": UnavailableError,
    "InternalError": UnavailableError,
    "InvalidAccessKeyId": UnauthenticatedError,
    "InvalidDigest": IntegrityError,
    "InvalidObjectState": PermissionDeniedError,
    "InvalidPart": InvalidRequestError,
    "InvalidPartOrder": InvalidRequestError,
    "InvalidRange": RangeNotSatisfiableError,
    "InvalidToken": UnauthenticatedError,
    "KeyTooLongError": InvalidRequestError,
    "MetadataTooLarge": InvalidRequestError,
    "NoSuchBucket": NotFoundError,
    "NoSuchKey": NotFoundError,
    "NoSuchUpload": NotFoundError,
    "NoSuchVersion": NotFoundError,
    "NotModified": NotModifiedError,
    "OperationAborted": UnavailableError,
    "PreconditionFailed": PreconditionFailedError,
    "QuotaExceeded": QuotaExceededError,
    "RequestExpired": UnauthenticatedError,
    "RequestTimeTooSkewed": UnauthenticatedError,
    "RequestTimeout": UnavailableError,
    "ServiceUnavailable": ThrottledError,
    "SignatureDoesNotMatch": UnauthenticatedError,
    "SlowDown": ThrottledError,
    "StorageFull": QuotaExceededError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "TokenRefreshRequired": UnauthenticatedError,
    "TooManyRequests": ThrottledError,
    "XAmzContentChecksumMismatch": IntegrityError,
    "XAmzContentSHA256Mismatch": IntegrityError,
}

_BY_STATUS: Final[dict[int, type[StorageError]]] = {
    304: NotModifiedError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: UnavailableError,
    409: InvalidRequestError,
    412: PreconditionFailedError,
    416: RangeNotSatisfiableError,
    429: ThrottledError,
    503: ThrottledError,
    507: QuotaExceededError,
}

# Of an error's message: what people need of it.
_MAX_MESSAGE = 300

# Renewed by the middleware while the reply was on its way, if they could be: the
# request that was refused can be sent again.
_RENEWED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestTimeTooSkewed"})


async def error_of(reply: Reply) -> StorageError:
    """
    Return the error that *reply* stands for; its body is read, up to 64 KiB.
    """
    document = await reply.read_error()
    return named(reply, xml.error(document))


def named(reply: Reply, facts: xml.ErrorFacts) -> StorageError:
    """
    Return the error of a reply whose body says *facts*.
    """
    status = reply.status if reply.status >= 300 else None
    return make(
        facts.code,
        facts.message or (f"the server answered {reply.status}" if status else "an error in place of a result"),
        status,
        request_id=reply.request_id or facts.request_id,
        retry_after=reply.retry_after,
    )


def make(
    code: str | None,
    message: str,
    status: int | None,
    *,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> StorageError:
    """
    Return the error for a code and status of S3.
    """
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(status or 0)
    if kind is None:
        kind = UnavailableError if (status or 0) >= 500 else InvalidRequestError
    error = kind(message[:_MAX_MESSAGE], code=code, status=status, request_id=request_id, retry_after=retry_after)
    # What was corrupted on the way can be sent again; so can what expired meanwhile.
    error.retryable = error.retryable or isinstance(error, IntegrityError) or code in _RENEWED
    return error
