"""
The errors of OCI, by code.

https://docs.oracle.com/iaas/Content/API/References/apierrors.htm
"""

from __future__ import annotations

import json
from typing import Final

from asyncstore.errors import (
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    QuotaExceededError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.http.errors import ErrorTable
from asyncstore.http.reply import Reply

#: Codes for a bucket or namespace that does not exist, or that the caller is not allowed to see.
MISSING_BUCKET: Final = frozenset({"BucketNotFound", "NamespaceNotFound", "NotAuthorizedOrNotFound"})


class _OCIErrors(ErrorTable):
    def kind(self, status: int | None, code: str | None, message: str) -> type[StorageError]:
        # "UnmatchedContentMD5", and the same for other checksums.
        mismatch = code is not None and code.startswith("UnmatchedContent")
        return IntegrityError if mismatch else super().kind(status, code, message)


_ERRORS: Final = _OCIErrors(
    "oci",
    {
        UnauthenticatedError: "NotAuthenticated SignatureNotValid",
        PermissionDeniedError: "Forbidden NotAllowed NotAuthorized NotRestored SignUpRequired",
        NotFoundError: f"""
            {" ".join(MISSING_BUCKET)} NotFound ObjectNotFound ObjectVersionNotFound
            RelatedResourceNotAuthorizedOrNotFound UploadNotFound
        """,
        PreconditionFailedError: "IfMatchFailed IfNoneMatchFailed NoEtagMatch",
        QuotaExceededError: "LimitExceeded QuotaExceeded StorageLimitExceeded",
        ThrottledError: "TooManyRequests",
        # ConcurrentObjectUpdate: two writes to one object collided, and one of them has to be repeated.
        UnavailableError: "ConcurrentObjectUpdate InternalServerError RequestTimeout ServiceUnavailable",
    },
    target_exists="IfNoneMatchFailed",
)
make_error: Final = _ERRORS.error

#: Raised while a malformed document is read.
MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)


def malformed(reply: Reply, expected: str) -> UnavailableError:
    """
    Return the error of a reply that is a success, but not *expected*.
    """
    return UnavailableError(
        f"the reply is not {expected}", provider="oci", status=reply.status, request_id=reply.request_id
    )


def refusal(reply: Reply, body: bytes, *, create_only: bool = False) -> StorageError:
    """
    Return the error in *body*, which may be empty or written by a proxy.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    code, message = (found.get("code"), found.get("message")) if isinstance(found, dict) else (None, None)
    return make_error(
        code if isinstance(code, str) else None,
        message if isinstance(message, str) else "",
        status=reply.status,
        request_id=reply.request_id,
        retry_after=reply.retry_after,
        create_only=create_only,
    )
