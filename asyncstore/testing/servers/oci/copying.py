"""
CopyObject: the source is checked at once; a work request does the rest.

See https://docs.oracle.com/iaas/Content/Object/Tasks/copyingobjects.htm
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from asyncstore.testing.servers.oci.call import Call, Reply, required
from asyncstore.testing.servers.oci.conditions import check_match, check_write
from asyncstore.testing.servers.oci.encryption import check_customer_key, customer_key
from asyncstore.testing.servers.oci.errors import ServiceError, bucket_not_found, object_not_found
from asyncstore.testing.servers.oci.naming import METADATA_PREFIX, check_object_name, checked_metadata, tier_or
from asyncstore.testing.servers.oci.objects import check_restored
from asyncstore.testing.servers.oci.state import Bucket, Version, WorkRequest, new_id
from asyncstore.testing.servers.oci.store import Store


async def copy_object(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/CopyObject
    """
    details = await call.details()
    source = call.found(required(details, "sourceObjectName"), details.get("sourceVersionId"))
    if "sourceObjectIfMatchETag" in details:
        check_match(source.etag, details["sourceObjectIfMatchETag"])
    check_customer_key(call.headers, source.customer_key, "opc-source-sse-customer")
    check_restored(source, call.now)
    for name in ("destinationNamespace", "destinationBucket"):
        required(details, name)
    check_object_name(required(details, "destinationObjectName"))
    target = _region(call.store, required(details, "destinationRegion"))
    request = WorkRequest(
        accepted=call.now,
        compartment=str(call.bucket.details["compartmentId"]),
        polls_left=call.store.copy_polls,
        work=_work(call, source, target, details),
        resources=_resources(call, source, details),
    )
    if call.store.copy_failures:
        code, message = call.store.copy_failures.popleft()
        request.work = _failing(code, message)
    call.store.work_requests[request.request_id] = request
    if not request.polls_left:
        request.carry_out(call.now)
    return Reply(202, {"opc-work-request-id": request.request_id})


def _region(store: Store, region: str) -> Store:
    if region == store.region:
        return store
    if region not in store.other_regions:
        raise ServiceError(400, "InvalidRegion", f"Objects cannot be copied to the region '{region}' from here")
    return store.other_regions[region]


def _work(call: Call, source: Version, target: Store, details: Mapping[str, Any]) -> Callable[[float], None]:
    bucket = call.bucket
    changes = {
        "name": details["destinationObjectName"],
        "headers": _headers(source, details),
        "customer_key": customer_key(call.headers),
        "kms_key": call.headers.get("opc-sse-kms-key-id"),
    }
    tier = details.get("destinationObjectStorageTier")
    tier_or(tier, "")

    def work(now: float) -> None:
        _check_unchanged(bucket, source, call.namespace)
        to = _bucket(target, details["destinationNamespace"], details["destinationBucket"])
        existing = to.current(changes["name"])
        check_write(
            existing.etag if existing else None,
            details.get("destinationObjectIfMatchETag"),
            details.get("destinationObjectIfNoneMatchETag"),
        )
        to.store(
            replace(
                source,
                **changes,
                tier=tier_or(tier, to.tier),
                created=now,
                modified=now,
                etag=new_id(),
                version_id=new_id(),
                restoring_until=0.0,
                restored_until=0.0,
            )
        )

    return work


def _check_unchanged(bucket: Bucket, source: Version, namespace: str) -> None:
    # "If the object's ETag value changes after the copy work request is created, but before
    # the copy operation is run, the copy operation doesn't complete."
    version = bucket.version(source.name, source.version_id)
    if version is None:
        raise object_not_found(source.name, bucket.name, namespace)


def _bucket(store: Store, namespace: str, name: str) -> Bucket:
    if namespace != store.namespace or name not in store.buckets:
        raise bucket_not_found(name, namespace)
    return store.buckets[name]


def _headers(source: Version, details: Mapping[str, Any]) -> dict[str, str]:
    metadata = details.get("destinationObjectMetadata")
    if not metadata:
        return dict(source.headers)
    kept = {name: value for name, value in source.headers.items() if not name.startswith(METADATA_PREFIX)}
    return {**kept, **checked_metadata(metadata)}


def _resources(call: Call, source: Version, details: Mapping[str, Any]) -> list[dict[str, Any]]:
    read = (call.store.region, call.namespace, call.bucket.name, source.name)
    names = ("destinationRegion", "destinationNamespace", "destinationBucket", "destinationObjectName")
    return [_resource("READ", *read), _resource("WRITTEN", *(str(details[name]) for name in names))]


def _resource(action: str, region: str, namespace: str, bucket: str, name: str) -> dict[str, Any]:
    return {
        "actionType": action,
        "entityType": "object",
        "identifier": f"/n/{namespace}/b/{bucket}/o/{name}",
        "entityUri": f"/n/{namespace}/b/{bucket}/o/{name}",
        "metadata": {"REGION": region, "NAMESPACE": namespace, "BUCKET": bucket, "OBJECT": name},
    }


def _failing(code: str, message: str) -> Callable[[float], None]:
    def work(_: float) -> None:
        raise ServiceError(500, code, message)

    return work
