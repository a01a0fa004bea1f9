"""
Uploads by parts.

S3 is told the algorithm at the start, compares each part with the checksum that
is sent in front of it, and the whole object with ours at the end
(``FULL_OBJECT``, which the CRCs allow; of other algorithms there is only one of
the parts' checksums, ``COMPOSITE``). S3 does not ask for the checksums of parts
where it is the whole object's that counts; servers of other makers do.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from asyncstore.auth.sigv4 import encode_query
from asyncstore.body import Body
from asyncstore.checksum import COMBINABLE, combine
from asyncstore.drivers.s3.copying import CHECKSUM_TAGS, PATIENCE, checksum_in, outcome
from asyncstore.drivers.s3.headers import (
    checksum_header,
    condition_headers,
    content_headers,
    quoted,
    version_of,
)
from asyncstore.drivers.s3.objects import prepared, sent_checksum, verify, without_object
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.drivers.s3.wire import Request, Wire, document, payload_hash
from asyncstore.drivers.s3.xml import completion
from asyncstore.errors import IntegrityError, NotFoundError, UnavailableError
from asyncstore.http.xml import child, expect, text_of
from asyncstore.options import WriteOptions
from asyncstore.types import (
    Checksum,
    ChecksumAlgorithm,
    ObjectInfo,
    Part,
    PartPage,
)
from asyncstore.uri import ObjectURI

_TAG_OF: Final[Mapping[ChecksumAlgorithm, str]] = {algorithm: tag for tag, algorithm in CHECKSUM_TAGS.items()}


async def initiate(wire: Wire, settings: S3Settings, uri: ObjectURI, options: WriteOptions) -> str:
    headers = content_headers(options) | settings.encryption_headers()
    algorithm = options.checksum or settings.checksum
    if algorithm is not None and algorithm in _TAG_OF:
        # What cannot be combined can only be a checksum of checksums.
        kind = "FULL_OBJECT" if algorithm in COMBINABLE else "COMPOSITE"
        headers |= {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": kind}
    reply, body = await wire.read(Request("POST", uri, "uploads=", headers))
    if algorithm in COMBINABLE:
        # Some servers have but the other kind, and say so here.
        wire.whole_checksums = reply.headers.get("x-amz-checksum-type") != "COMPOSITE"
    return text_of(expect(body, "InitiateMultipartUploadResult"), "UploadId")


async def upload_part(
    wire: Wire, settings: S3Settings, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
) -> Part:
    checksum = await prepared(body, options.checksum or settings.checksum)
    headers = sent_checksum(checksum) | settings.key_headers()
    query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
    reply = await wire.send(Request("PUT", uri, query, headers, body, payload_hash(body)))
    await reply.read_error()
    stored = verify(body, reply) if settings.verify_checksums and checksum is None else []
    etag = reply.headers.get("ETag")
    if etag is None:
        raise UnavailableError("the reply to a part has no ETag", request_id=reply.request_id)
    return Part(number, etag.strip('"'), body.size, checksum or next(iter(stored), None))


async def complete(
    wire: Wire,
    settings: S3Settings,
    uri: ObjectURI,
    upload_id: str,
    parts: Sequence[Part],
    options: WriteOptions,
    checksum: Checksum | None,
) -> ObjectInfo:
    headers = condition_headers(options.if_match, options.if_none_match) | settings.key_headers()
    if checksum is not None and not wire.whole_checksums:
        _compare(parts, checksum)
    elif checksum is not None and settings.checksum is not None:
        headers |= {**checksum_header(checksum), "x-amz-checksum-type": "FULL_OBJECT"}
    content = completion(_fields(part) for part in sorted(parts, key=_number))
    request = document(
        uri,
        encode_query([("uploadId", upload_id)]),
        content,
        headers,
        create_only=options.if_none_match is not None,
        patience=PATIENCE,
    )
    try:
        reply, body = await wire.read(request)
    except NotFoundError as exc:
        raise without_object(exc, options.if_match) from None
    result = outcome(reply, body, "CompleteMultipartUploadResult", create_only=request.create_only)
    etag = child(result, "ETag")
    return ObjectInfo(
        uri=uri,
        size=sum(part.size for part in parts),
        etag=etag and etag.strip('"'),
        version_id=version_of(reply.headers),
        storage_class=options.storage_class,
        checksum=checksum_in(result),
    )


def _compare(parts: Sequence[Part], whole: Checksum) -> None:
    # For servers that cannot: they have compared the parts, so this is the rest.
    found: Checksum | None = None
    for part in sorted(parts, key=_number):
        if part.checksum is None or part.checksum.algorithm is not whole.algorithm:
            return
        found = part.checksum if found is None else combine(found, part.checksum, part.size)
    if found is not None and found != whole:
        raise IntegrityError("the parts do not make the object that was meant", expected=str(whole), actual=str(found))


def _number(part: Part) -> int:
    return part.number


def _fields(part: Part) -> list[tuple[str, str]]:
    fields = [("PartNumber", str(part.number)), ("ETag", quoted(part.etag))]
    if part.checksum is not None and part.checksum.algorithm in _TAG_OF:
        fields.append((_TAG_OF[part.checksum.algorithm], part.checksum.base64()))
    return fields


async def abort(wire: Wire, uri: ObjectURI, upload_id: str) -> None:
    try:
        reply = await wire.send(Request("DELETE", uri, encode_query([("uploadId", upload_id)])))
    except NotFoundError as exc:
        if exc.code == "NoSuchBucket":
            raise
        return
    await reply.read_error()


async def list_parts(wire: Wire, settings: S3Settings, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
    pairs = [("uploadId", upload_id)] + ([] if token is None else [("part-number-marker", token)])
    _, body = await wire.read(Request("GET", uri, encode_query(pairs), settings.key_headers()))
    root = expect(body, "ListPartsResult")
    parts = [
        Part(
            int(text_of(item, "PartNumber")),
            text_of(item, "ETag").strip('"'),
            int(text_of(item, "Size")),
            checksum_in(item),
        )
        for item in root.iterfind("Part")
    ]
    more = child(root, "IsTruncated") == "true"
    return PartPage(parts, child(root, "NextPartNumberMarker") if more else None)
