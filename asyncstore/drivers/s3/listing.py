"""
Pages of objects, of their versions, and of unfinished multipart uploads.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final
from xml.etree import ElementTree as ET

from asyncstore.auth.aws.sigv4 import encode_query
from asyncstore.drivers.s3.bucket_names import zone_of
from asyncstore.drivers.s3.entries import FIELDS, Row, cut, listed
from asyncstore.drivers.s3.features import VERSION_2, VERSIONS
from asyncstore.drivers.s3.objects import Objects
from asyncstore.drivers.s3.wire import Request
from asyncstore.errors import NotSupportedError, StorageError, UnavailableError
from asyncstore.http.header_values import etag_of, parse_size, parse_time
from asyncstore.http.xml import child, collector_paused, expect, parse, text_of
from asyncstore.http.xml_uploads import decoded, is_encoded, key_marker, upload_page, uploads_query
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, MultipartUploadPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
MAX_KEYS: Final = 1000

_SLASH: Final = "/"

_DELETED: Final = "DeleteMarker"

# Before a key to continue from, in the tokens of version 1.
_MARKER: Final = "marker "


class Listings(Objects):
    """
    Listings of objects, versions and unfinished uploads.
    """

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return a page by version 2 of the request, or by version 1 where the endpoint ignores ``list-type``.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html
        """
        if zone_of(prefix.bucket) is not None:
            return await self._directory_page(prefix, options, token)
        marker = options.start_after if token is None else token.removeprefix(_MARKER)
        if VERSION_2 in self._lacking or (token is not None and token.startswith(_MARKER)):
            return await self._page_after(prefix, options, marker)
        pairs = [("list-type", "2")]
        if token is not None:
            pairs.append(("continuation-token", token))
        elif marker is not None:
            pairs.append(("start-after", marker))
        try:
            body = await self._fetch(prefix, pairs, options)
        except StorageError as exc:
            if token is not None or not self._refuses_version_2(exc):
                raise
            return await self._page_after(prefix, options, marker)
        with collector_paused():
            page, root = _page(body, prefix)
        if not _is_version_1(root):
            return page
        if token is None and marker is None and page.next_token is None:
            # A whole listing: both versions say the same.
            return page
        self.narrow(VERSION_2, "a reply to list-type=2 has a marker, and no continuation token")
        # Version 1 ignores start-after and continuation-token, so the page is that from the start.
        return page if token is None and marker is None else await self._page_after(prefix, options, marker)

    def _refuses_version_2(self, error: StorageError) -> bool:
        if self._wire.addresses.at_aws or error.status not in (400, 501):
            return False
        refused = error.status == 501 or "list-type" in error.message.lower()
        if refused:
            self.narrow(VERSION_2, f"list-type=2 was refused with status {error.status}: {error.message}")
        return refused

    async def _page_after(self, prefix: ObjectURI, options: ListOptions, marker: str | None) -> ListPage:
        """
        Return a page by version 1.

        Raises:
            UnavailableError: The endpoint ignores the marker.
        """
        body = await self._fetch(prefix, [] if marker is None else [("marker", marker)], options)
        with collector_paused():
            page, _ = _page(body, prefix)
        # A common prefix may sort before the marker that is below it.
        first = next((info.key for info in page.objects if not info.is_prefix), None)
        if marker is not None and first is not None and first <= marker:
            raise UnavailableError("the endpoint ignores markers, so its listing would never end", retryable=False)
        return page

    async def _directory_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return a page of a directory bucket.

        It lists directories only, in any order and from their beginning: what else was
        asked for is chosen here.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
        """
        if options.delimiter not in (None, _SLASH):
            raise NotSupportedError(
                f"directory buckets have the delimiter {_SLASH!r} only, not {options.delimiter!r}", provider="s3"
            )
        pairs = [("list-type", "2")] + ([] if token is None else [("continuation-token", token)])
        body = await self._fetch(_directory_of(prefix), pairs, options)
        with collector_paused():
            page, _ = _page(body, prefix)
        after = options.start_after
        entries = [
            entry
            for entry in page.objects
            if entry.uri.key.startswith(prefix.key) and (after is None or entry.uri.key > after)
        ]
        return ListPage(entries, page.next_token)

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return versions and delete markers; those of one key come newest first.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
        """
        pairs = [("versions", "")]
        if token is not None:
            # A version id never has spaces; a key may.
            version_id, _, key = token.partition(" ")
            pairs.append(("key-marker", key))
            if version_id:
                pairs.append(("version-id-marker", version_id))
        elif options.start_after is not None:
            pairs.append(("key-marker", options.start_after))
        body = await self._fetch(prefix, pairs, options)
        if not self._wire.addresses.at_aws and (root := parse(body)) is not None and root.tag == "ListBucketResult":
            raise self._lacks(VERSIONS, "the parameter versions is ignored", versions=False)
        with collector_paused():
            return _versions_page(body, prefix)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        if zone_of(prefix.bucket) is None:
            body = await self._fetch(prefix, uploads_query(token))
            return upload_page(expect(body, "ListMultipartUploadsResult"), prefix)
        body = await self._fetch(_directory_of(prefix), uploads_query(token))
        page = upload_page(expect(body, "ListMultipartUploadsResult"), prefix)
        found = [upload for upload in page.uploads if upload.uri.key.startswith(prefix.key)]
        first = f"{page.uploads[0].uri.key} {page.uploads[0].upload_id}" if page.uploads else None
        return MultipartUploadPage(found, page.next_token, first)

    async def _fetch(
        self, prefix: ObjectURI, pairs: list[tuple[str, str]], options: ListOptions | None = None
    ) -> bytes:
        pairs.append(("encoding-type", "url"))
        if options is not None:
            pairs.append(("max-keys", str(min(options.page_size or MAX_KEYS, MAX_KEYS))))
            if options.delimiter is not None:
                pairs.append(("delimiter", options.delimiter))
        if prefix.key:
            pairs.append(("prefix", prefix.key))
        request = Request("GET", prefix, encode_query(sorted(pairs)), whole_bucket=True)
        return (await self._wire.read(request))[1]


