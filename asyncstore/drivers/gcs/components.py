"""
The hidden objects of an upload that is composed: its marker, its parts, what is made of them.

An upload is an object of its own, its *marker*, which contains what the result is to be
stored with, and whose metadata names the key. Beside it lie the parts, one object each.
All are under :data:`~asyncstore.drivers.gcs.names.HIDDEN`, and go when the upload is completed or aborted.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from asyncstore.drivers.gcs.batch import MAX_CALLS, delete_batch
from asyncstore.drivers.gcs.listing import ask_page
from asyncstore.drivers.gcs.names import HIDDEN
from asyncstore.drivers.gcs.objects import delete
from asyncstore.drivers.gcs.resources import info_of
from asyncstore.drivers.gcs.wire import Wire
from asyncstore.errors import ConfigurationError, NotFoundError, NotSupportedError, StorageError
from asyncstore.options import DeleteOptions, ListOptions
from asyncstore.types import Part
from asyncstore.uri import ObjectURI

#: Metadata of a marker: the key of the object to be.
TARGET: Final = "asyncstore-target"

_MARKERS: Final = f"{HIDDEN}uploads/"
_PARTS: Final = f"{HIDDEN}parts/"
_ID: Final = re.compile(r"composed-[0-9a-f]{48}(?:-([A-Za-z0-9_]+))?")
_CLASS: Final = re.compile(r"[A-Za-z0-9_]+")
_LISTED: Final = "name,size,generation,crc32c"
_EVERYTHING: Final = ListOptions()
_DELETE: Final = DeleteOptions()


def new_id(uri: ObjectURI, storage_class: str | None) -> str:
    """
    Return the id of a new upload, which is good for *uri* only.

    It names the storage class, if one was chosen: all that is composed must be of one,
    and so is what comes of it.
    """
    if storage_class is not None and not _CLASS.fullmatch(storage_class):
        raise ConfigurationError(f"{storage_class!r} is no storage class of GCS")
    named = "" if storage_class is None else f"-{storage_class}"
    return f"composed-{_digest(uri)}{secrets.token_hex(16)}{named}"


def storage_class_of(upload_id: str) -> str | None:
    """
    Return the storage class that was chosen for an upload.
    """
    match = _ID.fullmatch(upload_id)
    return match.group(1) if match else None


def is_composed(upload_id: str) -> bool:
    """
    Tell such an id from those of the XML API.
    """
    return upload_id.startswith("composed-")


def marker(uri: ObjectURI, upload_id: str) -> ObjectURI:
    """
    Return the marker of an upload.

    Raises:
        NotFoundError: No upload to *uri* has that id.
    """
    if not _ID.fullmatch(upload_id) or not upload_id.startswith(f"composed-{_digest(uri)}"):
        raise missing(upload_id)
    return uri.with_key(f"{_MARKERS}{upload_id}")


def markers(uri: ObjectURI) -> ObjectURI:
    """
    Return the prefix of all markers in a bucket.
    """
    return uri.with_key(_MARKERS)


def part(uri: ObjectURI, upload_id: str, number: int) -> ObjectURI:
    """
    Return where a part is.
    """
    return uri.with_key(f"{_PARTS}{upload_id}/{number:05}")


def joined(uri: ObjectURI, upload_id: str, level: int, index: int) -> ObjectURI:
    """
    Return where some parts that were put together are.
    """
    return uri.with_key(f"{_PARTS}{upload_id}/joined-{level}-{index:05}")


def missing(upload_id: str) -> NotFoundError:
    return NotFoundError(f"there is no upload {upload_id}", code="NoSuchUpload", provider="gcs")


async def parts_page(wire: Wire, uri: ObjectURI, upload_id: str, token: str | None) -> tuple[list[Part], str | None]:
    """
    Return a page of the parts that were written.
    """
    found = await ask_page(wire, uri.with_key(f"{_PARTS}{upload_id}/"), _EVERYTHING, token, _LISTED)
    parts = []
    for item in found.get("items", []):
        last = str(item["name"]).rpartition("/")[2]
        if last.isdecimal():
            info = info_of(uri, item)
            parts.append(Part(int(last), info.etag or "", info.size, info.checksum))
    return parts, found.get("nextPageToken")


async def all_parts(wire: Wire, uri: ObjectURI, upload_id: str) -> Mapping[int, Part]:
    """
    Return the parts that were written, by number.
    """
    found: dict[int, Part] = {}
    token: str | None = None
    while True:
        parts, token = await parts_page(wire, uri, upload_id, token)
        found |= {one.number: one for one in parts}
        if token is None:
            return found


async def delete_all(wire: Wire, uri: ObjectURI, upload_id: str) -> None:
    """
    Delete all hidden objects of an upload but its marker.

    Raises:
        StorageError: One could not be deleted.
    """
    async for names in _pages(wire, uri.with_key(f"{_PARTS}{upload_id}/")):
        for start in range(0, len(names), MAX_CALLS):
            uris = [uri.with_key(name) for name in names[start : start + MAX_CALLS]]
            try:
                _raise_first(await delete_batch(wire, uris))
            except NotSupportedError:
                for one in uris:
                    with suppress(NotFoundError):
                        await delete(wire, one, _DELETE)


async def _pages(wire: Wire, prefix: ObjectURI) -> AsyncIterator[list[str]]:
    token: str | None = None
    while True:
        found: dict[str, Any] = await ask_page(wire, prefix, _EVERYTHING, token, "name")
        yield [str(item["name"]) for item in found.get("items", [])]
        token = found.get("nextPageToken")
        if token is None:
            return


def _raise_first(outcomes: Sequence[StorageError | None]) -> None:
    for error in outcomes:
        if error is not None:
            raise error


def _digest(uri: ObjectURI) -> str:
    return hashlib.sha256(uri.key.encode()).hexdigest()[:16]
