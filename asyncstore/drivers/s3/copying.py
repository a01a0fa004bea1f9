"""
Copies made by S3 itself: of an object, or of a range as a part.

S3 says 200 before it starts and keeps the connection alive with white space;
how it went is in the body, so an error there is an error.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

from asyncstore.auth.sigv4 import encode_key, encode_query
from asyncstore.drivers.s3.errors import named
from asyncstore.drivers.s3.headers import condition_headers, content_headers, quoted, version_of
from asyncstore.drivers.s3.objects import stat, without_object
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.drivers.s3.wire import Request, Wire
from asyncstore.errors import NotFoundError, UnavailableError
from asyncstore.http.reply import Reply
from asyncstore.http.xml import parse, text_of
from asyncstore.options import CopyOptions, ReadOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ObjectInfo, Part
from asyncstore.uri import ObjectURI

#: A copy of 5 GiB can keep a server busy for minutes before it says a word.
PATIENCE: Final = 20.0


async def copy(
    wire: Wire, settings: S3Settings, source: ObjectURI, target: ObjectURI, options: CopyOptions
) -> ObjectInfo:
    headers = _source_headers(settings, source, options) | settings.encryption_headers()
    headers |= condition_headers(options.if_match, options.if_none_match)
    if options.replace is not None:
        headers |= {**content_headers(options.replace), "x-amz-metadata-directive": "REPLACE"}
    request = Request("PUT", target, headers=headers, create_only=options.if_none_match is not None, patience=PATIENCE)
    try:
        reply, body = await wire.read(request)
    except NotFoundError as exc:
        raise without_object(exc, options.if_match) from None
    outcome(reply, body, "CopyObjectResult", create_only=request.create_only)
    # The reply does not say how large the object is.
    return await stat(wire, settings, target, ReadOptions(version_id=version_of(reply.headers)))


async def copy_part(
    wire: Wire,
    settings: S3Settings,
    source: ObjectURI,
    target: ObjectURI,
    upload_id: str,
    number: int,
    start: int,
    end: int,
    options: CopyOptions,
) -> Part:
    headers = _source_headers(settings, source, options) | settings.key_headers()
    headers["x-amz-copy-source-range"] = f"bytes={start}-{end - 1}"
    query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
    reply, body = await wire.read(Request("PUT", target, query, headers, patience=PATIENCE))
    result = outcome(reply, body, "CopyPartResult")
    return Part(number, text_of(result, "ETag").strip('"'), end - start, checksum_in(result))


def outcome(reply: Reply, body: bytes, tag: str, *, create_only: bool = False) -> ET.Element:
    """
    Return the root of a reply that was 200 before S3 knew how it would end.

    Raises:
        StorageError: It did not end well.
    """
    root = parse(body)
    if root is not None and root.tag == "Error":
        raise named(reply, body, create_only=create_only).error
    if root is None or root.tag != tag:
        raise UnavailableError(f"the reply is not the {tag} that was expected", request_id=reply.request_id)
    return root


def checksum_in(element: ET.Element) -> Checksum | None:
    """
    Return the checksum that is among the children of *element*, if there is one.
    """
    for tag, algorithm in CHECKSUM_TAGS.items():
        if text := element.findtext(tag):
            return Checksum.from_base64(algorithm, text)
    return None


CHECKSUM_TAGS: Final[Mapping[str, ChecksumAlgorithm]] = {
    f"Checksum{item.upper()}": item for item in ChecksumAlgorithm if item is not ChecksumAlgorithm.MD5
}


def _source_headers(settings: S3Settings, source: ObjectURI, options: CopyOptions) -> dict[str, str]:
    where = f"/{source.bucket}/{encode_key(source.key)}"
    if options.source_version_id is not None:
        where += "?" + encode_query([("versionId", options.source_version_id)])
    headers = {"x-amz-copy-source": where, **settings.key_headers("x-amz-copy-source-")}
    if options.source_if_match is not None:
        headers["x-amz-copy-source-if-match"] = quoted(options.source_if_match)
    return headers
