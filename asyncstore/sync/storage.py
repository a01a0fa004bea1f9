"""
Blocking forms of every verb of a storage, and of the functions that take storages.

Made by ``python -m tests.docs.sync_verbs`` from the asynchronous ones; a test compares. Their documentation is that
of the asynchronous ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack, overload

import asyncstore
from asyncstore._support.awaitable_context import Opening
from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.driver.body import BytesLike
from asyncstore.engine.compression import Compression
from asyncstore.engine.limits import Statistics
from asyncstore.engine.observer import Observer
from asyncstore.keywords import (
    BulkFields,
    CopyFields,
    DeleteFields,
    DownloadFields,
    ListFields,
    PostFields,
    PresignFields,
    ReadFields,
    StatFields,
    SyncFields,
    TreeFields,
    UploadFields,
)
from asyncstore.options import (
    BulkOptions,
    ByteRange,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ListOptions,
    PostOptions,
    PresignOptions,
    ReadOptions,
    UploadOptions,
)
from asyncstore.protocols import DataLike, ProgressSink
from asyncstore.retention import Retention
from asyncstore.settings import Settings
from asyncstore.storage.compare import Difference, SyncOptions
from asyncstore.storage.composed import Change
from asyncstore.storage.file_modes import Newline, ReadBinary, ReadText, WriteBinary, WriteText
from asyncstore.storage.sync import SyncResult
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.tree_verbs import TreeResult
from asyncstore.storage.walk import TreeProblem
from asyncstore.sync.files import File, Items, StreamContext
from asyncstore.sync.wrapper import StorageWrapper, items, run
from asyncstore.types import (
    BulkResult,
    Checksum,
    CopyResult,
    Download,
    ListPage,
    Metadata,
    MultipartUpload,
    ObjectInfo,
    Part,
    PresignedPost,
    PresignedURL,
    Upload,
    WriteResult,
)
from asyncstore.uri import ObjectURI, URILike

if TYPE_CHECKING:
    # collections.abc has it since Python 3.12.
    from typing_extensions import Buffer


_BULK_OPTIONS: Final = BulkOptions()
_COPY_OPTIONS: Final = CopyOptions()
_DELETE_OPTIONS: Final = DeleteOptions()
_DOWNLOAD_OPTIONS: Final = DownloadOptions()
_LIST_OPTIONS: Final = ListOptions()
_POST_OPTIONS: Final = PostOptions()
_PRESIGN_OPTIONS: Final = PresignOptions()
_READ_OPTIONS: Final = ReadOptions()
_SYNC_OPTIONS: Final = SyncOptions()
_TREE_OPTIONS: Final = TreeOptions()
_UPLOAD_OPTIONS: Final = UploadOptions()


class Storage(StorageWrapper):
    """
    The objects of one provider under a bucket or prefix: the blocking :class:`asyncstore.Storage`.

    Returned by :func:`asyncstore.sync.open_storage`. Threads can share it.
    """

    def abort_multipart_upload(self, uri: URILike, upload_id: str) -> None:
        """Blocking form of :meth:`asyncstore.Storage.abort_multipart_upload`."""
        return self._run(self.asynchronous.abort_multipart_upload, uri, upload_id)

    def bulk_delete(
        self,
        items: Iterable[URILike] | AsyncIterable[URILike],
        *,
        options: BulkOptions = _BULK_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult:
        """Blocking form of :meth:`asyncstore.Storage.bulk_delete`."""
        return self._run(self.asynchronous.bulk_delete, items, options=options, progress=progress, **fields)

    def bulk_download(
        self,
        items: Iterable[Download] | AsyncIterable[Download],
        *,
        options: BulkOptions = _BULK_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult:
        """Blocking form of :meth:`asyncstore.Storage.bulk_download`."""
        return self._run(self.asynchronous.bulk_download, items, options=options, progress=progress, **fields)

    def bulk_upload(
        self,
        items: Iterable[Upload] | AsyncIterable[Upload],
        *,
        options: BulkOptions = _BULK_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult:
        """Blocking form of :meth:`asyncstore.Storage.bulk_upload`."""
        return self._run(self.asynchronous.bulk_upload, items, options=options, progress=progress, **fields)

    @property
    def capabilities(self) -> Capabilities:
        """The features and limits of the endpoint; :meth:`describe` lists what it does not support."""
        return self.asynchronous.capabilities

    def complete_multipart_upload(
        self,
        uri: URILike,
        upload_id: str,
        parts: Sequence[Part],
        *,
        options: UploadOptions = _UPLOAD_OPTIONS,
        checksum: Checksum | None = None,
    ) -> WriteResult:
        """Blocking form of :meth:`asyncstore.Storage.complete_multipart_upload`."""
        return self._run(
            self.asynchronous.complete_multipart_upload, uri, upload_id, parts, options=options, checksum=checksum
        )

    def copy(
        self,
        source: URILike,
        target: URILike,
        *,
        options: CopyOptions = _COPY_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult:
        """Blocking form of :meth:`asyncstore.Storage.copy`."""
        return self._run(self.asynchronous.copy, source, target, options=options, progress=progress, **fields)

    def delete(
        self,
        uri: URILike,
        *,
        missing_ok: bool = True,
        options: DeleteOptions = _DELETE_OPTIONS,
        **fields: Unpack[DeleteFields],
    ) -> None:
        """Blocking form of :meth:`asyncstore.Storage.delete`."""
        return self._run(self.asynchronous.delete, uri, missing_ok=missing_ok, options=options, **fields)

    def describe(self) -> dict[str, str]:
        """Blocking form of :meth:`asyncstore.Storage.describe`."""
        return self.asynchronous.describe()

    def download(
        self,
        source: URILike,
        target: Path | str,
        *,
        options: DownloadOptions = _DOWNLOAD_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[DownloadFields],
    ) -> ObjectInfo:
        """Blocking form of :meth:`asyncstore.Storage.download`."""
        return self._run(self.asynchronous.download, source, target, options=options, progress=progress, **fields)

    def exists(self, uri: URILike) -> bool:
        """Blocking form of :meth:`asyncstore.Storage.exists`."""
        return self._run(self.asynchronous.exists, uri)

    def get(
        self,
        uri: URILike,
        *,
        options: ReadOptions = _READ_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[ReadFields],
    ) -> StreamContext:
        """Blocking form of :meth:`asyncstore.Storage.get`."""
        return StreamContext(
            self._background, lambda: self.asynchronous.get(uri, options=options, progress=progress, **fields)
        )

    def get_tags(self, uri: URILike) -> Mapping[str, str]:
        """Blocking form of :meth:`asyncstore.Storage.get_tags`."""
        return self._run(self.asynchronous.get_tags, uri)

    def glob(self, pattern: str, *, max_concurrency: int = 1) -> Items[ObjectInfo]:
        """Blocking form of :meth:`asyncstore.Storage.glob`."""
        return self._items(self.asynchronous.glob, pattern, max_concurrency=max_concurrency)

    def initiate_multipart_upload(
        self, uri: URILike, *, options: UploadOptions = _UPLOAD_OPTIONS, **fields: Unpack[UploadFields]
    ) -> str:
        """Blocking form of :meth:`asyncstore.Storage.initiate_multipart_upload`."""
        return self._run(self.asynchronous.initiate_multipart_upload, uri, options=options, **fields)

    def list(
        self, prefix: URILike | None = None, *, options: ListOptions = _LIST_OPTIONS, **fields: Unpack[ListFields]
    ) -> Items[ObjectInfo]:
        """Blocking form of :meth:`asyncstore.Storage.list`."""
        return self._items(self.asynchronous.list, prefix, options=options, **fields)

    def list_multipart_uploads(self, prefix: URILike | None = None) -> Items[MultipartUpload]:
        """Blocking form of :meth:`asyncstore.Storage.list_multipart_uploads`."""
        return self._items(self.asynchronous.list_multipart_uploads, prefix)

    def list_page(
        self,
        prefix: URILike,
        *,
        token: str | None = None,
        options: ListOptions = _LIST_OPTIONS,
        **fields: Unpack[ListFields],
    ) -> ListPage:
        """Blocking form of :meth:`asyncstore.Storage.list_page`."""
        return self._run(self.asynchronous.list_page, prefix, token=token, options=options, **fields)

    def list_parts(self, uri: URILike, upload_id: str) -> Items[Part]:
        """Blocking form of :meth:`asyncstore.Storage.list_parts`."""
        return self._items(self.asynchronous.list_parts, uri, upload_id)

    def list_versions(
        self, prefix: URILike | None = None, *, options: ListOptions = _LIST_OPTIONS, **fields: Unpack[ListFields]
    ) -> Items[ObjectInfo]:
        """Blocking form of :meth:`asyncstore.Storage.list_versions`."""
        return self._items(self.asynchronous.list_versions, prefix, options=options, **fields)

    def move(
        self,
        source: URILike,
        target: URILike,
        *,
        options: CopyOptions = _COPY_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult:
        """Blocking form of :meth:`asyncstore.Storage.move`."""
        return self._run(self.asynchronous.move, source, target, options=options, progress=progress, **fields)

    def observe(self, observer: Observer) -> None:
        """Blocking form of :meth:`asyncstore.Storage.observe`."""
        return self.asynchronous.observe(observer)

    @overload
    def open(
        self,
        uri: URILike,
        mode: ReadBinary = "rb",
        *,
        options: ReadOptions = ...,
        compression: None = None,
        read_ahead: int = ...,
        cache_size: int = ...,
        **fields: Unpack[StatFields],
    ) -> File[bytes]: ...

    @overload
    def open(
        self,
        uri: URILike,
        mode: ReadBinary = "rb",
        *,
        options: ReadOptions = ...,
        compression: Compression,
        read_ahead: int = ...,
        cache_size: int = ...,
        **fields: Unpack[StatFields],
    ) -> File[bytes]: ...

    @overload
    def open(
        self,
        uri: URILike,
        mode: ReadText,
        *,
        options: ReadOptions = ...,
        compression: Compression | None = None,
        encoding: str = "utf-8",
        errors: str = "strict",
        newline: Newline | None = None,
        read_ahead: int = ...,
        cache_size: int = ...,
        **fields: Unpack[StatFields],
    ) -> File[str]: ...

    @overload
    def open(
        self,
        uri: URILike,
        mode: WriteBinary,
        *,
        options: UploadOptions = ...,
        compression: None = None,
        **fields: Unpack[UploadFields],
    ) -> File[bytes]: ...

    @overload
    def open(
        self,
        uri: URILike,
        mode: WriteBinary,
        *,
        options: UploadOptions = ...,
        compression: Compression,
        **fields: Unpack[UploadFields],
    ) -> File[bytes]: ...

    @overload
    def open(
        self,
        uri: URILike,
        mode: WriteText,
        *,
        options: UploadOptions = ...,
        compression: Compression | None = None,
        encoding: str = "utf-8",
        errors: str = "strict",
        newline: Newline | None = None,
        **fields: Unpack[UploadFields],
    ) -> File[str]: ...

    def open(
        self,
        uri: URILike,
        mode: str = "rb",
        *,
        options: ReadOptions | UploadOptions | None = None,
        compression: Compression | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: Newline | None = None,
        read_ahead: int | None = None,
        cache_size: int | None = None,
        **fields: Any,
    ) -> File[Any]:
        """Blocking form of :meth:`asyncstore.Storage.open`."""
        verb: Callable[..., Opening[Any]] = self.asynchronous.open
        return File(
            self._background,
            verb(
                uri,
                mode,
                options=options,
                compression=compression,
                encoding=encoding,
                errors=errors,
                newline=newline,
                read_ahead=read_ahead,
                cache_size=cache_size,
                **fields,
            ),
        )

    def presign(
        self,
        uri: URILike,
        *,
        method: str = "GET",
        expires: timedelta = timedelta(seconds=3600),
        options: PresignOptions = _PRESIGN_OPTIONS,
        **fields: Unpack[PresignFields],
    ) -> PresignedURL:
        """Blocking form of :meth:`asyncstore.Storage.presign`."""
        return self._run(self.asynchronous.presign, uri, method=method, expires=expires, options=options, **fields)

    def presign_post(
        self,
        uri: URILike,
        *,
        expires: timedelta = timedelta(seconds=3600),
        options: PostOptions = _POST_OPTIONS,
        **fields: Unpack[PostFields],
    ) -> PresignedPost:
        """Blocking form of :meth:`asyncstore.Storage.presign_post`."""
        return self._run(self.asynchronous.presign_post, uri, expires=expires, options=options, **fields)

    @property
    def provider(self) -> str:
        """The driver's name, such as ``"s3"``."""
        return self.asynchronous.provider

    def put(
        self,
        uri: URILike,
        data: DataLike,
        *,
        options: UploadOptions = _UPLOAD_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[UploadFields],
    ) -> WriteResult:
        """Blocking form of :meth:`asyncstore.Storage.put`."""
        return self._run(self.asynchronous.put, uri, data, options=options, progress=progress, **fields)

    def read(
        self,
        uri: URILike,
        *,
        options: ReadOptions = _READ_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[ReadFields],
    ) -> bytes:
        """Blocking form of :meth:`asyncstore.Storage.read`."""
        return self._run(self.asynchronous.read, uri, options=options, progress=progress, **fields)

    def read_into(
        self,
        uri: URILike,
        buffer: Buffer,
        *,
        options: DownloadOptions = _DOWNLOAD_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[DownloadFields],
    ) -> int:
        """Blocking form of :meth:`asyncstore.Storage.read_into`."""
        return self._run(self.asynchronous.read_into, uri, buffer, options=options, progress=progress, **fields)

    def read_ranges(
        self,
        uri: URILike,
        ranges: Sequence[ByteRange],
        *,
        options: ReadOptions = _READ_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[StatFields],
    ) -> Sequence[bytes]:
        """Blocking form of :meth:`asyncstore.Storage.read_ranges`."""
        return self._run(self.asynchronous.read_ranges, uri, ranges, options=options, progress=progress, **fields)

    def restore_version(
        self,
        uri: URILike,
        version_id: str,
        *,
        options: CopyOptions = _COPY_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult:
        """Blocking form of :meth:`asyncstore.Storage.restore_version`."""
        return self._run(
            self.asynchronous.restore_version, uri, version_id, options=options, progress=progress, **fields
        )

    def set_legal_hold(self, uri: URILike, held: bool, *, version_id: str | None = None) -> None:
        """Blocking form of :meth:`asyncstore.Storage.set_legal_hold`."""
        return self._run(self.asynchronous.set_legal_hold, uri, held, version_id=version_id)

    def set_retention(
        self,
        uri: URILike,
        retention: Retention | None,
        *,
        version_id: str | None = None,
        bypass_retention: bool = False,
    ) -> None:
        """Blocking form of :meth:`asyncstore.Storage.set_retention`."""
        return self._run(
            self.asynchronous.set_retention, uri, retention, version_id=version_id, bypass_retention=bypass_retention
        )

    def set_tags(self, uri: URILike, tags: Mapping[str, str]) -> None:
        """Blocking form of :meth:`asyncstore.Storage.set_tags`."""
        return self._run(self.asynchronous.set_tags, uri, tags)

    def stat(self, uri: URILike, *, options: ReadOptions = _READ_OPTIONS, **fields: Unpack[StatFields]) -> Metadata:
        """Blocking form of :meth:`asyncstore.Storage.stat`."""
        return self._run(self.asynchronous.stat, uri, options=options, **fields)

    def statistics(self) -> Statistics:
        """Blocking form of :meth:`asyncstore.Storage.statistics`."""
        return self.asynchronous.statistics()

    def sweep_uploads(self, prefix: URILike | None = None, *, older_than: timedelta) -> BulkResult:
        """Blocking form of :meth:`asyncstore.Storage.sweep_uploads`."""
        return self._run(self.asynchronous.sweep_uploads, prefix, older_than=older_than)

    def update(
        self,
        uri: URILike,
        change: Change,
        *,
        attempts: int = 100,
        options: UploadOptions = _UPLOAD_OPTIONS,
        **fields: Unpack[UploadFields],
    ) -> WriteResult:
        """Blocking form of :meth:`asyncstore.Storage.update`."""
        return self._run(self.asynchronous.update, uri, change, attempts=attempts, options=options, **fields)

    def upload(
        self,
        source: Path | str,
        target: URILike,
        *,
        options: UploadOptions = _UPLOAD_OPTIONS,
        progress: ProgressSink | None = None,
        **fields: Unpack[UploadFields],
    ) -> WriteResult:
        """Blocking form of :meth:`asyncstore.Storage.upload`."""
        return self._run(self.asynchronous.upload, source, target, options=options, progress=progress, **fields)

    def upload_part(
        self, uri: URILike, upload_id: str, number: int, data: BytesLike, *, options: UploadOptions = _UPLOAD_OPTIONS
    ) -> Part:
        """Blocking form of :meth:`asyncstore.Storage.upload_part`."""
        return self._run(self.asynchronous.upload_part, uri, upload_id, number, data, options=options)

    def wrapped(
        self, wrap: Callable[..., Driver], *, root: URILike | None = None, others: Sequence[Storage] = ()
    ) -> Storage:
        """Blocking form of :meth:`asyncstore.Storage.wrapped`."""
        return Storage(self.asynchronous.wrapped(wrap, root=root, others=[other.asynchronous for other in others]))


def open_storage(
    uri: str | ObjectURI | StorageConfig,
    *,
    profile: str | None = None,
    profile_path: Path | None = None,
    **settings: Unpack[Settings],
) -> Storage:
    """Blocking form of :func:`asyncstore.open_storage`; close it with :meth:`Storage.close`."""
    return Storage(asyncstore.open_storage(uri, profile=profile, profile_path=profile_path, **settings))


def cached(storage: Storage, *, max_bytes: int, directory: str | Path | None = None, max_age: float = 0.0) -> Storage:
    """Blocking form of :func:`asyncstore.cached`."""
    return Storage(asyncstore.cached(storage.asynchronous, max_bytes=max_bytes, directory=directory, max_age=max_age))


def compare_trees(
    source: Storage | Path | str,
    target: Storage | Path | str,
    *,
    options: SyncOptions = _SYNC_OPTIONS,
    **fields: Unpack[SyncFields],
) -> Items[Difference | TreeProblem]:
    """Blocking form of :func:`asyncstore.compare_trees`."""
    return items(asyncstore.compare_trees, source, target, options=options, **fields)


def copy_between(
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
    """Blocking form of :func:`asyncstore.copy_between`."""
    return run(
        asyncstore.copy_between,
        source_storage,
        source,
        target_storage,
        target,
        options=options,
        read_options=read_options,
        progress=progress,
        **fields,
    )


def copy_tree(
    source: Storage,
    target: Storage,
    *,
    source_prefix: URILike = "",
    target_prefix: URILike = "",
    options: TreeOptions = _TREE_OPTIONS,
    progress: ProgressSink | None = None,
    **fields: Unpack[TreeFields],
) -> TreeResult:
    """Blocking form of :func:`asyncstore.copy_tree`."""
    return run(
        asyncstore.copy_tree,
        source,
        target,
        source_prefix=source_prefix,
        target_prefix=target_prefix,
        options=options,
        progress=progress,
        **fields,
    )


def delete_tree(
    storage: Storage,
    *,
    prefix: URILike = "",
    options: TreeOptions = _TREE_OPTIONS,
    progress: ProgressSink | None = None,
    **fields: Unpack[TreeFields],
) -> TreeResult:
    """Blocking form of :func:`asyncstore.delete_tree`."""
    return run(asyncstore.delete_tree, storage, prefix=prefix, options=options, progress=progress, **fields)


def download_tree(
    source: Storage,
    target: Path | str,
    *,
    prefix: URILike = "",
    options: TreeOptions = _TREE_OPTIONS,
    progress: ProgressSink | None = None,
    **fields: Unpack[TreeFields],
) -> TreeResult:
    """Blocking form of :func:`asyncstore.download_tree`."""
    return run(asyncstore.download_tree, source, target, prefix=prefix, options=options, progress=progress, **fields)


def read_only(storage: Storage) -> Storage:
    """Blocking form of :func:`asyncstore.read_only`."""
    return Storage(asyncstore.read_only(storage.asynchronous))


def replicated(primary: Storage, *others: Storage, missing_too: bool = False, pause: float = 10.0) -> Storage:
    """Blocking form of :func:`asyncstore.replicated`."""
    return Storage(
        asyncstore.replicated(
            primary.asynchronous, *[storage.asynchronous for storage in others], missing_too=missing_too, pause=pause
        )
    )


def routed(routes: Mapping[str, Storage], default: Storage) -> Storage:
    """Blocking form of :func:`asyncstore.routed`."""
    return Storage(asyncstore.routed({key: value.asynchronous for key, value in routes.items()}, default.asynchronous))


def sync_tree(
    source: Storage | Path | str,
    target: Storage | Path | str,
    *,
    options: SyncOptions = _SYNC_OPTIONS,
    progress: ProgressSink | None = None,
    **fields: Unpack[SyncFields],
) -> SyncResult:
    """Blocking form of :func:`asyncstore.sync_tree`."""
    return run(asyncstore.sync_tree, source, target, options=options, progress=progress, **fields)


def throttled(
    storage: Storage,
    *,
    requests_per_second: float | None = None,
    bytes_per_second: float | None = None,
    upload_bytes_per_second: float | None = None,
    download_bytes_per_second: float | None = None,
) -> Storage:
    """Blocking form of :func:`asyncstore.throttled`."""
    return Storage(
        asyncstore.throttled(
            storage.asynchronous,
            requests_per_second=requests_per_second,
            bytes_per_second=bytes_per_second,
            upload_bytes_per_second=upload_bytes_per_second,
            download_bytes_per_second=download_bytes_per_second,
        )
    )


def under(storage: Storage, prefix: str) -> Storage:
    """Blocking form of :func:`asyncstore.under`."""
    return Storage(asyncstore.under(storage.asynchronous, prefix))


def upload_tree(
    source: Path | str,
    target: Storage,
    *,
    prefix: URILike = "",
    options: TreeOptions = _TREE_OPTIONS,
    progress: ProgressSink | None = None,
    **fields: Unpack[TreeFields],
) -> TreeResult:
    """Blocking form of :func:`asyncstore.upload_tree`."""
    return run(asyncstore.upload_tree, source, target, prefix=prefix, options=options, progress=progress, **fields)
