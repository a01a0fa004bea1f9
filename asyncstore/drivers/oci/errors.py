"""
The errors of OCI, by code and by status.

https://docs.oracle.com/iaas/Content/API/References/apierrors.htm
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from asyncstore.errors import (
    AlreadyExistsError,
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

#: Codes for a place that is not there, or that the caller may not know of.
NO_PLACE: Final = frozenset({"BucketNotFound", "NamespaceNotFound", "NotAuthorizedOrNotFound"})

#: Characters of the provider's own words that are kept.
_MAX_MESSAGE: Final = 500

_BY_CODE: Final[Mapping[str, type[StorageError]]] = {
    **dict.fromkeys(("NotAuthenticated", "SignatureNotValid"), UnauthenticatedError),
    **dict.fromkeys(
        ("Forbidden", "NotAllowed", "NotAuthorized", "NotRestored", "SignUpRequired"), PermissionDeniedError
    ),
    **dict.fromkeys(
        (
            *NO_PLACE,
            "NotFound",
            "ObjectNotFound",
            "ObjectVersionNotFound",
            "RelatedResourceNotAuthorizedOrNotFound",
            "UploadNotFound",
        ),
        NotFoundError,
    ),
    **dict.fromkeys(("IfMatchFailed", "IfNoneMatchFailed", "NoEtagMatch"), PreconditionFailedError),
    **dict.fromkeys(("LimitExceeded", "QuotaExceeded", "StorageLimitExceeded"), QuotaExceededError),
    **dict.fromkeys(("TooManyRequests",), ThrottledError),
    **dict.fromkeys(
        # Two writes to one object at a time: one of them has to come again.
        ("ConcurrentObjectUpdate", "InternalServerError", "RequestTimeout", "ServiceUnavailable"),
        UnavailableError,
    ),
}

# "UnmatchedContentMD5" and its like for the other checksums.
_MISMATCH: Final = "UnmatchedContent"

_BY_STATUS: Final[Mapping[int, type[StorageError]]] = {
    304: NotModifiedError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: UnavailableError,
    412: PreconditionFailedError,
    416: RangeNotSatisfiableError,
    429: ThrottledError,
}


async def refusal(reply: Reply, *, create_only: bool = False) -> StorageError:
    """
    Read the error that *reply* is, and let go of the reply.
    """
    found = _fields(await reply.read_error())
    code, message = found.get("code"), found.get("message")
    return make_error(
        code if isinstance(code, str) else None,
        message if isinstance(message, str) else "",
        status=reply.status,
        request_id=reply.request_id,
        retry_after=reply.retry_after,
        create_only=create_only,
    )


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def make_error(
    code: str | None,
    message: str,
    *,
    status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    create_only: bool = False,
) -> StorageError:
    """
    Return our error for what OCI calls *code*.

    Args:
        create_only: The request was to write only where there is no object.
    """
    kind = _kind(code, status)
    if create_only and kind is PreconditionFailedError:
        kind = AlreadyExistsError
    return kind(
        message[:_MAX_MESSAGE] or f"OCI answered {status or code}",
        code=code,
        provider="oci",
        request_id=request_id,
        status=status,
        retry_after=retry_after,
    )


def _kind(code: str | None, status: int | None) -> type[StorageError]:
    if code is not None and code.startswith(_MISMATCH):
        return IntegrityError
    if code is not None and (kind := _BY_CODE.get(code)) is not None:
        return kind
    if status is None:
        # In the outcome of a copy or of one key of a batch.
        return UnavailableError if code is None else InvalidRequestError
    if (kind := _BY_STATUS.get(status)) is not None:
        return kind
    return UnavailableError if status >= 500 else InvalidRequestError
