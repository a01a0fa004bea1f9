"""
Uploads by parts, as objects of their own that are composed at the end.

This takes conditions, which the XML API's uploads do not, and needs nothing but the JSON API.
https://cloud.google.com/storage/docs/composite-objects
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from asyncstore.body import Body, BytesBody
from asyncstore.drivers.gcs import components
from asyncstore.drivers.gcs.composition import Source, compose, content_of, described, few_enough
from asyncstore.drivers.gcs.conditions import generation_of, without_object
from asyncstore.drivers.gcs.listing import ask_page
from asyncstore.drivers.gcs.multipart import compare_sum, number_of
from asyncstore.drivers.gcs.names import check_name
from asyncstore.drivers.gcs.objects import delete, stat
from asyncstore.drivers.gcs.put import put
from asyncstore.drivers.gcs.resources import info_of
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Wire
from asyncstore.errors import (
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import DeleteOptions, ListOptions, ReadOptions, WriteOptions
from asyncstore.types import (
    Checksum,
    ChecksumAlgorithm,
    Metadata,
    MultipartUpload,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
)
from asyncstore.uri import ObjectURI

_READ: Final = ReadOptions()
_DELETE: Final = DeleteOptions()
_LIST: Final = ListOptions()

_log = logging.getLogger(__name__)


class ComposedUploads:
    """
    The uploads of one storage that are composed.
    """

    def __init__(self, wire: Wire, settings: GCSSettings) -> None:
        self._wire = wire
        self._settings = settings
        # Whose last request was sent without an answer: what is found there may be theirs.
        self._in_doubt: set[str] = set()

    async def initiate(self, uri: ObjectURI, options: WriteOptions) -> str:
        """
        Write the marker of a new upload.
        """
        check_name(uri)
        upload_id = components.new_id(uri, options.storage_class)
        stored = WriteOptions(
            content_type="application/json",
            storage_class=options.storage_class,
            metadata={components.TARGET: uri.key.encode().hex()},
        )
        body = BytesBody(json.dumps(described(options, upload_id)).encode())
        await put(self._wire, self._settings, components.marker(uri, upload_id), body, stored)
        return upload_id

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        """
        Write a part, and see that the upload is still there: one that is written while the upload
        is aborted would be nobody's.
        """
        marker = components.marker(uri, upload_id)
        target = components.part(uri, upload_id, number)
        stored = WriteOptions(storage_class=components.storage_class_of(upload_id), checksum=options.checksum)
        info = await put(self._wire, self._settings, target, body, stored)
        try:
            await stat(self._wire, self._settings, marker, _READ)
        except NotFoundError:
            await delete(self._wire, target, _DELETE)
            raise components.missing(upload_id) from None
        algorithm = options.checksum or self._settings.checksum
        checksum = None if algorithm is None else body.checksum(algorithm)
        return Part(number, info.etag or "", body.size, checksum or info.checksum)

    async def complete(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None,
    ) -> ObjectInfo:
        """
        Compose the object and delete its parts.
        """
        wanted = await self._described(uri, upload_id)
        ordered = sorted(parts, key=number_of)
        compare_sum(await self._checked(uri, upload_id, ordered), checksum)
        sources = [Source(components.part(uri, upload_id, one.number).key, one.etag) for one in ordered]
        few = await few_enough(self._wire, self._settings, uri, upload_id, sources)
        info = await self._final(uri, upload_id, few, wanted, options, checksum, ordered)
        await self._clean_up(uri, upload_id)
        return info

    async def abort(self, uri: ObjectURI, upload_id: str) -> None:
        """
        Delete the marker, then the parts: those that come later see that it is gone.
        """
        with suppress(NotFoundError):
            await delete(self._wire, components.marker(uri, upload_id), _DELETE)
            await components.delete_all(self._wire, uri, upload_id)
        self._in_doubt.discard(upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        await self._marker(uri, upload_id)
        return PartPage(*await components.parts_page(self._wire, uri, upload_id, token))

    async def list_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        Return those uploads of a page of all markers whose keys start with ``prefix.key``.
        """
        fields = "name,timeCreated,metadata"
        found = await ask_page(self._wire, components.markers(prefix), _LIST, token, fields)
        uploads = [upload for item in found.get("items", []) if (upload := _upload(prefix, item)) is not None]
        return MultipartUploadPage(sorted(uploads, key=_place), found.get("nextPageToken"))

    async def _marker(self, uri: ObjectURI, upload_id: str) -> Metadata:
        try:
            return await stat(self._wire, self._settings, components.marker(uri, upload_id), _READ)
        except NotFoundError:
            raise components.missing(upload_id) from None

    async def _described(self, uri: ObjectURI, upload_id: str) -> dict[str, Any]:
        # It is what the marker contains, and not its own metadata: nothing that a server adds to those gets in.
        try:
            return await content_of(self._wire, self._settings, components.marker(uri, upload_id))
        except NotFoundError:
            raise components.missing(upload_id) from None

    async def _checked(self, uri: ObjectURI, upload_id: str, parts: Sequence[Part]) -> Sequence[Part]:
        # As they are stored, with the checksums that GCS has made of them.
        found = await components.all_parts(self._wire, uri, upload_id)
        for one in parts:
            stored = found.get(one.number)
            if stored is None or stored.etag != one.etag:
                raise InvalidRequestError(
                    f"part {one.number} is not as it was named", code="InvalidPart", provider="gcs"
                )
        return [found[one.number] for one in parts]

    async def _final(
        self,
        uri: ObjectURI,
        upload_id: str,
        sources: Sequence[Source],
        wanted: Mapping[str, Any],
        options: WriteOptions,
        checksum: Checksum | None,
        parts: Sequence[Part],
    ) -> ObjectInfo:
        conditions = await self._conditions(uri, options)
        try:
            found = await compose(
                self._wire,
                self._settings,
                uri,
                sources,
                wanted,
                conditions,
                create_only=options.if_none_match is not None,
            )
        except PreconditionFailedError:
            ours = await self._ours(uri, upload_id, checksum, parts) if upload_id in self._in_doubt else None
            if ours is None:
                raise
            return ours
        except UnavailableError as exc:
            if exc.status is None:
                self._in_doubt.add(upload_id)
            raise
        return info_of(uri, found)

    async def _conditions(self, uri: ObjectURI, options: WriteOptions) -> Sequence[tuple[str, str]]:
        if options.if_none_match is not None:
            return [("ifGenerationMatch", "0")]
        if options.if_match is None:
            return []
        etag = options.if_match
        if etag == "*":
            # Composing knows no condition for "any", so it is for the one that is there now.
            try:
                etag = (await stat(self._wire, self._settings, uri, _READ)).etag or etag
            except NotFoundError as exc:
                raise without_object(exc, options.if_match) from None
        return [("ifGenerationMatch", generation_of(etag))]

    async def _ours(
        self, uri: ObjectURI, upload_id: str, checksum: Checksum | None, parts: Sequence[Part]
    ) -> ObjectInfo | None:
        marker = await self._marker(uri, upload_id)
        try:
            found = await stat(self._wire, self._settings, uri, _READ)
        except NotFoundError:
            return None
        if checksum is None or _differs(found.checksum, checksum) or found.size != sum(one.size for one in parts):
            return None
        return found if _moment(found) >= _moment(marker) else None

    async def _clean_up(self, uri: ObjectURI, upload_id: str) -> None:
        self._in_doubt.discard(upload_id)
        try:
            # The marker goes last: as long as it is there, list_multipart_uploads finds what is left.
            await components.delete_all(self._wire, uri, upload_id)
            await delete(self._wire, components.marker(uri, upload_id), _DELETE)
        except StorageError as exc:
            # The object is there, so this is no failure of the upload.
            _log.warning("the parts of %s could not be deleted, abort upload %s: %s", uri, upload_id, exc)


def _upload(prefix: ObjectURI, item: Mapping[str, Any]) -> MultipartUpload | None:
    try:
        key = bytes.fromhex(item["metadata"][components.TARGET]).decode()
        began = datetime.fromisoformat(item["timeCreated"]) if "timeCreated" in item else None
    except (KeyError, TypeError, ValueError):
        # Somebody else's object.
        return None
    upload_id = str(item["name"]).rpartition("/")[2]
    return MultipartUpload(prefix.with_key(key), upload_id, began) if key.startswith(prefix.key) else None


def _place(upload: MultipartUpload) -> tuple[str, str]:
    return upload.uri.key, upload.upload_id


def _differs(stored: Checksum | None, wanted: Checksum) -> bool:
    return stored is not None and wanted.algorithm is ChecksumAlgorithm.CRC32C and stored != wanted


def _moment(info: Metadata) -> float:
    return info.last_modified.timestamp() if info.last_modified is not None else 0.0
