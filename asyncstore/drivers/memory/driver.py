"""
The memory driver. Every request takes a turn of the event loop to arrive and one to be answered.

So tasks interleave as they do with a server, and a call that is cancelled may
have had its effect, as one whose reply was lost. The effect itself is all or
nothing: no step of it waits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, Final

from anyio.lowlevel import checkpoint

from asyncstore.body import Body, BytesBody, ReadBody
from asyncstore.checksum import compute
from asyncstore.conditions import check_read, check_write, resolve_range
from asyncstore.config import StorageConfig, flag
from asyncstore.driver import Capabilities, Driver
from asyncstore.drivers.memory.world import Stored, Upload, World, new_etag, stored_with
from asyncstore.errors import ConfigurationError, IntegrityError, InvalidRequestError, StorageError
from asyncstore.intake import Intake
from asyncstore.listing import page
from asyncstore.options import CopyOptions, DeleteOptions, GiB, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import (
    Checksum,
    ChecksumAlgorithm,
    ListPage,
    Metadata,
    MultipartUpload,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
)
from asyncstore.uri import ObjectURI, Provider

CAPABILITIES: Final = Capabilities(
    reference="https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html",
    max_object_size=5 * 1024 * GiB,
    max_put_size=5 * GiB,
    multipart=True,
    min_part_size=1,
    max_part_size=5 * GiB,
    max_parts=10_000,
    copy=True,
    max_copy_size=5 * GiB,
    copy_part=True,
    delete_batch_size=1000,
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    tags=10,
    checksums=frozenset(ChecksumAlgorithm),
)
_SHARED: Final[dict[str, World]] = {}
_CHUNK: Final = 1 * MiB


def open_driver(config: StorageConfig) -> MemoryDriver:
    """
    Open a world of its own, or the one called ``shared`` in the settings.

    Raises:
        ConfigurationError: A setting is unknown or does not fit.
    """
    settings = dict(config.settings)
    shared = settings.pop("shared", None)
    world = World() if shared is None else _SHARED.setdefault(str(shared), World())
    return MemoryDriver(config.uri.bucket, world, replace(CAPABILITIES, **_limits(settings)))


class MemoryDriver(Driver):
    """
    Objects in memory; see the package for what can be set.

    Attributes:
        bucket: The one that :attr:`objects` and :attr:`uploads` show.
    """

    provider = Provider.MEMORY

    def __init__(
        self, bucket: str = "bucket", world: World | None = None, capabilities: Capabilities = CAPABILITIES
    ) -> None:
        self.bucket = bucket
        self.capabilities = capabilities
        self._world = world or World()
        self._root = ObjectURI(Provider.MEMORY, bucket)

    @property
    def objects(self) -> dict[str, bytes]:
        """The bytes of every object of the bucket, by key; a copy, for assertions."""
        return {key: stored.data for key, stored in self._world.bucket(self._root).objects.items()}

    @property
    def uploads(self) -> dict[str, str]:
        """The key of every unfinished upload to the bucket, by its id; a copy, for assertions."""
        uploads = self._world.uploads.values()
        return {upload.upload_id: upload.uri.key for upload in uploads if upload.uri.bucket == self.bucket}

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        await checkpoint()
        stored = self._world.stored(uri)
        check_read(stored.metadata, options)
        start, end = resolve_range(options.range, len(stored.data))
        await checkpoint()
        return _MemoryReadBody(stored, start, end)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        self._check_write(uri, options)
        _check_size("an object written by one request", body.size, self.capabilities.max_put_size)
        data, checksums = await _received(body, options.checksum)
        bucket = self._world.bucket(uri)
        check_write(bucket.etag(uri.key), options.if_match, options.if_none_match)
        stored = _with_checksums(stored_with(uri, data, options), checksums)
        bucket.write(uri.key, stored)
        await checkpoint()
        return _info(stored)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        await checkpoint()
        bucket = self._world.bucket(uri)
        check_write(bucket.etag(uri.key), options.if_match)
        bucket.remove(uri.key)
        await checkpoint()

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        await checkpoint()
        metadata = self._world.stored(uri).metadata
        check_read(metadata, options)
        await checkpoint()
        return metadata

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        await checkpoint()
        entries, next_token = page(
            self._world.bucket(prefix).seek,
            prefix=prefix.key,
            delimiter=options.delimiter,
            after=options.start_after if token is None else token,
            limit=min(options.page_size or self.capabilities.list_page_size, self.capabilities.list_page_size),
        )
        await checkpoint()
        return ListPage([_entry(prefix, key, stored) for key, stored in entries], next_token)

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        await checkpoint()
        tags = dict(self._world.stored(uri).tags)
        await checkpoint()
        return tags

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        _check_size("a set of tags", len(tags), self.capabilities.tags, "tags")
        await checkpoint()
        self._world.bucket(uri).write(uri.key, replace(self._world.stored(uri), tags=dict(tags)))
        await checkpoint()

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        _check_size("a batch to delete", len(uris), self.capabilities.delete_batch_size, "keys")
        await checkpoint()
        for uri in uris:
            self._world.bucket(uri).remove(uri.key)
        await checkpoint()
        return [None] * len(uris)

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        """
        Copy an object. Onto itself it must change something, as on S3.
        """
        self._check_write(target, options.replace or WriteOptions())
        await checkpoint()
        stored = self._source(source, options)
        _check_size("a copy by one request", len(stored.data), self.capabilities.max_copy_size)
        bucket = self._world.bucket(target)
        check_write(bucket.etag(target.key), options.if_match, options.if_none_match)
        if source == target and options.replace is None:
            raise InvalidRequestError("a copy of an object onto itself changes its metadata", code="InvalidRequest")
        copied = _copied(stored, target, options.replace)
        bucket.write(target.key, copied)
        await checkpoint()
        return _info(copied)

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        self._check_write(uri, options)
        await checkpoint()
        upload_id = f"upload-{new_etag()}"
        self._world.uploads[upload_id] = Upload(uri, upload_id, options, datetime.now(UTC))
        await checkpoint()
        return upload_id

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        self._check_part(number, body.size)
        data, checksums = await _received(body, options.checksum)
        return await self._keep_part(self._world.upload(uri, upload_id), number, data, checksums[-1])

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
        self._check_part(number, end - start)
        await checkpoint()
        data = self._source(source, options).data[start:end]
        if len(data) < end - start:
            raise InvalidRequestError(f"the source has no bytes {start} to {end}", code="InvalidArgument")
        checksum = compute(ChecksumAlgorithm.CRC32C, data)
        return await self._keep_part(self._world.upload(target, upload_id), number, data, checksum)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        """
        Make the object. Once more with the same parts returns the same object, while it is there.
        """
        await checkpoint()
        finished = self._world.finished(uri, upload_id, parts)
        if finished is not None:
            return finished
        upload = self._world.upload(uri, upload_id)
        data = b"".join([held for _, held in upload.chosen(parts, self.capabilities.min_part_size)])
        bucket = self._world.bucket(uri)
        check_write(bucket.etag(uri.key), options.if_match, options.if_none_match)
        stored = _with_checksums(stored_with(uri, data, upload.options), _verified(data, checksum))
        bucket.write(uri.key, stored)
        self._world.finish(upload, parts, _info(stored))
        await checkpoint()
        return _info(stored)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        await checkpoint()
        self._world.uploads.pop(upload_id, None)
        await checkpoint()

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        await checkpoint()
        held = self._world.upload(uri, upload_id).parts
        after = 0 if token is None else int(token)
        numbers = sorted(number for number in held if number > after)
        shown = numbers[: self.capabilities.list_page_size]
        more = len(shown) < len(numbers)
        return PartPage([held[number][0] for number in shown], str(shown[-1]) if more else None)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        await checkpoint()
        after_id, _, after_key = ("", "", "") if token is None else token.partition("/")
        found = sorted(
            (upload.uri.key, upload.upload_id)
            for upload in self._world.uploads.values()
            if upload.uri.bucket == prefix.bucket and upload.uri.key.startswith(prefix.key)
        )
        found = [place for place in found if place > (after_key, after_id)]
        shown = found[: self.capabilities.list_page_size]
        uploads = [self._world.uploads[upload_id] for _, upload_id in shown]
        return MultipartUploadPage(
            [MultipartUpload(upload.uri, upload.upload_id, upload.initiated) for upload in uploads],
            "{1}/{0}".format(*shown[-1]) if len(shown) < len(found) else None,
        )

    async def _keep_part(self, upload: Upload, number: int, data: bytes, checksum: Checksum) -> Part:
        part = Part(number, new_etag(), len(data), checksum)
        upload.parts[number] = (part, data)
        await checkpoint()
        return part

    def _source(self, source: ObjectURI, options: CopyOptions) -> Stored:
        stored = self._world.stored(source)
        check_write(stored.metadata.etag, options.source_if_match)
        return stored

    def _check_write(self, uri: ObjectURI, options: WriteOptions) -> None:
        _check_size("a key", len(uri.key.encode()), self.capabilities.max_key_bytes)
        size = sum(len(name.encode()) + len(value.encode()) for name, value in options.metadata.items())
        _check_size("user metadata", size, self.capabilities.max_metadata_bytes)

    def _check_part(self, number: int, size: int) -> None:
        if not 1 <= number <= self.capabilities.max_parts:
            raise InvalidRequestError(f"parts count from 1 to {self.capabilities.max_parts}, not {number}")
        _check_size("a part", size, self.capabilities.max_part_size)


class _MemoryReadBody(ReadBody):
    def __init__(self, stored: Stored, start: int, end: int) -> None:
        self.info = stored.metadata
        self.start = start
        self.end = end
        self._data = stored.data
        self._at = start

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while self._at < self.end:
            await checkpoint()
            start, self._at = self._at, min(self.end, self._at + _CHUNK)
            yield self._data[start : self._at]

    async def aclose(self) -> None:
        self._at = self.end


async def _received(body: Body, wanted: ChecksumAlgorithm | None) -> tuple[bytes, tuple[Checksum, ...]]:
    intake = Intake(body, wanted)
    pieces = []
    chunks = (BytesBody(body.data) if body.data is not None else body).chunks()
    try:
        await checkpoint()
        async for chunk in chunks:
            intake.update(chunk)
            pieces.append(bytes(chunk))
            await checkpoint()
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return b"".join(pieces), intake.finish()


def _verified(data: bytes, given: Checksum | None) -> tuple[Checksum, ...]:
    algorithms = [ChecksumAlgorithm.CRC32C]
    if given is not None and given.algorithm not in algorithms:
        algorithms.append(given.algorithm)
    checksums = tuple(compute(algorithm, data) for algorithm in algorithms)
    # A checksum of part checksums says nothing about the bytes of the whole.
    if given is not None and given.parts is None and given != checksums[-1]:
        raise IntegrityError("the parts make another object", expected=str(given), actual=str(checksums[-1]))
    return checksums


def _with_checksums(stored: Stored, checksums: tuple[Checksum, ...]) -> Stored:
    return replace(stored, metadata=replace(stored.metadata, checksum=checksums[0], checksums=checksums))


def _copied(stored: Stored, target: ObjectURI, options: WriteOptions | None) -> Stored:
    if options is not None:
        written = _with_checksums(stored_with(target, stored.data, options), tuple(stored.metadata.checksums))
        # As on S3, tags are no part of what a copy replaces.
        return replace(written, tags=stored.tags)
    metadata = replace(stored.metadata, uri=target, etag=new_etag(), last_modified=datetime.now(UTC))
    return replace(stored, metadata=replace(metadata, metadata=dict(metadata.metadata)))


def _info(stored: Stored) -> ObjectInfo:
    return ObjectInfo(**{item.name: getattr(stored.metadata, item.name) for item in fields(ObjectInfo)})


def _entry(prefix: ObjectURI, key: str, stored: Stored | None) -> ObjectInfo:
    return ObjectInfo(uri=prefix.with_key(key), size=0, is_prefix=True) if stored is None else _info(stored)


def _check_size(what: str, size: int, limit: int, unit: str = "bytes") -> None:
    if size > limit:
        raise InvalidRequestError(f"{what} has at most {limit} {unit}, not {size}", code="EntityTooLarge")


def _limits(settings: dict[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    known = {item.name for item in fields(Capabilities)}
    for name, value in settings.items():
        if name not in known:
            raise ConfigurationError(f"memory has no setting {name!r}: it has shared and the fields of Capabilities")
        default = getattr(CAPABILITIES, name)
        try:
            limits[name] = flag(value) if isinstance(default, bool) else type(default)(value)
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(f"{name} does not take {value!r}") from exc
    return limits