def _directory_of(prefix: ObjectURI) -> ObjectURI:
    return prefix.with_key(prefix.key[: prefix.key.rfind(_SLASH) + 1])


def _page(body: bytes, prefix: ObjectURI) -> tuple[ListPage, ET.Element]:
    """
    Return a page and the element that it was read from, without plain entries.
    """
    rows, rest = cut(body)
    root = expect(rest, "ListBucketResult")
    encoded = is_encoded(root)
    try:
        # One of the two is empty.
        entries = listed(prefix, _rows(rows, encoded=encoded) + _objects(root, encoded=encoded))
    except ValueError as exc:
        raise UnavailableError(f"the listing has an invalid entry: {exc}") from None
    entries = _with_common_prefixes(entries, root, prefix, encoded=encoded)
    if child(root, "IsTruncated") != "true":
        return ListPage(entries), root
    if not _is_version_1(root):
        return ListPage(entries, text_of(root, "NextContinuationToken")), root
    marker = decoded(child(root, "NextMarker") or "", encoded=encoded) or (entries[-1].key if entries else "")
    if not marker:
        raise UnavailableError("the listing is not complete, and has nothing to continue from", retryable=False)
    return ListPage(entries, _MARKER + marker), root


def _is_version_1(root: ET.Element) -> bool:
    # Only version 1 answers with the marker that was sent, which is empty at first.
    if root.find("KeyCount") is not None or child(root, "NextContinuationToken"):
        return False
    return root.find("Marker") is not None


def _rows(rows: Sequence[Row], *, encoded: bool) -> list[Row]:
    if not encoded:
        return list(rows)
    return [(decoded(row[0], encoded=True), *row[1:]) if "%" in row[0] or "+" in row[0] else row for row in rows]


def _objects(root: ET.Element, *, encoded: bool) -> list[Row]:
    rows = []
    for item in root.iterfind("Contents"):
        texts = {field.tag: field.text or "" for field in item}
        key, modified, etag, size, storage_class = [texts.get(name, "") for name in FIELDS]
        rows.append((decoded(key, encoded=encoded), modified, etag, size, storage_class))
    return rows


def _with_common_prefixes(
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
        # Code point order is the byte order of UTF-8.
        entries.sort(key=attrgetter("uri.key"))
    return entries


def _versions_page(body: bytes, prefix: ObjectURI) -> ListPage:
    root = expect(body, "ListVersionsResult")
    encoded = is_encoded(root)
    try:
        # Versions and delete markers are mixed, in the order in which they were made.
        entries = [_version(item, prefix, encoded=encoded) for item in root if item.tag in ("Version", _DELETED)]
    except (TypeError, ValueError) as exc:
        raise UnavailableError(f"the listing has an invalid version: {exc}") from None
    entries = _with_common_prefixes(entries, root, prefix, encoded=encoded)
    return ListPage(entries, _next_token(root, entries[-1].key if entries else None, encoded=encoded))


def _next_token(root: ET.Element, last: str | None, *, encoded: bool) -> str | None:
    if child(root, "IsTruncated") != "true":
        return None
    # A page that ends with a common prefix names no version to continue from.
    version_id = child(root, "NextVersionIdMarker") or ""
    return f"{version_id} {key_marker(root, last, encoded=encoded)}"


def _version(item: ET.Element, prefix: ObjectURI, *, encoded: bool) -> ObjectInfo:
    texts = {field.tag: field.text for field in item}
    key, modified, etag = texts.get("Key"), texts.get("LastModified"), texts.get("ETag")
    if not key:
        raise ValueError("the key is empty")
    return ObjectInfo(
        uri=prefix.with_key(decoded(key, encoded=encoded)),
        size=parse_size(texts.get("Size") or 0),
        etag=etag_of(etag),
        last_modified=parse_time(modified) if modified else None,
        # Objects written before versioning was enabled have the id "null".
        version_id=texts.get("VersionId"),
        storage_class=texts.get("StorageClass"),
        is_current=texts.get("IsLatest") == "true",
        is_deleted=item.tag == _DELETED,
    )
