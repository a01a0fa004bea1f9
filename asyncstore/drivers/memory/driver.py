"""
The memory driver. Every request yields to the event loop before and after its effect.

So tasks interleave as with a real server, and a cancelled call may have taken effect,
like one whose reply was lost. The effect itself is atomic: nothing in it awaits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from anyio.lowlevel import checkpoint

from asyncstore._support.threads import in_thread
from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.driver.body import Body, BytesBody, ReadBody
from asyncstore.driver.conditions import check_read, check_write, resolve_range
from asyncstore.driver.paging import page, part_page, upload_page
from asyncstore.driver.received_body import ReceivedBody
from asyncstore.driver.settings import Reader, read_settings, read_values
from asyncstore.drivers.memory.links import LinkServer
from asyncstore.drivers.memory.versions import versions_page
from asyncstore.drivers.memory.world import Stored, Upload, World, info_of, new_etag, stored_with
from asyncstore.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidRequestError,
    InvalidURIError,
    PermissionDeniedError,
    StorageError,
)
from asyncstore.options import (
    PLAIN_PRESIGN,
    CopyOptions,
    DeleteOptions,
    GiB,
    ListOptions,
    MiB,
    PostOptions,
    PresignOptions,
    ReadOptions,
    WriteOptions,
)
from asyncstore.retention import Retention
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
    PresignedPost,
    PresignedURL,
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
    copy_keeps=frozenset({"metadata", "storage_class", "tags"}),
    max_copy_size=5 * GiB,
    copy_part=True,
    delete_batch_size=1000,
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    implied_classes=frozenset({"STANDARD"}),
    versions=True,
    sign=True,
    presign_post=True,
    presign_options=frozenset(item.name for item in fields(PresignOptions)),
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    tags=10,
    # Keys are checked, as by a service; the bytes stay as they are.
    encryption_kinds=frozenset({"customer_key"}),
    object_lock=True,
    bypass_retention=True,
    copy_from_key=True,
    checksums=frozenset(ChecksumAlgorithm),
)
#: The smallest part but the last of a storage that is opened, as on S3. A driver that a test makes
#: itself has parts of any size.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MIN_PART_SIZE: Final = 5 * MiB

_SHARED: Final[dict[str, World]] = {}
_CHUNK: Final = 1 * MiB
_ALGORITHMS: Final = Reader("a set of ChecksumAlgorithm", lambda value: frozenset(map(ChecksumAlgorithm, value)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """
    Settings of the memory driver besides the capabilities; see the package for what they mean.
    """

    shared: str | None = None
    versioning: bool = False


_OWN: Final = tuple(item.name for item in fields(MemorySettings))


def open_driver(config: StorageConfig) -> MemoryDriver:
    """
    Return a driver with its own objects, or with those of the ``shared`` name in the settings.

    Raises:
        ConfigurationError: A setting is unknown or invalid.
    """
    rest = dict(config.settings)
    own = {item.name: rest.pop(item.name) for item in fields(MemorySettings) if item.name in rest}
    settings = read_settings(MemorySettings, own, provider="memory")
    limits = read_values(Capabilities, rest, provider="memory", readers={"checksums": _ALGORITHMS}, others=_OWN)
    world = World() if settings.shared is None else _SHARED.setdefault(settings.shared, World())
    # All storages of one name decide together: what one of them keeps, the others see.
    world.versioned = world.versioned or settings.versioning
    driver = MemoryDriver(config.uri.bucket, world, replace(CAPABILITIES, **{"min_part_size": MIN_PART_SIZE, **limits}))
    if settings.shared is None:
        driver.bound_to = (
            "the objects are in the memory of this storage alone: give shared='name' to share them within this "
            "process, or use file:// or a server to share them with others"
        )
    return driver


class MemoryDriver(Driver):
    """
    Objects in memory; see the package docstring for the settings.

    Attributes:
        bucket: The bucket that :attr:`objects` and :attr:`uploads` show.
    """

    provider = Provider.MEMORY

    def __init__(
        self, bucket: str = "bucket", world: World | None = None, capabilities: Capabilities = CAPABILITIES
    ) -> None:
        self.bucket = bucket
        self.capabilities = capabilities
        self._world = world or World()
        self._root = ObjectURI(Provider.MEMORY, bucket)
        self._links = LinkServer(self, self._root)

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
        stored = self._world.stored(uri, options.version_id)
        stored.check_key(options.encryption)
        check_read(stored.metadata, options)
        start, end = resolve_range(options.range, len(stored.data))
        await checkpoint()
        return _MemoryReadBody(uri, stored, start, end)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        self._check_write(uri, options)
        _check_size("an object written by one request", body.size, self.capabilities.max_put_size)
        data, checksums = await _received(body, options.checksum)
        bucket = self._world.bucket(uri)
        check_write(bucket.etag(uri.key), options.if_match, options.if_none_match)
        stored = _with_checksums(stored_with(uri, data, options), checksums)
        stored = bucket.write(uri.key, stored)
        await checkpoint()
        return info_of(stored)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        await checkpoint()
        bucket = self._world.bucket(uri)
        check_write(bucket.etag(uri.key), options.if_match)
        if options.version_id is None:
            bucket.remove(uri.key, bypass=options.bypass_retention)
        else:
            bucket.remove_version(uri.key, options.version_id, bypass=options.bypass_retention)
        await checkpoint()

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        await checkpoint()
        stored = self._world.stored(uri, options.version_id)
        stored.check_key(options.encryption)
        metadata = stored.metadata
        check_read(metadata, options)
        await checkpoint()
        # Storages that share the objects have roots of their own.
        return replace(metadata, uri=uri)

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

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        await checkpoint()
        limit = min(options.page_size or self.capabilities.list_page_size, self.capabilities.list_page_size)
        found = versions_page(self._world.bucket(prefix), prefix, options, token, limit)
        await checkpoint()
        return found

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        """
        Return a URL that a small server of this process serves on loopback until the storage is closed.
        """
        return await self._links.sign(method, uri, expires, options)

    async def sign_post(self, uri: ObjectURI, expires: timedelta, options: PostOptions) -> PresignedPost:
        """
        Return a form that the same server takes.
        """
        return await self._links.sign_post(uri, expires, options)

    async def aclose(self) -> None:
        await self._links.aclose()

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        await checkpoint()
        tags = dict(self._world.stored(uri).tags)
        await checkpoint()
        return tags

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        _check_size("a set of tags", len(tags), self.capabilities.tags, "tags")
        await checkpoint()
        self._world.bucket(uri).change(uri.key, self._world.stored(uri).tagged(tags))
        await checkpoint()

    async def set_retention(
        self,
        uri: ObjectURI,
        retention: Retention | None,
        version_id: str | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        await checkpoint()
        stored = self._world.stored(uri, version_id)
        before = stored.metadata.retention
        if before is not None and not _extends(before, retention):
            stored.protected(before, held=False).check_unprotected(bypass=bypass)
        self._world.bucket(uri).change(uri.key, stored.protected(retention, held=stored.metadata.legal_hold))
        await checkpoint()

    async def set_legal_hold(self, uri: ObjectURI, held: bool, version_id: str | None = None) -> None:
        await checkpoint()
        stored = self._world.stored(uri, version_id)
        self._world.bucket(uri).change(uri.key, stored.protected(stored.metadata.retention, held=held))
        await checkpoint()

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        _check_size("a batch to delete", len(uris), self.capabilities.delete_batch_size, "keys")
        await checkpoint()
        outcomes = [self._removed(uri) for uri in uris]
        await checkpoint()
        return outcomes

    def _removed(self, uri: ObjectURI) -> StorageError | None:
        try:
            self._world.bucket(uri).remove(uri.key)
        except PermissionDeniedError as exc:
            return exc
        return None

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        """
        Copy an object. A copy onto itself must replace the metadata, as on S3.
        """
        self._check_write(target, options.replace or WriteOptions())
        await checkpoint()
        stored = self._source(source, options)
        _check_size("a copy by one request", len(stored.data), self.capabilities.max_copy_size)
        bucket = self._world.bucket(target)
        check_write(bucket.etag(target.key), options.if_match, options.if_none_match)
        same_class = options.storage_class in (None, stored.metadata.storage_class)
        unchanged = options.replace is None and options.encryption is None and same_class
        if source == target and options.source_version_id is None and unchanged:
            raise InvalidRequestError(
                "source and target are the same object: set replace to change its metadata", code="InvalidRequest"
            )
        copied = _copied(stored, target, options).encrypted(options.encryption)
        copied = copied.protected(options.retention, held=options.legal_hold)
        copied = bucket.write(target.key, copied)
        await checkpoint()
        return info_of(copied)

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
            raise InvalidRequestError(f"the range {start} to {end} is not within the source", code="InvalidArgument")
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
        Make the object. A repeated call with the same parts returns the same object, as long as it exists.
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
        stored = bucket.write(uri.key, stored)
        self._world.finish(upload, parts, info_of(stored))
        await checkpoint()
        return info_of(stored)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        await checkpoint()
        self._world.uploads.pop(upload_id, None)
        await checkpoint()

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        await checkpoint()
        parts = {number: part for number, (part, _) in self._world.upload(uri, upload_id).parts.items()}
        return part_page(parts, token, self.capabilities.list_page_size)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        await checkpoint()
        uploads = (
            MultipartUpload(prefix.with_key(upload.uri.key), upload.upload_id, upload.initiated)
            for upload in self._world.uploads.values()
            if upload.uri.bucket == prefix.bucket and upload.uri.key.startswith(prefix.key)
        )
        return upload_page(uploads, token, self.capabilities.list_page_size)

    async def _keep_part(self, upload: Upload, number: int, data: bytes, checksum: Checksum) -> Part:
        part = Part(number, new_etag(), len(data), checksum)
        upload.parts[number] = (part, data)
        await checkpoint()
        return part

    def _source(self, source: ObjectURI, options: CopyOptions) -> Stored:
        stored = self._world.stored(source, options.source_version_id)
        stored.check_key(options.source_encryption)
        check_write(stored.metadata.etag, options.source_if_match)
        return stored

    def _check_write(self, uri: ObjectURI, options: WriteOptions) -> None:
        _check_size("a key", len(uri.key.encode()), self.capabilities.max_key_bytes)
        _check_key(uri.key)
        if options.metadata:
            # Imported here, since it loads aiohttp, which most programs do not need for memory.
            from asyncstore.http.object_headers import metadata_headers

            metadata_headers(options.metadata, "", _lossless, "memory")
        size = sum(len(name.encode()) + len(value.encode()) for name, value in options.metadata.items())
        _check_size("user metadata", size, self.capabilities.max_metadata_bytes)

    def _check_part(self, number: int, size: int) -> None:
        if not 1 <= number <= self.capabilities.max_parts:
            raise InvalidRequestError(f"part numbers are 1 to {self.capabilities.max_parts}, not {number}")
        _check_size("a part", size, self.capabilities.max_part_size)


class _MemoryReadBody(ReadBody):
    def __init__(self, uri: ObjectURI, stored: Stored, start: int, end: int) -> None:
        self.info = replace(stored.metadata, uri=uri)
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
    received = ReceivedBody(body, wanted)
    pieces = []
    chunks = (BytesBody(body.data) if body.data is not None else body).chunks()
    try:
        await checkpoint()
        async for chunk in chunks:
            if len(chunk) > MiB:
                await in_thread(received.update, chunk)
            else:
                received.update(chunk)
            pieces.append(bytes(chunk))
            await checkpoint()
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return b"".join(pieces), received.finish()


def _verified(data: bytes, expected: Checksum | None) -> tuple[Checksum, ...]:
    algorithms = [ChecksumAlgorithm.CRC32C]
    if expected is not None and expected.algorithm not in algorithms:
        algorithms.append(expected.algorithm)
    checksums = tuple(compute(algorithm, data) for algorithm in algorithms)
    # A checksum of part checksums says nothing about the bytes of the whole.
    if expected is not None and expected.parts is None and expected != checksums[-1]:
        message = "the joined parts do not match the checksum"
        raise IntegrityError(message, expected=str(expected), actual=str(checksums[-1]))
    return checksums


def _with_checksums(stored: Stored, checksums: tuple[Checksum, ...]) -> Stored:
    return replace(stored, metadata=replace(stored.metadata, checksum=checksums[0], checksums=checksums))


def _extends(before: Retention, after: Retention | None) -> bool:
    """
    Return whether a retention protects at least as long and as strictly as the one *before*.
    """
    if after is None or after.until < before.until:
        return False
    return after.mode == before.mode or after.mode == "compliance"


def _copied(stored: Stored, target: ObjectURI, options: CopyOptions) -> Stored:
    if options.replace is not None:
        written = _with_checksums(stored_with(target, stored.data, options.replace), tuple(stored.metadata.checksums))
        # As on S3, a copy that replaces the metadata keeps the tags.
        return written.tagged(stored.tags if options.tags is None else options.tags)
    metadata = replace(stored.metadata, uri=target, etag=new_etag(), last_modified=datetime.now(UTC))
    storage_class = options.storage_class or metadata.storage_class
    copied = replace(stored, metadata=replace(metadata, metadata=dict(metadata.metadata), storage_class=storage_class))
    return copied if options.tags is None else copied.tagged(options.tags)


def _entry(prefix: ObjectURI, key: str, stored: Stored | None) -> ObjectInfo:
    uri = prefix.with_key(key)
    return ObjectInfo(uri=uri, size=0, is_prefix=True) if stored is None else replace(info_of(stored), uri=uri)


def _check_key(key: str) -> None:
    # https://cloud.google.com/storage/docs/objects#naming
    if "\r" in key or "\n" in key:
        raise InvalidURIError(f"GCS does not allow line breaks in keys, and so memory does not: {key!r}")
    if key in (".", "..") or key.startswith(".well-known/acme-challenge/"):
        raise InvalidURIError(f"GCS does not allow an object named {key!r}, and so memory does not")


def _lossless(value: str) -> str:
    if value != value.strip():
        raise ConfigurationError(
            f"headers, in which clouds keep metadata, lose the spaces around {value!r}: remove them"
        )
    return value


def _check_size(what: str, size: int, limit: int, unit: str = "bytes") -> None:
    if size > limit:
        raise InvalidRequestError(f"{what} is limited to {limit} {unit}, not {size}", code="EntityTooLarge")
