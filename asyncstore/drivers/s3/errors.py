"""
The errors of S3, by code.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from typing import Final

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
from asyncstore.http.errors import ErrorTable
from asyncstore.http.reply import Reply
from asyncstore.http.xml import child, error_in


class _S3Errors(ErrorTable):
    def kind(self, status: int | None, code: str | None, message: str) -> type[StorageError]:
        # MinIO: "Object is WORM protected and cannot be overwritten", with the code of a malformed request.
        if code == "InvalidRequest" and "WORM" in message:
            return PermissionDeniedError
        return super().kind(status, code, message)


ERRORS: Final = _S3Errors(
    "s3",
    {
        NotFoundError: "NoSuchKey NoSuchBucket NoSuchUpload NoSuchVersion NotFound",
        PreconditionFailedError: "PreconditionFailed",
        NotModifiedError: "NotModified",
        RangeNotSatisfiableError: "InvalidRange",
        UnauthenticatedError: """
            AuthorizationHeaderMalformed CredentialsNotSupported ExpiredToken InvalidAccessKeyId InvalidSecurity
            InvalidToken RequestExpired RequestTimeTooSkewed SignatureDoesNotMatch TokenRefreshRequired
        """,
        PermissionDeniedError: """
            AccessDenied AccountProblem AllAccessDisabled InvalidObjectState InvalidPayer NotSignedUp ObjectLocked
        """,
        QuotaExceededError: """
            QuotaExceeded TooManyBuckets XMinioStorageFull XMinioAdminBucketQuotaExceeded InsufficientCapacity
            InsufficientStorage
        """,
        IntegrityError: "BadDigest InvalidDigest XAmzContentChecksumMismatch XAmzContentSHA256Mismatch",
        ThrottledError: """
            BandwidthLimitExceeded EC2ThrottledException RequestLimitExceeded ServiceUnavailable SlowDown SlowDownRead
            SlowDownWrite Throttling ThrottlingException TooManyRequests
        """,
        # ConditionalRequestConflict: two conditional writes collided, and the caller has to read the object again.
        UnavailableError: """
            Busy ConditionalRequestConflict IncompleteBody InternalError OperationAborted RequestTimeout
            TemporaryRedirect
        """,
        InvalidRequestError: "EntityTooSmall EntityTooLarge InvalidPart InvalidPartOrder InvalidRequest",
    },
    target_exists="PreconditionFailed",
)


def named(reply: Reply, body: bytes, *, create_only: bool = False) -> StorageError:
    """
    Return the error in *body*, which may be empty or written by a proxy.
    """
    found = error_in(body)
    deleted = reply.headers.get("x-amz-delete-marker") == "true"
    return ERRORS.error(
        child(found, "Code"),
        child(found, "Message") or "",
        status=reply.status,
        request_id=reply.request_id or child(found, "RequestId"),
        retry_after=reply.retry_after,
        # AWS names the header of the condition that failed.
        create_only=create_only and child(found, "Condition") in (None, "If-None-Match"),
        kind=NotFoundError if deleted else None,
    )


def whereabouts(reply: Reply, body: bytes) -> tuple[str | None, str | None]:
    """
    Return the region and the endpoint that a refusal names for the bucket.
    """
    found = error_in(body)
    return reply.headers.get("x-amz-bucket-region") or child(found, "Region"), child(found, "Endpoint")
