"""
Requests about one object.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from multidict import istr

from asyncstore.body import Body, ReadBody
from asyncstore.conditions import check_read, resolve_range
from asyncstore.drivers.oci.addresses import encode_query
from asyncstore.drivers.oci.errors import NO_PLACE
from asyncstore.drivers.oci.headers import (
    algorithm_headers,
    bare,
    checksum_headers,
    checksum_of,
    checksums_of,
    condition_headers,
    content_headers,
    metadata_of,
    read_headers,
)
from asyncstore.drivers.oci.settings import OCISettings
from asyncstore.drivers.oci.wire import NO_HEADERS, Request, Wire, object_path
from asyncstore.errors import (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    UnavailableError,
)
from asyncstore.http.reading import ReplyBody
from asyncstore.http.reply import Reply
from asyncstore.http.values import parse_date
from asyncstore.options import PLAIN_READ, DeleteOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_CONTENT_LENGTH: Final = istr("Content-Length")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

# https://docs.oracle.com/iaas/Content/Object/Tasks/managingobjects.htm#namerequirements
_FORBIDDEN: Final = frozenset("\n\r\0")


async def open_read(wire: Wire, settings: OCISettings, uri: ObjectURI, options: ReadOptions) -> ReadBody:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/GetObject
    """
    reply = await _read(wire, "GET", settings, uri, options)
    try:
        body = _read_body(uri, settings, reply, options)
        if options is not PLAIN_READ:
            check_read(body.info, options)
    except BaseException:
        reply.close()
        raise
    return body


async def stat(wire: Wire, settings: OCISettings, uri: ObjectURI, options: ReadOptions) -> Metadata:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/HeadObject
    """
    reply = await _read(wire, "HEAD", settings, uri, options)
    info = metadata_of(uri, reply.headers, _length(reply), md5_metadata=settings.md5_metadata)
    check_read(info, options)
    return info


async def _read(wire: Wire, method: str, settings: OCISettings, uri: ObjectURI, options: ReadOptions) -> Reply:
    plain = options is PLAIN_READ and settings.sse_customer_key is None
    headers = NO_HEADERS if plain else read_headers(options) | settings.key_headers()
    request = Request(method, uri, object_path(uri.key), version_query(options.version_id), headers)
    try:
        return await wire.send(request)
    except NotFoundError as exc:
        if options.version_id is not None and options.if_match is not None:
            # Where no versions are kept, the one that was asked for goes when another comes.
            raise _other(exc) from None
        raise


def _read_body(uri: ObjectURI, settings: OCISettings, reply: Reply, options: ReadOptions) -> ReplyBody:
    length = _length(reply)
    if reply.status == 206:
        match = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if match is None:
            raise UnavailableError("a partial reply does not say which part it is", status=206)
        start, end, size = int(match.group(1)), int(match.group(2)) + 1, int(match.group(3))
        if length != end - start:
            raise UnavailableError("a partial reply is not as long as it says", status=206)
        info = metadata_of(
            uri,
            reply.headers,
            size,
            checksums=start == 0 and end == size,
            md5_metadata=settings.md5_metadata,
        )
        return ReplyBody(reply, info, start, end)
    described = partial(metadata_of, uri, reply.headers, length, md5_metadata=settings.md5_metadata)
    if options.range is None:
        checksum = checksum_of(reply.headers, md5_metadata=settings.md5_metadata)
        return ReplyBody(reply, described, 0, length, checksum=checksum)
    # A server may answer the whole object where a range was asked for.
    start, end = resolve_range(options.range, length)
    return ReplyBody(reply, described(), start, end, skip=start)


def _length(reply: Reply) -> int:
    try:
        return int(reply.headers[_CONTENT_LENGTH])
    except (KeyError, ValueError):
        raise UnavailableError("the reply does not say how long it is", retryable=False, status=reply.status) from None


def version_query(version_id: str | None) -> str:
    return "" if version_id is None else encode_query([("versionId", version_id)])


async def put(wire: Wire, settings: OCISettings, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/PutObject
    """
    check_name(uri)
    checksum = await prepared(body, options.checksum or settings.checksum)
    headers = content_headers(options)
    headers |= condition_headers(options.if_match, options.if_none_match)
    headers |= settings.encryption_headers()
    headers |= checksum_headers(checksum)
    request = Request(
        "PUT", uri, object_path(uri.key), headers=headers, body=body, create_only=options.if_none_match is not None
    )
    try:
        reply = await wire.send(request)
    except NotFoundError as exc:
        raise without_object(exc, options.if_match) from None
    await reply.read_error()
    return written(uri, reply, body.size, verify(body, reply) or checksum, options.storage_class)


