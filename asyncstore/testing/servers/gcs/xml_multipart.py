"""
Multipart uploads, in the XML API.

`Multipart uploads <https://cloud.google.com/storage/docs/multipart-uploads>`_
do not support preconditions, and the object has a CRC32C but no MD5.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from multidict import CIMultiDict

from asyncstore.testing.servers.gcs import encryption, hashes, writing
from asyncstore.testing.servers.gcs.calls import Call, Reply, xml_reply
from asyncstore.testing.servers.gcs.content import joined
from asyncstore.testing.servers.gcs.errors import ServiceError, invalid, no_such_upload
from asyncstore.testing.servers.gcs.pending import MultipartUpload, Part
from asyncstore.testing.servers.gcs.resources import xml_etag
from asyncstore.testing.servers.gcs.world import World
from asyncstore.testing.servers.gcs.xml_text import document, element, malformed, parse

#: https://cloud.google.com/storage/quotas#requests
_MIN_PART: Final = 5 * 1024 * 1024
_MAX_PARTS: Final = 10_000
_CONDITIONS: Final = ("x-goog-if-generation-match", "x-goog-if-metageneration-match", "if-match", "if-none-match")


async def initiate(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `Initiate <https://cloud.google.com/storage/docs/xml-api/post-object-multipart>`_ an upload.
    """
    _refuse_conditions(call)
    upload = MultipartUpload(uuid.uuid4().hex, writing.of_headers(world, call, bucket, name), time.time())
    world.multipart[upload.upload_id] = upload
    parts = [element("Bucket", bucket), element("Key", name), element("UploadId", upload.upload_id)]
    return xml_reply(document("InitiateMultipartUploadResult", parts))


async def upload_part(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `Upload <https://cloud.google.com/storage/docs/xml-api/put-object-multipart>`_ a part.
    """
    _refuse_conditions(call)
    number = _part_number(call)
    upload = find_upload(world, call, bucket, name)
    _check_key(upload, call)
    content = await writing.receive(call.body)
    hashes.of_body(call.headers).check(content)
    # Another request may have completed or aborted the upload meanwhile.
    find_upload(world, call, bucket, name)
    part = upload.parts[number] = Part(content, time.time())
    headers = CIMultiDict({"ETag": part.etag, "X-Goog-Hash": f"crc32c={content.crc32c_text}"})
    headers.add("X-Goog-Hash", f"md5={content.md5_text}")
    return Reply(200, headers)


async def complete(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `Complete <https://cloud.google.com/storage/docs/xml-api/post-object-complete>`_ an upload.
    """
    _refuse_conditions(call)
    body = await call.read()
    upload = find_upload(world, call, bucket, name)
    _check_key(upload, call)
    parts = _chosen(upload, body)
    stored = world.write(upload.planned, joined([part.content for part in parts]))
    del world.multipart[upload.upload_id]
    reply = xml_reply(
        document(
            "CompleteMultipartUploadResult",
            [
                element("Location", f"{call.base_url}{call.path}"),
                element("Bucket", bucket),
                element("Key", name),
                element("ETag", xml_etag(stored)),
            ],
        )
    )
    reply.headers.update(
        {
            "X-Goog-Generation": str(stored.generation),
            "X-Goog-Metageneration": str(stored.metageneration),
            "X-Goog-Hash": f"crc32c={stored.content.crc32c_text}",
        }
    )
    return reply


async def abort(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    `Abort <https://cloud.google.com/storage/docs/xml-api/delete-multipart>`_ an upload.
    """
    upload = find_upload(world, call, bucket, name)
    del world.multipart[upload.upload_id]
    return Reply(204)


def find_upload(world: World, call: Call, bucket: str, name: str) -> MultipartUpload:
    """
    Return the upload that a request names.

    Raises:
        ServiceError: It does not exist, or belongs to another object.
    """
    world.bucket(bucket)
    upload = world.multipart.get(call.query["uploadId"])
    if upload is None or (upload.planned.bucket, upload.planned.name) != (bucket, name):
        raise no_such_upload()
    return upload


def _part_number(call: Call) -> int:
    number = call.number("partNumber")
    if number is None or not 1 <= number <= _MAX_PARTS:
        raise invalid(f"Part number must be an integer between 1 and {_MAX_PARTS}, inclusive.", "partNumber")
    return number


def _chosen(upload: MultipartUpload, body: bytes) -> Sequence[Part]:
    listed = [(_number(one.findtext("PartNumber")), one.findtext("ETag") or "") for one in parse(body).findall("Part")]
    if not listed:
        raise malformed()
    numbers = [number for number, _ in listed]
    if any(first >= second for first, second in pairwise(numbers)):
        message = "The list of parts was not in ascending order by part number."
        raise ServiceError(400, "invalid", "InvalidPartOrder", message)
    parts = [_part(upload, number, etag) for number, etag in listed]
    if any(part.content.size < _MIN_PART for part in parts[:-1]):
        message = "Your proposed upload is smaller than the minimum allowed object size."
        raise ServiceError(400, "invalid", "EntityTooSmall", message)
    return parts


def _part(upload: MultipartUpload, number: int, etag: str) -> Part:
    part = upload.parts.get(number)
    if part is None or part.etag.strip('"') != etag.strip().strip('"'):
        message = "One or more of the specified parts could not be found."
        raise ServiceError(400, "invalid", "InvalidPart", message)
    return part


def _number(text: str | None) -> int:
    if text is None or not text.strip().isdecimal():
        raise malformed()
    return int(text)


def _check_key(upload: MultipartUpload, call: Call) -> None:
    if encryption.key_sha256(call.headers) != upload.planned.key_sha256:
        message = "The encryption key differs from the one that the upload was initiated with."
        raise invalid(message, "X-Goog-Encryption-Key", code="CustomerEncryptionKeyIsIncorrect")


def _refuse_conditions(call: Call) -> None:
    condition = next((name for name in _CONDITIONS if name in call.headers), None)
    if condition is not None:
        raise invalid("Preconditions are not supported for multipart uploads.", condition)
