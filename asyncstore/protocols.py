"""
What callers see: the verbs of every storage, as protocols to write code against.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from asyncstore.body import BytesLike
from asyncstore.driver import Capabilities
from asyncstore.options import (
    BulkOptions,
    ByteRange,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ListOptions,
    ReadOptions,
    UploadOptions,
)
from asyncstore.types import (
    BulkResult,
    Checksum,
    Download,
    ListPage,
    Metadata,
    MultipartUpload,
    ObjectInfo,
    Part,
    ProgressEvent,
    Upload,
)
from asyncstore.uri import ObjectURI, URILike

#: What can be written: bytes, an open binary file, or an iterable of chunks.
DataLike = BytesLike | BinaryIO | Iterable[BytesLike] | AsyncIterable[BytesLike]

#: Called in the event loop with each event; must not block.
ProgressSink = Callable[[ProgressEvent], None]


class ReadStream(Protocol):
    """
    An object being read.

    A connection that breaks on the way is opened again at the byte where it
    broke, on the same version of the object.
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
        """Yield the bytes as they arrive, in chunks of any size but 0."""
        ...

    async def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, all that are left if negative, ``b""`` at the end."""
        ...


@runtime_checkable
class AsyncStorage(Protocol):
    """
    One provider's objects. See :class:`asyncstore.storage.Storage` for each verb.
    """

    @property
    def provider(self) -> str: ...
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def root(self) -> ObjectURI: ...

    def get(self, uri: URILike, *, options: ReadOptions = ...) -> AbstractAsyncContextManager[ReadStream]: ...
    async def read(self, uri: URILike, *, options: ReadOptions = ...) -> bytes: ...
    async def read_ranges(
        self, uri: URILike, ranges: Sequence[ByteRange], *, options: ReadOptions = ...
    ) -> Sequence[bytes]: ...
    async def put(self, uri: URILike, data: DataLike, *, options: UploadOptions = ...) -> ObjectInfo: ...
    async def delete(self, uri: URILike, *, missing_ok: bool = True, options: DeleteOptions = ...) -> None: ...
    async def exists(self, uri: URILike) -> bool: ...
    async def stat(self, uri: URILike, *, options: ReadOptions = ...) -> Metadata: ...
    def list(self, prefix: URILike | None = None, *, options: ListOptions = ...) -> AsyncIterator[ObjectInfo]: ...
    async def list_page(self, prefix: URILike, *, token: str | None = None, options: ListOptions = ...) -> ListPage: ...
    async def copy(self, source: URILike, target: URILike, *, options: CopyOptions = ...) -> ObjectInfo: ...
    async def upload(
        self,
        source: Path | str,
        target: URILike,
        *,
        options: UploadOptions = ...,
        progress: ProgressSink | None = None,
    ) -> ObjectInfo: ...
    async def download(
        self,
        source: URILike,
        target: Path | str,
        *,
        options: DownloadOptions = ...,
        progress: ProgressSink | None = None,
    ) -> ObjectInfo: ...
    def native(self) -> AbstractAsyncContextManager[Any]: ...
    async def aclose(self) -> None: ...


@runtime_checkable
class MultipartCapable(Protocol):
    """
    Storages that write objects by parts (``capabilities.multipart``).
    """

    async def initiate_multipart_upload(self, uri: URILike, *, options: UploadOptions = ...) -> str: ...
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
    ) -> ObjectInfo: ...
    async def abort_multipart_upload(self, uri: URILike, upload_id: str) -> None: ...
    def list_parts(self, uri: URILike, upload_id: str) -> AsyncIterator[Part]: ...
    def list_multipart_uploads(self, prefix: URILike | None = None) -> AsyncIterator[MultipartUpload]: ...


@runtime_checkable
class BulkStorage(Protocol):
    """
    Storages that work through many objects at once.
    """

    async def bulk_upload(
        self,
        items: Iterable[Upload] | AsyncIterable[Upload],
        *,
        options: BulkOptions = ...,
        progress: ProgressSink | None = None,
    ) -> BulkResult: ...
    async def bulk_download(
        self,
        items: Iterable[Download] | AsyncIterable[Download],
        *,
        options: BulkOptions = ...,
        progress: ProgressSink | None = None,
    ) -> BulkResult: ...
    async def bulk_delete(
        self,
        items: Iterable[URILike] | AsyncIterable[URILike],
        *,
        options: BulkOptions = ...,
        progress: ProgressSink | None = None,
    ) -> BulkResult: ...


@runtime_checkable
class SigningCapable(Protocol):
    """
    Storages that can sign URLs for others (``capabilities.sign``).
    """

    async def presign(self, uri: URILike, *, method: str = "GET", expires: timedelta = ...) -> str: ...


@runtime_checkable
class VersionedCapable(Protocol):
    """
    Storages that keep old versions of objects (``capabilities.versions``).
    """

    def list_versions(
        self, prefix: URILike | None = None, *, options: ListOptions = ...
    ) -> AsyncIterator[ObjectInfo]: ...


@runtime_checkable
class TaggingCapable(Protocol):
    """
    Storages whose objects have tags (``capabilities.tags``).
    """

    async def get_tags(self, uri: URILike) -> Mapping[str, str]: ...
    async def set_tags(self, uri: URILike, tags: Mapping[str, str]) -> None: ...
