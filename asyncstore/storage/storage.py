"""
The portable storage: validates arguments and calls the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, Unpack
from weakref import WeakSet

import anyio

from asyncstore._support.argument_types import check_argument, check_items
from asyncstore._support.redact import redact
from asyncstore.auth.credentials import Credentials
from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.driver.presigning import FILE_NAME, sign
from asyncstore.engine import lost_replies
from asyncstore.engine.ceilings import Ceilings, ThrottledDriver, requests_fed
from asyncstore.engine.copy import copy
from asyncstore.engine.download.download import download_file
from asyncstore.engine.download.read import read, read_ranges
from asyncstore.engine.download.stream import open_measured, open_stream
from asyncstore.engine.limits import Limits, Statistics
from asyncstore.engine.observer import Observer
from asyncstore.engine.progress import measured
from asyncstore.engine.requests import Requests
from asyncstore.engine.retry import Retry
from asyncstore.engine.upload import resume, upload
from asyncstore.engine.upload.disk_journal import DiskJournal
from asyncstore.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
)
from asyncstore.keywords import (
    CopyFields,
    DeleteFields,
    DownloadFields,
    PostFields,
    PresignFields,
    ReadFields,
    StatFields,
    UploadFields,
    merged,
)
from asyncstore.options import (
    PLAIN_PRESIGN,
    PLAIN_READ,
    ByteRange,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    PostOptions,
    PresignOptions,
    ReadOptions,
    UploadOptions,
)
from asyncstore.protocols import DataLike, ProgressSink, ReadStream
from asyncstore.storage.arguments import Checks, check_type, local_path
from asyncstore.storage.bulk import BulkVerbs
from asyncstore.storage.composed import ComposedVerbs
from asyncstore.storage.files import FileVerbs
from asyncstore.storage.listing import ListVerbs
from asyncstore.storage.multipart import MultipartVerbs
from asyncstore.storage.reopening import Origin, Unknown, Wrapped, reopen
from asyncstore.storage.retention import RetentionVerbs
from asyncstore.storage.tags import TagVerbs
from asyncstore.storage.versions import VersionVerbs
from asyncstore.types import (
    CopyResult,
    Metadata,
    ObjectInfo,
    PresignedPost,
    PresignedURL,
    WriteResult,
)
from asyncstore.uri import ObjectURI, URILike

_READ: Final = PLAIN_READ
_UPLOAD: Final = UploadOptions()
_DOWNLOAD: Final = DownloadOptions()
_DELETE: Final = DeleteOptions()
_COPY: Final = CopyOptions()
_POST: Final = PostOptions()


class Storage(FileVerbs, ListVerbs, ComposedVerbs, BulkVerbs, MultipartVerbs, VersionVerbs, TagVerbs, RetentionVerbs):
    """
    The objects of one provider under a bucket or prefix.

    Returned by :func:`asyncstore.open_storage`. Any number of operations can run
    concurrently; they share one budget of requests and one of memory. A cancelled
    operation leaves nothing behind, except an upload or a download with ``resume``.

    A pickled storage is how it was opened: unpickled, in this process or another one, it is a storage
    of its own, not opened yet, which opens the same. Secrets are not pickled but found again; one that was
    passed itself raises :class:`~asyncstore.ConfigurationError` when the storage is pickled.

    Wherever a URI is taken, text without a scheme is a key relative to :attr:`root`:
    ``await storage.read("a/b")`` reads ``storage.root / "a/b"``, on every provider.

    Operations take the fields of their options as keywords, too, which replace those in *options*:
    ``await storage.put("a/b", data, content_type="text/plain", if_none_match="*")``.

    All operations raise :class:`~asyncstore.errors.StorageError` with the operation,
    URI, provider and the provider's own code; below only special cases are listed.

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
        wrapped: Storage | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.root: ObjectURI = config.uri.below(config.uri)
        self._config = config
        self._origin = origin or Unknown(type(driver).__name__)
        if wrapped is None and (ceilings := Ceilings.of(config)):
            driver = ThrottledDriver(driver, ceilings, owned=True)
        self._driver = driver
        self._owned: tuple[Storage, ...] = ()
        self._wrappers: WeakSet[Storage] = WeakSet()
        self._opened = WeakSet()
        # As long as a wrapper is in use, closing what it wraps closes it.
        self._wrapped = wrapped
        if wrapped is not None:
            self._checks = Checks(driver, self.root, wrapped._checks)  # noqa: SLF001
            self._requests = wrapped._requests.over(driver)  # noqa: SLF001
            return
        self._checks = Checks(driver, self.root)
        self._requests = Requests(
            driver,
            Limits(requests_fed(config), config.max_buffer_bytes),
            Retry(config.retry, sleep=sleep, clock=clock),
            # Before any request, after which some drivers describe the endpoint in more detail.
            DiskJournal(config.state_directory, driver.provider, driver.describe().get("endpoint", "")),
        )

    @property
    def provider(self) -> str:
        """The driver's name, such as ``"s3"``."""
        return self._driver.provider

    @property
    def capabilities(self) -> Capabilities:
        """The features and limits of the endpoint; :meth:`describe` lists what it does not support."""
        return self._driver.capabilities

    @property
    def credentials(self) -> Credentials[Any] | None:
        """
        The credentials of the storage, and when they expire; ``None`` without authentication.

        They are closed with the storage.
        """
        found: Credentials[Any] | None = self._driver.credentials
        return found

    def __reduce__(self) -> tuple[Callable[[Origin], Storage], tuple[Origin]]:
        self._origin.check()
        return reopen, (self._origin,)

    def __copy__(self) -> Storage:
        # Within the process nothing needs to be pickled, and so secrets may be copied.
        return self._origin.reopen()

    def __deepcopy__(self, memo: object) -> Storage:
        return self._origin.reopen()

    async def __aenter__(self) -> Self:
        # Loads anyio's modules for the event loop now, not during the first transfer: they take some 20 ms once.
        anyio.get_cancelled_exc_class()
        # The first operation raises the same error, and says which one it is.
        with suppress(ConfigurationError):
            await self._driver.prepare()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close the connections of the storage; may be called twice.

        Closes the storages that wrap it and the files that are open first, and aborts the uploads that ``resume=True``
        has kept, for at most ten seconds. A storage that wraps another one leaves that open.
        """
        if self._checks.closed:
            return
        self._checks.closed = True
        async with AsyncExitStack() as stack:
            for owned in self._owned:
                stack.push_async_callback(owned.aclose)
            stack.push_async_callback(self._driver.aclose)
            stack.push_async_callback(resume.discard_all, self._requests)
            stack.push_async_callback(self._close_files)
            for wrapper in list(self._wrappers):
                stack.push_async_callback(wrapper.aclose)

    def wrapped(
        self, wrap: Callable[..., Driver], *, root: URILike | None = None, others: Sequence[Storage] = ()
    ) -> Storage:
        """
        Return a storage over the driver that *wrap* makes around the driver of this one.

        It has the same settings, and shares the budgets, retries and observers of this storage. Closing it
        leaves this storage open; closing this storage closes it. How to write such a driver:
        :class:`asyncstore.driver.ForwardingDriver`.

        Args:
            wrap: Takes this storage's driver, and those of *others*, and returns one that forwards to them. The new
                storage can be pickled if this can: a class, a function of a module, or a ``functools.partial`` of one.
            root: The root of the new storage; by default that of this one.
            others: Further storages that it uses. Closing one of them closes it, too.

        Raises:
            InvalidURIError: *root* is not in this storage.
            RuntimeError: The storage is closed.
        """
        uri = self._checks.prefix(self.root if root is None else root)
        drivers = [storage._driver for storage in (self, *others)]  # noqa: SLF001
        origin = Wrapped(wrap, uri, tuple(storage._origin for storage in (self, *others)))  # noqa: SLF001
        wrapper = Storage(wrap(*drivers), replace(self._config, uri=uri), wrapped=self, origin=origin)
        for storage in (self, *others):
            storage._checks.parse(storage.root)  # noqa: SLF001 - it is open
            storage._wrappers.add(wrapper)  # noqa: SLF001
        return wrapper

    def statistics(self) -> Statistics:
        """
        Return what is in progress now, and the totals so far.
        """
        return self._requests.statistics()

    def observe(self, observer: Observer) -> None:
        """
        Report every further attempt, credential refresh and narrowed capability to *observer*.
        """
        self._requests.observers.listening.append(observer)

    def describe(self) -> dict[str, str]:
        """
        Return what was resolved (endpoint, region, credentials' source ...), without secrets.

        ``narrowed`` lists what the endpoint turned out not to support, if anything.
        """
        described = {"provider": self.provider, "root": str(self.root), **self._driver.describe()}
        lacking = [f"{narrowing.feature} ({redact(narrowing.reason)})" for narrowing in self._driver.narrowed]
        return described | ({"narrowed": "; ".join(lacking)} if lacking else {})

    # Reading

    def get(
        self,
        uri: URILike,
        *,
        options: ReadOptions = _READ,
        progress: ProgressSink | None = None,
        **fields: Unpack[ReadFields],
    ) -> AbstractAsyncContextManager[ReadStream]:
        """
        Open an object for reading as a stream.

        ::

            async with storage.get(uri) as stream:
                async for chunk in stream:
                    digest.update(chunk)

        The connection is released at the end of the block. A broken connection is
        reopened at the byte where it broke. The stored checksum of a whole object is
        compared at its end.

        Args:
            progress: Called in the event loop with cumulative counts, as the bytes are read; must not
                block. The transfer is complete at the end of the block, read to the end or not.

        Raises:
            NotFoundError: The object does not exist.
            NotModifiedError, PreconditionFailedError: A condition did not hold.
            RangeNotSatisfiableError: The range starts at or after the end.
            SourceChangedError: The connection broke, and the object had been replaced when it was reopened.
            IntegrityError: The bytes received do not match the stored checksum.
        """
        source, options = self._checks.object(uri), self._checks.read(merged(options, ReadOptions, fields))
        if progress is None:
            return open_stream(self._requests, source, options)
        return open_measured(self._requests, source, options, progress)

    async def read(
        self,
        uri: URILike,
        *,
        options: ReadOptions = _READ,
        progress: ProgressSink | None = None,
        **fields: Unpack[ReadFields],
    ) -> bytes:
        """
        Return a whole object, or a range of it, in memory: ``await storage.read(uri, range=(0, 5))``.

        A range that ends past the object is clipped; an empty range needs no request.

        Args:
            progress: Called in the event loop with cumulative counts, as the bytes arrive; must not block.

        Raises:
            NotFoundError, NotModifiedError, PreconditionFailedError: As :meth:`get`.
            RangeNotSatisfiableError: The range starts at or after the end.
            IntegrityError: The bytes received do not match the stored checksum.
        """
        target = self._checks.object(uri)
        if fields:
            options = merged(options, ReadOptions, fields)
        if options is not _READ:
            self._checks.read(options)
        if progress is None:
            _, data = await read(self._requests, target, options)
            return data
        with measured(progress, target) as meter:
            _, data = await read(self._requests, target, options, meter)
            return data

    async def read_ranges(
        self,
        uri: URILike,
        ranges: Sequence[ByteRange],
        *,
        options: ReadOptions = _READ,
        progress: ProgressSink | None = None,
        **fields: Unpack[StatFields],
    ) -> Sequence[bytes]:
        """
        Return several ranges of one version of an object, in the given order.

        Ranges that overlap or are close together share a request; requests run
        concurrently.

        Args:
            progress: Called in the event loop with cumulative counts, as the bytes arrive; must not block.
                They are of the bytes requested: those between close ranges count, shared ones count once.

        Raises:
            PreconditionFailedError: The object was replaced between the requests.
            RangeNotSatisfiableError: A range starts at or after the end.
        """
        check_items("ranges", ranges, ByteRange)
        options = self._checks.read_without_range(merged(options, ReadOptions, fields), "read_ranges")
        source = self._checks.object(uri)
        with measured(progress, source) as meter:
            return await read_ranges(self._requests, source, ranges, options, meter)

    async def stat(self, uri: URILike, *, options: ReadOptions = _READ, **fields: Unpack[StatFields]) -> Metadata:
        """
        Return the metadata of an object.

        Raises:
            NotFoundError: The object does not exist.
        """
        target = self._checks.object(uri)
        options = self._checks.read_without_range(merged(options, ReadOptions, fields), "stat")
        return await self._requests("stat", target, self._driver.stat, target, options)

    async def exists(self, uri: URILike) -> bool:
        """
        Return whether the object exists.

        Raises an error, instead of returning ``False``, if access is denied.
        """
        target = self._checks.object(uri)
        try:
            await self._requests("exists", target, self._driver.stat, target, _READ)
        except NotFoundError:
            return False
        return True

    # Writing

    async def put(
        self,
        uri: URILike,
        data: DataLike,
        *,
        options: UploadOptions = _UPLOAD,
        progress: ProgressSink | None = None,
        **fields: Unpack[UploadFields],
    ) -> WriteResult:
        """
        Write an object from bytes, an open binary file or a (plain or asynchronous) iterable.

        It appears completely or not at all. A stream may have any length: a long one becomes
        a multipart upload, with the parts in flight in memory. No part is larger than the
        storage's ``max_buffer_bytes``, so the longest stream is that times the provider's
        number of parts. A generator is closed at the end.

        Waiting for a pipe, socket or terminal can be cancelled at any time; what had been read from it is lost. A
        socket with a timeout of its own (``settimeout()``) is read in a thread, so its timeout ends the wait. Any
        other file is read in a thread, which nothing can interrupt: a cancellation, or a time limit, takes effect
        when the ``read()`` under way returns, also that of ``gzip.GzipFile`` or TLS around a pipe. A plain iterable
        runs in the event loop: it should not block.

        Args:
            progress: Called in the event loop with cumulative counts, after each part, or at the end
                without parts; must not block. The size of a stream is known at its end.

        Raises:
            AlreadyExistsError, PreconditionFailedError: A condition did not hold.
            IntegrityError: The provider received other bytes.
            TypeError: *data* has another type.
        """
        target = self._checks.target(uri)
        if fields:
            options = merged(options, UploadOptions, fields)
        if options is not _UPLOAD:
            self._checks.write(options)
        if progress is None:
            return await upload.put(self._requests, target, data, options)
        with measured(progress, target) as meter:
            return await upload.put(self._requests, target, data, options, meter)

    async def upload(
        self,
        source: Path | str,
        target: URILike,
        *,
        options: UploadOptions = _UPLOAD,
        progress: ProgressSink | None = None,
        **fields: Unpack[UploadFields],
    ) -> WriteResult:
        """
        Write a local file as an object, as a concurrent multipart upload if it is large.

        It appears completely or not at all; failure and cancellation leave no unfinished
        upload, unless ``options.resume`` keeps it for the next attempt.

        Args:
            progress: Called in the event loop with cumulative counts; must not block.

        Raises:
            NotFoundError: The file does not exist.
            InvalidRequestError: It is not a regular file, or the system reports no size for it, as in ``/proc``.
            SourceChangedError: The file changed during the upload.
            AlreadyExistsError, PreconditionFailedError: A condition did not hold.
        """
        uri = self._checks.target(target)
        options = merged(options, UploadOptions, fields)
        self._checks.write(options)
        with measured(progress, uri) as meter:
            return await upload.upload_file(self._requests, local_path("source", source), uri, options, meter)

    async def download(
        self,
        source: URILike,
        target: Path | str,
        *,
        options: DownloadOptions = _DOWNLOAD,
        progress: ProgressSink | None = None,
        **fields: Unpack[DownloadFields],
    ) -> ObjectInfo:
        """
        Write one object to a local file, with several concurrent requests if it is large.

        *target* appears only when all bytes have arrived and been verified: until then
        they are in a hidden temporary file next to it, which is removed on failure and on
        cancellation. Missing parent directories are created, and removed again on failure. A
        pipe or a device is written into instead, as the bytes arrive.

        Args:
            progress: Called in the event loop with cumulative counts; must not block.

        Raises:
            NotFoundError: The object does not exist.
            SourceChangedError: The object was replaced during the download.
            IntegrityError: The bytes received do not match the stored checksum.
            AlreadyExistsError: *target* exists and ``options.overwrite`` is off.
            QuotaExceededError: The disk is full.
        """
        uri = self._checks.object(source)
        options = self._checks.read(merged(options, DownloadOptions, fields), DownloadOptions)
        with measured(progress, uri) as meter:
            return await download_file(self._requests, uri, local_path("target", target), options, meter)

    async def copy(
        self,
        source: URILike,
        target: URILike,
        *,
        options: CopyOptions = _COPY,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult:
        """
        Copy an object inside the provider, as a multipart upload if one request cannot.

        Without ``options.replace`` the copy keeps what ``capabilities.copy_keeps`` lists; a
        multipart copy also keeps metadata and storage class, and tags that can be read. The
        result says what the source has and the copy has not.

        Args:
            progress: Called in the event loop with cumulative counts, after each part, or at the end
                without parts; must not block. Its events are of *target*.

        Raises:
            NotFoundError: The source does not exist.
            InvalidRequestError: Source and target are the same, and none of ``options.replace``, ``storage_class``
                and ``encryption`` is set.
            NotSupportedError: The provider does not copy objects; see
                :func:`asyncstore.copy_between`.
        """
        options = merged(options, CopyOptions, fields)
        origin, uri = self._checks.object(source), self._checks.target(target)
        self._checks.copy(options)
        with measured(progress, uri) as meter:
            return await copy(self._requests, origin, uri, options, meter)

    async def delete(
        self, uri: URILike, *, missing_ok: bool = True, options: DeleteOptions = _DELETE, **fields: Unpack[DeleteFields]
    ) -> None:
        """
        Delete an object.

        Args:
            missing_ok: Whether a missing object is not an error; if it is, one more request checks
                that it exists.

        Raises:
            NotFoundError: The object does not exist, and *missing_ok* is off.
            PreconditionFailedError: ``options.if_match`` did not hold.
        """
        target = self._checks.target(uri)
        options = merged(options, DeleteOptions, fields)
        self._checks.delete(options)
        if not missing_ok:
            await self._requests(
                "delete", target, self._driver.stat, target, ReadOptions(version_id=options.version_id)
            )
        await lost_replies.delete(self._requests, target, options)

    # Features of the provider

    async def presign(
        self,
        uri: URILike,
        *,
        method: str = "GET",
        expires: timedelta = timedelta(hours=1),
        options: PresignOptions = PLAIN_PRESIGN,
        **fields: Unpack[PresignFields],
    ) -> PresignedURL:
        """
        Return a presigned URL: anyone who has it can do *method* on the object until it expires.

        Treat it as a secret. The result is text, and says when it really expires (``expires_at``: a URL ends with
        the credentials that signed it) and which ``headers`` requests must send.

        Raises:
            InvalidRequestError: *method* has no use for an option.
            NotSupportedError: The provider does not sign URLs, or cannot bind an option.
        """
        target = self._checks.object(uri)
        check_argument("method", method, str)
        check_argument("expires", expires, timedelta)
        self._checks.require("signed URLs", self.capabilities.sign)
        if expires <= timedelta(0):
            raise ConfigurationError(f"expires must be a positive time, not {expires}")
        options = self._checks.presign(method, merged(options, PresignOptions, fields))
        return await self._requests("presign", target, sign, self._driver, method, target, expires, options)

    async def presign_post(
        self,
        uri: URILike,
        *,
        expires: timedelta = timedelta(hours=1),
        options: PostOptions = _POST,
        **fields: Unpack[PostFields],
    ) -> PresignedPost:
        """
        Return a presigned form: anyone who has it can upload a file from a browser until it expires.

        Treat it as a secret. *uri* is the object that is written, or with ``prefix=True`` what keys start with.

        Raises:
            NotSupportedError: The provider has no presigned forms.
        """
        target = self._checks.target(uri)
        check_argument("expires", expires, timedelta)
        options = merged(options, PostOptions, fields)
        check_type(options, PostOptions)
        self._checks.require("presigned forms", self.capabilities.presign_post)
        if expires <= timedelta(0):
            raise ConfigurationError(f"expires must be a positive time, not {expires}")
        if FILE_NAME in target.key:
            raise InvalidRequestError(f"{FILE_NAME} in the key of a form stands for the name of the file: use another")
        return await self._requests("presign_post", target, self._driver.sign_post, target, expires, options)

    def native(self) -> AbstractAsyncContextManager[Any]:
        """
        Open the provider's own SDK client, on the same endpoint, region and credentials.

        For features outside the portable interface. It is closed at the end of the block.
        """
        return self._driver.native()
