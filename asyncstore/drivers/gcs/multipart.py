"""
Uploads by parts, by the multipart uploads of the XML API.

They take no conditions, and their parts have no checksum of the whole object: GCS
compares each part with the CRC32C that is sent along, and the sum of all is compared
here before the upload is completed. https://cloud.google.com/storage/docs/multipart-uploads
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from asyncstore.body import Body, BytesBody
from asyncstore.checksum import combine
from asyncstore.drivers.gcs.conditions import generation_of
from asyncstore.drivers.gcs.errors import NoXMLUploadsError
from asyncstore.drivers.gcs.headers import GENERATION, checksums_of, content_headers, hash_header
from asyncstore.drivers.gcs.names import check_name, encode_query, xml_path
from asyncstore.drivers.gcs.objects import stat
from asyncstore.drivers.gcs.put import prepared
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Request, Wire
from asyncstore.drivers.gcs.xml import completion
from asyncstore.errors import IntegrityError, InvalidRequestError, NotFoundError, UnavailableError
from asyncstore.http.xml import child, expect, parse, text_of
from asyncstore.options import MiB, ReadOptions, WriteOptions
from asyncstore.types import Checksum, MultipartUpload, MultipartUploadPage, ObjectInfo, Part, PartPage
from asyncstore.uri import ObjectURI

#: https://cloud.google.com/storage/quotas#requests
MIN_PART_SIZE: Final = 5 * MiB
MAX_PARTS: Final = 10_000

#: Times the stall timeout that the completion of many parts may take.
_PATIENCE: Final = 10.0


async def initiate(wire: Wire, settings: GCSSettings, uri: ObjectURI, options: WriteOptions) -> str:
    """
    Start an upload and return its id.

    Raises:
        NoXMLUploadsError: The endpoint has no such uploads.
    """
    check_name(uri)
    headers = {**content_headers(options), **settings.key_headers(), "Content-Length": "0"}
    if settings.kms_key_name is not None:
        headers["x-goog-encryption-kms-key-name"] = settings.kms_key_name
    _, body = await wire.read(Request("POST", xml_path(uri), "uploads=", headers, xml_uploads=True))
    return text_of(_result(body, "InitiateMultipartUploadResult"), "UploadId")


async def upload_part(
    wire: Wire, settings: GCSSettings, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
) -> Part:
    checksum = await prepared(body, options.checksum or settings.checksum)
    headers = settings.key_headers() | (hash_header(checksum) if checksum is not None else {})
    if not body.size:
        headers["Content-Length"] = "0"
    query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
    reply = await wire.send(Request("PUT", xml_path(uri), query, headers, body))
    await reply.read_error()
    for stored in checksums_of(reply):
        if checksum is None and (own := body.checksum(stored.algorithm)) is not None and own != stored:
            raise IntegrityError("GCS received other bytes than were sent", expected=str(own), actual=str(stored))
    etag = reply.headers.get("ETag")
    if etag is None:
        raise UnavailableError("the reply to a part has no ETag", request_id=reply.request_id)
    return Part(number, etag.strip('"'), body.size, checksum)


async def complete(
    wire: Wire,
    settings: GCSSettings,
    uri: ObjectURI,
    upload_id: str,
    parts: Sequence[Part],
    options: WriteOptions,
    checksum: Checksum | None,
) -> ObjectInfo:
    ordered = sorted(parts, key=number_of)
    compare_sum(ordered, checksum)
    request = Request(
        "POST",
        xml_path(uri),
        encode_query([("uploadId", upload_id)]),
        {"Content-Type": "application/xml", **settings.key_headers()},
        BytesBody(completion((part.number, part.etag) for part in ordered)),
        patience=_PATIENCE,
    )
    reply, body = await wire.read(request)
    expect(body, "CompleteMultipartUploadResult")
    generation = reply.headers.get(GENERATION)
    if generation is None:
        return await stat(wire, settings, uri, ReadOptions())
    stored = checksums_of(reply)
    return ObjectInfo(
        uri=uri,
        size=sum(part.size for part in ordered),
        etag=generation_of(generation),
        version_id=generation,
        storage_class=options.storage_class,
        checksum=stored[0] if stored else checksum,
    )


def number_of(part: Part) -> int:
    return part.number


def compare_sum(parts: Sequence[Part], whole: Checksum | None) -> None:
    """
    Compare the combined checksums of *parts* with that of the *whole* object, where all are known.

    Raises:
        IntegrityError: They differ.
        InvalidRequestError: There are no parts.
    """
    if not parts:
        raise InvalidRequestError("an upload is completed with one part at least", provider="gcs")
    if whole is None:
        return
    found: Checksum | None = None
    for part in parts:
        if part.checksum is None or part.checksum.algorithm is not whole.algorithm:
            return
        found = part.checksum if found is None else combine(found, part.checksum, part.size)
    if found != whole:
        raise IntegrityError("the parts do not make the object that was meant", expected=str(whole), actual=str(found))


async def abort(wire: Wire, uri: ObjectURI, upload_id: str) -> None:
    try:
        reply = await wire.send(Request("DELETE", xml_path(uri), encode_query([("uploadId", upload_id)])))
    except NotFoundError as exc:
        if exc.code == "NoSuchBucket":
            raise
        return
    await reply.read_error()


async def list_parts(wire: Wire, settings: GCSSettings, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
    pairs = [("uploadId", upload_id)] + ([] if token is None else [("part-number-marker", token)])
    _, body = await wire.read(Request("GET", xml_path(uri), encode_query(pairs), settings.key_headers()))
    root = expect(body, "ListPartsResult")
    parts = [
        Part(int(text_of(item, "PartNumber")), text_of(item, "ETag").strip('"'), int(text_of(item, "Size")))
        for item in root.iterfind("Part")
    ]
    more = child(root, "IsTruncated") == "true"
    return PartPage(parts, child(root, "NextPartNumberMarker") if more else None)


async def list_uploads(wire: Wire, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
    """
    Return a page of the uploads whose keys start with ``prefix.key``.

    Raises:
        NoXMLUploadsError: The endpoint has no such uploads.
    """
    pairs = [("encoding-type", "url"), ("uploads", "")]
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    if token is not None:
        upload_id, _, key = token.partition(" ")
        pairs += [("key-marker", key), ("upload-id-marker", upload_id)]
    _, body = await wire.read(Request("GET", xml_path(prefix.with_key("")), encode_query(pairs), xml_uploads=True))
    root = _result(body, "ListMultipartUploadsResult")
    # A server that does not know encoding-type does not echo it either.
    encoded = child(root, "EncodingType") == "url"
    token = None
    if child(root, "IsTruncated") == "true":
        # An id has no spaces; a key may have any.
        token = f"{text_of(root, 'NextUploadIdMarker')} {_key_in(root, 'NextKeyMarker', encoded=encoded)}"
    return MultipartUploadPage(list(_uploads(root, prefix, encoded=encoded)), token)


def _result(body: bytes, tag: str) -> ET.Element:
    # Whoever does not know the parameter "uploads" answers as if it were not there.
    root = parse(body)
    if root is None or root.tag not in (tag, "Error"):
        raise NoXMLUploadsError
    return expect(body, tag)


def _key_in(element: ET.Element, tag: str, *, encoded: bool) -> str:
    text = text_of(element, tag)
    return unquote_plus(text, errors="strict") if encoded else text


def _uploads(root: ET.Element, prefix: ObjectURI, *, encoded: bool) -> Iterator[MultipartUpload]:
    for item in root.iterfind("Upload"):
        initiated = child(item, "Initiated")
        yield MultipartUpload(
            prefix.with_key(_key_in(item, "Key", encoded=encoded)),
            text_of(item, "UploadId"),
            datetime.fromisoformat(initiated).astimezone(UTC) if initiated else None,
        )
