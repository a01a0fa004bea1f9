"""
The errors of GCS, by the codes of both of its APIs.

JSON: https://cloud.google.com/storage/docs/json_api/v1/status-codes
XML: https://cloud.google.com/storage/docs/xml-api/reference-status
"""

from __future__ import annotations

import json
from typing import Any, Final

from asyncstore.errors import (
    IntegrityError,
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
from asyncstore.http.errors import ErrorTable
from asyncstore.http.xml import child, error_in

# The JSON API has a single reason for everything that is wrong with a request; its messages about checksums use these.
_DIGEST_WORDS: Final = ("crc32c", "md5", "checksum", "hash")


class _GCSErrors(ErrorTable):
    def kind(self, status: int | None, code: str | None, message: str) -> type[StorageError]:
        if status == 400 and code in ("invalid", None) and any(word in message.lower() for word in _DIGEST_WORDS):
            return IntegrityError
        return super().kind(status, code, message)


_ERRORS: Final = _GCSErrors(
    "gcs",
    {
        NotFoundError: "notFound NoSuchBucket NoSuchKey NoSuchUpload NoSuchVersion",
        PreconditionFailedError: "conditionNotMet PreconditionFailed",
        NotModifiedError: "notModified NotModified",
        RangeNotSatisfiableError: "requestedRangeNotSatisfiable InvalidRange",
        UnauthenticatedError: """
            AuthenticationRequired ExpiredToken InvalidAccessKeyId InvalidSecurity
            SignatureDoesNotMatch authError expired
        """,
        PermissionDeniedError: """
            AccessDenied AccountProblem InvalidPayer UserProjectAccountProblem UserProjectMissing
            accountDisabled forbidden insufficientPermissions orgPolicyConstraintFailed
            ObjectUnderActiveHold RetentionPolicyNotMet retentionPolicyNotMet
        """,
        QuotaExceededError: "dailyLimitExceeded quotaExceeded",
        IntegrityError: "BadDigest InvalidDigest invalidDigest",
        ThrottledError: "SlowDown ServiceUnavailable rateLimitExceeded tooManyRequests userRateLimitExceeded",
        UnavailableError: "IncompleteBody InternalError RequestTimeout backendError internalError",
    },
    # The second is that of the XML API, and with a space that of fake-gcs-server.
    target_exists="conditionNotMet PreconditionFailed",
)

# Replies of servers to a request that they do not know.
_UNKNOWN_REQUEST: Final = frozenset({400, 404, 405, 501})


class NoXMLUploadsError(NotSupportedError):
    """
    The endpoint does not support XML API multipart uploads.
    """

    def __init__(self) -> None:
        super().__init__(
            "this endpoint does not support XML API multipart uploads: set multipart to 'auto' or 'compose'",
            provider="gcs",
        )


def lacks_xml_uploads(status: int, body: bytes) -> bool:
    """
    Return whether a refused multipart request shows that the endpoint does not support such requests.

    An endpoint that supports them replies with an error of the XML API.
    """
    return status in _UNKNOWN_REQUEST and error_in(body) is None


def named(
    status: int,
    body: bytes,
    *,
    request_id: str | None = None,
    retry_after: float | None = None,
    create_only: bool = False,
) -> StorageError:
    """
    Return the error in *body*: JSON, XML, plain text or nothing.

    Args:
        create_only: The request was to write only where no object exists.
    """
    code, message = _code_and_message(body)
    return _ERRORS.error(
        code, message, status=status, request_id=request_id, retry_after=retry_after, create_only=create_only
    )


def is_missing_bucket(error: StorageError) -> bool:
    """
    Return whether the bucket does not exist, rather than an object in it.
    """
    if error.code == "NoSuchBucket":
        return True
    # The JSON API has the same reason for both.
    return error.code == "notFound" and "bucket does not exist" in error.message


def _code_and_message(body: bytes) -> tuple[str | None, str]:
    text = body.lstrip()
    if text.startswith(b"{"):
        return _from_json(text)
    if (root := error_in(text)) is not None:
        details = child(root, "Details")
        message = child(root, "Message") or ""
        return child(root, "Code"), f"{message} {details}" if details else message
    # The error page of a proxy has no reason.
    return None, "" if text.startswith(b"<") else text.decode(errors="replace")


def _from_json(text: bytes) -> tuple[str | None, str]:
    try:
        error: Any = json.loads(text).get("error")
    except (ValueError, RecursionError):
        return None, ""
    if isinstance(error, str):
        return error, error
    if not isinstance(error, dict):
        return None, ""
    details = error.get("errors")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    return first.get("reason") or error.get("status"), str(error.get("message") or first.get("message") or "")
