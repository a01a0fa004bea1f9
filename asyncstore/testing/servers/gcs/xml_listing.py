"""
Listings, in the XML API: buckets, objects, multipart uploads and their parts.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from asyncstore.testing.servers.gcs.calls import Call, Reply, xml_reply
from asyncstore.testing.servers.gcs.listing import MAX_PAGE, Listing, Page, decoded_token, list_page
from asyncstore.testing.servers.gcs.pending import MultipartUpload
from asyncstore.testing.servers.gcs.resources import timestamp, xml_etag
from asyncstore.testing.servers.gcs.state import StoredObject
from asyncstore.testing.servers.gcs.world import World
from asyncstore.testing.servers.gcs.xml_multipart import find_upload
from asyncstore.testing.servers.gcs.xml_text import NAMESPACE, document, element, group

_SAFE: Final = "/"


async def list_buckets(world: World) -> Reply:
    """
    `GET service <https://cloud.google.com/storage/docs/xml-api/get-service>`_.
    """
    buckets = (
        group("Bucket", [element("Name", bucket.name), element("CreationDate", timestamp(bucket.created))])
        for bucket in sorted(world.buckets.values(), key=lambda bucket: bucket.name)
    )
    return xml_reply(document("ListAllMyBucketsResult", [group("Buckets", buckets)], NAMESPACE))


async def list_objects(world: World, call: Call, bucket: str) -> Reply:
    """
    `GET bucket <https://cloud.google.com/storage/docs/xml-api/get-bucket-list>`_, version 1 or 2.
    """
    found = world.bucket(bucket)
    second = call.query.get("list-type") == "2"
    listing = Listing(
        prefix=call.query.get("prefix", ""),
        delimiter=call.query.get("delimiter", ""),
        after=_after(call, second=second),
        limit=_limit(call, "max-keys"),
    )
    page = list_page(found, listing) if listing.limit else Page()
    versioned = _version_2 if second else _version_1
    parts = [*_echo(call, bucket, listing), *versioned(call, page), *_entries(call, page)]
    return xml_reply(document("ListBucketResult", parts, NAMESPACE))


async def list_uploads(world: World, call: Call, bucket: str) -> Reply:
    """
    `List unfinished multipart uploads <https://cloud.google.com/storage/docs/xml-api/get-bucket-uploads>`_.
    """
    world.bucket(bucket)
    after = (call.query.get("key-marker", ""), call.query.get("upload-id-marker", ""))
    prefix, limit = call.query.get("prefix", ""), _limit(call, "max-uploads")
    unfinished = sorted(
        (upload for upload in world.multipart.values() if upload.planned.bucket == bucket), key=_position
    )
    found = [one for one in unfinished if one.planned.name.startswith(prefix) and _is_after(one, after)]
    shown, truncated = found[:limit], len(found) > limit
    parts = [element("Bucket", bucket), element("Prefix", prefix), element("MaxUploads", limit)]
    parts.append(element("IsTruncated", str(truncated).lower()))
    if truncated and shown:
        parts.append(element("NextKeyMarker", shown[-1].planned.name))
        parts.append(element("NextUploadIdMarker", shown[-1].upload_id))
    return xml_reply(document("ListMultipartUploadsResult", [*parts, *map(_upload, shown)]))


async def list_parts(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `List parts <https://cloud.google.com/storage/docs/xml-api/get-object-multipart>`_ of an upload.
    """
    upload = find_upload(world, call, bucket, name)
    after, limit = call.number("part-number-marker") or 0, _limit(call, "max-parts")
    found = sorted((number, part) for number, part in upload.parts.items() if number > after)
    shown, truncated = found[:limit], len(found) > limit
    parts = [element("Bucket", bucket), element("Key", name), element("UploadId", upload.upload_id)]
    parts += [element("PartNumberMarker", after), element("MaxParts", limit)]
    parts.append(element("IsTruncated", str(truncated).lower()))
    if truncated and shown:
        parts.append(element("NextPartNumberMarker", shown[-1][0]))
    for number, part in shown:
        described = [element("PartNumber", number), element("LastModified", timestamp(part.modified))]
        parts.append(group("Part", [*described, element("ETag", part.etag), element("Size", part.content.size)]))
    return xml_reply(document("ListPartsResult", parts))


def _after(call: Call, *, second: bool) -> str:
    if not second:
        return call.query.get("marker", "")
    token = call.query.get("continuation-token", "")
    return decoded_token(token, "continuation-token") or call.query.get("start-after", "")


def _limit(call: Call, name: str) -> int:
    limit = call.number(name)
    return MAX_PAGE if limit is None else min(limit, MAX_PAGE)


def _echo(call: Call, bucket: str, listing: Listing) -> list[str]:
    parts = [element("Name", bucket), element("Prefix", _text(call, listing.prefix)), element("MaxKeys", listing.limit)]
    if listing.delimiter:
        parts.append(element("Delimiter", _text(call, listing.delimiter)))
    if "encoding-type" in call.query:
        parts.append(element("EncodingType", call.query["encoding-type"]))
    return parts


def _version_1(call: Call, page: Page) -> list[str]:
    parts = [element("Marker", _text(call, call.query.get("marker", "")))]
    parts.append(element("IsTruncated", str(page.after is not None).lower()))
    if page.after is not None:
        parts.append(element("NextMarker", _text(call, page.after)))
    return parts


def _version_2(_: Call, page: Page) -> list[str]:
    parts = [element("KeyCount", len(page.items) + len(page.prefixes))]
    parts.append(element("IsTruncated", str(page.after is not None).lower()))
    if page.after is not None:
        token = base64.urlsafe_b64encode(page.after.encode()).decode()
        parts.append(element("NextContinuationToken", token))
    return parts


def _entries(call: Call, page: Page) -> Iterator[str]:
    for item in page.items:
        yield group("Contents", [element("Key", _text(call, item.name)), *_item(item)])
    for prefix in page.prefixes:
        yield group("CommonPrefixes", [element("Prefix", _text(call, prefix))])


def _item(item: StoredObject) -> list[str]:
    return [
        element("Generation", item.generation),
        element("MetaGeneration", item.metageneration),
        element("LastModified", timestamp(item.updated)),
        element("ETag", xml_etag(item)),
        element("Size", item.content.size),
    ]


def _text(call: Call, text: str) -> str:
    return quote(text, safe=_SAFE) if call.query.get("encoding-type") == "url" else text


def _position(upload: MultipartUpload) -> tuple[str, str]:
    return upload.planned.name, upload.upload_id


def _is_after(upload: MultipartUpload, after: tuple[str, str]) -> bool:
    key, upload_id = after
    if not upload_id:
        return upload.planned.name > key
    return upload.planned.name > key or (upload.planned.name == key and upload.upload_id > upload_id)


def _upload(upload: MultipartUpload) -> str:
    described = [element("Key", upload.planned.name), element("UploadId", upload.upload_id)]
    described.append(element("StorageClass", upload.planned.fields.get("storageClass", "STANDARD")))
    return group("Upload", [*described, element("Initiated", timestamp(upload.initiated))])
