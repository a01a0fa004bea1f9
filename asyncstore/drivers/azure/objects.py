"""
Requests about one blob.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from multidict import istr

from asyncstore.body import Body, ReadBody
from asyncstore.conditions import resolve_range
from asyncstore.drivers.azure.headers import (
    checksum_header,
    checksum_in,
    condition_headers,
    etag_in,
    metadata_of,
    read_headers,
    stored_checksum,
    stored_headers,
    version_in,
    version_query,
)
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.wire import NO_HEADERS, Request, Wire
from asyncstore.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    UnavailableError,
)
from asyncstore.http.reading import ReplyBody
from asyncstore.http.reply import Reply
from asyncstore.http.values import parse_date
from asyncstore.options import PLAIN_READ, ByteRange, DeleteOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_CONTENT_LENGTH: Final = istr("Content-Length")
_LAST_MODIFIED: Final = istr("Last-Modified")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


async def open_read(wire: Wire, uri: ObjectURI, options: ReadOptions) -> ReadBody:
    if options.range is not None and options.range.start < 0:
        return await _open_end(wire, uri, options)
    headers = NO_HEADERS if options is PLAIN_READ else read_headers(options)
    reply = await wire.send(Request("GET", uri, version_query(options.version_id), headers))
    try:
        return _read_body(uri, reply, options)
    except BaseException:
        reply.close()
        raise


async def _open_end(wire: Wire, uri: ObjectURI, options: ReadOptions) -> ReadBody:
    # Azure knows no ranges that count from the end, so its length is asked for first.
    # https://learn.microsoft.com/rest/api/storageservices/specifying-the-range-header-for-blob-service-operations
    info = await stat(wire, uri, options)
    start, end = resolve_range(options.range or ByteRange(0), info.size)
    pinned = replace(options, range=ByteRange(start, end), if_match=info.etag, if_none_match=None)
    try:
        return await open_read(wire, uri, pinned)
    except PreconditionFailedError:
        if options.if_match is not None:
            raise
        raise UnavailableError("the blob was replaced between two requests for its end") from None


def _read_body(uri: ObjectURI, reply: Reply, options: ReadOptions) -> ReplyBody:
    length = length_of(reply)
    if reply.status == 206:
        match = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if match is None:
            raise UnavailableError("a partial reply does not say which part it is", status=206)
        start, end, size = int(match.group(1)), int(match.group(2)) + 1, int(match.group(3))
        if start >= size:
            raise RangeNotSatisfiableError(f"the blob has {size} bytes", status=206, request_id=reply.request_id)
        if length != end - start:
            raise UnavailableError("a partial reply is not as long as it says", status=206)
        info = metadata_of(uri, reply.headers, size, part=True, version_id=options.version_id)
        return ReplyBody(reply, info, start, end)
    described = partial(metadata_of, uri, reply.headers, length, version_id=options.version_id)
    if options.range is None:
        return ReplyBody(reply, described, 0, length, checksum=stored_checksum(reply.headers))
    # A server may answer the whole object where a range was asked for.
    start, end = resolve_range(options.range, length)
    return ReplyBody(reply, described(), start, end, skip=start)


def length_of(reply: Reply) -> int:
    """
    Return the length that a reply announces.

    Raises:
        UnavailableError: It announces none.
    """
    try:
        return int(reply.headers[_CONTENT_LENGTH])
    except (KeyError, ValueError):
        raise UnavailableError("the reply does not say how long it is", retryable=False, status=reply.status) from None


async def stat(wire: Wire, uri: ObjectURI, options: ReadOptions) -> Metadata:
    reply = await head(wire, uri, options)
    return metadata_of(uri, reply.headers, length_of(reply), version_id=options.version_id)


async def head(wire: Wire, uri: ObjectURI, options: ReadOptions) -> Reply:
    """
    Return the reply to a HEAD, which has no body.
    """
    headers = read_headers(replace(options, range=None))
    return await wire.send(Request("HEAD", uri, version_query(options.version_id), headers))


async def put(wire: Wire, settings: AzureSettings, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
    checksum = await prepared(body, options.checksum or settings.checksum)
    headers = stored_headers(options, settings) | settings.lease_headers()
    headers |= condition_headers(options.if_match, options.if_none_match)
    headers |= checksum_header(checksum)
    headers["x-ms-blob-type"] = "BlockBlob"
    create_only = options.if_none_match is not None
    reply = await wire.send(Request("PUT", uri, "", headers, body, create_only=create_only))
    await reply.read_error()
    stored = verify(body, reply)
    return written(uri, reply.headers, body.size, checksum or stored, options.storage_class)


async def prepared(body: Body, algorithm: ChecksumAlgorithm | None) -> Checksum | None:
    """
    Return the checksum to send in front of *body*, if it can be known by then.
    """
    if algorithm is None:
        return None
    await body.prepare(algorithm)
    return body.checksum(algorithm)


def verify(body: Body, reply: Reply) -> Checksum | None:
    """
    Compare the checksum in *reply* with that of *body*, if it is known by now, and return it.

    Raises:
        IntegrityError: They differ.
    """
    stored = checksum_in(reply.headers)
    # An MD5 of bytes in memory would be computed just for this; where it was sent, the service has compared it.
    if stored is None or stored.algorithm is ChecksumAlgorithm.MD5:
        return stored
    own = body.checksum(stored.algorithm)
    if own is not None and own != stored:
        raise IntegrityError(
            "the provider received other bytes than were sent",
            expected=str(own),
            actual=str(stored),
            request_id=reply.request_id,
            status=reply.status,
        )
    return stored


def written(
    uri: ObjectURI, headers: Mapping[str, str], size: int, checksum: Checksum | None, storage_class: str | None
) -> ObjectInfo:
    """
    Return what the headers of the reply to a write say of the new blob.
    """
    modified = headers.get(_LAST_MODIFIED)
    return ObjectInfo(
        uri=uri,
        size=size,
        etag=etag_in(headers),
        last_modified=parse_date(modified) if modified else None,
        version_id=version_in(headers),
        storage_class=storage_class,
        checksum=checksum,
    )


async def delete(wire: Wire, settings: AzureSettings, uri: ObjectURI, options: DeleteOptions) -> None:
    headers = condition_headers(options.if_match, None) | delete_headers(settings, options)
    try:
        reply = await wire.send(Request("DELETE", uri, version_query(options.version_id), headers))
    except NotFoundError as exc:
        if options.if_match is not None and exc.code == "BlobNotFound":
            raise PreconditionFailedError(
                "there is no blob, so it does not have the ETag asked for",
                code=exc.code,
                provider=exc.provider,
                request_id=exc.request_id,
                status=exc.status,
            ) from None
        if exc.code == "ContainerNotFound":
            raise
        return
    await reply.read_error()


def delete_headers(settings: AzureSettings, options: DeleteOptions | None = None) -> dict[str, str]:
    """
    Return what goes along with a deletion of a blob, or of one of its versions.
    """
    headers = settings.lease_headers()
    if settings.delete_snapshots and (options is None or options.version_id is None):
        headers["x-ms-delete-snapshots"] = "include"
    return headers
