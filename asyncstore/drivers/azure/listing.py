"""
Pages of blobs, of their versions, and of unfinished uploads.

https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from xml.etree import ElementTree as ET

from asyncstore.drivers.azure.addresses import encode_query
from asyncstore.drivers.azure.blocks import uploads_of
from asyncstore.drivers.azure.headers import SNAPSHOT
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.wire import Request, Wire
from asyncstore.drivers.azure.xml import name_of
from asyncstore.errors import UnavailableError
from asyncstore.http.values import parse_date
from asyncstore.http.xml import expect
from asyncstore.options import ListOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ListPage, MultipartUpload, MultipartUploadPage, ObjectInfo
from asyncstore.uri import ObjectURI

MAX_RESULTS: Final = 5000

# The version that brought ``startFrom``; an earlier one lists all that comes before, too.
_STARTS: Final = "2026-02-06"

# Accounts with a hierarchical namespace list directories too, as blobs without bytes.
_DIRECTORY: Final = "directory"

_PLAIN: Final = ListOptions()


async def list_page(wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
    root = await _fetch(wire, prefix, options, token)
    with _collector_paused():
        return _page(root, prefix, options.start_after, versions=False)


async def list_versions_page(wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
    """
    Return blobs with their older versions and their snapshots.
    """
    root = await _fetch(wire, prefix, options, token, include="snapshots,versions")
    with _collector_paused():
        return _page(root, prefix, options.start_after, versions=True)


async def _fetch(
    wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None, *, include: str | None = None
) -> ET.Element:
    pairs = [("comp", "list"), ("restype", "container")]
    pairs.append(("maxresults", str(min(options.page_size or MAX_RESULTS, MAX_RESULTS))))
    if include is not None:
        pairs.append(("include", include))
    if options.delimiter is not None:
        pairs.append(("delimiter", options.delimiter))
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    if token is not None:
        pairs.append(("marker", token))
    elif options.start_after and wire.api_version >= _STARTS:
        pairs.append(("startFrom", options.start_after))
    _, body = await wire.read(Request("GET", prefix, encode_query(pairs), whole_container=True))
    return expect(body, "EnumerationResults")


@contextmanager
def _collector_paused() -> Iterator[None]:
    # A page is tens of thousands of short-lived elements. Every few hundred of them would
    # set off a collection, which looks at all that the caller has kept of the pages before.
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _page(root: ET.Element, prefix: ObjectURI, after: str | None, *, versions: bool) -> ListPage:
    try:
        blobs = [item for item in root.iterfind("Blobs/Blob") if item.findtext("Properties/ResourceType") != _DIRECTORY]
        entries = [_blob(item, prefix, versions=versions) for item in blobs]
        prefixes = [name_of(item) for item in root.iterfind("Blobs/BlobPrefix")]
    except (TypeError, ValueError) as exc:
        raise UnavailableError(f"a listing has an entry that cannot be read: {exc}") from None
    if prefixes:
        entries += [ObjectInfo(uri=prefix.with_key(name), size=0, is_prefix=True) for name in prefixes]
        # By code points, which is the order of the bytes of UTF-8.
        entries.sort(key=_key)
    if after:
        # The service includes the name that it starts from.
        entries = [entry for entry in entries if entry.uri.key > after]
    return ListPage(entries, root.findtext("NextMarker") or None)


def _key(entry: ObjectInfo) -> str:
    return entry.uri.key


def _blob(item: ET.Element, prefix: ObjectURI, *, versions: bool) -> ObjectInfo:
    said = {field.tag: field.text for properties in item.iterfind("Properties") for field in properties}
    modified, etag, md5 = said.get("Last-Modified"), said.get("Etag"), said.get("Content-MD5")
    version_id, snapshot = item.findtext("VersionId"), item.findtext("Snapshot")
    current = not snapshot and (version_id is None or item.findtext("IsCurrentVersion") == "true")
    return ObjectInfo(
        uri=prefix.with_key(name_of(item)),
        size=int(said.get("Content-Length") or 0),
        etag=etag and etag.strip('"'),
        last_modified=_date(modified),
        version_id=f"{SNAPSHOT}{snapshot}" if snapshot else version_id,
        storage_class=said.get("AccessTier"),
        checksum=Checksum.from_base64(ChecksumAlgorithm.MD5, md5) if md5 else None,
        is_current=current if versions else None,
    )


def _date(text: str | None) -> datetime | None:
    return parse_date(text) if text else None


async def list_multipart_uploads(
    wire: Wire, settings: AzureSettings, prefix: ObjectURI, token: str | None
) -> MultipartUploadPage:
    """
    Return the uploads to blobs that have nothing but uncommitted blocks.

    Azure does not tell whether a blob with bytes has further, uncommitted blocks; only
    for the blob whose key is the prefix itself is it asked. Each candidate costs
    another request.
    """
    root = await _fetch(wire, prefix, _PLAIN, token, include="uncommittedblobs")
    page = _page(root, prefix, None, versions=False)
    # Nothing is committed of a blob without bytes, or it is one that is empty.
    found = [info.uri for info in page.objects if not info.size]
    if prefix.key and token is None and all(uri.key != prefix.key for uri in found):
        found.insert(0, prefix)
    uploads = []
    for uri in found:
        uploads += [MultipartUpload(uri, upload_id) for upload_id in await uploads_of(wire, settings, uri)]
    return MultipartUploadPage(uploads, page.next_token)
