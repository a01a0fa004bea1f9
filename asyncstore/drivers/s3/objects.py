"""
Requests about one object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Final

from multidict import istr

from asyncstore.auth.sigv4 import encode_query
from asyncstore.body import Body, ReadBody
from asyncstore.conditions import resolve_range
from asyncstore.drivers.s3.headers import (
    checksum_header,
    checksum_of,
    checksums_of,
    condition_headers,
    content_headers,
    metadata_of,
    read_headers,
    version_of,
)
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.drivers.s3.wire import CHECKED_READ, NO_HEADERS, Request, Wire, payload_hash
from asyncstore.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    UnavailableError,
)
from asyncstore.http.reading import ReplyBody
from asyncstore.http.reply import Reply
from asyncstore.options import DeleteOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_CONTENT_LENGTH: Final = istr("Content-Length")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


async def open_read(wire: Wire, settings: S3Settings, uri: ObjectURI, options: ReadOptions) -> ReadBody:
    headers = reading_headers(settings, options)
    reply = await wire.send(Request("GET", uri, version_query(options.version_id), headers))
    try:
        return _read_body(uri, reply, options)
    except BaseException:
        reply.close()
        raise


def _read_body(uri: ObjectURI, reply: Reply, options: ReadOptions) -> ReplyBody:
    length = _length(reply)
    if reply.status == 206:
        match = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if match is None and length == 0:
            # How some servers answer a suffix of nothing.
            raise RangeNotSatisfiableError("the object is empty", status=206)
        if match is None:
            raise UnavailableError("a partial reply does not say which part it is", status=206)
        start, end, size = int(match.group(1)), int(match.group(2)) + 1, int(match.group(3))
        if length != end - start:
            raise UnavailableError("a partial reply is not as long as it says", status=206)
        # The checksum beside a range can be that of a part.
        return ReplyBody(reply, metadata_of(uri, reply.headers, size, checksums=False), start, end)
    if options.range is None:
        described = partial(metadata_of, uri, reply.headers, length)
        return ReplyBody(reply, described, 0, length, checksum=checksum_of(reply.headers))
    # A server may answer the whole object where a range was asked for.
    start, end = resolve_range(options.range, length)
    return ReplyBody(reply, metadata_of(uri, reply.headers, length), start, end, skip=start)


def _length(reply: Reply) -> int:
    try:
        return int(reply.headers[_CONTENT_LENGTH])
    except (KeyError, ValueError):
        raise UnavailableError("the reply does not say how long it is", retryable=False, status=reply.status) from None


async def stat(wire: Wire, settings: S3Settings, uri: ObjectURI, options: ReadOptions) -> Metadata:
    headers = reading_headers(settings, options)
    reply = await wire.send(Request("HEAD", uri, version_query(options.version_id), headers))
    return metadata_of(uri, reply.headers, _length(reply))


def reading_headers(settings: S3Settings, options: ReadOptions) -> Mapping[str, str]:
    given = read_headers(options)
    if settings.sse_customer_key is not None:
        given |= settings.key_headers()
    if not given:
        return CHECKED_READ if settings.verify_checksums else NO_HEADERS
    return {**given, **CHECKED_READ} if settings.verify_checksums else given


def version_query(version_id: str | None) -> str:
    return "" if version_id is None else encode_query([("versionId", version_id)])


async def put(wire: Wire, settings: S3Settings, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
    checksum = await prepared(body, options.checksum or settings.checksum)
    headers = content_headers(options)
    headers |= condition_headers(options.if_match, options.if_none_match)
    headers |= settings.encryption_headers()
    headers |= sent_checksum(checksum)
    request = Request("PUT", uri, "", headers, body, payload_hash(body), create_only=options.if_none_match is not None)
    try:
        reply = await wire.send(request)
    except NotFoundError as exc:
        raise without_object(exc, options.if_match) from None
    await reply.read_error()
    if settings.verify_checksums and checksum is None:
        verify(body, reply)
    return written(uri, reply, body.size, checksum, options.storage_class)


async def prepared(body: Body, algorithm: ChecksumAlgorithm | None) -> Checksum | None:
    """
    Return the checksum to send in front of *body*, if it can be known by then.
    """
    if algorithm is None:
        return None
    await body.prepare(algorithm)
    return body.checksum(algorithm)


def sent_checksum(checksum: Checksum | None) -> dict[str, str]:
    """
    Return the headers that let S3 check what it receives; an MD5 has one of its own.
    """
    if checksum is None:
        return {}
    if checksum.algorithm is ChecksumAlgorithm.MD5:
        return {"Content-MD5": checksum.base64()}
    return {"x-amz-sdk-checksum-algorithm": checksum.algorithm.upper(), **checksum_header(checksum)}


def verify(body: Body, reply: Reply) -> list[Checksum]:
    """
    Compare the checksums in *reply* with those of *body* that are known by now, and return them.

    A server that names none, or others than we followed, is taken at its word.

    Raises:
        IntegrityError: One differs.
    """
    stored = [checksum for checksum in checksums_of(reply.headers) if checksum.parts is None]
    for checksum in stored:
        own = body.checksum(checksum.algorithm)
        if own is not None and own != checksum:
            raise IntegrityError(
                "the provider received other bytes than were sent",
                expected=str(own),
                actual=str(checksum),
                request_id=reply.request_id,
                status=reply.status,
            )
    return stored


def written(
    uri: ObjectURI, reply: Reply, size: int, checksum: Checksum | None, storage_class: str | None
) -> ObjectInfo:
    stored = checksums_of(reply.headers)
    etag = reply.headers.get("ETag")
    return ObjectInfo(
        uri=uri,
        size=size,
        etag=etag and etag.strip('"'),
        version_id=version_of(reply.headers),
        storage_class=storage_class,
        checksum=stored[0] if stored else checksum,
    )


def without_object(error: NotFoundError, if_match: str | None) -> NotFoundError | PreconditionFailedError:
    if if_match is None or error.code != "NoSuchKey":
        return error
    return PreconditionFailedError(
        "there is no object, so it does not have the ETag asked for",
        code=error.code,
        provider=error.provider,
        request_id=error.request_id,
        status=error.status,
    )


async def delete(wire: Wire, uri: ObjectURI, options: DeleteOptions) -> None:
    headers = condition_headers(options.if_match, None)
    try:
        reply = await wire.send(Request("DELETE", uri, version_query(options.version_id), headers))
    except NotFoundError as exc:
        if options.if_match is not None:
            raise without_object(exc, options.if_match) from None
        if exc.code == "NoSuchBucket":
            raise
        return
    await reply.read_error()
