"""
The operations of every storage, as protocols for code that works with any of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Unpack, runtime_checkable

from asyncstore.driver import Capabilities
from asyncstore.driver.body import BytesLike
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
from asyncstore.retention import Retention
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
    ProgressEvent,
    Upload,
    WriteResult,
)
from asyncstore.uri import ObjectURI, URILike

if TYPE_CHECKING:
    # collections.abc has it since Python 3.12.
    from typing_extensions import Buffer


class AsyncReader(Protocol):
    """
    An asynchronous file, such as Starlette's ``UploadFile`` or an ``asyncio.StreamReader``.
    """

    async def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes; ``b""`` at the end."""
        ...


#: The data of a write: bytes, an open binary file, plain or asynchronous, or an iterable of chunks of either kind.
DataLike = BytesLike | BinaryIO | AsyncReader | Iterable[BytesLike] | AsyncIterable[BytesLike]

#: Called in the event loop with each event; must not block.
ProgressSink = Callable[[ProgressEvent], None]


class ReadStream(Protocol):
    """
    An object being read.

    If the connection breaks, the read resumes at the same byte, on the same version
    of the object.
    """

    @property
    def info(self) -> Metadata:
        """The whole object's metadata, known before the first byte."""
        ...

    @property
    def start(self) -> int:
        """Offset of the first byte of this stream in the object."""
        ...

    @property
    def end(self) -> int:
        """Offset after the last byte of this stream in the object."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they arrive, in non-empty chunks of any size."""
        ...

    async def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, or the rest if negative; ``b""`` at the end."""
        ...


@runtime_checkable
class AsyncStorage(Protocol):
    """
    One provider's objects. See :class:`asyncstore.storage.Storage` for each operation.
    """

    @property
    def provider(self) -> str: ...
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def root(self) -> ObjectURI: ...

    def get(
        self,
        uri: URILike,
        *,
        options: ReadOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[ReadFields],
    ) -> AbstractAsyncContextManager[ReadStream]: ...
    async def read(
        self,
        uri: URILike,
        *,
        options: ReadOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[ReadFields],
    ) -> bytes: ...
    async def read_ranges(
        self,
        uri: URILike,
        ranges: Sequence[ByteRange],
        *,
        options: ReadOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[StatFields],
    ) -> Sequence[bytes]: ...
    async def read_into(
        self,
        uri: URILike,
        buffer: Buffer,
        *,
        options: DownloadOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[DownloadFields],
    ) -> int: ...
    async def put(
        self,
        uri: URILike,
        data: DataLike,
        *,
        options: UploadOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[UploadFields],
    ) -> WriteResult: ...
    async def delete(
        self, uri: URILike, *, missing_ok: bool = True, options: DeleteOptions = ..., **fields: Unpack[DeleteFields]
    ) -> None: ...
    async def exists(self, uri: URILike) -> bool: ...
    async def stat(self, uri: URILike, *, options: ReadOptions = ..., **fields: Unpack[StatFields]) -> Metadata: ...
    def list(
        self, prefix: URILike | None = None, *, options: ListOptions = ..., **fields: Unpack[ListFields]
    ) -> AsyncIterator[ObjectInfo]: ...
    async def list_page(
        self, prefix: URILike, *, token: str | None = None, options: ListOptions = ..., **fields: Unpack[ListFields]
    ) -> ListPage: ...
    def glob(self, pattern: str, *, max_concurrency: int = ...) -> AsyncIterator[ObjectInfo]: ...
    async def copy(
        self,
        source: URILike,
        target: URILike,
        *,
        options: CopyOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult: ...
    async def move(
        self,
        source: URILike,
        target: URILike,
        *,
        options: CopyOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult: ...
    async def update(
        self,
        uri: URILike,
        change: Callable[[bytes | None], bytes | Awaitable[bytes]],
        *,
        attempts: int = ...,
        options: UploadOptions = ...,
        **fields: Unpack[UploadFields],
    ) -> WriteResult: ...
    async def upload(
        self,
        source: Path | str,
        target: URILike,
        *,
        options: UploadOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[UploadFields],
    ) -> WriteResult: ...
    async def download(
        self,
        source: URILike,
        target: Path | str,
        *,
        options: DownloadOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[DownloadFields],
    ) -> ObjectInfo: ...
    def native(self) -> AbstractAsyncContextManager[Any]: ...
    async def aclose(self) -> None: ...


@runtime_checkable
class MultipartCapable(Protocol):
    """
    Storages with multipart uploads (``capabilities.multipart``).
    """

    async def initiate_multipart_upload(
        self, uri: URILike, *, options: UploadOptions = ..., **fields: Unpack[UploadFields]
    ) -> str: ...
    async def upload_part(
        self, uri: URILike, upload_id: str, number: int, data: BytesLike, *, options: UploadOptions = ...
    ) -> Part: ...
    async def complete_multipart_upload(
        self,
        uri: URILike,
        upload_id: str,
        parts: Sequence[Part],
        *,
        options: UploadOptions = ...,
        checksum: Checksum | None = None,
    ) -> WriteResult: ...
    async def abort_multipart_upload(self, uri: URILike, upload_id: str) -> None: ...
    def list_parts(self, uri: URILike, upload_id: str) -> AsyncIterator[Part]: ...
    def list_multipart_uploads(self, prefix: URILike | None = None) -> AsyncIterator[MultipartUpload]: ...
    async def sweep_uploads(self, prefix: URILike | None = None, *, older_than: timedelta) -> BulkResult: ...


@runtime_checkable
class BulkStorage(Protocol):
    """
    Storages that transfer and delete many objects at once.
    """

    async def bulk_upload(
        self,
        items: Iterable[Upload] | AsyncIterable[Upload],
        *,
        options: BulkOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult: ...
    async def bulk_download(
        self,
        items: Iterable[Download] | AsyncIterable[Download],
        *,
        options: BulkOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult: ...
    async def bulk_delete(
        self,
        items: Iterable[URILike] | AsyncIterable[URILike],
        *,
        options: BulkOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult: ...


@runtime_checkable
class SigningCapable(Protocol):
    """
    Storages that can make presigned URLs (``capabilities.sign``).
    """

    async def presign(
        self,
        uri: URILike,
        *,
        method: str = "GET",
        expires: timedelta = ...,
        options: PresignOptions = ...,
        **fields: Unpack[PresignFields],
    ) -> PresignedURL: ...

    async def presign_post(
        self, uri: URILike, *, expires: timedelta = ..., options: PostOptions = ..., **fields: Unpack[PostFields]
    ) -> PresignedPost: ...


@runtime_checkable
class VersionedCapable(Protocol):
    """
    Storages that keep old versions of objects (``capabilities.versions``).
    """

    def list_versions(
        self, prefix: URILike | None = None, *, options: ListOptions = ..., **fields: Unpack[ListFields]
    ) -> AsyncIterator[ObjectInfo]: ...
    async def restore_version(
        self,
        uri: URILike,
        version_id: str,
        *,
        options: CopyOptions = ...,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult: ...


@runtime_checkable
class TaggingCapable(Protocol):
    """
    Storages whose objects have tags (``capabilities.tags``).
    """

    async def get_tags(self, uri: URILike) -> Mapping[str, str]: ...
    async def set_tags(self, uri: URILike, tags: Mapping[str, str]) -> None: ...


@runtime_checkable
class RetentionCapable(Protocol):
    """
    Storages whose objects can be protected from being deleted or replaced (``capabilities.object_lock``).
    """

    async def set_retention(
        self,
        uri: URILike,
        retention: Retention | None,
        *,
        version_id: str | None = None,
        bypass_retention: bool = False,
    ) -> None: ...
    async def set_legal_hold(self, uri: URILike, held: bool, *, version_id: str | None = None) -> None: ...
