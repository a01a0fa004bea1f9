"""
Server-side copies, within a region or to another: a work request that is polled.

https://docs.oracle.com/iaas/Content/Object/Tasks/copyingobjects.htm
https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequest
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from asyncstore.driver import Pending
from asyncstore.driver.naming import naming
from asyncstore.drivers.oci.addresses import encode_segment
from asyncstore.drivers.oci.encryption import key_headers, write_headers
from asyncstore.drivers.oci.errors import make_error, malformed
from asyncstore.drivers.oci.headers import bare, metadata_fields
from asyncstore.drivers.oci.objects import Objects, check_name
from asyncstore.drivers.oci.wire import PATIENCE, Request, document
from asyncstore.encryption import key_of
from asyncstore.errors import ConfigurationError, NotFoundError, StorageError, UnavailableError
from asyncstore.http.object_headers import without_object
from asyncstore.http.object_reply import required_header
from asyncstore.http.origin import encode_query
from asyncstore.options import CopyOptions, ReadOptions, WriteOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

# Seconds between two polls, which double.
_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 5.0

_MAX_ERRORS: Final = 100

# Of a work request that has not ended. https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequest
_UNDER_WAY: Final = frozenset({"ACCEPTED", "IN_PROGRESS", "CANCELING"})


class Copies(Objects):
    """
    Server-side copies, which a work request carries out.
    """

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> Pending[ObjectInfo]:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/CopyObject
        """
        check_name(target)
        details = await self._details(source, target, options)
        headers = write_headers(options.encryption or self._encryption)
        headers |= key_headers(options.source_encryption or self._encryption, "opc-source-")
        request = Request(
            "POST",
            source,
            "/actions/copyObject",
            headers=headers,
            body=document({name: value for name, value in details.items() if value is not None}),
            patience=PATIENCE,
        )
        reply = await self._wire.perform(request)
        return Pending(target, WorkRequest(source, required_header(reply, "opc-work-request-id"), options))

    async def advance(self, pending: Pending[Any]) -> Any:
        """
        Poll a copy; once it has ended, request the new object or the error.
        """
        work: WorkRequest = pending.state
        if work.status == "COMPLETED":
            # OCI does not report the ETag of the copy.
            with naming(pending.target):
                return await self.stat(pending.target, ReadOptions(encryption=key_of(work.options.encryption)))
        if work.status == "FAILED":
            error = await self._failure_of(work)
            if not isinstance(error, NotFoundError):
                return error
            return without_object(error, work.options.source_if_match, "ObjectNotFound")
        status, wait = await self._status_of(work)
        if status == "CANCELED":
            return UnavailableError("the work request of this copy was cancelled", provider="oci", retryable=False)
        if status in ("COMPLETED", "FAILED"):
            return replace(pending, state=replace(work, status=status), wait=0.0, stuck="")
        later = replace(work, status=status, wait=min(2 * work.wait, _LONGEST_WAIT))
        stuck = "" if status in _UNDER_WAY else f"the work request of this copy has the unknown status {status!r}"
        return replace(pending, state=later, wait=wait or work.wait, stuck=stuck)

    async def undo(self, pending: Pending[Any], error: BaseException) -> None:
        """
        Cancel a copy that is in progress.
        """
        work: WorkRequest = pending.state
        if work.status not in ("COMPLETED", "FAILED"):
            # It may have ended in the meantime; the error to raise is the original one.
            with suppress(StorageError):
                await self._cancel(work)

    async def _status_of(self, work: WorkRequest) -> tuple[str, float | None]:
        """
        Return the status of a work request, and the seconds to wait before the next poll.
        """
        reply, found = await self._wire.read_json(Request("GET", work.source, work.path, in_bucket=False))
        status = found.get("status") if isinstance(found, dict) else None
        if not isinstance(status, str):
            raise malformed(reply, "a work request")
        return status, reply.retry_after

    async def _cancel(self, work: WorkRequest) -> None:
        """
        Cancel a work request; one that has ended is an error.
        """
        await self._wire.perform(Request("DELETE", work.source, work.path, in_bucket=False))

    async def _failure_of(self, work: WorkRequest) -> StorageError:
        """
        Return why a work request failed.
        """
        query = encode_query([("limit", str(_MAX_ERRORS))])
        request = Request("GET", work.source, f"{work.path}/errors", query, in_bucket=False)
        reply, errors = await self._wire.read_json(request)
        first: Mapping[str, Any] = (
            errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        )
        return make_error(
            str(first["code"]) if first.get("code") else None,
            str(first.get("message") or "the work request failed without a message"),
            request_id=reply.request_id,
            create_only=work.options.if_none_match is not None,
        )

    async def _details(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> dict[str, Any]:
        endpoint = await self._wire.endpoint_of(target)
        if endpoint.region is None:
            raise ConfigurationError("a copy on OCI needs the name of the target region: set region=")
        details = {
            "sourceObjectName": source.key,
            "sourceVersionId": options.source_version_id,
            "sourceObjectIfMatchETag": options.source_if_match and bare(options.source_if_match),
            "destinationRegion": endpoint.region,
            "destinationNamespace": await self._wire.namespace_of(target),
            "destinationBucket": target.bucket,
            "destinationObjectName": target.key,
            "destinationObjectIfMatchETag": options.if_match and bare(options.if_match),
            "destinationObjectIfNoneMatchETag": options.if_none_match,
            # Otherwise it is that of the bucket.
            "destinationObjectStorageTier": options.storage_class,
        }
        return details if options.replace is None else {**details, **_replaced(options.replace)}


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """
    A copy in progress.

    Attributes:
        source: The region of the source carries out the copy.
        id: The work request.
        status: The status at the last poll; empty before the first.
        wait: Seconds until the next poll, if it is still in progress.
    """

    source: ObjectURI
    id: str
    options: CopyOptions
    status: str = ""
    wait: float = _FIRST_WAIT

    @property
    def path(self) -> str:
        """The path of the work request."""
        return f"/workRequests/{encode_segment(self.id)}"


def _replaced(new: WriteOptions) -> dict[str, Any]:
    # Capabilities.copy_replace is off: content headers cannot be replaced, and without
    # metadata the copy keeps that of its source.
    return {
        "destinationObjectMetadata": metadata_fields(new.metadata),
        "destinationObjectStorageTier": new.storage_class,
    }
