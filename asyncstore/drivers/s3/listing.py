"""
Pages of ListObjectsV2.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element

from asyncstore.auth.sigv4 import encode_query
from asyncstore.drivers.s3 import xml
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: Bytes of a page that are read at the most: 1,000 keys of 1 KiB, each byte of them escaped.
MAX_PAGE: Final = 8 * 1024 * 1024

#: Keys of the largest page.
PAGE_SIZE: Final = 1000


def page_query(prefix: ObjectURI, options: ListOptions, token: str | None) -> str:
    """
    Return the query for a page.
    """
    pairs = [("encoding-type", "url"), ("list-type", "2")]
    if token is not None:
        pairs.append(("continuation-token", token))
    elif options.start_after is not None:
        pairs.append(("start-after", options.start_after))
    if options.delimiter is not None:
        pairs.append(("delimiter", options.delimiter))
    if options.page_size is not None:
        pairs.append(("max-keys", str(min(options.page_size, PAGE_SIZE))))
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    return encode_query(pairs)


def read_page(prefix: ObjectURI, document: bytes) -> ListPage:
    """
    Read a page: objects and common prefixes together, in byte order.
    """
    objects: list[ObjectInfo] = []
    prefixes = 0
    token = None
    truncated = False
    for child in xml.parse(document):
        kind = child.tag.rpartition("}")[2]
        if kind == "Contents":
            objects.append(_object(prefix, child))
        elif kind == "CommonPrefixes":
            prefixes += 1
            objects.append(ObjectInfo(uri=prefix.with_key(_decoded(child[0].text)), size=0, is_prefix=True))
        elif kind == "NextContinuationToken":
            token = child.text
        elif kind == "IsTruncated":
            truncated = child.text == "true"
    if prefixes:
        # Code points sort as the bytes of their UTF-8 do.
        objects.sort(key=lambda info: info.uri.key)
    return ListPage(objects, token if truncated else None)


def _object(prefix: ObjectURI, element: Element) -> ObjectInfo:
    said = {child.tag.rpartition("}")[2]: child.text for child in element}
    etag = said.get("ETag")
    return ObjectInfo(
        uri=prefix.with_key(_decoded(said["Key"])),
        size=int(said["Size"] or 0),
        etag=etag.strip('"') if etag else None,
        last_modified=moment(said.get("LastModified")),
        storage_class=said.get("StorageClass"),
    )


def _decoded(text: str | None) -> str:
    if not text:
        return ""
    return unquote_plus(text) if "%" in text or "+" in text else text


def moment(text: str | None) -> datetime | None:
    """
    Read the time of a document; ``None`` if it is none.
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
