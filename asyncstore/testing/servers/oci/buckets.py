"""
The namespace and its buckets.
"""

from __future__ import annotations

from typing import Any, Final

from asyncstore.testing.servers.oci.call import Call, Reply, required, timestamp
from asyncstore.testing.servers.oci.conditions import check_match
from asyncstore.testing.servers.oci.errors import ServiceError, invalid_parameter
from asyncstore.testing.servers.oci.naming import check_bucket_name
from asyncstore.testing.servers.oci.paging import page
from asyncstore.testing.servers.oci.state import STANDARD, Bucket, new_id

#: The compartment of buckets that a test creates directly on the server.
DEFAULT_COMPARTMENT: Final = "ocid1.compartment.oc1..standin"

_SUMMARY: Final = ("namespace", "name", "compartmentId", "createdBy", "timeCreated", "etag")


async def get_namespace(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Namespace/GetNamespace
    """
    return Reply(200, body=call.store.namespace)


async def get_namespace_metadata(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Namespace/GetNamespaceMetadata
    """
    names = ("defaultS3CompartmentId", "defaultSwiftCompartmentId")
    return Reply(200, body={"namespace": call.namespace, **dict.fromkeys(names, DEFAULT_COMPARTMENT)})


async def create_bucket(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Bucket/CreateBucket
    """
    namespace, details = call.namespace, await call.details()
    name = required(details, "name")
    check_bucket_name(name)
    if not details.get("compartmentId"):
        raise ServiceError(400, "MissingCompartmentId", "compartmentId is required")
    if name in call.store.buckets:
        raise ServiceError(
            409, "BucketAlreadyExists", f"The bucket '{name}' already exists in the namespace '{namespace}'"
        )
    bucket = Bucket(name=name, created=call.now, created_by=call.caller, details=details)
    call.store.buckets[name] = bucket
    headers = {"etag": bucket.etag, "location": f"/n/{namespace}/b/{name}"}
    return Reply(200, headers, describe(call, bucket))


async def list_buckets(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Bucket/ListBuckets
    """
    _ = call.namespace
    if "compartmentId" not in call.query:
        raise ServiceError(400, "MissingCompartmentId", "compartmentId is required")
    chosen = [
        (name, {key: described[key] for key in _SUMMARY})
        for name, bucket in sorted(call.store.buckets.items())
        if (described := describe(call, bucket))["compartmentId"] == call.query["compartmentId"]
    ]
    entries, headers = page(chosen, call.query)
    return Reply(200, headers, entries)


async def get_bucket(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Bucket/GetBucket
    """
    bucket = call.bucket
    if call.headers.get("if-none-match") == bucket.etag:
        return Reply(304, {"etag": bucket.etag})
    _check_match(call, bucket)
    return Reply(200, {"etag": bucket.etag}, {**describe(call, bucket), **_approximately(call, bucket)})


def _approximately(call: Call, bucket: Bucket) -> dict[str, int]:
    requested = [name.strip() for name in call.query.get("fields", "").split(",") if name.strip()]
    versions = [version for name in bucket.names() for version in bucket.versions(name)]
    known = {
        "approximateCount": len(versions),
        "approximateSize": sum(version.content.size for version in versions),
    }
    if unknown := [name for name in requested if name not in known]:
        raise invalid_parameter(f"'{unknown[0]}' is not a field that the stand-in has")
    return {name: known[name] for name in requested}


async def head_bucket(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Bucket/HeadBucket
    """
    bucket = call.bucket
    _check_match(call, bucket)
    return Reply(200, {"etag": bucket.etag})


async def update_bucket(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Bucket/UpdateBucket
    """
    details = await call.details()
    bucket = call.bucket
    _check_match(call, bucket)
    bucket.details.update({name: value for name, value in details.items() if name not in ("name", "namespace")})
    bucket.etag = new_id()
    return Reply(200, {"etag": bucket.etag}, describe(call, bucket))


async def delete_bucket(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Bucket/DeleteBucket
    """
    bucket = call.bucket
    _check_match(call, bucket)
    if not bucket.is_empty:
        raise ServiceError(409, "BucketNotEmpty", f"The bucket '{bucket.name}' is not empty. Delete all objects first.")
    if bucket.requests:
        raise ServiceError(
            409, "PreauthenticatedRequestStillExists", f"The bucket '{bucket.name}' has pre-authenticated requests"
        )
    del call.store.buckets[bucket.name]
    return Reply(204)


def describe(call: Call, bucket: Bucket) -> dict[str, Any]:
    """
    Return the JSON representation of a bucket.
    """
    return {
        "publicAccessType": "NoPublicAccess",
        "storageTier": STANDARD,
        "versioning": "Disabled",
        "metadata": {},
        **bucket.details,
        "namespace": call.namespace,
        "name": bucket.name,
        "createdBy": bucket.created_by,
        "timeCreated": timestamp(bucket.created),
        "etag": bucket.etag,
    }


def _check_match(call: Call, bucket: Bucket) -> None:
    if "if-match" in call.headers:
        check_match(bucket.etag, call.headers["if-match"])
