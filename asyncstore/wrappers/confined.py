"""
A storage that is confined to a prefix of another one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from asyncstore.driver import Driver, ForwardingDriver
from asyncstore.errors import InvalidURIError, NotSupportedError
from asyncstore.options import ListOptions
from asyncstore.storage import Storage
from asyncstore.types import ListPage, MultipartUploadPage
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")


def under(storage: Storage, prefix: str) -> Storage:
    """
    Return a storage whose root is *prefix* below the root of *storage*, and which is confined to it.

    Names are relative to the prefix. URIs stay those of the objects, and one outside of the prefix is refused
    before anything is sent: also as the source of a copy, the prefix of a listing, or an item of a bulk
    operation. So is ``native()``, whose client is not confined. It is no sandbox for code that can
    reach *storage*. Closing it leaves *storage* open.

    ::

        tenant = under(storage, f"tenants/{tenant_id}")
        await tenant.put("a.txt", b"data")      # tenants/{tenant_id}/a.txt

    Args:
        prefix: A key relative to the root of *storage*, which ends with ``/`` or is taken so: ``logs`` is
            ``logs/``, not ``logs-old``. Keys are verbatim: ``..`` in it is an ordinary name. Empty for the
            root itself.

    Raises:
        InvalidURIError: By its operations: they name something outside.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix takes text, not {type(prefix).__name__}")
    root = storage.root / prefix if prefix else storage.root
    if root.key and not root.key.endswith("/"):
        root = root.with_key(f"{root.key}/")
    return storage.wrapped(partial(ConfinedDriver, root=root), root=root)


class ConfinedDriver(ForwardingDriver):
    """
    Forwards what is about objects whose keys start with that of *root*.

    Args:
        root: A prefix that ends with ``/``, or a bucket.
    """

    def __init__(self, driver: Driver, root: ObjectURI) -> None:
        super().__init__(driver)
        self._root = root

    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        for uri in uris:
            self._check(uri)
        return await send()

    # A page has only what is asked for, whatever the token says.

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        page = await super().list_page(prefix, options, token)
        return replace(page, objects=[info for info in page.objects if self._inside(info.uri)])

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        page = await super().list_versions_page(prefix, options, token)
        return replace(page, objects=[info for info in page.objects if self._inside(info.uri)])

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        page = await super().list_multipart_uploads(prefix, token)
        return replace(page, uploads=[upload for upload in page.uploads if self._inside(upload.uri)])

    def check_target(self, uri: ObjectURI) -> None:
        self._check(uri)
        super().check_target(uri)

    def native(self) -> AbstractAsyncContextManager[Any]:
        raise NotSupportedError(
            f"the storage is confined to {self._root}, and the client of the provider is not: "
            "open that of the storage that it wraps",
            op="native",
            provider=self.provider,
        )

    def describe(self) -> dict[str, str]:
        return {**self.driver.describe(), "confined_to": str(self._root)}

    def _check(self, uri: ObjectURI) -> None:
        if not self._inside(uri):
            raise InvalidURIError(
                f"outside of {self._root}, to which this storage is confined",
                uri=str(uri),
                provider=self.provider,
            )

    def _inside(self, uri: ObjectURI) -> bool:
        root = self._root
        # A URI may leave out the namespace and the region, which the configuration then says.
        return (
            uri.key.startswith(root.key)
            and uri.bucket == root.bucket
            and uri.provider == root.provider
            and uri.namespace in (None, root.namespace)
            and uri.region in (None, root.region)
        )