def check_name(uri: ObjectURI) -> None:
    """
    Refuse a key that no object can have.
    """
    if not _FORBIDDEN.isdisjoint(uri.key):
        raise InvalidRequestError(f"an object of OCI cannot be called {uri.key!r}: no line feed, no CR, no NUL")


async def prepared(body: Body, algorithm: ChecksumAlgorithm | None) -> Checksum | None:
    """
    Return the checksum to send in front of *body*, if it can be known by then.
    """
    if algorithm is None:
        return None
    algorithm_headers(algorithm)
    await body.prepare(algorithm)
    return body.checksum(algorithm)


def verify(body: Body, reply: Reply) -> Checksum | None:
    """
    Compare the checksums in *reply* with those of *body* that are known by now, and return the first.

    Raises:
        IntegrityError: One differs.
    """
    stored = checksums_of(reply.headers)
    if (md5 := reply.headers.get("opc-content-md5")) and (found := Checksum.from_base64(ChecksumAlgorithm.MD5, md5)):
        stored.append(found)
    for checksum in stored:
        # The MD5 comes always, and is not worth computing for its own sake.
        own = None if body.data is not None and _is_costly(checksum) else body.checksum(checksum.algorithm)
        if own is not None and own != checksum:
            raise IntegrityError(
                "the provider received other bytes than were sent",
                expected=str(own),
                actual=str(checksum),
                request_id=reply.request_id,
                status=reply.status,
            )
    return stored[0] if stored else None


def _is_costly(checksum: Checksum) -> bool:
    return checksum.algorithm is not ChecksumAlgorithm.CRC32C


def written(
    uri: ObjectURI, reply: Reply, size: int, checksum: Checksum | None, storage_class: str | None
) -> ObjectInfo:
    """
    Return what the reply to a write says of the object.
    """
    etag, modified = reply.headers.get("ETag"), reply.headers.get("Last-Modified")
    return ObjectInfo(
        uri=uri,
        size=size,
        etag=etag and bare(etag),
        last_modified=parse_date(modified) if modified else None,
        version_id=reply.headers.get("version-id"),
        storage_class=storage_class,
        checksum=checksum,
    )


def without_object(error: NotFoundError, if_match: str | None) -> NotFoundError | PreconditionFailedError:
    """
    Return *error* as what it is if the object was to have a certain ETag: a condition that does not hold.
    """
    return error if if_match is None or error.code != "ObjectNotFound" else _other(error)


def _other(error: NotFoundError) -> PreconditionFailedError:
    return PreconditionFailedError(
        "there is no object with the ETag asked for",
        code=error.code,
        provider=error.provider,
        request_id=error.request_id,
        status=error.status,
    )


async def delete(wire: Wire, uri: ObjectURI, options: DeleteOptions) -> None:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/DeleteObject
    """
    headers = condition_headers(options.if_match, None)
    request = Request("DELETE", uri, object_path(uri.key), version_query(options.version_id), headers)
    try:
        reply = await wire.send(request)
    except NotFoundError as exc:
        if options.if_match is not None:
            raise without_object(exc, options.if_match) from None
        if exc.code in NO_PLACE:
            raise
        return
    await reply.read_error()
