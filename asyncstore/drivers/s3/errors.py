"""
The errors of S3, by code and by status.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
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
from asyncstore.http.xml import child, parse

#: Characters of the provider's own words that are kept.
_MAX_MESSAGE: Final = 500

_BY_CODE: Final[Mapping[str, type[StorageError]]] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion", "NotFound"), NotFoundError),
    **dict.fromkeys(("PreconditionFailed",), PreconditionFailedError),
    **dict.fromkeys(("NotModified",), NotModifiedError),
    **dict.fromkeys(("InvalidRange",), RangeNotSatisfiableError),
    **dict.fromkeys(
        (
            "AuthorizationHeaderMalformed",
            "CredentialsNotSupported",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidSecurity",
            "InvalidToken",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
        ),
        UnauthenticatedError,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccountProblem", "AllAccessDisabled", "InvalidObjectState", "InvalidPayer", "NotSignedUp"),
        PermissionDeniedError,
    ),
    **dict.fromkeys(
        (
            "QuotaExceeded",
            "TooManyBuckets",
            "XMinioStorageFull",
            "XMinioAdminBucketQuotaExceeded",
            "InsufficientCapacity",
            "InsufficientStorage",
        ),
        QuotaExceededError,
    ),
    **dict.fromkeys(
        ("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"),
        IntegrityError,
    ),
    **dict.fromkeys(
        (
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "RequestLimitExceeded",
            "ServiceUnavailable",
            "SlowDown",
            "SlowDownRead",
            "SlowDownWrite",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
        ),
        ThrottledError,
    ),
    **dict.fromkeys(
        (
            "Busy",
            # Two writes with conditions met: one of them has to look again.
            "ConditionalRequestConflict",
            "IncompleteBody",
            "InternalError",
            "OperationAborted",
            "RequestTimeout",
            "TemporaryRedirect",
        ),
        UnavailableError,
    ),
    **dict.fromkeys(
        ("EntityTooSmall", "EntityTooLarge", "InvalidPart", "InvalidPartOrder", "InvalidRequest"), InvalidRequestError
    ),
}

# For replies without a code: those to HEAD, and those of proxies on the way.
_BY_STATUS: Final[Mapping[int, type[StorageError]]] = {
    304: NotModifiedError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: UnavailableError,
    412: PreconditionFailedError,
    416: RangeNotSatisfiableError,
    429: ThrottledError,
    501: NotSupportedError,
    503: ThrottledError,
    507: QuotaExceededError,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    An error, and what its reply said about where the bucket is.
    """

    error: StorageError
    region: str | None = None
    endpoint: str | None = None


async def refusal(reply: Reply, *, create_only: bool = False) -> Refusal:
    """
    Read the error that *reply* is, and let go of the reply.
    """
    return named(reply, await reply.read_error(), create_only=create_only)


def named(reply: Reply, body: bytes, *, create_only: bool = False) -> Refusal:
    """
    Name the error in *body*, which may be empty or of another making.
    """
    root = parse(body)
    found = None if root is None or root.tag != "Error" else root
    code, message = child(found, "Code"), child(found, "Message")
    error = make_error(
        code,
        (message or "")[:_MAX_MESSAGE],
        status=reply.status,
        request_id=reply.request_id or child(found, "RequestId"),
        retry_after=reply.retry_after,
        create_only=create_only,
        deleted=reply.headers.get("x-amz-delete-marker") == "true",
    )
    region = reply.headers.get("x-amz-bucket-region") or child(found, "Region")
    return Refusal(error, region, child(found, "Endpoint"))


def make_error(
    code: str | None,
    message: str,
    *,
    status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    create_only: bool = False,
    deleted: bool = False,
) -> StorageError:
    """
    Return our error for what S3 calls *code*.

    Args:
        create_only: The request was to write only where there is no object.
        deleted: A delete marker stands where the object was.
    """
    kind = NotFoundError if deleted else _kind(code, status)
    if create_only and kind is PreconditionFailedError:
        kind = AlreadyExistsError
    return kind(
        message or f"S3 answered {status}",
        code=code,
        provider="s3",
        request_id=request_id,
        status=status,
        retry_after=retry_after,
    )


def _kind(code: str | None, status: int | None) -> type[StorageError]:
    if code is not None and (kind := _BY_CODE.get(code)) is not None:
        return kind
    if status is None:
        # Inside a reply that said 200, or one of a batch.
        return UnavailableError if code is None else InvalidRequestError
    if (kind := _BY_STATUS.get(status)) is not None:
        return kind
    return UnavailableError if status >= 500 else InvalidRequestError
