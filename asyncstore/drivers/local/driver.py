"""
The file driver: each request is a few turns in a thread, and leaves nothing behind if it is cancelled.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from asyncstore.body import Body, BytesLike, ReadBody
from asyncstore.checksum import Hasher
from asyncstore.conditions import check_read
from asyncstore.config import StorageConfig, flag
from asyncstore.driver import Capabilities, Driver
from asyncstore.drivers.local.completion import Completion
from asyncstore.drivers.local.files import NewFile
from asyncstore.drivers.local.listings import Listings
from asyncstore.drivers.local.sidecar import Description
from asyncstore.drivers.local.source import SourceFile
from asyncstore.drivers.local.store import Store
from asyncstore.drivers.local.uploads import PartFile
from asyncstore.errors import ConfigurationError, InvalidRequestError, InvalidURIError, StorageError
from asyncstore.intake import Intake
from asyncstore.options import CopyOptions, DeleteOptions, KiB, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.oserrors import from_oserror
from asyncstore.threads import in_thread
from asyncstore.types import (
    Checksum,
    ChecksumAlgorithm,
    ListPage,
    Metadata,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
)
from asyncstore.uri import ObjectURI, Provider

# What the largest file systems hold; ours are no limits.
_UNLIMITED: Final = 2**63 - 1
_AT_ONCE: Final = 256 * KiB
_PIECE: Final = 4 * MiB
_COPY_STEP: Final = 64 * MiB

CAPABILITIES: Final = Capabilities(
    reference="https://man7.org/linux/man-pages/man7/path_resolution.7.html",
    max_object_size=_UNLIMITED,
    max_put_size=_UNLIMITED,
    max_metadata_bytes=8 * KiB,
    multipart=True,
    min_part_size=1,
    max_part_size=_UNLIMITED,
    max_parts=10_000,
    copy=True,
    max_copy_size=_UNLIMITED,
    copy_part=True,
    delete_batch_size=1000,
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    checksums=frozenset(ChecksumAlgorithm),
)


def open_driver(config: StorageConfig) -> LocalDriver:
    """
    Open the directory that the URI names; nothing is looked at yet.

    Raises:
        ConfigurationError: A setting is unknown or does not fit.
    """
    settings = dict(config.settings)
    sync = flag(settings.pop("sync", True))
    if settings:
        raise ConfigurationError(f"files have no setting {min(settings)!r}: they have sync")
    return LocalDriver(config.uri, sync=sync)


class LocalDriver(Driver):
    """
    Objects in files below *root*; see the package for how.
    """

    provider = Provider.LOCAL
    capabilities = CAPABILITIES

    def __init__(self, root: ObjectURI, *, sync: bool = True) -> None:
        self._root = Path("/", root.key)
        self._base = f"{root.key.rstrip('/')}/" if root.key.rstrip("/") else ""
        self._store = Store(str(self._root), sync=sync)
        self._listings = Listings(self._store, self._root, self._base)
        self._sync = sync

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        key = self._key(uri)
        opened: list[ReadBody] = []
        try:
            await in_thread(lambda: opened.append(self._store.open(uri, key, options)))
        except BaseException:
            # Cancelled while the thread was opening it: nobody else will close it.
            for body in opened:
                await body.aclose()
            raise
        return opened[0]

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        key = self._key(uri)
        self._check(key, options)
        if body.data is not None and body.size <= _AT_ONCE:
            return await in_thread(self._put_at_once, uri, key, body, options)
        new, intake = NewFile(self._store.tree), Intake(body, options.checksum)
        try:
            await in_thread(self._begin, key, new, options)
            await _receive(body, intake, new.write)
            return await in_thread(self._publish, uri, key, new, intake, options)
        finally:
            if new.descriptor >= 0:
                await in_thread(new.discard)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        await in_thread(self._store.remove, self._key(uri), options)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        info = await in_thread(self._store.stat, uri, self._key(uri))
        check_read(info, options)
        return info

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return one page of keys. It is read anew for each page, from where the last one ended.

        Raises:
            NotFoundError: The root does not exist.
        """
        return await in_thread(self._listings.page, prefix, options, token)

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        return await in_thread(self._delete_batch, [self._key(uri) for uri in uris])

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        """
        Copy an object. Onto itself it must change something, as on S3.
        """
        key, to = self._key(source), self._key(target)
        self._check(to, options.replace or WriteOptions())
        if key == to and options.replace is None:
            raise InvalidRequestError("a copy of an object onto itself changes its metadata", code="InvalidRequest")
        file, new = SourceFile(self._store, source, key), NewFile(self._store.tree)
        try:
            await in_thread(file.open, options.source_if_match)
            await in_thread(self._begin, to, new, options)
            done = 0
            while done < file.info.size:
                done += await in_thread(file.copy, new.descriptor, done, min(_COPY_STEP, file.info.size - done))
            return await in_thread(self._publish_copy, target, to, file, new, options)
        finally:
            if file.descriptor >= 0 or new.descriptor >= 0:
                await in_thread(_close, new.discard, file.close)

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        key = self._key(uri)
        self._check(key, options)
        upload_id = secrets.token_hex(16)
        try:
            await in_thread(self._store.uploads.start, key, upload_id, Description.of(options))
        except BaseException:
            await in_thread(self._store.uploads.drop, upload_id)
            raise
        return upload_id

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        part, intake = self._part(uri, upload_id, number, body.size), Intake(body, options.checksum)
        try:
            await in_thread(part.open)
            await _receive(body, intake, part.write)
            return await in_thread(lambda: part.finish(*_reported(intake.finish())))
        finally:
            await in_thread(part.close)

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
        file = SourceFile(self._store, source, self._key(source))
        part = self._part(target, upload_id, number, end - start)
        try:
            await in_thread(file.open, options.source_if_match)
            if end > file.info.size:
                raise InvalidRequestError(f"the source has no bytes {start} to {end}", code="InvalidRange")
            await in_thread(part.open)
            return await self._copy_part(file, part, start, end)
        finally:
            await in_thread(_close, part.close, file.close)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        """
        Make the object. Once more, it finds no upload and raises :class:`NotFoundError`.
        """
        key = self._key(uri)
        joined = Completion(self._store.tree, self._store.uploads, upload_id)
        try:
            description = await in_thread(self._join, key, upload_id, joined, parts, options)
            while await in_thread(joined.move):
                pass
            return await in_thread(self._complete, uri, key, upload_id, joined, description, options, checksum)
        finally:
            await in_thread(joined.close)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        await in_thread(self._store.uploads.drop, upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        return await in_thread(self._listings.parts, self._key(uri), upload_id, token)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        return await in_thread(self._listings.uploads, prefix, token)

    def native(self) -> AbstractAsyncContextManager[Path]:
        """
        Give the root as a :class:`~pathlib.Path`.
        """
        return self._native()

    def describe(self) -> dict[str, str]:
        return {"root": str(self._root), "sync": str(self._sync).lower()}

    def classify(self, error: Exception) -> StorageError | None:
        return from_oserror(error) if isinstance(error, OSError) else None

    @asynccontextmanager
    async def _native(self) -> AsyncIterator[Path]:
        yield self._root

    def _key(self, uri: ObjectURI) -> str:
        key = uri.key[len(self._base) :]
        if not key or not uri.key.startswith(self._base):
            raise InvalidURIError(f"{uri} is not below file://{self._root}: open a directory that it is in")
        return key

    def _check(self, key: str, options: WriteOptions) -> None:
        if len(key.encode()) > CAPABILITIES.max_key_bytes:
            raise InvalidRequestError(f"a key has at most {CAPABILITIES.max_key_bytes} bytes", code="KeyTooLongError")
        size = sum(len(name.encode()) + len(value.encode()) for name, value in options.metadata.items())
        if size > CAPABILITIES.max_metadata_bytes:
            raise InvalidRequestError(f"user metadata has at most {CAPABILITIES.max_metadata_bytes} bytes, not {size}")

    def _part(self, uri: ObjectURI, upload_id: str, number: int, size: int) -> PartFile:
        if not 1 <= number <= CAPABILITIES.max_parts:
            raise InvalidRequestError(f"parts count from 1 to {CAPABILITIES.max_parts}, not {number}")
        return PartFile(self._store.tree, self._store.uploads, (self._key(uri), upload_id), number, size)

    # From here on: what runs in a thread.

    def _put_at_once(self, uri: ObjectURI, key: str, body: Body, options: WriteOptions) -> ObjectInfo:
        new, intake = NewFile(self._store.tree), Intake(body, options.checksum)
        assert body.data is not None
        try:
            self._begin(key, new, options)
            intake.update(body.data)
            new.write(body.data)
            return self._publish(uri, key, new, intake, options)
        finally:
            new.discard()

    def _begin(self, key: str, new: NewFile, conditions: WriteOptions | CopyOptions) -> None:
        self._store.check(key, conditions)
        new.create()

    def _publish(self, uri: ObjectURI, key: str, new: NewFile, intake: Intake, options: WriteOptions) -> ObjectInfo:
        return self._store.publish(uri, key, new, Description.of(options, intake.finish()), options)

    def _publish_copy(
        self, uri: ObjectURI, key: str, file: SourceFile, new: NewFile, options: CopyOptions
    ) -> ObjectInfo:
        file.check()
        checksums = tuple(file.info.checksums)
        kept = Description.of(options.replace, checksums) if options.replace else Description.of_metadata(file.info)
        return self._store.publish(uri, key, new, kept, options)

    async def _copy_part(self, file: SourceFile, part: PartFile, start: int, end: int) -> Part:
        hasher = Hasher(ChecksumAlgorithm.CRC32C)

        def step(at: int) -> int:
            data = file.read(at, end)
            hasher.update(data)
            part.write(data)
            return len(data)

        def finish() -> Part:
            file.check()
            return part.finish((hasher.checksum(),), hasher.checksum())

        while start < end:
            start += await in_thread(step, start)
        return await in_thread(finish)

    def _join(
        self, key: str, upload_id: str, joined: Completion, parts: Sequence[Part], options: WriteOptions
    ) -> Description:
        started = self._store.uploads.started(key, upload_id)
        self._store.check(key, options)
        joined.open(parts)
        return started.description

    def _complete(
        self,
        uri: ObjectURI,
        key: str,
        upload_id: str,
        joined: Completion,
        description: Description,
        options: WriteOptions,
        checksum: Checksum | None,
    ) -> ObjectInfo:
        description = replace(description, checksums=joined.checksums(checksum))
        info = self._store.publish(uri, key, joined, description, options)
        self._store.uploads.drop(upload_id)
        return info

    def _delete_batch(self, keys: Sequence[str]) -> list[StorageError | None]:
        return [self._outcome(key) for key in keys]

    def _outcome(self, key: str) -> StorageError | None:
        try:
            self._store.remove(key, DeleteOptions())
        except StorageError as exc:
            return exc
        except OSError as exc:
            return from_oserror(exc)
        return None


async def _receive(body: Body, intake: Intake, write: Callable[[BytesLike], None]) -> None:
    def take(piece: BytesLike) -> None:
        intake.update(piece)
        write(piece)

    async with aclosing(_pieces(body)) as pieces:
        async for piece in pieces:
            await in_thread(take, piece)


async def _pieces(body: Body) -> AsyncGenerator[BytesLike, None]:
    if body.data is not None:
        view = memoryview(body.data).cast("B")
        for start in range(0, len(view), _PIECE):
            yield view[start : start + _PIECE]
        return
    chunks = body.chunks()
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _close(*closers: Callable[[], None]) -> None:
    with ExitStack() as stack:
        for close in closers:
            stack.callback(close)


def _reported(checksums: tuple[Checksum, ...]) -> tuple[tuple[Checksum, ...], Checksum]:
    # The last one is the one that was asked for.
    return checksums, checksums[-1]
