"""
Copies made by Azure itself: of a blob, or of a range as a part.

Up to 256 MiB are copied by one synchronous request
(https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url); larger blobs
are copied as a multipart upload, unless ``async_copy`` leaves them to the service.
A copy with other headers than its source is made of blocks from it, and a commit.
The source is looked at first, since replies do not say how large the blob is.

An asynchronous copy (https://learn.microsoft.com/rest/api/storageservices/copy-blob) is polled.
The target is visible, without its old bytes, before such a copy is complete. Giving a copy
up aborts it and deletes the empty blob that it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from asyncstore.auth.azure.access import KeyAccess, SASAccess, TokenAccess
from asyncstore.auth.azure.sas import BlobGrant, service_sas
from asyncstore.driver import Pending
from asyncstore.driver.body import BytesBody
from asyncstore.driver.naming import naming
from asyncstore.drivers.azure.blocks import Block, MultipartUploads, new_upload_id, part_query
from asyncstore.drivers.azure.encryption import write_headers
from asyncstore.drivers.azure.headers import NO_TAGS, etag_of, metadata_of, tag_headers, version_query
from asyncstore.drivers.azure.objects import written
from asyncstore.drivers.azure.protection import protection_headers
from asyncstore.drivers.azure.wire import Request
from asyncstore.errors import NotFoundError, StorageError, UnavailableError
from asyncstore.http.object_headers import condition_headers, quoted
from asyncstore.http.object_reply import object_size
from asyncstore.http.origin import encode_query
from asyncstore.options import PLAIN_READ, CopyOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import Metadata, ObjectInfo, Part
from asyncstore.uri import ObjectURI

#: Bytes of the largest blob that is copied synchronously.
MAX_SYNCHRONOUS: Final = 256 * MiB

#: Bytes of the largest block: https://learn.microsoft.com/azure/storage/blobs/scalability-targets
MAX_BLOCK: Final = 4000 * MiB

#: The service reads and writes everything before it answers.
PATIENCE: Final = 20.0

# Those that a write can set: https://learn.microsoft.com/azure/storage/blobs/access-tiers-overview
_TIERS: Final = frozenset({"Hot", "Cool", "Cold", "Archive"})

# Seconds within which the service must start to read the source.
_LIFETIME: Final = 3600.0

# Seconds between two polls, which double.
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Known:
    """
    A copy whose source was looked at.

    Attributes:
        source: The blob.
        info: Its metadata.
        synchronous: Whether one synchronous request copies it.
        tier: The tier of the copy; ``None`` for the account's default.
        tagged: Whether the source has tags to keep.
        tags: Those tags, if they have to be read.
    """

    source: ObjectURI
    info: Metadata
    synchronous: bool
    options: CopyOptions
    tier: str | None = None
    tagged: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Staging:
    """
    A copy with other headers, which is a separate upload.

    Attributes:
        source: The blob.
        size: Its bytes.
        upload_id: The upload.
        names: The blocks so far.
        tagged: Whether the source has tags to keep, which have not been read yet.
        tags: Those tags.
    """

    source: ObjectURI
    size: int
    upload_id: str
    options: CopyOptions
    names: tuple[str, ...] = ()
    tagged: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Polling:
    """
    A copy that the service is working on.

    Attributes:
        copy_id: The service's id of the copy.
        storage_class: The tier of the copy.
        wait: Seconds waited before this poll.
    """

    copy_id: str
    storage_class: str | None
    wait: float = _FIRST_WAIT


@dataclass(frozen=True, slots=True)
class Aborted:
    """
    A copy that was aborted.

    Attributes:
        copy_id: The service's id of the copy.
        etag: Of the empty blob to delete; ``None`` before it was looked for.
    """

    copy_id: str
    etag: str | None = None


def _tier(headers: Mapping[str, str], wanted: str | None) -> str | None:
    """
    Return the tier of a copy: that which is *wanted*, or that of its source unless it is the account's default.
    """
    tier = headers.get("x-ms-access-tier")
    if wanted not in (None, tier):
        return wanted
    inferred = headers.get("x-ms-access-tier-inferred", "").lower() == "true"
    return tier if tier in _TIERS and not inferred else None


def _stored(info: Metadata, tier: str | None) -> WriteOptions:
    """
    Return what a copy that is written like an upload has of its source.
    """
    return WriteOptions(
        content_type=info.content_type,
        content_encoding=info.content_encoding,
        content_language=info.content_language,
        content_disposition=info.content_disposition,
        cache_control=info.cache_control,
        metadata=info.metadata,
        storage_class=tier,
    )


class Copies(MultipartUploads):
    """
    Server-side copies.
    """

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> Pending[ObjectInfo]:
        """
        Look at the source.
        """
        wanted = ReadOptions(if_match=options.source_if_match, version_id=options.source_version_id)
        found = await self._head(source, wanted)
        info = metadata_of(source, found.headers, object_size(found))
        tagged = options.tags is None and not self._settings.tags and found.headers.get("x-ms-tag-count", "0") != "0"
        # Append and page blobs can only be copied asynchronously, and have no tiers that can be kept.
        block_blob = found.headers.get("x-ms-blob-type", "BlockBlob") == "BlockBlob"
        tier = _tier(found.headers, options.storage_class) if block_blob else None
        synchronous = block_blob and info.size <= MAX_SYNCHRONOUS
        encryption = options.encryption or self._encryption
        if options.replace is None and encryption is not None and (encryption.key or not synchronous):
            # Azure copies whole blobs into no key, and into a scope only synchronously.
            options = replace(options, storage_class=None, replace=_stored(info, tier))
        if options.replace is not None:
            upload_id = new_upload_id(target, self._wire.clock.precise())
            return Pending(target, Staging(source, info.size, upload_id, options, tagged=tagged))
        return Pending(target, Known(source, info, synchronous, options, tier, tagged))

    async def advance(self, pending: Pending[Any]) -> Any:
        """
        Send the next request of a copy.
        """
        target, state = pending.target, pending.state
        if isinstance(state, Polling):
            return await self._poll(target, state)
        if state.tagged and not (isinstance(state, Known) and state.synchronous):
            tags = await self._tags_of(state.source, state.options.source_version_id)
            return Pending(target, replace(state, tagged=False, tags=tags))
        if isinstance(state, Staging):
            return await self._advance_staging(target, state)
        if state.synchronous:
            return await self._copy_synchronously(target, state)
        return await self._start_async(target, state)

    async def undo(self, pending: Pending[Any], error: BaseException) -> Pending[Any] | None:
        """
        Send the next request that aborts a copy and deletes what it leaves.
        """
        target, state = pending.target, pending.state
        if isinstance(state, Polling):
            return await self._abort_async(target, state)
        if isinstance(state, Aborted):
            return await self._delete_rest(target, state)
        if isinstance(state, Staging) and state.size:
            # A first block that was refused has left nothing.
            refused = isinstance(error, StorageError) and error.status is not None
            if state.names or not refused:
                await self.abort_multipart_upload(target, state.upload_id)
        return None

    async def _copy_synchronously(self, target: ObjectURI, known: Known) -> ObjectInfo:
        headers = await self._source_headers(known.source, known.options, tagged=known.tagged)
        headers |= self._target_headers(known)
        headers |= write_headers(known.options.encryption or self._encryption)
        headers["x-ms-requires-sync"] = "true"
        if known.tagged:
            headers["x-ms-copy-source-tag-option"] = "COPY"
        create_only = known.options.if_none_match is not None
        reply = await self._wire.perform(
            Request("PUT", target, headers=headers, create_only=create_only, patience=PATIENCE)
        )
        status = reply.headers.get("x-ms-copy-status")
        if status != "success":
            raise UnavailableError(f"the copy ended as {status}", request_id=reply.request_id)
        # The copy has the MD5 of its source among its properties.
        return written(target, reply, known.info.size, known.info.checksum, known.tier or known.info.storage_class)

    async def _advance_staging(self, target: ObjectURI, staging: Staging) -> ObjectInfo | Pending[ObjectInfo]:
        options, new = staging.options, staging.options.replace
        assert new is not None
        start, number = len(staging.names) * MAX_BLOCK, len(staging.names) + 1
        if start < staging.size:
            end = min(start + MAX_BLOCK, staging.size)
            part = await self.copy_part(
                staging.source,
                target,
                staging.upload_id,
                number,
                start,
                end,
                staging.options,
            )
            return Pending(target, replace(staging, names=(*staging.names, part.etag)))
        stored = replace(
            new,
            tags=options.tags or NO_TAGS,
            encryption=options.encryption,
            retention=options.retention,
            legal_hold=options.legal_hold,
            if_match=options.if_match,
            if_none_match=options.if_none_match,
        )
        if not staging.size:
            # A block has at least one byte.
            return await self.put(target, BytesBody(b""), stored, staging.tags)
        reply = await self._commit(target, staging.upload_id, staging.names, stored, staging.tags)
        return written(target, reply, staging.size, None, new.storage_class)

    async def copy_part(
        self,
        source: ObjectURI,
        target: ObjectURI,
        upload_id: str,
        number: int,
        start: int,
        end: int,
        options: CopyOptions,
    ) -> Part:
        self._check(target, upload_id)
        name = Block(upload_id, number).id()
        headers = await self._source_headers(source, options) | self._settings.lease_headers()
        headers |= write_headers(options.encryption or self._encryption)
        headers["x-ms-source-range"] = f"bytes={start}-{end - 1}"
        await self._send_block(Request("PUT", target, part_query(name), headers, patience=PATIENCE))
        return Part(number, name, end - start)

    async def _source_headers(
        self, source: ObjectURI, options: CopyOptions, *, own: bool = False, tagged: bool = False
    ) -> dict[str, str]:
        """
        Return the headers that name a source and authorize the service to read it, and its tags if it is *tagged*.

        Args:
            own: Whether the authorization of the request covers the source too, as the
                account key does in an asynchronous copy.
        """
        query = version_query(options.source_version_id)
        access = await self._wire.lease_value()
        headers = {}
        signature = ""
        if isinstance(access, TokenAccess):
            headers["x-ms-copy-source-authorization"] = f"Bearer {access.token}"
        elif isinstance(access, SASAccess):
            signature = access.token
        elif isinstance(access, KeyAccess) and not own:
            grant = BlobGrant(
                container=source.bucket,
                blob=source.key,
                permissions="rt" if tagged else "r",
                expires=datetime.fromtimestamp(self._wire.clock.now() + _LIFETIME, UTC),
                https_only=self._wire.addresses.origin.base.startswith("https:"),
            )
            signature = service_sas(access.key, grant)
        query = "&".join([part for part in (query, signature) if part])
        headers["x-ms-copy-source"] = self._wire.addresses.url(self._wire.addresses.blob(source), query)
        if options.source_if_match is not None:
            headers["x-ms-source-if-match"] = quoted(options.source_if_match)
        return headers

    def _target_headers(self, known: Known) -> dict[str, str]:
        """
        Return the conditions of a copy, its tier, its tags and its lease.
        """
        headers = condition_headers(known.options.if_match, known.options.if_none_match)
        if known.tier is not None:
            headers["x-ms-access-tier"] = known.tier
        tags = tag_headers(self._settings, known.tags, known.options.tags or NO_TAGS)
        return headers | tags | protection_headers(known.options) | self._settings.lease_headers()

    async def _start_async(self, target: ObjectURI, known: Known) -> ObjectInfo | Pending[ObjectInfo]:
        """
        Start a copy of a blob of any size and type.
        """
        headers = await self._source_headers(known.source, known.options, own=True) | self._target_headers(known)
        create_only = known.options.if_none_match is not None
        info, tier = known.info, known.tier or known.info.storage_class
        reply = await self._wire.perform(Request("PUT", target, headers=headers, create_only=create_only))
        if reply.headers.get("x-ms-copy-status") == "success":
            return written(target, reply, info.size, None, tier)
        polling = Polling(reply.headers.get("x-ms-copy-id", ""), tier)
        return Pending(target, polling, polling.wait)

    async def _poll(self, target: ObjectURI, polling: Polling) -> ObjectInfo | Pending[ObjectInfo] | StorageError:
        """
        Look how far a copy is.
        """
        with naming(target):
            reply = await self._head(target, PLAIN_READ)
        headers = reply.headers
        if headers.get("x-ms-copy-id") != polling.copy_id:
            return UnavailableError("another writer replaced the target during the copy", provider="azure")
        status = headers.get("x-ms-copy-status")
        if status == "success":
            return written(target, reply, object_size(reply), None, polling.storage_class)
        if status == "pending":
            later = replace(polling, wait=min(2 * polling.wait, _LONGEST_WAIT))
            return Pending(target, later, later.wait)
        why = headers.get("x-ms-copy-status-description") or "no reason given"
        return UnavailableError(f"the copy ended as {status}: {why}", provider="azure")

    async def _abort_async(self, target: ObjectURI, polling: Polling) -> Pending[ObjectInfo]:
        """
        Abort a copy; one that has ended is not an error.
        """
        headers = {"x-ms-copy-action": "abort", **self._settings.lease_headers()}
        query = encode_query([("comp", "copy"), ("copyid", polling.copy_id)])
        with suppress(NotFoundError):
            await self._wire.perform(Request("PUT", target, query, headers))
        return Pending(target, Aborted(polling.copy_id))

    async def _delete_rest(self, target: ObjectURI, aborted: Aborted) -> Pending[ObjectInfo] | None:
        """
        Look for the empty blob that an aborted copy leaves, then delete it if it is unchanged.
        """
        with suppress(NotFoundError):
            if aborted.etag is None:
                found = (await self._head(target, PLAIN_READ)).headers
                ours = found.get("x-ms-copy-id") == aborted.copy_id
                if ours and found.get("x-ms-copy-status") in ("aborted", "failed") and (etag := etag_of(found)):
                    return Pending(target, replace(aborted, etag=etag))
            else:
                condition = condition_headers(aborted.etag, None) | self._settings.lease_headers()
                await self._wire.perform(Request("DELETE", target, headers=condition))
        return None
