"""
The JSON API's representation of objects and buckets.

`Objects <https://cloud.google.com/storage/docs/json_api/v1/objects#resource>`_ ·
`Buckets <https://cloud.google.com/storage/docs/json_api/v1/buckets#resource>`_
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from asyncstore.testing.servers.gcs.state import Bucket, StoredObject


def object_resource(stored: StoredObject, base_url: str, *, hashes: bool = True) -> dict[str, Any]:
    """
    Return the resource of an object.

    Args:
        hashes: Include checksums. Leave them out if the request lacks the object's encryption key.
    """
    path = f"storage/v1/b/{quote(stored.bucket, safe='')}/o/{quote(stored.name, safe='')}"
    content = stored.content
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{base_url}/{path}",
        "mediaLink": f"{base_url}/download/{path}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        "size": str(content.size),
        "etag": object_etag(stored),
        "timeCreated": timestamp(stored.created),
        "updated": timestamp(stored.updated),
        "timeStorageClassUpdated": timestamp(stored.created),
        "timeFinalized": timestamp(stored.created),
        **stored.fields,
    }
    if hashes:
        resource["crc32c"] = content.crc32c_text
        if content.md5_text is not None:
            resource["md5Hash"] = content.md5_text
    if stored.component_count is not None:
        resource["componentCount"] = stored.component_count
    if stored.key_sha256 is not None:
        resource["customerEncryption"] = {"encryptionAlgorithm": "AES256", "keySha256": stored.key_sha256}
    times = (("timeDeleted", stored.deleted), ("softDeleteTime", stored.soft_deleted))
    resource |= {name: timestamp(value) for name, value in times if value is not None}
    if stored.hard_delete_time is not None:
        resource["hardDeleteTime"] = timestamp(stored.hard_delete_time)
    return resource


def bucket_resource(bucket: Bucket, base_url: str) -> dict[str, Any]:
    """
    Return the resource of a bucket.
    """
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{base_url}/storage/v1/b/{quote(bucket.name, safe='')}",
        "projectNumber": "0",
        "location": "US",
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        **bucket.resource,
        "name": bucket.name,
        "metageneration": str(bucket.metageneration),
        "etag": _etag(bucket.metageneration, bucket.metageneration),
        "timeCreated": timestamp(bucket.created),
        "updated": timestamp(bucket.updated),
    }


def object_etag(stored: StoredObject) -> str:
    """
    Return the JSON API's ETag: opaque, and different after each metadata change.
    """
    return _etag(stored.generation, stored.metageneration)


def xml_etag(stored: StoredObject) -> str:
    """
    Return the XML API's ETag: the MD5, or an opaque value if the object has no MD5.
    """
    md5 = stored.content.md5
    return f'"{md5.hex()}"' if md5 is not None and stored.key_sha256 is None else f'"-{object_etag(stored)}"'


def timestamp(seconds: float) -> str:
    """
    Return a time in RFC 3339 format.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _etag(generation: int, metageneration: int) -> str:
    return base64.b64encode(b"\x08" + _varint(generation) + b"\x10" + _varint(metageneration)).decode()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
