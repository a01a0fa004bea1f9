"""
Refusals of create-only writes for other reasons than that the object exists.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from asyncstore import (
    AlreadyExistsError,
    BulkOptions,
    CopyOptions,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    Upload,
    UploadOptions,
)
from asyncstore.types import BulkResult
from tests.deviations.one_object import PROVIDERS, Service, opened, serving
from tests.servers.scripted import Exchange, reply, scripted

CREATE: Final = UploadOptions(if_none_match="*")

#: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
#: https://cloud.google.com/storage/docs/json_api/v1/status-codes
#: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
#: https://docs.oracle.com/iaas/Content/API/References/apierrors.htm
OTHERS: Final = [
    ("s3", 409, "InvalidBucketState"),
    ("s3", 412, "SomeOtherCondition"),
    ("gcs", 412, "orgPolicyConstraintFailed"),
    ("gcs", 403, "retentionPolicyNotMet"),
    ("azure", 412, "SourceConditionNotMet"),
    ("azure", 412, "LeaseIdMissing"),
    ("azure", 412, "LeaseIdMismatchWithBlobOperation"),
    ("azure", 409, "SnapshotsPresent"),
    ("azure", 409, "BlobImmutableDueToPolicy"),
    ("azure", 409, "BlobImmutableDueToLegalHold"),
    ("oci", 412, "IfMatchFailed"),
    ("oci", 412, "NoEtagMatch"),
    ("oci", 409, "InvalidatedRetryToken"),
]


async def create(service: Service, path: Path) -> BulkResult:
    """Upload one file where no object exists."""
    path.write_bytes(b"precious")
    async with serving(service) as storage:
        options = BulkOptions(upload=CREATE)
        return await storage.bulk_upload([Upload(path, storage.root / "key")], options=options)


@pytest.mark.parametrize(("provider", "status", "code"), OTHERS)
async def test_other_reasons_are_failures(provider: str, status: int, code: str, tmp_path: Path) -> None:
    """
    They are not taken for an object that exists, and a bulk operation fails the item.
    """
    service = Service(provider, [(status, code)], carried_out=False)
    result = await create(service, tmp_path / "file")
    error = result.outcomes[0].error

    assert (1, 0) == (result.failed, result.skipped)
    assert error is not None
    assert (code, False) == (error.code, isinstance(error, AlreadyExistsError))


@pytest.mark.parametrize(
    ("provider", "code"),
    [("s3", "ConditionalRequestConflict"), ("s3", "OperationAborted"), ("oci", "ConcurrentObjectUpdate")],
)
async def test_conflict_with_a_write_in_progress(provider: str, code: str, tmp_path: Path) -> None:
    """
    It was not carried out, and is sent again; a bulk operation has looked once before.
    """
    service = Service(provider, [(409, code)], carried_out=False)
    result = await create(service, tmp_path / "file")

    assert (1, 2, 1) == (result.done, service.writes, service.looks)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_nothing_is_skipped_that_does_not_exist(provider: str, tmp_path: Path) -> None:
    """
    The refusal says that the object exists, and neither the look before nor another one finds it.
    """
    code = {
        "s3": "PreconditionFailed",
        "gcs": "conditionNotMet",
        "azure": "ConditionNotMet",
        "oci": "IfNoneMatchFailed",
    }
    service = Service(provider, [(412, code[provider])], carried_out=False)
    result = await create(service, tmp_path / "file")
    error = result.outcomes[0].error

    assert (1, 0, 2) == (result.failed, result.skipped, service.looks)
    assert isinstance(error, PreconditionFailedError)
    assert not isinstance(error, AlreadyExistsError)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_exists_is_skipped(provider: str, tmp_path: Path) -> None:
    """
    The object is there, so the item is skipped.
    """
    service = Service(provider, data=b"old", written=1e9)
    result = await create(service, tmp_path / "file")

    assert (0, 1) == (result.failed, result.skipped)


@pytest.mark.parametrize(("exists", "expected"), [(False, PreconditionFailedError), (True, AlreadyExistsError)])
async def test_which_condition_of_a_copy_failed(exists: bool, expected: type[StorageError]) -> None:
    """
    Not every server says which one: if there is no target, it was that on the source.
    """

    async def answer(exchange: Exchange) -> None:
        await exchange.body()
        if exchange.method == "PUT":
            await exchange.send(reply(412, b"<Error><Code>PreconditionFailed</Code></Error>"))
        elif exchange.target.endswith("/target") and not exists:
            await exchange.send(reply(404))
        else:
            date = "Wed, 01 Jan 2025 00:00:00 GMT"
            await exchange.send(reply(200, ETag='"e"', Last_Modified=date))

    async with scripted(answer) as server, opened("s3", server.url) as storage:
        with pytest.raises(PreconditionFailedError) as failure:
            await storage.copy(storage.root / "source", storage.root / "target", options=CopyOptions(if_none_match="*"))

    assert expected is type(failure.value)


@pytest.mark.parametrize("named", ["<Key>a%20b</Key>", "<Key>/a b</Key>", "<Key></Key>", "", "<Key>unknown</Key>"])
@pytest.mark.parametrize("keys", [["a b"], ["a b", "c"]], ids=["one", "two"])
async def test_error_in_a_batch_that_names_no_key(named: str, keys: list[str]) -> None:
    """
    A key whose error cannot be assigned does not count as deleted.

    Servers strip slashes and encode keys (fsspec/s3fs#838).
    """
    error = f"<Error>{named}<Code>AccessDenied</Code><Message>no</Message></Error>"

    async def answer(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(reply(200, f"<DeleteResult>{error}</DeleteResult>".encode()))

    async with scripted(answer) as server, opened("s3", server.url) as storage:
        result = await storage.bulk_delete([storage.root / key for key in keys])
    failed = {outcome.source.key: outcome.error for outcome in result.failures}  # type: ignore[union-attr]

    # What can be assigned is.
    assert {"a b"} == failed.keys() if "a%20b" in named or "/a b" in named else set(keys) == failed.keys()
    assert {PermissionDeniedError} == {type(error) for error in failed.values()}


@pytest.mark.parametrize("name", ["null", '"other"'])
async def test_error_in_a_batch_of_oci_that_names_no_key(name: str) -> None:
    """
    The same on OCI.
    """
    document = f'{{"failed": [{{"objectName": {name}, "statusCode": 403, "errorMessage": "no"}}]}}'

    async def answer(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(reply(200, document.encode()))

    async with scripted(answer) as server, opened("oci", server.url) as storage:
        result = await storage.bulk_delete([storage.root / "a", storage.root / "b"])

    assert (0, 2) == (result.done, result.failed)
