"""
The errors of Azure Blob Storage, by code and by status.

https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
    RangeNotSatisfiableError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.http.reply import Reply
from asyncstore.http.xml import parse

#: Characters of the provider's own words that are kept.
_MAX_MESSAGE: Final = 500

_BY_CODE: Final[Mapping[str, type[StorageError]]] = {
    **dict.fromkeys(
        ("BlobNotFound", "ContainerNotFound", "ContainerDisabled", "ResourceNotFound", "NoPendingCopyOperation"),
        NotFoundError,
    ),
    **dict.fromkeys(
        (
            "ConditionNotMet",
            "LeaseIdMismatchWithBlobOperation",
            "LeaseIdMissing",
            "LeaseLost",
            "LeaseNotPresentWithBlobOperation",
            "SourceConditionNotMet",
            "TargetConditionNotMet",
        ),
        PreconditionFailedError,
    ),
    "BlobAlreadyExists": AlreadyExistsError,
    "InvalidRange": RangeNotSatisfiableError,
    **dict.fromkeys(
        ("AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"), UnauthenticatedError
    ),
    **dict.fromkeys(
        (
            "AccountIsDisabled",
            "AuthorizationFailure",
            "AuthorizationPermissionMismatch",
            "AuthorizationProtocolMismatch",
            "AuthorizationResourceTypeMismatch",
            "AuthorizationServiceMismatch",
            "AuthorizationSourceIPMismatch",
            "BlobArchived",
            "BlobBeingRehydrated",
            "BlobImmutableDueToPolicy",
            "InsufficientAccountPermissions",
            "KeyBasedAuthenticationNotPermitted",
            "PublicAccessNotPermitted",
            "UnauthorizedBlobOverwrite",
        ),
        PermissionDeniedError,
    ),
    **dict.fromkeys(("Crc64Mismatch", "InvalidMd5", "Md5Mismatch"), IntegrityError),
    "ServerBusy": ThrottledError,
    **dict.fromkeys(
        (
            "AccountBeingCreated",
            # Written by somebody else while this one was under way.
            "BlobOverwritten",
            "ContainerBeingDeleted",
            "InternalError",
            "OperationTimedOut",
            "PendingCopyOperation",
        ),
        UnavailableError,
    ),
}

# For replies without a code that we know: those of proxies on the way, and those whose code says little.
_BY_STATUS: Final[Mapping[int, type[StorageError]]] = {
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


async def refusal(reply: Reply, *, create_only: bool = False) -> StorageError:
    """
    Read the error that *reply* is, and let go of the reply.
    """
    body = await reply.read_error()
    return named(reply.status, reply.headers, body, create_only=create_only, retry_after=reply.retry_after)


def named(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    create_only: bool = False,
    retry_after: float | None = None,
) -> StorageError:
    """
    Name the error in *body*, which may be empty or of another making.
    """
    root = parse(body)
    found = None if root is None or root.tag != "Error" else root
    code = headers.get("x-ms-error-code") or (None if found is None else found.findtext("Code"))
    message = "" if found is None else (found.findtext("Message") or "")
    kind = _kind(code, status)
    if create_only and kind is PreconditionFailedError and not (code or "").startswith("Lease"):
        kind = AlreadyExistsError
    return kind(
        # The lines that follow repeat the id and the time.
        redact(message.split("\n", 1)[0])[:_MAX_MESSAGE] or f"Azure answered {status}",
        code=code,
        provider="azure",
        request_id=headers.get("x-ms-request-id"),
        status=status,
        retry_after=retry_after,
    )


def _kind(code: str | None, status: int) -> type[StorageError]:
    # A condition that is not met has one code for both: that the caller's copy is
    # still good, and that it is not.
    if status == 304:
        return NotModifiedError
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(status)
    if kind is not None:
        return kind
    return UnavailableError if status >= 500 else InvalidRequestError
