"""
The hidden objects of a composed upload: its marker, its parts, and the objects composed of them.

An upload has a *marker*, an object that contains the properties of the resulting object and whose metadata
names its key. Each part is an object, too. All of them are in the folder
:data:`~asyncstore.drivers.gcs.names.HIDDEN` below the URI that the storage was opened with, since that may be all
that its credentials can write to, and are deleted when the upload is completed or aborted.

One request composes up to 32 objects; more take several levels.
https://cloud.google.com/storage/docs/json_api/v1/objects/compose
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from asyncstore.driver.cycles import Cycle
from asyncstore.drivers.gcs.batch import MAX_CALLS, Batches
from asyncstore.drivers.gcs.encryption import key_headers, kms_query
from asyncstore.drivers.gcs.listing import Listings
from asyncstore.drivers.gcs.names import HIDDEN, encode_query, object_path
from asyncstore.drivers.gcs.resources import FIELDS, info_of
from asyncstore.drivers.gcs.wire import Request, with_json
from asyncstore.drivers.gcs.writing import Writes
from asyncstore.encryption import Encryption
from asyncstore.errors import ConfigurationError, NotFoundError, NotSupportedError, UnavailableError
from asyncstore.options import DeleteOptions, ListOptions
from asyncstore.types import Part
from asyncstore.uri import ObjectURI

#: The metadata of a marker that names the key of the resulting object.
TARGET: Final = "asyncstore-target"

#: https://cloud.google.com/storage/quotas#objects
MAX_SOURCES: Final = 32

_PATIENCE: Final = 4.0
_MARKERS: Final = f"{HIDDEN}uploads/"
_PARTS: Final = f"{HIDDEN}parts/"
# The digest of the key, random digits, and how many characters of the key are the name of the folder.
_ID: Final = re.compile(r"composed-[0-9a-f]{44}([0-9a-f]{4})(?:-([A-Za-z0-9_]+))?")
_CLASS: Final = re.compile(r"[A-Za-z0-9_]+")
_LISTED: Final = "name,size,generation,crc32c"
EVERYTHING: Final = ListOptions()
DELETE: Final = DeleteOptions()


class Source(NamedTuple):
    """
    One generation of an object that is composed.
    """

    name: str
    generation: str


def new_id(uri: ObjectURI, storage_class: str | None, folder: str = "") -> str:
    """
    Return the id of a new upload, which is valid for *uri* only.

    *folder* is the part of the key below which the hidden objects are. The id contains its length, so that a
    storage with another root finds them too; and the storage class, if one was chosen: GCS composes
    objects of one class only, and the result has the same class.
    """
    if storage_class is not None and not _CLASS.fullmatch(storage_class):
        raise ConfigurationError(f"{storage_class!r} is not a storage class of GCS")
    named = "" if storage_class is None else f"-{storage_class}"
    return f"composed-{_digest(uri)}{secrets.token_hex(14)}{len(folder):04x}{named}"


def storage_class_of(upload_id: str) -> str | None:
    """
    Return the storage class that was chosen for an upload.
    """
    match = _ID.fullmatch(upload_id)
    return match.group(2) if match else None


def class_of(upload_id: str) -> dict[str, str]:
    """
    Return the storage class of all objects of an upload, as fields of a resource.
    """
    storage_class = storage_class_of(upload_id)
    return {} if storage_class is None else {"storageClass": storage_class}


def is_composed(upload_id: str) -> bool:
    """
    Return whether the id is that of a composed upload, not of an XML API multipart upload.
    """
    return upload_id.startswith("composed-")


def marker(uri: ObjectURI, upload_id: str) -> ObjectURI:
    """
    Return the marker of an upload.

    Raises:
        NotFoundError: No upload to *uri* has that id.
    """
    if not upload_id.startswith(f"composed-{_digest(uri)}"):
        raise missing(upload_id)
    return uri.with_key(f"{_folder(uri, upload_id)}{_MARKERS}{upload_id}")


def markers(uri: ObjectURI, folder: str = "") -> ObjectURI:
    """
    Return the prefix of all markers in a folder of a bucket.
    """
    return uri.with_key(folder + _MARKERS)


def parts(uri: ObjectURI, upload_id: str) -> ObjectURI:
    """
    Return the prefix of the hidden objects of an upload, except its marker.
    """
    return uri.with_key(f"{_folder(uri, upload_id)}{_PARTS}{upload_id}/")


def part(uri: ObjectURI, upload_id: str, number: int) -> ObjectURI:
    """
    Return the URI of a part.
    """
    return parts(uri, upload_id) / f"{number:05}"


def joined(uri: ObjectURI, upload_id: str, level: int, index: int) -> ObjectURI:
    """
    Return the URI of an object that is composed of several parts.
    """
    return parts(uri, upload_id) / f"joined-{level}-{index:05}"


def missing(upload_id: str) -> NotFoundError:
    return NotFoundError(f"no multipart upload has the id {upload_id}", code="NoSuchUpload", provider="gcs")


def _folder(uri: ObjectURI, upload_id: str) -> str:
    match = _ID.fullmatch(upload_id)
    if match is None:
        raise missing(upload_id)
    return uri.key[: int(match.group(1), 16)]


def _digest(uri: ObjectURI) -> str:
    return hashlib.sha256(uri.key.encode()).hexdigest()[:16]


class Components(Batches, Listings, Writes):
    """
    Requests about the hidden objects of composed uploads.
    """

    async def _compose(
        self,
        target: ObjectURI,
        sources: Sequence[Source],
        described: Mapping[str, Any],
        conditions: Sequence[tuple[str, str]] = (),
        *,
        create_only: bool = False,
        encryption: Encryption | None = None,
    ) -> dict[str, Any]:
        """
        Compose *target* of up to 32 *sources*, and return its resource.

        Args:
            described: Its properties.
            conditions: On the target, as parameters.
            encryption: That of the target; a customer's key is that of the sources, too.
        """
        content = {
            "sourceObjects": [{"name": one.name, "generation": one.generation} for one in sources],
            "destination": described,
        }
        headers, body = with_json(content)
        encryption = encryption or self._encryption
        query = encode_query([*conditions, *kms_query(encryption), ("fields", FIELDS)])
        all_headers = {**headers, **key_headers(encryption)}
        return await self._wire.ask(
            Request("POST", f"{object_path(target)}/compose", query, all_headers, body, create_only, _PATIENCE)
        )

    async def _parts_page(self, uri: ObjectURI, upload_id: str, token: str | None) -> tuple[list[Part], str | None]:
        """
        Return a page of the parts that exist.
        """
        found = await self._ask_page(parts(uri, upload_id), EVERYTHING, token, _LISTED)
        stored = []
        for item in found.get("items", []):
            last = str(item["name"]).rpartition("/")[2]
            if last.isdecimal():
                info = info_of(uri, item)
                stored.append(Part(int(last), info.etag or "", info.size, info.checksum))
        return stored, found.get("nextPageToken")

    async def _names_page(self, uri: ObjectURI, upload_id: str, token: str | None) -> tuple[list[str], str | None]:
        """
        Return a page of the names of the hidden objects of an upload, except its marker.
        """
        found: dict[str, Any] = await self._ask_page(parts(uri, upload_id), EVERYTHING, token, "name")
        return [str(item["name"]) for item in found.get("items", [])], found.get("nextPageToken")

    async def _delete_named(self, uri: ObjectURI, names: Sequence[str]) -> None:
        """
        Delete up to :data:`MAX_CALLS` objects of a bucket: with one request, or one by one without batches.

        Raises:
            StorageError: One could not be deleted.
        """
        uris = [uri.with_key(name) for name in names]
        try:
            for error in await self.delete_batch(uris):
                if error is not None:
                    raise error
        except NotSupportedError:
            for one in uris:
                with suppress(NotFoundError):
                    await self.delete(one, DELETE)

    async def _delete_all(self, uri: ObjectURI, upload_id: str) -> None:
        """
        Delete all hidden objects of an upload, except its marker.

        Raises:
            StorageError: One could not be deleted.
        """
        token: str | None = None
        tokens = Cycle()
        while True:
            names, token = await self._names_page(uri, upload_id, token)
            if tokens.closes(token):
                raise UnavailableError("the listing of the parts has no end: a token came twice", retryable=False)
            for start in range(0, len(names), MAX_CALLS):
                await self._delete_named(uri, names[start : start + MAX_CALLS])
            if token is None:
                return
