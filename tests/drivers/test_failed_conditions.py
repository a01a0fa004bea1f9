"""
Of a create-only write, only the condition on the target means that the object exists.
"""

from __future__ import annotations

import json

import pytest

from asyncstore.drivers.azure.errors import service_error_of
from asyncstore.drivers.gcs.errors import named as gcs_error
from asyncstore.drivers.oci.errors import make_error as oci_error
from asyncstore.drivers.s3.errors import ERRORS as S3_ERRORS
from asyncstore.errors import (
    AlreadyExistsError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
)


def _s3(code: str | None) -> StorageError:
    return S3_ERRORS.error(code, "", status=412, create_only=True)


def _oci(code: str | None) -> StorageError:
    return oci_error(code, "", status=412, create_only=True)


def _azure(code: str | None) -> StorageError:
    return service_error_of(412, {} if code is None else {"x-ms-error-code": code}, b"", create_only=True)


def _gcs(code: str | None) -> StorageError:
    body = b"" if code is None else json.dumps({"error": {"errors": [{"reason": code}]}}).encode()
    return gcs_error(412, body, create_only=True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (_s3("PreconditionFailed"), AlreadyExistsError),
        (_s3(None), AlreadyExistsError),
        (_gcs("conditionNotMet"), AlreadyExistsError),
        (_gcs(None), AlreadyExistsError),
        # That of fake-gcs-server.
        (_gcs("Precondition Failed"), AlreadyExistsError),
        (_s3("SomePolicyFailed"), PreconditionFailedError),
        (_gcs("somePolicyFailed"), PreconditionFailedError),
        (_azure("SomePolicyFailed"), PreconditionFailedError),
        (_oci("SomePolicyFailed"), PreconditionFailedError),
        # https://cloud.google.com/storage/docs/json_api/v1/status-codes#412-precondition-failed
        (_gcs("orgPolicyConstraintFailed"), PermissionDeniedError),
        # https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
        (_azure("BlobAlreadyExists"), AlreadyExistsError),
        (_azure("ConditionNotMet"), AlreadyExistsError),
        (_azure("TargetConditionNotMet"), AlreadyExistsError),
        (_azure("SourceConditionNotMet"), PreconditionFailedError),
        (_azure("LeaseIdMissing"), PreconditionFailedError),
        (_azure("LeaseLost"), PreconditionFailedError),
        (_azure("InfiniteLeaseDurationRequired"), PreconditionFailedError),
        (_azure("MaxBlobSizeConditionNotMet"), PreconditionFailedError),
        (_azure("BlobImmutableDueToLegalHold"), PermissionDeniedError),
        (_azure("LeaseIdMismatchWithBlobOperation"), PreconditionFailedError),
        # https://docs.oracle.com/iaas/Content/API/References/apierrors.htm
        (_oci("IfNoneMatchFailed"), AlreadyExistsError),
        (_oci("IfMatchFailed"), PreconditionFailedError),
        (_oci("NoEtagMatch"), PreconditionFailedError),
    ],
    ids=str,
)
def test_failed_condition(error: StorageError, expected: type[StorageError]) -> None:
    """
    The provider's code says which condition failed; a 412 without a code blames the one that was sent.
    """
    assert expected is type(error)
