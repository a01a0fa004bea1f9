"""
Pages of objects and of versions.

OCI supports the delimiter ``/`` only. For any other one, keys are grouped here, and the next
page starts after everything that the last prefix stands for.
https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/ListObjects
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from asyncstore.drivers.oci.errors import MALFORMED, malformed
from asyncstore.drivers.oci.objects import Objects
from asyncstore.drivers.oci.wire import Request
from asyncstore.errors import NotSupportedError
from asyncstore.http import header_values
from asyncstore.http.header_values import etag_of, parse_size
from asyncstore.http.origin import encode_query
from asyncstore.options import ListOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: Entries of the largest page.
MAX_KEYS: Final = 1000

#: The header with the token of the next page, for all lists but that of objects.
NEXT_PAGE: Final = "opc-next-page"

# Without it, OCI returns names only.
_FIELDS: Final = "name,size,etag,md5,timeModified,storageTier"
# The only delimiter that OCI supports.
_SLASH: Final = "/"


class Listings(Objects):
    """
    Listings of objects and versions.
    """

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        start = None if token is None else ("start", token)
        reply, page = await self._wire.read_json(Request("GET", prefix, "/o", _query(prefix, options, start)))
        try:
            entries = [_info_of(item, prefix) for item in page["objects"]]
            entries += _prefixes(page, prefix)
            following = page.get("nextStartWith")
        except MALFORMED as exc:
            raise malformed(reply, "a page of objects") from exc
        # By code point, which is the byte order of UTF-8.
        entries.sort(key=attrgetter("uri.key"))
        if options.delimiter not in (None, _SLASH):
            entries = list(_grouped(entries, prefix, options.delimiter))
            if following is not None and entries and entries[-1].is_prefix:
                following = _later(following, _successor(entries[-1].key))
        return ListPage(_after(entries, options), following)

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return versions, those of one key newest first.

        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/ObjectVersionSummary/ListObjectVersions

        The first version of a key is the current one. A page therefore needs the last key of the
        page before, and the token holds both that key and OCI's own token.

        Raises:
            NotSupportedError: A delimiter other than ``/``.
        """
        if options.delimiter not in (None, _SLASH):
            raise NotSupportedError(f"OCI lists versions with the delimiter '/' only, not {options.delimiter!r}")
        page, before = (None, None) if token is None else json.loads(token)
        query = _query(prefix, options, page and ("page", page), always_after=True)
        reply, found = await self._wire.read_json(Request("GET", prefix, "/objectversions", query))
        try:
            entries = list(_versions(found["items"], prefix, before))
            last = entries[-1].key if entries else before
            entries += _prefixes(found, prefix)
        except MALFORMED as exc:
            raise malformed(reply, "a page of versions") from exc
        # Sorting is stable, so versions of one key keep their order.
        entries.sort(key=attrgetter("uri.key"))
        following = reply.headers.get(NEXT_PAGE)
        return ListPage(_after(entries, options), following and json.dumps([following, last]))


def _query(prefix: ObjectURI, options: ListOptions, page: tuple[str, str] | None, *, always_after: bool = False) -> str:
    pairs = [("fields", _FIELDS), ("limit", str(min(options.page_size or MAX_KEYS, MAX_KEYS)))]
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    if options.start_after is not None and (page is None or always_after):
        pairs.append(("startAfter", options.start_after))
    if options.delimiter == _SLASH:
        pairs.append(("delimiter", _SLASH))
    if page is not None:
        pairs.append(page)
    return encode_query(pairs)


def _info_of(item: Mapping[str, Any], prefix: ObjectURI) -> ObjectInfo:
    modified, etag, md5 = item.get("timeModified"), item.get("etag"), item.get("md5")
    return ObjectInfo(
        uri=prefix.with_key(item["name"]),
        size=parse_size(item["size"]),
        etag=etag_of(etag),
        last_modified=parse_time(modified),
        storage_class=item.get("storageTier"),
        # For a multipart object it is the MD5 of the parts' MD5s, and says so.
        checksum=Checksum.from_base64(ChecksumAlgorithm.MD5, md5) if md5 else None,
    )


def _versions(items: Iterable[Mapping[str, Any]], prefix: ObjectURI, before: str | None) -> Iterator[ObjectInfo]:
    for item in items:
        # A delete marker has no size.
        info = _info_of({"size": 0, **item}, prefix)
        yield replace(
            info,
            version_id=item["versionId"],
            is_current=info.key != before,
            is_deleted=bool(item["isDeleteMarker"]),
        )
        before = info.key


def parse_time(text: str | None) -> datetime | None:
    """
    Read a time of a document, which is ISO 8601; ``None`` stays ``None``.
    """
    return None if text is None else header_values.parse_time(text)


def _prefixes(page: Mapping[str, Any], prefix: ObjectURI) -> list[ObjectInfo]:
    return [_common(prefix, text) for text in page.get("prefixes") or ()]


def _common(prefix: ObjectURI, key: str) -> ObjectInfo:
    return ObjectInfo(uri=prefix.with_key(key), size=0, is_prefix=True)


def _after(entries: list[ObjectInfo], options: ListOptions) -> list[ObjectInfo]:
    # A common prefix that sorts before start_after can contain keys after it, but is not listed itself.
    after = options.start_after
    return entries if after is None else [entry for entry in entries if entry.key > after]


def _grouped(entries: Iterable[ObjectInfo], prefix: ObjectURI, delimiter: str) -> Iterator[ObjectInfo]:
    last = None
    for entry in entries:
        at = entry.key.find(delimiter, len(prefix.key))
        if at < 0:
            yield entry
        elif (common := entry.key[: at + len(delimiter)]) != last:
            last = common
            yield _common(prefix, common)


def _later(token: str, start: str | None) -> str | None:
    return None if start is None else max(token, start)


def _successor(prefix: str) -> str | None:
    # The least text after all that starts with the prefix, without surrogates, since it is sent.
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at]) + 1
        if code == 0xD800:
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:at] + chr(code)
    return None
