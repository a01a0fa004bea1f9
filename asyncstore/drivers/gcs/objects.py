"""
Reading, looking at and deleting one object.

Bytes come by the XML API: it is the one whose replies have the user's own metadata
beside them. Everything else is JSON; see docs/decisions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from multidict import istr

from asyncstore.body import ReadBody
from asyncstore.conditions import resolve_range
from asyncstore.drivers.gcs.conditions import (
    check_dates,
    read_headers,
    stat_conditions,
    without_object,
    write_conditions,
)
from asyncstore.drivers.gcs.errors import is_missing_bucket
from asyncstore.drivers.gcs.headers import check_encoding, checksum_of
from asyncstore.drivers.gcs.headers import metadata_of as metadata_of_headers
from asyncstore.drivers.gcs.names import check_name, encode_query, object_path, xml_path
from asyncstore.drivers.gcs.resources import FIELDS, metadata_of
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Request, Wire
from asyncstore.errors import NotFoundError, RangeNotSatisfiableError, UnavailableError
from asyncstore.http.reading import ReplyBody
from asyncstore.http.reply import Reply
from asyncstore.options import PLAIN_READ, DeleteOptions, ReadOptions
from asyncstore.types import Metadata
from asyncstore.uri import ObjectURI

_CONTENT_LENGTH: Final = istr("Content-Length")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

# Without it, what is stored compressed would come decompressed.
# https://cloud.google.com/storage/docs/transcoding
_AS_STORED: Final[Mapping[str, str]] = {"Accept-Encoding": "gzip"}


async def open_read(wire: Wire, settings: GCSSettings, uri: ObjectURI, options: ReadOptions) -> ReadBody:
    """
    Send a read; ``if_none_match`` is asked for first, by a request that has no bytes in its reply.
    """
    check_name(uri)
    if options.if_none_match is not None:
        found = await stat(wire, settings, uri, replace(options, range=None))
        # What was looked at is what is read, unless it is replaced in between: then that is new too.
        options = replace(options, if_none_match=None, if_modified_since=None)
        if options.version_id is not None:
            options = replace(options, version_id=found.version_id)
    headers = _AS_STORED if options is PLAIN_READ and settings.encryption_key is None else _headers(settings, options)
    try:
        reply = await wire.send(Request("GET", xml_path(uri), _version_query(options.version_id), headers))
    except NotFoundError as exc:
        # Where a bucket keeps no versions, the generation that was asked for has been replaced.
        pinned = options.version_id is not None and not is_missing_bucket(exc)
        raise without_object(exc, options.if_match if pinned else None) from None
    try:
        return _read_body(uri, reply, options)
    except BaseException:
        reply.close()
        raise


def _headers(settings: GCSSettings, options: ReadOptions) -> Mapping[str, str]:
    headers = {**_AS_STORED, **read_headers(options), **settings.key_headers()}
    if options.range is not None:
        headers["Range"] = options.range.header()
    return headers


def _read_body(uri: ObjectURI, reply: Reply, options: ReadOptions) -> ReplyBody:
    length = _length(reply)
    check_encoding(reply)
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
        return ReplyBody(reply, metadata_of_headers(uri, reply, size), start, end)
    if options.range is None:
        described = partial(metadata_of_headers, uri, reply, length)
        return ReplyBody(reply, described, 0, length, checksum=checksum_of(reply))
    # A server may answer the whole object where a range was asked for.
    start, end = resolve_range(options.range, length)
    return ReplyBody(reply, metadata_of_headers(uri, reply, length), start, end, skip=start)


def _length(reply: Reply) -> int:
    try:
        return int(reply.headers[_CONTENT_LENGTH])
    except (KeyError, ValueError):
        raise UnavailableError("the reply does not say how long it is", retryable=False, status=reply.status) from None


async def stat(wire: Wire, settings: GCSSettings, uri: ObjectURI, options: ReadOptions) -> Metadata:
    """
    Return the metadata of an object.
    """
    check_name(uri)
    pairs = stat_conditions(options)
    if options.version_id is not None:
        pairs.append(("generation", options.version_id))
    pairs.append(("fields", FIELDS))
    found = await wire.ask(Request("GET", object_path(uri), encode_query(pairs), settings.key_headers()))
    info = metadata_of(uri, found)
    check_dates(info, options)
    return info


async def delete(wire: Wire, uri: ObjectURI, options: DeleteOptions) -> None:
    """
    Delete an object or one generation of it.
    """
    check_name(uri)
    pairs = write_conditions(options.if_match, None)
    if options.version_id is not None:
        pairs.append(("generation", options.version_id))
    try:
        reply = await wire.send(Request("DELETE", object_path(uri), encode_query(pairs)))
    except NotFoundError as exc:
        if options.if_match is not None:
            raise without_object(exc, options.if_match) from None
        if is_missing_bucket(exc):
            raise
        return
    await reply.read_error()


def _version_query(version_id: str | None) -> str:
    return "" if version_id is None else encode_query([("generation", version_id)])
