"""
The errors of Azure Blob Storage, by code.

https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.http.errors import ErrorTable
from asyncstore.http.xml import child, error_in

# The codes whose status says too little or something else. ConditionNotMet, for one, comes with 304 and with 412.
_ERRORS: Final = ErrorTable(
    "azure",
    {
        NotFoundError: "ContainerDisabled NoPendingCopyOperation",
        AlreadyExistsError: "BlobAlreadyExists",
        UnauthenticatedError: "AuthenticationFailed InvalidAuthenticationInfo NoAuthenticationInformation",
        PermissionDeniedError: """
            BlobArchived BlobBeingRehydrated BlobImmutableDueToLegalHold BlobImmutableDueToPolicy
            PublicAccessNotPermitted
        """,
        IntegrityError: "Crc64Mismatch InvalidMd5 Md5Mismatch",
        # BlobOverwritten: another writer replaced the blob during this write.
        UnavailableError: "AccountBeingCreated BlobOverwritten ContainerBeingDeleted PendingCopyOperation",
    },
    target_exists="BlobAlreadyExists ConditionNotMet TargetConditionNotMet",
)


def service_error_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    create_only: bool = False,
    retry_after: float | None = None,
) -> StorageError:
    """
    Return the error in *body*, which may be empty or written by a proxy.
    """
    found = error_in(body)
    code = headers.get("x-ms-error-code") or child(found, "Code")
    return _ERRORS.error(
        code,
        # The lines that follow repeat the request id and the time.
        (child(found, "Message") or "").partition("\n")[0],
        status=status,
        request_id=headers.get("x-ms-request-id"),
        retry_after=retry_after,
        create_only=create_only,
    )
