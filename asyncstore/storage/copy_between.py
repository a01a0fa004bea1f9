"""
Copying from one storage to another, through this process but not through its disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final, Unpack

from asyncstore.engine.existing import other_condition
from asyncstore.engine.progress import ObjectMeter, measured
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotSupportedError,
    PermissionDeniedError,
)
from asyncstore.keywords import UploadFields, merged
from asyncstore.options import PLAIN_READ, CopyOptions, ReadOptions, UploadOptions, WriteOptions
from asyncstore.protocols import ProgressSink, ReadStream
from asyncstore.storage import mtime
from asyncstore.storage.storage import Storage
from asyncstore.types import CopyResult, Metadata, ObjectInfo, ProgressEvent
from asyncstore.uri import ObjectURI, Provider, URILike

_HEADERS: Final = ("content_encoding", "content_language", "content_disposition", "cache_control")
_STORED: Final = (*_HEADERS, "content_type", "storage_class")
# What storage.describe() tells of a service. A storage that is confined to a prefix copies nothing from outside.
_IDENTITY: Final = ("endpoint", "region", "credentials", "confined_to")


async def copy_between(
    source_storage: Storage,
    source: URILike,
    target_storage: Storage,
    target: URILike,
    *,
    options: UploadOptions | None = None,
    read_options: ReadOptions | None = None,
    progress: ProgressSink | None = None,
    **fields: Unpack[UploadFields],
) -> CopyResult:
    """
    Copy one object from one storage to another, of any providers.

    Fields of *options* can be given as keywords, too.

    The bytes are streamed: at most a few parts are in memory at a time. Content headers
    and metadata are copied if *options* does not set them and the target supports them;
    so is the storage class within one provider, since its names differ between providers.
    Tags are added after the object was written, if the source has some and the target supports them.
    ``not_kept`` of the result says what was left behind.

    Args:
        progress: Called in the event loop with cumulative counts; must not block.

    Raises:
        IntegrityError: The bytes that were read do not match the stored checksum; nothing
            is written.
        SourceChangedError: The source was replaced while it was being read.
    """
    uri = target_storage._checks.parse(target)  # noqa: SLF001 - for the events only
    with measured(progress, uri) as item:
        return await _streamed(
            source_storage,
            source,
            target_storage,
            target,
            merged(options or UploadOptions(), UploadOptions, fields),
            item,
            read_options=read_options or PLAIN_READ,
        )


async def _streamed(
    source_storage: Storage,
    source: URILike,
    target_storage: Storage,
    target: URILike,
    options: UploadOptions,
    item: ObjectMeter,
    *,
    read_options: ReadOptions = PLAIN_READ,
    preserve_mtime: bool = False,
) -> CopyResult:
    async with source_storage.get(source, options=read_options) as stream:
        item.expect(stream.end - stream.start)
        kept, not_kept = _kept(options, stream.info, source_storage, target_storage)
        if preserve_mtime:
            kept = _with_mtime(kept, stream.info, target_storage)
        written = await target_storage.put(target, _counted(stream, item), options=kept)
        if written.size != stream.end - stream.start:
            raise IntegrityError(
                "the copy has a different size", expected=str(stream.end - stream.start), actual=str(written.size)
            )
        tagged = 0 if options.tags else stream.info.tag_count
    if tagged and (read_options.version_id or not await _tagged(source_storage, source, target_storage, target)):
        not_kept.add("tags")
    return CopyResult.of_copy(written, not_kept)


async def _tagged(source_storage: Storage, source: URILike, target_storage: Storage, target: URILike) -> bool:
    """
    Add the tags of *source* to *target*; return whether it has them.
    """
    if not target_storage.capabilities.tags:
        return False
    try:
        tags = await source_storage.get_tags(source)
        # Those that the target's settings give to every object.
        own = await target_storage.get_tags(target)
        await target_storage.set_tags(target, {**tags, **own})
    except (InvalidRequestError, NotSupportedError, PermissionDeniedError):
        return False
    return True


def one_service(source: Storage, target: Storage) -> bool:
    """
    Return whether both storages are of one service, with the same credentials: it can copy from one to the other.
    """
    if source is target or source._driver is target._driver:  # noqa: SLF001
        return True
    if source.provider != target.provider or source.provider in (Provider.LOCAL, Provider.MEMORY):
        return False
    return _service(source) == _service(target)


def _service(storage: Storage) -> list[Any]:
    config, told = storage._config, storage.describe()  # noqa: SLF001 - compared, never shown
    resolved = [value for name, value in sorted(told.items()) if name in _IDENTITY]
    uri = config.uri
    return [uri.namespace, uri.region, config.endpoint_url, config.region, config.auth, dict(config.settings), resolved]


class Copier:
    """
    Copies one object: within the provider if possible, otherwise through this process.

    Args:
        options: How targets are written.
        preserve_mtime: Whether the copies have the modification time of their sources in their metadata.
    """

    def __init__(
        self, source: Storage, target: Storage, options: UploadOptions, *, preserve_mtime: bool = False
    ) -> None:
        target._checks.write(options)  # noqa: SLF001 - refused before the first item
        self._source = source
        self._target = target
        self._options = options
        self._mtime = preserve_mtime
        self._inside = target.capabilities.copy and one_service(source, target)
        self._create_only = options.if_none_match is not None

    async def __call__(self, source: ObjectURI, target: ObjectURI, meter: ObjectMeter) -> ObjectInfo:
        """
        Copy *source* to *target*, and count its bytes with *meter*.
        """
        conditional = self._create_only and self._inside and self._target.capabilities.conditional_copy
        if self._create_only and not conditional and await self._target.exists(target):
            raise AlreadyExistsError(uri=str(target))
        if not self._inside:
            return await self._stream(source, target, meter)
        copying = CopyOptions(
            if_none_match="*" if conditional else None,
            replace=await self._replaced(source),
            tags=self._options.tags or None,
            encryption=self._options.encryption,
            retention=self._options.retention,
            legal_hold=self._options.legal_hold,
            acl=self._options.acl,
        )
        try:
            return await self._target.copy(source, target, options=copying, progress=into(meter))
        except NotSupportedError:
            # A storage with routes can have the two in different services.
            return await self._stream(source, target, meter)

    async def _stream(self, source: ObjectURI, target: ObjectURI, meter: ObjectMeter) -> ObjectInfo:
        try:
            return await _streamed(
                self._source, source, self._target, target, self._options, meter, preserve_mtime=self._mtime
            )
        except AlreadyExistsError as exc:
            if await self._target.exists(target):
                raise
            raise other_condition(exc) from None

    async def _replaced(self, source: ObjectURI) -> WriteOptions | None:
        """Return what is stored with the copy, if the options change that."""
        options = self._options
        changed = bool(options.metadata or any(getattr(options, name) for name in _STORED))
        if not changed and not self._mtime:
            return None
        info = await self._source.stat(source)
        if not changed and mtime.decoded(info.metadata) is not None:
            return None
        kept, _ = _kept(options, info, self._source, self._target)
        if self._mtime:
            kept = _with_mtime(kept, info, self._target)
        stored = {name: getattr(kept, name) for name in (*_STORED, "metadata")}
        stored["storage_class"] = options.storage_class or info.storage_class
        return WriteOptions(**stored)


def _with_mtime(options: UploadOptions, info: Metadata, target: Storage) -> UploadOptions:
    """
    Return *options* with the modification time of *info* in the metadata, in the form of the target's provider.
    """
    modified = mtime.modified(info)
    if modified is None:
        return options
    return replace(options, metadata={**options.metadata, mtime.KEY: mtime.encoded(modified, target.provider)})


def into(meter: ObjectMeter) -> ProgressSink:
    """
    Return a sink that counts the bytes and the retries of another operation with *meter*.
    """

    def observe(event: ProgressEvent) -> None:
        if event.object_bytes_total is not None:
            meter.expect(event.object_bytes_total)
        if event.kind == "retry" or event.kind == "throttle":
            meter.repeated(throttled=event.kind == "throttle")
        if event.bytes_done > meter.done:
            meter.advance(event.bytes_done - meter.done)

    return observe


def _kept(options: UploadOptions, info: Metadata, source: Storage, target: Storage) -> tuple[UploadOptions, set[str]]:
    """
    Return how to write the copy, and what of its source that leaves behind.
    """
    able = target.capabilities
    kept: dict[str, Any] = {}
    not_kept = set()
    for name, value in ((name, getattr(options, name) or getattr(info, name)) for name in ("content_type", *_HEADERS)):
        if able.content_type if name == "content_type" else able.content_headers:
            kept[name] = value
        elif getattr(info, name):
            not_kept.add("metadata")
    if not options.metadata and info.metadata:
        if able.metadata:
            kept["metadata"] = info.metadata
        else:
            not_kept.add("metadata")
    if options.storage_class is None and info.storage_class not in (None, *source.capabilities.implied_classes):
        if source.provider == target.provider and able.storage_classes:
            kept["storage_class"] = info.storage_class
        else:
            not_kept.add("storage_class")
    return replace(options, **kept), not_kept


async def _counted(stream: ReadStream, item: ObjectMeter) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield chunk
        item.advance(len(chunk))
