"""
Objects, in the XML API.

`Reference <https://cloud.google.com/storage/docs/xml-api/reference-methods>`_
"""

from __future__ import annotations

from multidict import CIMultiDict

from asyncstore.testing.servers.gcs import conditions, encryption, writing
from asyncstore.testing.servers.gcs.calls import Call, Reply, xml_reply
from asyncstore.testing.servers.gcs.media import media_reply
from asyncstore.testing.servers.gcs.objects import check_holds
from asyncstore.testing.servers.gcs.resources import timestamp, xml_etag
from asyncstore.testing.servers.gcs.world import StoredObject, World
from asyncstore.testing.servers.gcs.xml_copies import copied
from asyncstore.testing.servers.gcs.xml_text import document, element


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
    `PUT <https://cloud.google.com/storage/docs/xml-api/put-object-upload>`_, of bytes or of another object.
    """
    if "x-goog-copy-source" in call.headers:
        stored = copied(world, call, bucket, name)
        parts = [element("ETag", xml_etag(stored)), element("LastModified", timestamp(stored.updated))]
        reply = xml_reply(document("CopyObjectResult", parts))
        headers = written_headers(stored)
        headers.extend(reply.headers)
        reply.headers = headers
        return reply
    planned = writing.of_headers(world, call, bucket, name)
    content = await writing.receive(call.body)
    return Reply(200, written_headers(planned.commit(world, content)))


async def delete_object(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `DELETE <https://cloud.google.com/storage/docs/xml-api/delete-object>`_.
    """
    found = world.bucket(bucket)
    generation = call.number("generation")
    stored = found.get(name, generation)
    conditions.of_headers(call.headers).check(stored)
    check_holds(stored)
    found.delete(name, generation)
    return Reply(204)


def written_headers(stored: StoredObject) -> CIMultiDict[str]:
    """
    Return what is said of an object that has been written.
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
    # This API sends a line for each.
    for one in headers.popall("X-Goog-Hash")[0].split(","):
        headers.add("X-Goog-Hash", one)
