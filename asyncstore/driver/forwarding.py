"""
The base of drivers that wrap another driver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from asyncstore.driver.body import Body, ReadBody
from asyncstore.driver.contract import Capabilities, Condition, Driver, Narrowing, Pending
from asyncstore.driver.presigning import sign
from asyncstore.errors import StorageError
from asyncstore.options import (
    PLAIN_PRESIGN,
    CopyOptions,
    DeleteOptions,
    ListOptions,
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
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
    PresignedPost,
    PresignedURL,
)
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

#: The operations that change nothing.
READS: Final = frozenset(
    {
        "open_read",
        "stat",
        "list_page",
        "list_versions_page",
        "get_tags",
        "checksum_of_parts",
        "list_parts",
        "list_multipart_uploads",
    }
)


class ForwardingDriver(Driver):
    """
    Forwards every call to another driver, with the capabilities and the narrowings of that driver.

    Override :meth:`call` to act on every request, and single methods to act on what they take and
    return. The other driver belongs to the storage that is wrapped, so :meth:`aclose` leaves it open.

    Attributes:
        driver: The wrapped driver.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.provider = driver.provider

    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        """
        Return ``await send()``: every request to the wrapped driver passes through here.

        Args:
            op: The name of the driver's method, such as ``"put"``; one of :data:`READS` changes nothing.
            uris: All that the request names: of a copy the source, then the target.
        """
        return await send()

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        return await self.call("open_read", (uri,), partial(self.driver.open_read, uri, options))

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        return await self.call("put", (uri,), partial(self.driver.put, uri, body, options))

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        await self.call("delete", (uri,), partial(self.driver.delete, uri, options))

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        return await self.call("stat", (uri,), partial(self.driver.stat, uri, options))

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await self.call("list_page", (prefix,), partial(self.driver.list_page, prefix, options, token))

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        send = partial(self.driver.list_versions_page, prefix, options, token)
        return await self.call("list_versions_page", (prefix,), send)

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        return await self.call("get_tags", (uri,), partial(self.driver.get_tags, uri))

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        await self.call("set_tags", (uri,), partial(self.driver.set_tags, uri, tags))

    async def set_retention(
        self,
        uri: ObjectURI,
        retention: Retention | None,
        version_id: str | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        send = partial(self.driver.set_retention, uri, retention, version_id, bypass=bypass)
        await self.call("set_retention", (uri,), send)

    async def set_legal_hold(self, uri: ObjectURI, held: bool, version_id: str | None = None) -> None:
        await self.call("set_legal_hold", (uri,), partial(self.driver.set_legal_hold, uri, held, version_id))

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        return await self.call("delete_batch", uris, partial(self.driver.delete_batch, uris))

    async def copy(
        self, source: ObjectURI, target: ObjectURI, options: CopyOptions
    ) -> ObjectInfo | Pending[ObjectInfo]:
        return await self.call("copy", (source, target), partial(self.driver.copy, source, target, options))

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        send = partial(self.driver.initiate_multipart_upload, uri, options)
        return await self.call("initiate_multipart_upload", (uri,), send)

    async def upload_part(
        self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
    ) -> Part | Pending[Part]:
        send = partial(self.driver.upload_part, uri, upload_id, number, body, options)
        return await self.call("upload_part", (uri,), send)

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
        send = partial(self.driver.copy_part, source, target, upload_id, number, start, end, options)
        return await self.call("copy_part", (source, target), send)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo | Pending[ObjectInfo]:
        send = partial(self.driver.complete_multipart_upload, uri, upload_id, parts, options, checksum)
        return await self.call("complete_multipart_upload", (uri,), send)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        send = partial(self.driver.abort_multipart_upload, uri, upload_id)
        await self.call("abort_multipart_upload", (uri,), send)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        return await self.call("list_parts", (uri,), partial(self.driver.list_parts, uri, upload_id, token))

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        send = partial(self.driver.list_multipart_uploads, prefix, token)
        return await self.call("list_multipart_uploads", (prefix,), send)

    async def checksum_of_parts(self, uri: ObjectURI, info: Metadata) -> Checksum | None:
        return await self.call("checksum_of_parts", (uri,), partial(self.driver.checksum_of_parts, uri, info))

    async def advance(self, pending: Pending[Any]) -> Any:
        return await self.call("advance", (pending.target,), partial(self.driver.advance, pending))

    async def undo(self, pending: Pending[Any], error: BaseException) -> Pending[Any] | None:
        return await self.call("undo", (pending.target,), partial(self.driver.undo, pending, error))

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        return await self.call("sign", (uri,), partial(sign, self.driver, method, uri, expires, options))

    async def sign_post(self, uri: ObjectURI, expires: timedelta, options: PostOptions) -> PresignedPost:
        return await self.call("sign_post", (uri,), partial(self.driver.sign_post, uri, expires, options))

    def native(self) -> AbstractAsyncContextManager[Any]:
        return self.driver.native()

    async def prepare(self) -> None:
        await self.driver.prepare()

    def check_target(self, uri: ObjectURI) -> None:
        self.driver.check_target(uri)

    def describe(self) -> dict[str, str]:
        return self.driver.describe()

    def service_time(self) -> float:
        return self.driver.service_time()

    def classify(self, error: Exception) -> StorageError | None:
        return self.driver.classify(error)

    async def aclose(self) -> None:
        """
        Release what this driver holds itself: nothing. May be called twice.
        """

    # What the wrapped driver has and changes, as it is at the moment.

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        return self.driver.capabilities

    @property
    def preferred_checksum(self) -> ChecksumAlgorithm | None:  # type: ignore[override]
        return self.driver.preferred_checksum

    @property
    def unproven(self) -> frozenset[Condition]:  # type: ignore[override]
        return self.driver.unproven

    @property
    def narrowed(self) -> tuple[Narrowing, ...]:  # type: ignore[override]
        return self.driver.narrowed

    @property
    def on_narrowing(self) -> Callable[[Narrowing], None] | None:
        return self.driver.on_narrowing

    @on_narrowing.setter
    def on_narrowing(self, listener: Callable[[Narrowing], None] | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.driver.on_narrowing = listener

    def narrow(self, feature: str, reason: str, **changes: Any) -> None:
        self.driver.narrow(feature, reason, **changes)

    @property
    def credentials(self) -> Any:
        return self.driver.credentials
