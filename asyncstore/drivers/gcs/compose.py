"""
Composed uploads: each part is an object, and the parts are composed at the end.

They support conditions, which XML API multipart uploads do not, and need only the JSON API.
https://cloud.google.com/storage/docs/composite-objects
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final

from asyncstore._support.redact import redact
from asyncstore.driver import Pending
from asyncstore.driver.body import Body, BytesBody
from asyncstore.driver.parts import in_order
from asyncstore.drivers.gcs import components
from asyncstore.drivers.gcs.batch import MAX_CALLS
from asyncstore.drivers.gcs.components import DELETE, EVERYTHING, MAX_SOURCES, Components, Source
from asyncstore.drivers.gcs.conditions import generation_of
from asyncstore.drivers.gcs.copying import Copies, Rewrite
from asyncstore.drivers.gcs.encryption import key_headers
from asyncstore.drivers.gcs.errors import NoXMLUploadsError
from asyncstore.drivers.gcs.multipart import Completed, XMLUploads, check_parts
from asyncstore.drivers.gcs.names import check_name, object_path
from asyncstore.drivers.gcs.protection import acl_query
from asyncstore.drivers.gcs.resources import resource, written_of
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Request, Wire
from asyncstore.errors import (
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from asyncstore.http.header_values import parse_time
from asyncstore.http.object_headers import without_object
from asyncstore.options import PLAIN_READ, WriteOptions
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

# Prefix of the tokens of pages with composed uploads, which follow the XML API multipart uploads.
#: The parameter of an access list, which the marker holds beside what the object is stored with.
_ACL: Final = "destinationPredefinedAcl"

_COMPOSED: Final = "composed "

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """
    A part that was written.

    Attributes:
        upload_id: Its upload, which may have been aborted in the meantime.
        part: The part.
        orphan: Whether the upload was aborted, so that the part must be deleted.
    """

    upload_id: str
    part: Part
    orphan: bool = False


@dataclass(frozen=True, slots=True)
class _Completion:
    """
    The progress of a completion.

    Attributes:
        upload_id: The upload.
        parts: As the caller listed them, by number.
        options: The conditions.
        checksum: Of the whole object.
        described: The properties of the object.
        stored: The stored parts, page by page.
        token: Token of their next page.
        sources: The objects left to compose at this level; ``None`` before all parts are listed.
        joined: The objects composed at this level.
        level: How many times all sources were joined.
        generation: The generation of the object to replace, if it had to be looked up.
    """

    upload_id: str
    parts: Sequence[Part]
    options: WriteOptions
    checksum: Checksum | None
    described: Mapping[str, Any]
    stored: Mapping[int, Part] = field(default_factory=dict)
    token: str | None = None
    sources: Sequence[Source] | None = None
    joined: tuple[Source, ...] = ()
    level: int = 0
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class _Cleanup:
    """
    The cleanup of an upload whose object exists.

    Attributes:
        upload_id: The upload.
        info: The object.
        names: Hidden objects to delete.
        token: Token of the next page of names.
        listed: Whether the last page of names was read.
    """

    upload_id: str
    info: ObjectInfo
    names: tuple[str, ...] = ()
    token: str | None = None
    listed: bool = False


class ComposedUploads(Components, XMLUploads, Copies):
    """
    Multipart uploads: those of the XML API, and composed ones if ``multipart`` says so, if there is a
    condition, or if the endpoint does not support XML API multipart uploads.
    """

    def __init__(self, wire: Wire, settings: GCSSettings, root: ObjectURI) -> None:
        super().__init__(wire, settings)
        self._folder = (root / "x").key[:-1]
        self._xml_uploads = settings.multipart != "compose"
        # Uploads whose completion got no reply: an object that exists may be theirs.
        self._in_doubt: set[str] = set()

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        """
        Start an upload; a composed one starts with its marker.
        """
        conditional = options.if_match is not None or options.if_none_match is not None
        # The XML API has no header for a hold.
        protected = options.retention is not None or options.legal_hold
        # Headers carry only ASCII; JSON carries all text.
        plain = all(value.isascii() for value in options.metadata.values())
        if not (conditional or protected) and plain and self._xml_uploads:
            try:
                return await super().initiate_multipart_upload(uri, options)
            except NoXMLUploadsError as exc:
                self._compose_only(exc)
        check_name(uri)
        upload_id = components.new_id(uri, options.storage_class, self._folder_of(uri))
        stored = WriteOptions(
            content_type="application/json",
            storage_class=options.storage_class,
            metadata={components.TARGET: uri.key.encode().hex()},
        )
        described = {**resource(options), **dict(acl_query(options, _ACL))}
        body = BytesBody(json.dumps(described).encode())
        await self._put(components.marker(uri, upload_id), body, stored)
        return upload_id

    def _folder_of(self, uri: ObjectURI) -> str:
        return self._folder if uri.key.startswith(self._folder) else ""

    def _compose_only(self, reason: NoXMLUploadsError) -> None:
        # The one place where multipart="auto" narrows to what this endpoint supports.
        if self._settings.multipart != "auto":
            raise reason
        self._xml_uploads = False
        self.narrow("XML API multipart uploads", "the reply to the first request is not one of them")

    async def upload_part(
        self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
    ) -> Part | Pending[Part]:
        """
        Write a part; the next step of a composed upload checks that it still exists.
        """
        if not components.is_composed(upload_id):
            return await super().upload_part(uri, upload_id, number, body, options)
        components.marker(uri, upload_id)
        target = components.part(uri, upload_id, number)
        stored = WriteOptions(
            storage_class=components.storage_class_of(upload_id),
            checksum=options.checksum,
            encryption=options.encryption,
        )
        info = await self._put(target, body, stored)
        algorithm = options.checksum or self._settings.checksum
        checksum = None if algorithm is None else body.checksum(algorithm)
        part = Part(number, info.etag or "", body.size, checksum or info.checksum)
        return Pending(uri, _Written(upload_id, part))

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo | Pending[ObjectInfo]:
        """
        Read the properties of a composed object; the next steps compose it and delete its parts.
        """
        if not components.is_composed(upload_id):
            return await super().complete_multipart_upload(uri, upload_id, parts, options, checksum)
        path = object_path(components.marker(uri, upload_id))
        try:
            # The content of the marker and not its metadata, to which a server may add.
            described = await self._wire.ask(Request("GET", path, "alt=media", key_headers(self._encryption)))
        except NotFoundError:
            raise components.missing(upload_id) from None
        return Pending(uri, _Completion(upload_id, tuple(in_order(parts)), options, checksum, described))

    async def advance(self, pending: Pending[Any]) -> Any:
        """
        Send the next request of a copy, a part or a completion.
        """
        uri, state = pending.target, pending.state
        if isinstance(state, Rewrite):
            return await super().advance(pending)
        if isinstance(state, Completed):
            return await self._completed(uri, state)
        if isinstance(state, _Written):
            return await self._check(uri, state)
        if isinstance(state, _Cleanup):
            return await self._clean_up(uri, state)
        if state.sources is None:
            return await self._list(uri, state)
        if state.joined or len(state.sources) > MAX_SOURCES:
            return Pending(uri, await self._join(uri, state))
        if state.options.if_match == "*" and state.generation is None:
            return Pending(uri, await self._pin(uri, state))
        return Pending(uri, _Cleanup(state.upload_id, await self._finish(uri, state)))

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        """
        Delete the marker of a composed upload, then its parts. Parts that arrive later find no marker.
        """
        if not components.is_composed(upload_id):
            await super().abort_multipart_upload(uri, upload_id)
            return
        with suppress(NotFoundError):
            await self.delete(components.marker(uri, upload_id), DELETE)
            await self._delete_all(uri, upload_id)
        self._in_doubt.discard(upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        if not components.is_composed(upload_id):
            return await super().list_parts(uri, upload_id, token)
        await self._marker(uri, upload_id)
        return PartPage(*await self._parts_page(uri, upload_id, token))

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        Return a page of the XML API multipart uploads; the composed ones follow with the last of these pages.
        """
        uploads: list[MultipartUpload] = []
        if self._xml_uploads and not (token or "").startswith(_COMPOSED):
            try:
                page = await super().list_multipart_uploads(prefix, token)
            except NoXMLUploadsError as exc:
                self._compose_only(exc)
            else:
                if page.next_token is not None:
                    return page
                uploads = [*page.uploads]
            token = None
        fields = "name,timeCreated,metadata"
        found = await self._ask_page(
            components.markers(prefix, self._folder_of(prefix / "")),
            EVERYTHING,
            token and token.removeprefix(_COMPOSED),
            fields,
        )
        composed = [upload for item in found.get("items", []) if (upload := _upload(prefix, item)) is not None]
        following = found.get("nextPageToken")
        uploads += sorted(composed, key=attrgetter("uri.key", "upload_id"))
        first = None if not found.get("items") else str(found["items"][0]["name"])
        return MultipartUploadPage(uploads, None if following is None else _COMPOSED + following, first)

    async def _marker(self, uri: ObjectURI, upload_id: str) -> Metadata:
        try:
            return await self.stat(components.marker(uri, upload_id), PLAIN_READ)
        except NotFoundError:
            raise components.missing(upload_id) from None

    async def _check(self, uri: ObjectURI, written: _Written) -> Part | Pending[Part]:
        if written.orphan:
            await self.delete(components.part(uri, written.upload_id, written.part.number), DELETE)
            raise components.missing(written.upload_id)
        try:
            await self.stat(components.marker(uri, written.upload_id), PLAIN_READ)
        except NotFoundError:
            # Written while the upload was aborted: nothing else would delete it.
            return Pending(uri, replace(written, orphan=True))
        return written.part

    async def _list(self, uri: ObjectURI, state: _Completion) -> Pending[ObjectInfo]:
        page, token = await self._parts_page(uri, state.upload_id, state.token)
        stored = {**state.stored, **{one.number: one for one in page}}
        if token is not None:
            stuck = "a page of the parts has none that is new" if len(stored) == len(state.stored) else ""
            return Pending(uri, replace(state, stored=stored, token=token), stuck=stuck)
        for one in state.parts:
            if one.number not in stored or stored[one.number].etag != one.etag:
                raise InvalidRequestError(f"part {one.number} has another ETag", code="InvalidPart", provider="gcs")
        # With the checksums that GCS has computed.
        check_parts([stored[one.number] for one in state.parts], state.checksum)
        sources = [Source(components.part(uri, state.upload_id, one.number).key, one.etag) for one in state.parts]
        return Pending(uri, replace(state, stored={}, sources=sources))

    async def _join(self, uri: ObjectURI, state: _Completion) -> _Completion:
        assert state.sources is not None
        group, rest = state.sources[:MAX_SOURCES], state.sources[MAX_SOURCES:]
        target = components.joined(uri, state.upload_id, state.level, len(state.joined))
        described = components.class_of(state.upload_id)
        found = await self._compose(target, group, described, encryption=state.options.encryption)
        joined = (*state.joined, Source(target.key, str(found["generation"])))
        if rest:
            return replace(state, sources=rest, joined=joined)
        return replace(state, sources=joined, joined=(), level=state.level + 1)

    async def _pin(self, uri: ObjectURI, state: _Completion) -> _Completion:
        # Compose has no condition for "any generation", so it gets the present one.
        try:
            found = await self.stat(uri, PLAIN_READ)
        except NotFoundError as exc:
            raise without_object(exc, state.options.if_match) from None
        return replace(state, generation=generation_of(found.etag or "*"))

    async def _finish(self, uri: ObjectURI, state: _Completion) -> ObjectInfo:
        assert state.sources is not None
        create_only = state.options.if_none_match is not None
        described = dict(state.described)
        acl = [(_ACL, described.pop(_ACL))] if _ACL in described else []
        try:
            found = await self._compose(
                uri,
                state.sources,
                described,
                [*_conditions(state), *acl],
                create_only=create_only,
                encryption=state.options.encryption,
            )
        except PreconditionFailedError:
            ours = await self._ours(uri, state) if state.upload_id in self._in_doubt else None
            if ours is None:
                raise
            return ours
        except UnavailableError as exc:
            if exc.ambiguous:
                self._in_doubt.add(state.upload_id)
            raise
        return written_of(uri, found, sum(one.size for one in state.parts))

    async def _ours(self, uri: ObjectURI, state: _Completion) -> ObjectInfo | None:
        marker = await self._marker(uri, state.upload_id)
        try:
            found = await self.stat(uri, PLAIN_READ)
        except NotFoundError:
            return None
        size = sum(one.size for one in state.parts)
        if state.checksum is None or _differs(found.checksum, state.checksum) or found.size != size:
            return None
        return found if _moment(found) >= _moment(marker) else None

    async def _clean_up(self, uri: ObjectURI, cleanup: _Cleanup) -> ObjectInfo | Pending[ObjectInfo]:
        self._in_doubt.discard(cleanup.upload_id)
        try:
            if cleanup.names:
                await self._delete_named(uri, cleanup.names[:MAX_CALLS])
                return Pending(uri, replace(cleanup, names=cleanup.names[MAX_CALLS:]))
            if not cleanup.listed:
                names, token = await self._names_page(uri, cleanup.upload_id, cleanup.token)
                # A token that repeats would do so for ever.
                listed = token is None or token == cleanup.token
                return Pending(uri, replace(cleanup, names=tuple(names), token=token, listed=listed))
            # The marker goes last: as long as it exists, list_multipart_uploads finds what is left.
            await self.delete(components.marker(uri, cleanup.upload_id), DELETE)
        except StorageError as exc:
            # The object exists, so the upload did not fail.
            _log.warning(
                "the parts of %s could not be deleted, abort upload %s: %s", uri, cleanup.upload_id, redact(exc)
            )
        return cleanup.info


def _conditions(state: _Completion) -> Sequence[tuple[str, str]]:
    if state.options.if_none_match is not None:
        return [("ifGenerationMatch", "0")]
    if state.options.if_match is None:
        return []
    return [("ifGenerationMatch", state.generation or generation_of(state.options.if_match))]


def _upload(prefix: ObjectURI, item: Mapping[str, Any]) -> MultipartUpload | None:
    try:
        key = bytes.fromhex(item["metadata"][components.TARGET]).decode()
        began = parse_time(item["timeCreated"]) if "timeCreated" in item else None
    except (KeyError, TypeError, ValueError):
        # Not a marker.
        return None
    upload_id = str(item["name"]).rpartition("/")[2]
    return MultipartUpload(prefix.with_key(key), upload_id, began) if key.startswith(prefix.key) else None


def _differs(stored: Checksum | None, wanted: Checksum) -> bool:
    return stored is not None and wanted.algorithm is ChecksumAlgorithm.CRC32C and stored != wanted


def _moment(info: Metadata) -> float:
    return info.last_modified.timestamp() if info.last_modified is not None else 0.0
