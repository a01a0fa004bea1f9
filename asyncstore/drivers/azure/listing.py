"""
Lists blobs, their versions, and unfinished uploads.

https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import Final
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from asyncstore.drivers.azure.blocks import MultipartUploads, initiated
from asyncstore.drivers.azure.headers import DIRECTORY, SNAPSHOT, is_marker
from asyncstore.drivers.azure.wire import Request
from asyncstore.errors import UnavailableError
from asyncstore.http.header_values import etag_of, parse_date, parse_size
from asyncstore.http.origin import encode_query
from asyncstore.http.xml import collector_paused, expect
from asyncstore.options import ListOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ListPage, MultipartUpload, MultipartUploadPage, ObjectInfo
from asyncstore.uri import ObjectURI

MAX_RESULTS: Final = 5000

# The first version with ``startFrom``; an earlier one lists the container from its beginning.
_STARTS: Final = "2026-02-06"

# Blobs of a page with their metadata, of which each can have 8 KiB.
_MAX_WITH_METADATA: Final = 1000

_PLAIN: Final = ListOptions()


class Listings(MultipartUploads):
    """
    Listings of blobs, versions and unfinished uploads.
    """

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        # What makes a blob the marker of a folder is in its metadata.
        root = await self._fetch(prefix, options, token, include="metadata" if options.folders else None)
        with collector_paused():
            return _page(root, prefix, options.start_after, folders=options.folders)

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return blobs with their older versions and snapshots.
        """
        root = await self._fetch(prefix, options, token, include="snapshots,versions")
        with collector_paused():
            return _page(root, prefix, options.start_after, versions=True)

    async def _fetch(
        self, prefix: ObjectURI, options: ListOptions, token: str | None, *, include: str | None = None
    ) -> ET.Element:
        pairs = [("comp", "list"), ("restype", "container")]
        most = _MAX_WITH_METADATA if options.folders else MAX_RESULTS
        pairs.append(("maxresults", str(min(options.page_size or most, most))))
        if include is not None:
            pairs.append(("include", include))
        if options.delimiter is not None:
            pairs.append(("delimiter", options.delimiter))
        if prefix.key:
            pairs.append(("prefix", prefix.key))
        if token is not None:
            pairs.append(("marker", token))
        elif options.start_after and self._wire.api_version >= _STARTS:
            pairs.append(("startFrom", options.start_after))
        _, body = await self._wire.read(Request("GET", prefix, encode_query(pairs), level="container"))
        return expect(body, "EnumerationResults")

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        Return the uploads to blobs that have only uncommitted blocks.

        Listings do not tell whether a blob with bytes also has uncommitted blocks, so of
        these only the blob whose key is the prefix itself is queried. Each candidate takes
        another request.
        """
        root = await self._fetch(prefix, _PLAIN, token, include="uncommittedblobs")
        page = _page(root, prefix, None)
        # A blob without bytes is uncommitted or empty.
        found = [info.uri for info in page.objects if not info.size]
        if prefix.key and token is None and all(uri.key != prefix.key for uri in found):
            found.insert(0, prefix)
        uploads = []
        for uri in found:
            uploads += [MultipartUpload(uri, name, initiated(name)) for name in await self._uploads_of(uri)]
        return MultipartUploadPage(uploads, page.next_token, page.objects[0].key if page.objects else None)


def _page(
    root: ET.Element, prefix: ObjectURI, after: str | None, *, versions: bool = False, folders: bool = False
) -> ListPage:
    try:
        # Accounts with a hierarchical namespace also list directories, as empty blobs.
        blobs = [item for item in root.iterfind("Blobs/Blob") if folders or not _is_directory(item)]
        entries = [_blob(item, prefix, versions=versions) for item in blobs]
        if folders:
            entries = [_with_folder(entry, item) for entry, item in zip(entries, blobs, strict=True)]
        prefixes = [_name(item) for item in root.iterfind("Blobs/BlobPrefix")]
    except (TypeError, ValueError) as exc:
        raise UnavailableError(f"the listing has an invalid entry: {exc}") from None
    if prefixes:
        entries += [ObjectInfo(uri=prefix.with_key(name), size=0, is_prefix=True) for name in prefixes]
        # Code points sort like the bytes of UTF-8.
        entries.sort(key=attrgetter("uri.key"))
    if after:
        # The service includes the name to start after.
        entries = [entry for entry in entries if entry.uri.key > after]
    return ListPage(entries, root.findtext("NextMarker") or None)


def _is_directory(item: ET.Element) -> bool:
    return item.findtext("Properties/ResourceType") == DIRECTORY


def _with_folder(info: ObjectInfo, item: ET.Element) -> ObjectInfo:
    if _is_directory(item):
        return replace(info, is_prefix=True, is_folder=True)
    named = {field.tag.lower(): field.text or "" for metadata in item.iterfind("Metadata") for field in metadata}
    return replace(info, is_folder=True) if not info.size and is_marker(named) else info


def _name(item: ET.Element) -> str:
    element = item.find("Name")
    if element is None or not element.text:
        raise ValueError("its name is missing")
    # Names that XML cannot carry are encoded.
    return unquote(element.text, errors="strict") if element.get("Encoded") == "true" else element.text


def _blob(item: ET.Element, prefix: ObjectURI, *, versions: bool) -> ObjectInfo:
    values = {field.tag: field.text for properties in item.iterfind("Properties") for field in properties}
    modified, etag, md5 = values.get("Last-Modified"), values.get("Etag"), values.get("Content-MD5")
    version_id, snapshot = item.findtext("VersionId"), item.findtext("Snapshot")
    current = not snapshot and (version_id is None or item.findtext("IsCurrentVersion") == "true")
    return ObjectInfo(
        uri=prefix.with_key(_name(item)),
        size=parse_size(values.get("Content-Length") or 0),
        etag=etag_of(etag),
        last_modified=parse_date(modified) if modified else None,
        version_id=f"{SNAPSHOT}{snapshot}" if snapshot else version_id,
        storage_class=values.get("AccessTier"),
        checksum=Checksum.from_base64(ChecksumAlgorithm.MD5, md5) if md5 else None,
        is_current=current if versions else None,
    )
