"""
The errors of GCS, in the words of both of its APIs.

JSON: https://cloud.google.com/storage/docs/json_api/v1/status-codes
XML: https://cloud.google.com/storage/docs/xml-api/reference-status
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from asyncstore.auth.redact import redact
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
    **dict.fromkeys(
        ("notFound", "NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NoSuchVersion"),
        NotFoundError,
    ),
    **dict.fromkeys(("conditionNotMet", "PreconditionFailed"), PreconditionFailedError),
    **dict.fromkeys(("notModified", "NotModified"), NotModifiedError),
    **dict.fromkeys(("requestedRangeNotSatisfiable", "InvalidRange"), RangeNotSatisfiableError),
    **dict.fromkeys(
        (
            "AuthenticationRequired",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidSecurity",
            "SignatureDoesNotMatch",
            "authError",
            "expired",
        ),
        UnauthenticatedError,
    ),
    **dict.fromkeys(
        (
            "AccessDenied",
            "AccountProblem",
            "InvalidPayer",
            "UserProjectAccountProblem",
            "UserProjectMissing",
            "accountDisabled",
            "forbidden",
            "insufficientPermissions",
        ),
        PermissionDeniedError,
    ),
    **dict.fromkeys(("dailyLimitExceeded", "quotaExceeded"), QuotaExceededError),
    **dict.fromkeys(("BadDigest", "InvalidDigest", "invalidDigest"), IntegrityError),
    **dict.fromkeys(
        (
            "SlowDown",
            "ServiceUnavailable",
            "rateLimitExceeded",
            "tooManyRequests",
            "userRateLimitExceeded",
        ),
        ThrottledError,
    ),
    **dict.fromkeys(
        ("IncompleteBody", "InternalError", "RequestTimeout", "backendError", "internalError"), UnavailableError
    ),
}

# For replies without a code of theirs, and with one that says nothing ("invalid").
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
}

# What servers say to a request that they do not know.
_NO_SUCH_API: Final = frozenset({400, 404, 405, 501})

# The JSON API has one reason for all that is wrong with a request; this is what it says of bytes.
_DIGEST_WORDS: Final = ("crc32c", "md5", "checksum", "hash")


class NoXMLUploadsError(NotSupportedError):
    """
    The endpoint has not the multipart uploads of the XML API.
    """

    def __init__(self) -> None:
        super().__init__(
            "the endpoint has not the multipart uploads of the XML API: set multipart to 'auto' or 'compose'",
            provider="gcs",
        )


async def refusal(reply: Reply, *, create_only: bool = False, xml_uploads: bool = False) -> StorageError:
    """
    Read the error that *reply* is, and let go of the reply.

    Args:
        create_only: The request was to write only where there is no object.
        xml_uploads: It needs the multipart uploads of the XML API: whoever refuses it
            in other words than those of that API does not have them.
    """
    body = await reply.read_error()
    if xml_uploads and reply.status in _NO_SUCH_API and not _is_xml_error(body):
        return NoXMLUploadsError()
    return named(
        reply.status,
        body,
        request_id=reply.request_id,
        retry_after=reply.retry_after,
        create_only=create_only,
    )


def named(
    status: int,
    body: bytes,
    *,
    request_id: str | None = None,
    retry_after: float | None = None,
    create_only: bool = False,
) -> StorageError:
    """
    Name the error in *body*: JSON, XML, plain text or nothing.

    Args:
        create_only: The request was to write only where there is no object.
    """
    code, message = _words(body)
    kind = _kind(code, status, message)
    if create_only and kind is PreconditionFailedError:
        kind = AlreadyExistsError
    return kind(
        redact(message)[:_MAX_MESSAGE] or f"GCS answered {status}",
        code=code,
        provider="gcs",
        request_id=request_id,
        status=status,
        retry_after=retry_after,
    )


def is_missing_bucket(error: StorageError) -> bool:
    """
    Tell whether it is the bucket that was not found, and not an object in it.
    """
    if error.code == "NoSuchBucket":
        return True
    # The JSON API has but one reason for both.
    return error.code == "notFound" and "bucket does not exist" in error.message


def _kind(code: str | None, status: int, message: str) -> type[StorageError]:
    if code is not None and (kind := _BY_CODE.get(code)) is not None:
        return kind
    if status == 400 and code in ("invalid", None) and any(word in message.lower() for word in _DIGEST_WORDS):
        return IntegrityError
    if (kind := _BY_STATUS.get(status)) is not None:
        return kind
    return UnavailableError if status >= 500 else InvalidRequestError


def _is_xml_error(body: bytes) -> bool:
    root = parse(body)
    return root is not None and root.tag == "Error"


def _words(body: bytes) -> tuple[str | None, str]:
    text = body.lstrip()
    if text.startswith(b"{"):
        return _json_words(text)
    root = parse(text)
    if root is not None and root.tag == "Error":
        details = child(root, "Details")
        message = child(root, "Message") or ""
        return child(root, "Code"), f"{message} {details}" if details else message
    # A proxy's page says nothing about the request.
    return None, "" if text.startswith(b"<") else text.decode(errors="replace")


def _json_words(text: bytes) -> tuple[str | None, str]:
    try:
        error: Any = json.loads(text).get("error")
    except ValueError:
        return None, ""
    if isinstance(error, str):
        return error, error
    if not isinstance(error, dict):
        return None, ""
    details = error.get("errors")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    return first.get("reason") or error.get("status"), str(error.get("message") or first.get("message") or "")
