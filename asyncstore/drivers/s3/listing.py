"""
Pages of keys, and of unfinished uploads.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from asyncstore.auth.sigv4 import encode_query
from asyncstore.drivers.s3.entries import FIELDS, Row, cut
from asyncstore.drivers.s3.records import listed
from asyncstore.drivers.s3.wire import Request, Wire
from asyncstore.errors import UnavailableError
from asyncstore.http.xml import child, expect, text_of
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, MultipartUpload, MultipartUploadPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
MAX_KEYS: Final = 1000


async def list_page(wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
    pairs = [("encoding-type", "url"), ("list-type", "2")]
    pairs.append(("max-keys", str(min(options.page_size or MAX_KEYS, MAX_KEYS))))
    if token is not None:
        pairs.append(("continuation-token", token))
    elif options.start_after is not None:
        pairs.append(("start-after", options.start_after))
    if options.delimiter is not None:
        pairs.append(("delimiter", options.delimiter))
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    _, body = await wire.read(Request("GET", prefix, encode_query(sorted(pairs)), whole_bucket=True))
    with collector_paused():
        return _page(body, prefix)


@contextmanager
def collector_paused() -> Iterator[None]:
    """
    Leave the garbage be while a page is read.
    """
    # A page is some seven thousand short-lived elements. Every few hundred of them would
    # set off a collection, which looks at all that the caller has kept of the pages
    # before: half the time of a long listing.
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _page(body: bytes, prefix: ObjectURI) -> ListPage:
    rows, rest = cut(body)
    root = expect(rest, "ListBucketResult")
    # A server that does not know encoding-type does not echo it either.
    encoded = root.findtext("EncodingType") == "url"
    try:
        # One of the two has none.
        entries = listed(prefix, _rows(rows, encoded=encoded) + _objects(root, encoded=encoded))
    except ValueError as exc:
        raise UnavailableError(f"a listing has an entry that cannot be read: {exc}") from None
    entries = with_common_prefixes(entries, root, prefix, encoded=encoded)
    more = child(root, "IsTruncated") == "true"
    return ListPage(entries, text_of(root, "NextContinuationToken") if more else None)


def _rows(rows: Sequence[Row], *, encoded: bool) -> list[Row]:
    if not encoded:
        return list(rows)
    return [(decoded(row[0], encoded=True), *row[1:]) if "%" in row[0] or "+" in row[0] else row for row in rows]


def _objects(root: ET.Element, *, encoded: bool) -> list[Row]:
    rows = []
    for item in root.iterfind("Contents"):
        said = {field.tag: field.text or "" for field in item}
        key, modified, etag, size, storage_class = [said.get(name, "") for name in FIELDS]
        rows.append((decoded(key, encoded=encoded), modified, etag, size, storage_class))
    return rows


def with_common_prefixes(
    entries: list[ObjectInfo], root: ET.Element, prefix: ObjectURI, *, encoded: bool
) -> list[ObjectInfo]:
    """
    Return *entries* and the common prefixes of a page, in byte order of keys.
    """
    prefixes = [text_of(item, "Prefix") for item in root.iterfind("CommonPrefixes")]
    if prefixes:
        entries += [
            ObjectInfo(uri=prefix.with_key(decoded(text, encoded=encoded)), size=0, is_prefix=True) for text in prefixes
        ]
        # By code points, which is the order of the bytes of UTF-8.
        entries.sort(key=_key)
    return entries


def _key(entry: ObjectInfo) -> str:
    return entry.uri.key


def decoded(text: str, *, encoded: bool) -> str:
    """
    Return a key as it is, of a reply whose keys are URL-encoded or not.
    """
    if encoded and ("%" in text or "+" in text):
        return unquote_plus(text, errors="strict")
    return text


async def list_multipart_uploads(wire: Wire, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
    pairs = [("encoding-type", "url"), ("uploads", "")]
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    if token is not None:
        upload_id, _, key = token.partition(" ")
        pairs += [("key-marker", key), ("upload-id-marker", upload_id)]
    _, body = await wire.read(Request("GET", prefix, encode_query(sorted(pairs)), whole_bucket=True))
    root = expect(body, "ListMultipartUploadsResult")
    encoded = root.findtext("EncodingType") == "url"
    token = None
    if child(root, "IsTruncated") == "true":
        # An id has no spaces; a key may have any.
        key = decoded(text_of(root, "NextKeyMarker"), encoded=encoded)
        token = f"{text_of(root, 'NextUploadIdMarker')} {key}"
    return MultipartUploadPage(list(_uploads(root, prefix, encoded=encoded)), token)


def _uploads(root: ET.Element, prefix: ObjectURI, *, encoded: bool) -> Iterator[MultipartUpload]:
    for item in root.iterfind("Upload"):
        initiated = child(item, "Initiated")
        key = decoded(text_of(item, "Key"), encoded=encoded)
        yield MultipartUpload(
            prefix.with_key(key),
            text_of(item, "UploadId"),
            datetime.fromisoformat(initiated).astimezone(UTC) if initiated else None,
        )
