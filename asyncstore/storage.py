"""
The portable storage: checks what callers give, and hands it to the engine.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import anyio

from asyncstore.auth.credentials import Credentials
from asyncstore.checks import Checks
from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.engine import lost, resuming, upload
from asyncstore.engine.calls import Calls
from asyncstore.engine.copying import copy
from asyncstore.engine.download import download_file
from asyncstore.engine.limits import Limits, Statistics
from asyncstore.engine.progress import Meter
from asyncstore.engine.read import read, read_ranges
from asyncstore.engine.retry import Retry
from asyncstore.engine.stream import open_stream
from asyncstore.errors import (
    ConfigurationError,
    NotFoundError,
)
from asyncstore.many import BulkVerbs
from asyncstore.options import (
    PLAIN_READ,
    ByteRange,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ListOptions,
    ReadOptions,
    UploadOptions,
)
from asyncstore.parts import MultipartVerbs
from asyncstore.protocols import DataLike, ProgressSink, ReadStream
from asyncstore.tags import TagVerbs
from asyncstore.types import (
    ListPage,
    Metadata,
    ObjectInfo,
)
from asyncstore.uri import ObjectURI, URILike
from asyncstore.versions import VersionVerbs

_READ: Final = PLAIN_READ
_UPLOAD: Final = UploadOptions()
_DOWNLOAD: Final = DownloadOptions()
_DELETE: Final = DeleteOptions()
_LIST: Final = ListOptions()
_COPY: Final = CopyOptions()


class Storage(BulkVerbs, MultipartVerbs, VersionVerbs, TagVerbs):
    """
    One provider's objects, seen from one bucket or prefix.

    Made by :func:`asyncstore.open_storage`. Every operation is a coroutine that can
    run in any number of tasks at once; all of them share one budget of requests
    and of memory. An operation that is cancelled leaves nothing behind, unless an
    upload is told to by ``resume``.

    All operations raise :class:`~asyncstore.errors.StorageError` with the operation,
    URI, provider and the provider's own code; only what is special is listed below.

    Attributes:
        root: What this storage was opened with; ``root / "any key"`` names an object.
    """

    def __init__(
        self,
        driver: Driver,
        config: StorageConfig,
        *,
        sleep: Callable[[float], Any] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root: ObjectURI = config.uri
        self._driver = driver
        self._checks = Checks(driver, config.uri)
        self._calls = Calls(
            driver,
            Limits(config.max_requests, config.max_buffer_bytes),
            Retry(config.retry, sleep=sleep, clock=clock),
        )

    @property
    def provider(self) -> str:
        """The driver's name, such as ``"s3"``."""
        return self._driver.provider

    @property
    def capabilities(self) -> Capabilities:
        """What the provider can do, and its limits."""
        return self._driver.capabilities

    @property
    def credentials(self) -> Credentials[Any] | None:
        """
        Who the storage asks as, and until when; ``None`` where nobody asks for credentials.

        They are closed with the storage.
        """
        found: Credentials[Any] | None = self._driver.credentials
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the connections that the storage has made; may be called twice.

        Uploads that ``resume`` has kept are aborted before, for at most ten seconds.
        """
        if not self._checks.closed:
            self._checks.closed = True
            try:
                await resuming.discard_all(self._calls)
            finally:
                await self._driver.aclose()

    def statistics(self) -> Statistics:
        """
        Return what is under way now, and what was done so far.
        """
        return self._calls.statistics()

    def describe(self) -> dict[str, str]:
        """
        Return what was resolved (endpoint, region, credentials' source ...), without secrets.
        """
        return {"provider": self.provider, "root": str(self.root), **self._driver.describe()}

    # Reading

    def get(self, uri: URILike, *, options: ReadOptions = _READ) -> AbstractAsyncContextManager[ReadStream]:
        """
        Open an object for reading, as it arrives.

        ::

            async with storage.get(uri) as stream:
                async for chunk in stream:
                    digest.update(chunk)

        The connection is given back when the block ends. One that breaks on the way is
        opened again at the byte where it broke. The stored checksum of a whole
        object is compared at its end.

        Raises:
            NotFoundError: There is no such object.
            NotModifiedError, PreconditionFailedError: A condition did not hold.
            RangeNotSatisfiableError: The range starts at or after the end.
            SourceChangedError: It was replaced, and the connection broke, on the way.
            IntegrityError: The bytes are not those that were stored.
        """
        return open_stream(self._calls, self._checks.object(uri), self._checks.read(options))

    async def read(self, uri: URILike, *, options: ReadOptions = _READ) -> bytes:
        """
        Return a whole object, or the range that *options* name, in memory.

        An end past the object is clipped; an empty range needs no request.

        Raises:
            NotFoundError, NotModifiedError, PreconditionFailedError: As :meth:`get`.
            RangeNotSatisfiableError: The range starts at or after the end.
            IntegrityError: The bytes are not those that were stored.
        """
        target = self._checks.object(uri)
        if options is not _READ:
            self._checks.read(options)
            if options.range is not None and options.range.empty:
                return b""
        return await read(self._calls, target, options)

    async def read_ranges(
        self, uri: URILike, ranges: Sequence[ByteRange], *, options: ReadOptions = _READ
    ) -> Sequence[bytes]:
        """
        Return several ranges of one version of an object, in the order asked for.

        Ranges that overlap or lie close together come by one request; the others are
        sent at the same time.

        Raises:
            PreconditionFailedError: The object was replaced between the requests.
            RangeNotSatisfiableError: A range starts at or after the end.
        """
        return await read_ranges(self._calls, self._checks.object(uri), ranges, self._checks.read(options))

    async def stat(self, uri: URILike, *, options: ReadOptions = _READ) -> Metadata:
        """
        Return what is stored with an object.

        Raises:
            NotFoundError: There is no such object.
        """
        target = self._checks.object(uri)
        whole = replace(self._checks.read(options), range=None)
        return await self._calls("stat", target, self._driver.stat, target, whole)

    async def exists(self, uri: URILike) -> bool:
        """
        Return whether there is such an object.

        Only "no such object" is ``False``; not being allowed to look is an error.
        """
        target = self._checks.object(uri)
        try:
            await self._calls("exists", target, self._driver.stat, target, _READ)
        except NotFoundError:
            return False
        return True

    async def list_page(self, prefix: URILike, *, token: str | None = None, options: ListOptions = _LIST) -> ListPage:
        """
        Return one page of a listing, and the token of the next.

        For services that hand pages on; :meth:`list` does the paging itself.
        """
        start = self._checks.prefix(prefix)
        return await self._calls("list", start, self._driver.list_page, start, options, token)

    async def list(self, prefix: URILike | None = None, *, options: ListOptions = _LIST) -> AsyncIterator[ObjectInfo]:
        """
        Yield the objects whose keys start with that of *prefix*, in byte order of keys.

        The prefix is a raw string: ``logs/2026`` covers ``logs/2026-old`` too. Without
        one, everything under :attr:`root` is listed. With ``options.delimiter``, keys
        that have it after the prefix are rolled up into one entry with ``is_prefix``.
        Pages are fetched as they are needed, and nothing is held between them.
        """
        start = self._checks.prefix(self.root if prefix is None else prefix)
        token: str | None = None
        while True:
            page = await self._calls("list", start, self._driver.list_page, start, options, token)
            for info in page.objects:
                yield info
            token = page.next_token
            if token is None:
                return

    # Writing

    async def put(self, uri: URILike, data: DataLike, *, options: UploadOptions = _UPLOAD) -> ObjectInfo:
        """
        Write an object from bytes, an open binary file or a (plain or asynchronous) iterable.

        It appears whole or not at all. A stream may have any length: a long one is
        written by parts, held in memory one part at a time for each that is in flight.
        No part is larger than the storage's ``max_buffer_bytes``, so the provider's number
        of parts times that is the longest stream. A generator is closed at the end.

        Raises:
            AlreadyExistsError, PreconditionFailedError: A condition did not hold.
            IntegrityError: The provider received other bytes.
            TypeError: *data* is none of these.
        """
        target = self._checks.object(uri)
        if options is not _UPLOAD:
            self._checks.write(options)
        return await upload.put(self._calls, target, data, options)

    async def upload(
        self,
        source: Path | str,
        target: URILike,
        *,
        options: UploadOptions = _UPLOAD,
        progress: ProgressSink | None = None,
    ) -> ObjectInfo:
        """
        Write a local file as an object, by parts and in parallel if it is large.

        It appears whole or not at all; failure and cancellation leave no unfinished upload,
        unless ``options.resume`` keeps it for the next attempt.

        Args:
            progress: Called in the event loop with cumulative counts; must not block.

        Raises:
            NotFoundError: There is no such file.
            SourceChangedError: The file was written to meanwhile.
            AlreadyExistsError, PreconditionFailedError: A condition did not hold.
        """
        uri = self._checks.object(target)
        self._checks.write(options)
        meter = Meter(progress)
        item = meter.object(uri)
        info = await upload.upload_file(self._calls, Path(source), uri, options, item)
        item.completed()
        meter.finish()
        return info

    async def download(
        self,
        source: URILike,
        target: Path | str,
        *,
        options: DownloadOptions = _DOWNLOAD,
        progress: ProgressSink | None = None,
    ) -> ObjectInfo:
        """
        Write one object to a local file, by several requests at once if it is large.

        *target* appears only when all its bytes have arrived and been checked: until then
        they are in a hidden file beside it, which is removed on failure and on
        cancellation. Directories on the way to it are made.

        Args:
            progress: Called in the event loop with cumulative counts; must not block.

        Raises:
            NotFoundError: There is no such object.
            SourceChangedError: The object was replaced while it was being read.
            IntegrityError: The bytes received do not match the stored checksum.
            AlreadyExistsError: *target* exists and ``options.overwrite`` is off.
            QuotaExceededError: The disk has no room for it.
        """
        uri = self._checks.object(source)
        self._checks.read(options)
        meter = Meter(progress)
        item = meter.object(uri)
        info = await download_file(self._calls, uri, Path(target), options, item)
        item.completed()
        meter.finish()
        return info

    async def copy(self, source: URILike, target: URILike, *, options: CopyOptions = _COPY) -> ObjectInfo:
        """
        Copy an object inside the provider, by parts if it is too large for one request.

        Raises:
            NotFoundError: There is no such source.
            InvalidRequestError: Source and target are the same, and nothing is replaced.
            NotSupportedError: The provider has no copying; see
                :func:`asyncstore.copy_between`.
        """
        self._checks.require("copy", self.capabilities.copy)
        self._checks.require(
            "copy with conditions", self.capabilities.conditional_copy, options.if_match, options.if_none_match
        )
        self._checks.require("versions", self.capabilities.versions, options.source_version_id)
        if options.replace is not None:
            self._checks.replace(options.replace)
        return await copy(self._calls, self._checks.object(source), self._checks.object(target), options)

    async def delete(self, uri: URILike, *, missing_ok: bool = True, options: DeleteOptions = _DELETE) -> None:
        """
        Delete an object.

        Args:
            missing_ok: Whether there may be no such object. Where the provider does not
                tell, asking costs one more request.

        Raises:
            NotFoundError: There is no such object, and *missing_ok* is off.
            PreconditionFailedError: ``options.if_match`` did not hold.
        """
        target = self._checks.object(uri)
        self._checks.require("delete with if_match", self.capabilities.conditional_delete, options.if_match)
        self._checks.require("versions", self.capabilities.versions, options.version_id)
        if not missing_ok:
            await self._calls("delete", target, self._driver.stat, target, ReadOptions(version_id=options.version_id))
        await lost.delete(self._calls, target, options)

    # Beyond the portable

    async def presign(self, uri: URILike, *, method: str = "GET", expires: timedelta = timedelta(hours=1)) -> str:
        """
        Return a URL that lets whoever holds it do *method* on the object until it expires.

        Treat it as a secret.
        """
        target = self._checks.object(uri)
        self._checks.require("signed URLs", self.capabilities.sign)
        if expires <= timedelta(0):
            raise ConfigurationError(f"expires is a time from now on, not {expires}")
        return await self._calls("presign", target, self._driver.sign, method, target, expires)

    def native(self) -> AbstractAsyncContextManager[Any]:
        """
        Open the provider's own SDK client, on the same endpoint, region and credentials.

        For what a portable interface cannot say. It is closed when the block ends.
        """
        return self._driver.native()
