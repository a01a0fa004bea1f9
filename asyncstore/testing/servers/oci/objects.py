"""
GetObject, HeadObject, PutObject and DeleteObject.
"""

from __future__ import annotations

import re
from typing import Final

from asyncstore.testing.servers.oci.call import Call, Reply, http_date
from asyncstore.testing.servers.oci.conditions import check_match, check_read, check_write
from asyncstore.testing.servers.oci.content import Content
from asyncstore.testing.servers.oci.encryption import check_customer_key, customer_key
from asyncstore.testing.servers.oci.errors import ServiceError, object_not_found
from asyncstore.testing.servers.oci.naming import check_object_name, tier_or, user_headers
from asyncstore.testing.servers.oci.receiving import Body, encoded
from asyncstore.testing.servers.oci.state import Bucket, Version

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")

# Parameters of GetObject that replace headers of its reply.
OVERRIDES: Final = {
    "httpResponseContentDisposition": "content-disposition",
    "httpResponseCacheControl": "cache-control",
    "httpResponseContentType": "content-type",
    "httpResponseContentLanguage": "content-language",
    "httpResponseContentEncoding": "content-encoding",
    "httpResponseExpires": "expires",
}


async def get_object(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/GetObject
    """
    version = call.found(call.names["object"], call.query.get("versionId"))
    if _is_not_modified(call, version):
        return Reply(304, _identity(version))
    check_customer_key(call.headers, version.customer_key)
    check_restored(version, call.now)
    headers = describe(version, call.now)
    headers.update({header: call.query[name] for name, header in OVERRIDES.items() if name in call.query})
    size = version.content.size
    span = _parse_range(call.headers.get("range"), size)
    if span is None:
        return Reply(200, headers, content=version.content, span=(0, size))
    headers["content-range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
    return Reply(206, headers, content=version.content, span=span)


async def head_object(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/HeadObject
    """
    version = call.found(call.names["object"], call.query.get("versionId"))
    if _is_not_modified(call, version):
        return Reply(304, _identity(version))
    check_customer_key(call.headers, version.customer_key)
    return Reply(200, describe(version, call.now), content=version.content, span=(0, version.content.size))


async def put_object(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/PutObject
    """
    bucket, name = call.bucket, call.names["object"]
    check_object_name(name)
    headers, key = user_headers(call.headers), customer_key(call.headers)
    tier = tier_or(call.headers.get("storage-tier"), bucket.tier)
    # Before the body, which a client may hold back until then, and again after it:
    # another request may have written the object meanwhile.
    check_write_to(bucket, name, call)
    body = await call.body()
    check_write_to(bucket, name, call)
    version = Version(
        name=name,
        content=Content((body.data,)),
        created=call.now,
        digests={"content-md5": encoded(body.md5), **body_checksum(body)},
        headers=headers,
        tier=tier,
        customer_key=key,
        kms_key=call.headers.get("opc-sse-kms-key-id"),
    )
    bucket.store(version)
    return Reply(200, {**write_reply_headers(version), "opc-content-md5": encoded(body.md5), **body_checksum(body)})


async def delete_object(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/DeleteObject
    """
    bucket, name, version_id = call.bucket, call.names["object"], call.query.get("versionId")
    version = bucket.current(name) if version_id is None else bucket.version(name, version_id)
    if version is None:
        raise object_not_found(name, bucket.name, call.namespace)
    if "if-match" in call.headers:
        check_match(version.etag, call.headers["if-match"])
    if version_id is None:
        version = bucket.delete(name, call.now) or version
    else:
        bucket.remove_version(version)
    return Reply(204, {"version-id": version.version_id, "last-modified": http_date(call.now)})


def check_write_to(bucket: Bucket, name: str, call: Call) -> None:
    """
    Check the conditional headers against the current object *name*.
    """
    existing = bucket.current(name)
    check_write(existing.etag if existing else None, call.headers.get("if-match"), call.headers.get("if-none-match"))


def check_restored(version: Version, now: float) -> None:
    """
    Refuse to read an archived object that has not been restored.
    """
    if version.archival_state(now) in ("Archived", "Restoring"):
        raise ServiceError(409, "NotRestored", f"The object '{version.name}' is archived and has not been restored")


def write_reply_headers(version: Version) -> dict[str, str]:
    """
    Return the headers of a reply to a write.
    """
    return {**_identity(version), "last-modified": http_date(version.modified)}


def describe(version: Version, now: float) -> dict[str, str]:
    """
    Return the headers that describe an object.
    """
    state = version.archival_state(now)
    archival = {} if state is None else {"archival-state": state}
    if state == "Restored":
        archival["time-of-archival"] = http_date(version.restored_until)
    kms = {} if version.kms_key is None else {"opc-sse-kms-key-id": version.kms_key}
    return {
        **version.headers,
        **version.digests,
        **write_reply_headers(version),
        **archival,
        **kms,
        "storage-tier": version.tier,
        "accept-ranges": "bytes",
    }


def body_checksum(body: Body) -> dict[str, str]:
    """
    Return the header with the additional checksum, if the request selected one.
    """
    if body.algorithm is None or body.checksum is None:
        return {}
    return {f"opc-content-{body.algorithm.lower()}": encoded(body.checksum)}


def _is_not_modified(call: Call, version: Version) -> bool:
    return check_read(version.etag, call.headers.get("if-match"), call.headers.get("if-none-match"))


def _identity(version: Version) -> dict[str, str]:
    return {"etag": version.etag, "version-id": version.version_id}


def _parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """
    Return the start (included) and stop (excluded) of a range; ``None`` without a range.

    See https://www.rfc-editor.org/rfc/rfc7233#section-2.1

    Raises:
        ServiceError: 416 if the range holds no byte, 400 for several ranges.
    """
    if header is None:
        return None
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        raise ServiceError(400, "InvalidRange", f"'{header}' is not a byte range; only a single range is supported")
    first, last = found.groups()
    if first and last and int(last) < int(first):
        raise ServiceError(400, "InvalidRange", f"'{header}' ends before it starts")
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise ServiceError(
            416, "InvalidRange", "The range holds no byte of the object", {"Content-Range": f"bytes */{size}"}
        )
    return start, stop
