"""
Pages of versions.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from xml.etree import ElementTree as ET

from asyncstore.auth.sigv4 import encode_query
from asyncstore.drivers.s3.listing import MAX_KEYS, collector_paused, decoded, with_common_prefixes
from asyncstore.drivers.s3.wire import Request, Wire
from asyncstore.errors import UnavailableError
from asyncstore.http.xml import child, expect, text_of
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

_DELETED: Final = "DeleteMarker"


async def list_page(wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
    """
    Return versions and delete markers, those of one key newest first.
    """
    pairs = [("encoding-type", "url"), ("versions", "")]
    pairs.append(("max-keys", str(min(options.page_size or MAX_KEYS, MAX_KEYS))))
    if token is not None:
        # An id has no spaces; a key may have any.
        version_id, _, key = token.partition(" ")
        pairs.append(("key-marker", key))
        if version_id:
            pairs.append(("version-id-marker", version_id))
    elif options.start_after is not None:
        pairs.append(("key-marker", options.start_after))
    if options.delimiter is not None:
        pairs.append(("delimiter", options.delimiter))
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    _, body = await wire.read(Request("GET", prefix, encode_query(sorted(pairs)), whole_bucket=True))
    with collector_paused():
        return _page(body, prefix)


def _page(body: bytes, prefix: ObjectURI) -> ListPage:
    root = expect(body, "ListVersionsResult")
    # A server that does not know encoding-type does not echo it either.
    encoded = root.findtext("EncodingType") == "url"
    try:
        # Both kinds are children of the root, one after the other as they came to be.
        entries = [_version(item, prefix, encoded=encoded) for item in root if item.tag in ("Version", _DELETED)]
    except (TypeError, ValueError) as exc:
        raise UnavailableError(f"a listing has a version that cannot be read: {exc}") from None
    entries = with_common_prefixes(entries, root, prefix, encoded=encoded)
    return ListPage(entries, _next_token(root, encoded=encoded))


def _next_token(root: ET.Element, *, encoded: bool) -> str | None:
    if child(root, "IsTruncated") != "true":
        return None
    # After a common prefix there is no version to go on from.
    version_id = child(root, "NextVersionIdMarker") or ""
    return f"{version_id} {decoded(text_of(root, 'NextKeyMarker'), encoded=encoded)}"


def _version(item: ET.Element, prefix: ObjectURI, *, encoded: bool) -> ObjectInfo:
    said = {field.tag: field.text for field in item}
    key, modified, etag = said.get("Key"), said.get("LastModified"), said.get("ETag")
    if not key:
        raise ValueError("no key")
    return ObjectInfo(
        uri=prefix.with_key(decoded(key, encoded=encoded)),
        size=int(said.get("Size") or 0),
        etag=etag and etag.strip('"'),
        last_modified=datetime.fromisoformat(modified) if modified else None,
        # "null" is the id of what was written while the bucket kept no versions.
        version_id=said.get("VersionId"),
        storage_class=said.get("StorageClass"),
        is_current=said.get("IsLatest") == "true",
        is_deleted=item.tag == _DELETED,
    )
