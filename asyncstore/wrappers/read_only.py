"""
A storage that refuses every write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Never, TypeVar

from asyncstore.driver import READS, Capabilities, Condition, Driver, ForwardingDriver
from asyncstore.driver.presigning import sign
from asyncstore.errors import NotSupportedError, PermissionDeniedError
from asyncstore.options import PLAIN_PRESIGN, PresignOptions
from asyncstore.storage import Storage
from asyncstore.types import PresignedURL
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

_NO_WRITES: Final[dict[str, Any]] = {
    "multipart": False,
    "copy": False,
    "copy_part": False,
    "delete_batch_size": 0,
    "conditional_create": False,
    "conditional_replace": False,
    "conditional_delete": False,
    "conditional_copy": False,
    "checksums": frozenset(),
    "presign_post": False,
}


def read_only(storage: Storage) -> Storage:
    """
    Return a storage with the objects of *storage* that refuses every write before anything is sent.

    Writing, copying, deleting, tagging, aborting uploads, presigned URLs for anything but GET and HEAD, and
    ``native()`` are refused. It protects against mistakes of the program, not against the program: *storage*
    itself can still write. Closing it leaves *storage* open.

    ::

        async with open_storage("s3://models") as storage:
            await train(read_only(storage))

    Raises:
        PermissionDeniedError: By its operations: they would write.
    """
    return storage.wrapped(ReadOnlyDriver)


class ReadOnlyDriver(ForwardingDriver):
    """
    Forwards what reads, and refuses the rest.
    """

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._known = driver.capabilities
        self._capabilities = replace(self._known, **_NO_WRITES)

    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        if op not in READS:
            self._refuse(uris[-1])
        return await send()

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        if method.upper() not in ("GET", "HEAD"):
            raise PermissionDeniedError(f"the storage is read-only, and signs URLs for GET and HEAD, not {method}")
        return await sign(self.driver, method, uri, expires, options)

    def check_target(self, uri: ObjectURI) -> None:
        self._refuse(uri)

    def _refuse(self, uri: ObjectURI) -> Never:
        raise PermissionDeniedError(
            "the storage is read-only: write to the storage that it wraps", uri=str(uri), provider=self.provider
        )

    def native(self) -> AbstractAsyncContextManager[Any]:
        raise NotSupportedError(
            "the storage is read-only, and the client of the provider is not: open that of the storage that it wraps",
            op="native",
            provider=self.provider,
        )

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        known = self.driver.capabilities
        if known is not self._known:
            self._known, self._capabilities = known, replace(known, **_NO_WRITES)
        return self._capabilities

    @property
    def unproven(self) -> frozenset[Condition]:  # type: ignore[override]
        # Nothing is written, so nothing is looked at before.
        return frozenset()

    def describe(self) -> dict[str, str]:
        return {**self.driver.describe(), "access": "read-only"}
