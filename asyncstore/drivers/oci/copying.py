"""
Copies made by OCI itself, in a region or to another: a work request that is waited for.

https://docs.oracle.com/iaas/Content/Object/Tasks/copyingobjects.htm
"""

from __future__ import annotations

from typing import Any

from asyncstore.drivers.oci.headers import bare, metadata_fields
from asyncstore.drivers.oci.objects import check_name, stat, without_object
from asyncstore.drivers.oci.settings import OCISettings
from asyncstore.drivers.oci.wire import PATIENCE, Request, Wire, document
from asyncstore.drivers.oci.work_requests import wait_for
from asyncstore.errors import ConfigurationError, NotFoundError, UnavailableError
from asyncstore.options import CopyOptions, ReadOptions, WriteOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI


async def copy(
    wire: Wire, settings: OCISettings, source: ObjectURI, target: ObjectURI, options: CopyOptions
) -> ObjectInfo:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/CopyObject
    """
    check_name(target)
    details = await _details(wire, source, target, options)
    headers = settings.encryption_headers() | settings.key_headers("opc-source-")
    request = Request(
        "POST",
        source,
        "/actions/copyObject",
        headers=headers,
        document=document({name: value for name, value in details.items() if value is not None}),
        patience=PATIENCE,
    )
    reply = await wire.send(request)
    await reply.read_error()
    work_request = reply.headers.get("opc-work-request-id")
    if not work_request:
        raise UnavailableError("the reply names no work request", request_id=reply.request_id)
    try:
        await wait_for(wire, source, work_request, create_only=options.if_none_match is not None)
    except NotFoundError as exc:
        raise without_object(exc, options.source_if_match) from None
    # Nowhere does it say what the copy's ETag is.
    return await stat(wire, settings, target, ReadOptions())


async def _details(wire: Wire, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> dict[str, Any]:
    endpoint = wire.addresses.known(target) or await wire.addresses.find(target)
    if endpoint.region is None:
        raise ConfigurationError("OCI copies to a region that is named: give region=")
    details = {
        "sourceObjectName": source.key,
        "sourceVersionId": options.source_version_id,
        "sourceObjectIfMatchETag": options.source_if_match and bare(options.source_if_match),
        "destinationRegion": endpoint.region,
        "destinationNamespace": await wire.namespace_of(target),
        "destinationBucket": target.bucket,
        "destinationObjectName": target.key,
        "destinationObjectIfMatchETag": options.if_match and bare(options.if_match),
        "destinationObjectIfNoneMatchETag": options.if_none_match,
    }
    return details if options.replace is None else {**details, **_replaced(options.replace)}


def _replaced(new: WriteOptions) -> dict[str, Any]:
    # Content headers cannot be replaced, and to give no metadata keeps the source's:
    # Capabilities.copy_replace is off.
    return {
        "destinationObjectMetadata": metadata_fields(new.metadata),
        "destinationObjectStorageTier": new.storage_class,
    }
