"""
The file driver. Each request does its work in threads, and cleans up if it is cancelled.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from asyncstore._support.descriptors import opening
from asyncstore._support.os_errors import from_oserror
from asyncstore._support.threads import in_thread
from asyncstore.checksum import Hasher
from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities, Driver, paging
from asyncstore.driver.body import Body, BytesLike, ReadBody
from asyncstore.driver.conditions import check_read
from asyncstore.driver.received_body import ReceivedBody
from asyncstore.driver.settings import read_settings
from asyncstore.drivers.local.completion import Completion
from asyncstore.drivers.local.files import AT_ONCE, NewFile
from asyncstore.drivers.local.roots import outer_root
from asyncstore.drivers.local.sidecar import Description
from asyncstore.drivers.local.store import SourceFile, Store, info_of
from asyncstore.drivers.local.uploads import PartFile
from asyncstore.drivers.local.walk import Walk, WindowCache
from asyncstore.errors import InvalidRequestError, InvalidURIError, NotFoundError, StorageError
from asyncstore.options import CopyOptions, DeleteOptions, KiB, ListOptions, MiB, ReadOptions, WriteOptions
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

# The largest file size of common file systems; the driver adds no limit.
_UNLIMITED: Final = 2**63 - 1
_PIECE: Final = 4 * MiB
_COPY_STEP: Final = 64 * MiB

#: Entries of the largest page.
PAGE_SIZE: Final = 1000

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
    copy_keeps=frozenset({"metadata"}),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """
    Settings of the local driver; see the package for what they mean.
    """

    sync: bool = True


def open_driver(config: StorageConfig) -> LocalDriver:
    """
    Return a driver for the directory that the URI names; nothing is read yet.

    Raises:
        ConfigurationError: A setting is unknown or invalid.
    """
    return LocalDriver(config.uri, sync=read_settings(LocalSettings, config.settings, provider="file").sync)


class LocalDriver(Driver):
    """
    Objects in files below *root*; see the package docstring.
    """

    provider = Provider.LOCAL
    capabilities = CAPABILITIES

    def __init__(self, root: ObjectURI, *, sync: bool = True) -> None:
        self._root = Path("/", root.key)
        self._base = f"{root.key.rstrip('/')}/" if root.key.rstrip("/") else ""
        # Where the root is below the directory of the store, once that has been found.
        self._inner = ""
        self._found = False
        self._store = Store(str(self._root), sync=sync)
        self._windows = WindowCache()
        self._sync = sync

    async def prepare(self) -> None:
        """
        Find the directory that has the metadata of what is below the root, once.
        """
        if self._found:
            return
        outer = await in_thread(outer_root, self._root)
        # Another request can have found it meanwhile, and use its store.
        if not self._found:
            inner = self._root.relative_to(outer).as_posix()
            self._inner = "" if inner == "." else f"{inner}/"
            self._store = Store(str(outer), sync=self._sync)
            self._found = True

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        key = await self._key(uri)
        opened: list[ReadBody] = []
        try:
            await opening(lambda: opened.append(self._store.open(uri, key, options)))
        except BaseException:
            # Cancelled while the thread opened it: the caller never gets it, so close it here.
            for body in opened:
                await body.aclose()
            raise
        return opened[0]

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        key = await self._key(uri)
        self._check(key, options)
        if body.data is not None and body.size <= AT_ONCE:
            return self._told(await in_thread(self._put_at_once, uri, key, body, options))
        new, received = NewFile(self._store.tree), ReceivedBody(body, options.checksum)
        try:
            await opening(lambda: self._begin(key, new, options))
            await _receive(body, received, new.write)
            return self._told(await in_thread(self._publish, uri, key, new, received, options))
        finally:
            if new.descriptor >= 0:
                await in_thread(new.discard)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        key = await self._key(uri)
        await in_thread(self._store.remove, key, options)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        key = await self._key(uri)
        info = await in_thread(self._store.stat, uri, key)
        check_read(info, options)
        return info

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return one page of keys. Each page reads the directories again, from where the last one ended.

        ``start_after`` is a key as in the URI of an object. If it is not below the
        root, it is relative to the root.

        Raises:
            NotFoundError: The root does not exist.
        """
        await self.prepare()
        return await in_thread(self._page, prefix, options, token)

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        keys = [await self._key(uri) for uri in uris]
        return await in_thread(lambda: [self._outcome(key) for key in keys])

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        """
        Copy an object. A copy onto itself must replace the metadata, as on S3.
        """
        key, to = await self._key(source), await self._key(target)
        self._check(to, options.replace or WriteOptions())
        if key == to and options.replace is None:
            raise InvalidRequestError(
                "source and target are the same object: set replace to change its metadata", code="InvalidRequest"
            )
        file, new = SourceFile(self._store, source, key), NewFile(self._store.tree)
        try:
            await opening(lambda: file.open(options.source_if_match))
            await opening(lambda: self._begin(to, new, options))
            done = 0
            while done < file.info.size:
                done += await in_thread(file.copy, new.descriptor, done, min(_COPY_STEP, file.info.size - done))
            return self._told(await in_thread(self._publish_copy, target, to, file, new, options))
        finally:
            if file.descriptor >= 0 or new.descriptor >= 0:
                await in_thread(_close, new.discard, file.close)

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        key = await self._key(uri)
        self._check(key, options)
        upload_id = secrets.token_hex(16)
        try:
            await in_thread(self._store.uploads.start, key, upload_id, Description.of(options))
        except BaseException:
            await in_thread(self._store.uploads.drop, upload_id)
            raise
        return upload_id

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        part = self._part(await self._key(uri), upload_id, number, body.size)
        received = ReceivedBody(body, options.checksum)
        try:
            await in_thread(part.open)
            await _receive(body, received, part.write)
            return await in_thread(lambda: part.finish(*_reported(received.finish())))
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
        key, to = await self._key(source), await self._key(target)
        file, part = SourceFile(self._store, source, key), self._part(to, upload_id, number, end - start)
        try:
            await in_thread(file.open, options.source_if_match)
            if end > file.info.size:
                raise InvalidRequestError(
                    f"the range {start} to {end} is not within the {file.info.size} bytes of the source",
                    code="InvalidRange",
                )
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
        Make the object. A repeated call raises :class:`NotFoundError`, since the upload is gone.
        """
        key = await self._key(uri)
        joined = Completion(self._store.tree, self._store.uploads, upload_id)
        try:
            description = await in_thread(self._join, key, upload_id, joined, parts, options)
            while await in_thread(joined.move):
                pass
            return self._told(
                await in_thread(self._complete, uri, key, upload_id, joined, description, options, checksum)
            )
        finally:
            await in_thread(joined.close)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        await self.prepare()
        await in_thread(self._store.uploads.drop, upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        return await in_thread(self._part_page, await self._key(uri), upload_id, token)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        await self.prepare()
        return await in_thread(self._upload_page, prefix, token)

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Path]:
        """
        Yield the root as a :class:`~pathlib.Path`.
        """
        yield self._root

    def describe(self) -> dict[str, str]:
        return {"root": str(self._root), "sync": str(self._sync).lower()}

    def classify(self, error: Exception) -> StorageError | None:
        return from_oserror(error) if isinstance(error, OSError) else None

    async def _key(self, uri: ObjectURI) -> str:
        """
        Return the key below the directory of the store.
        """
        await self.prepare()
        key = self._relative(uri)
        if not key:
            raise self._outside(uri)
        return self._inner + key

    def _prefix(self, prefix: ObjectURI) -> str:
        return self._inner + self._relative(prefix)

    def _relative(self, uri: ObjectURI) -> str:
        if f"{uri.key}/" == self._base:
            return ""
        if not uri.key.startswith(self._base):
            raise self._outside(uri)
        return uri.key[len(self._base) :]

    def _uri(self, prefix: ObjectURI, key: str) -> ObjectURI:
        return prefix.with_key(self._base + key[len(self._inner) :])

    def _told(self, info: ObjectInfo) -> ObjectInfo:
        if self._store.tree.placeholders:
            reason = "the file system has neither hard links nor exclusive renames: readers may see an empty file first"
            self.narrow("create-only writes at once", reason)
        return info

    def _outside(self, uri: ObjectURI) -> InvalidURIError:
        return InvalidURIError(
            f"{uri} is not below file://{self._root}: open a storage on a directory that contains it"
        )

    def _check(self, key: str, options: WriteOptions) -> None:
        if len(key.encode()) > CAPABILITIES.max_key_bytes:
            raise InvalidRequestError(
                f"the key is longer than {CAPABILITIES.max_key_bytes} bytes", code="KeyTooLongError"
            )
        size = sum(len(name.encode()) + len(value.encode()) for name, value in options.metadata.items())
        if size > CAPABILITIES.max_metadata_bytes:
            raise InvalidRequestError(
                f"the user metadata has {size} bytes, and the limit is {CAPABILITIES.max_metadata_bytes}"
            )

    def _part(self, key: str, upload_id: str, number: int, size: int) -> PartFile:
        if not 1 <= number <= CAPABILITIES.max_parts:
            raise InvalidRequestError(f"part numbers are 1 to {CAPABILITIES.max_parts}, not {number}")
        return PartFile(self._store.tree, self._store.uploads, (key, upload_id), number, size)

    # The methods below run in a thread.

    def _page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        start, start_after = self._prefix(prefix), options.start_after
        if start_after is not None:
            start_after = f"{self._inner}{start_after.removeprefix(self._base)}"
        try:
            entries, next_token = paging.page(
                Walk(self._store.tree, self._windows, start).seek,
                prefix=start,
                delimiter=options.delimiter,
                after=start_after if token is None else token,
                limit=min(options.page_size or PAGE_SIZE, PAGE_SIZE),
            )
        except FileNotFoundError:
            raise NotFoundError(
                f"the directory {self._root} does not exist; the first write creates it", code="ENOENT"
            ) from None
        return ListPage([_entry(self._uri(prefix, key), status) for key, status in entries], next_token)

    def _part_page(self, key: str, upload_id: str, token: str | None) -> PartPage:
        self._store.uploads.started(key, upload_id)
        parts = {number: held.part for number, held in self._store.uploads.parts(upload_id).items()}
        return paging.part_page(parts, token, PAGE_SIZE)

    def _upload_page(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        start = self._prefix(prefix)
        uploads = (
            MultipartUpload(self._uri(prefix, upload.key), upload.upload_id, upload.initiated)
            for upload in self._store.uploads.all()
            if upload.key.startswith(start)
        )
        return paging.upload_page(uploads, token, PAGE_SIZE)

    def _put_at_once(self, uri: ObjectURI, key: str, body: Body, options: WriteOptions) -> ObjectInfo:
        new, received = NewFile(self._store.tree), ReceivedBody(body, options.checksum)
        assert body.data is not None
        try:
            self._begin(key, new, options)
            received.update(body.data)
            new.write(body.data)
            return self._publish(uri, key, new, received, options)
        finally:
            new.discard()

    def _begin(self, key: str, new: NewFile, conditions: WriteOptions | CopyOptions) -> None:
        self._store.check(key, conditions)
        new.create()

    def _publish(
        self, uri: ObjectURI, key: str, new: NewFile, received: ReceivedBody, options: WriteOptions
    ) -> ObjectInfo:
        return self._store.publish(uri, key, new, Description.of(options, received.finish()), options)

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

    def _outcome(self, key: str) -> StorageError | None:
        try:
            self._store.remove(key, DeleteOptions())
        except StorageError as exc:
            return exc
        except OSError as exc:
            return from_oserror(exc)
        return None


def _entry(uri: ObjectURI, status: os.stat_result | None) -> ObjectInfo:
    return ObjectInfo(uri=uri, size=0, is_prefix=True) if status is None else info_of(uri, status)


async def _receive(body: Body, received: ReceivedBody, write: Callable[[BytesLike], None]) -> None:
    def take(piece: BytesLike) -> None:
        received.update(piece)
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
    # The last one is the requested algorithm.
    return checksums, checksums[-1]
