"""
Buckets and objects, in the XML API.

`Reference <https://cloud.google.com/storage/docs/xml-api/reference-methods>`_
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

from multidict import CIMultiDict

from asyncstore.testing.servers.gcs import conditions, encryption, writing
from asyncstore.testing.servers.gcs.buckets import check_name, remove
from asyncstore.testing.servers.gcs.calls import Call, Reply, whole_number, xml_reply
from asyncstore.testing.servers.gcs.errors import invalid
from asyncstore.testing.servers.gcs.media import media_reply
from asyncstore.testing.servers.gcs.resources import timestamp, xml_etag
from asyncstore.testing.servers.gcs.state import StoredObject
from asyncstore.testing.servers.gcs.world import World
from asyncstore.testing.servers.gcs.xml_text import document, element, parse

_SOURCE: Final = "x-goog-copy-source"


async def create_bucket(world: World, call: Call, bucket: str) -> Reply:
    """
    `PUT bucket <https://cloud.google.com/storage/docs/xml-api/put-bucket-create>`_.
    """
    check_name(bucket)
    body = await call.read()
    resource = {}
    if body.strip():
        requested = parse(body)
        names = {"LocationConstraint": "location", "StorageClass": "storageClass"}
        found = {field: requested.findtext(name) for name, field in names.items()}
        resource = {field: text.strip() for field, text in found.items() if text}
    world.add_bucket(bucket, resource)
    return Reply(200)


async def delete_bucket(world: World, bucket: str) -> Reply:
    """
    `DELETE bucket <https://cloud.google.com/storage/docs/xml-api/delete-bucket>`_.
    """
    remove(world, world.bucket(bucket))
    return Reply(204)


async def get_object(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `GET <https://cloud.google.com/storage/docs/xml-api/get-object-download>`_ and ``HEAD``.
    """
    stored = world.bucket(bucket).get(name, call.number("generation"))
    conditions.of_headers(call.headers).check(stored)
    etag = xml_etag(stored)
    conditions.check_http(call.headers, etag, stored.updated)
    encryption.check_key(stored, encryption.key_sha256(call.headers))
    reply = media_reply(stored, call.headers, etag)
    headers = CIMultiDict(reply.headers)
    headers["Accept-Ranges"] = "bytes"
    _split_hashes(headers)
    for key, value in stored.fields.get("metadata", {}).items():
        headers.add(f"x-goog-meta-{key}", value)
    for parameter in ("content-type", "content-disposition"):
        if f"response-{parameter}" in call.query:
            headers[parameter] = call.query[f"response-{parameter}"]
    reply.headers = headers
    return reply


async def put_object(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `PUT <https://cloud.google.com/storage/docs/xml-api/put-object-upload>`_: write bytes, or copy another object.
    """
    if "x-goog-copy-source" in call.headers:
        stored = _copied(world, call, bucket, name)
        parts = [element("ETag", xml_etag(stored)), element("LastModified", timestamp(stored.updated))]
        reply = xml_reply(document("CopyObjectResult", parts))
        headers = written_headers(stored)
        headers.extend(reply.headers)
        reply.headers = headers
        return reply
    planned = writing.of_headers(world, call, bucket, name)
    content = await writing.receive(call.body)
    return Reply(200, written_headers(world.write(planned, content)))


async def delete_object(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `DELETE <https://cloud.google.com/storage/docs/xml-api/delete-object>`_.
    """
    found = world.bucket(bucket)
    generation = call.number("generation")
    stored = found.get(name, generation)
    conditions.of_headers(call.headers).check(stored)
    stored.check_not_held()
    found.delete(name, generation)
    return Reply(204)


def _copied(world: World, call: Call, bucket: str, name: str) -> StoredObject:
    """
    Copy the source object in the headers: `x-goog-copy-source
    <https://cloud.google.com/storage/docs/xml-api/put-object-copy>`_.
    """
    source = _source(world, call)
    planned = writing.of_headers(world, call, bucket, name)
    directive = call.headers.get("x-goog-metadata-directive", "COPY").upper()
    if directive not in ("COPY", "REPLACE"):
        raise invalid("Unknown metadata directive.", "x-goog-metadata-directive")
    if directive == "COPY":
        own: dict[str, Any] = {
            key: planned.fields[key] for key in ("storageClass", "kmsKeyName") if key in planned.fields
        }
        planned = replace(planned, fields={**source.fields, **own})
    return world.write(planned, source.content, component_count=source.component_count)


def _source(world: World, call: Call) -> StoredObject:
    path = unquote(call.headers[_SOURCE].removeprefix("/"))
    bucket, _, name = path.partition("/")
    generation = whole_number(call.headers.get(f"{_SOURCE}-generation"), f"{_SOURCE}-generation")
    source = world.bucket(bucket).get(name, generation)
    conditions.of_headers(call.headers, f"{_SOURCE}-if-").check(source)
    conditions.check_http(call.headers, xml_etag(source), source.updated, f"{_SOURCE}-")
    encryption.check_key(source, encryption.key_sha256(call.headers, source=True))
    return source


def written_headers(stored: StoredObject) -> CIMultiDict[str]:
    """
    Return the headers of the reply to a write.
    """
    headers = CIMultiDict(
        {
            "ETag": xml_etag(stored),
            "X-Goog-Generation": str(stored.generation),
            "X-Goog-Metageneration": str(stored.metageneration),
            "X-Goog-Stored-Content-Encoding": stored.fields.get("contentEncoding", "identity"),
            "X-Goog-Stored-Content-Length": str(stored.content.size),
            "X-Goog-Storage-Class": stored.fields.get("storageClass", "STANDARD"),
            "X-Goog-Hash": f"crc32c={stored.content.crc32c_text}",
        }
    )
    if stored.content.md5_text is not None:
        headers.add("X-Goog-Hash", f"md5={stored.content.md5_text}")
    return headers


def _split_hashes(headers: CIMultiDict[str]) -> None:
    # The XML API sends one header line per hash.
    for one in headers.popall("X-Goog-Hash")[0].split(","):
        headers.add("X-Goog-Hash", one)
