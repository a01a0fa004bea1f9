"""
A storage that keeps some prefixes in other storages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Final, TypeVar, cast

from asyncstore.driver import (
    Body,
    Capabilities,
    Condition,
    Driver,
    ForwardingDriver,
    ForwardingReadBody,
    NotInBatchError,
    Pending,
    ReadBody,
)
from asyncstore.driver.presigning import sign
from asyncstore.errors import ConfigurationError, InvalidRequestError, NotSupportedError, StorageError
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
from asyncstore.storage import Storage
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
from asyncstore.wrappers.read_only import ReadOnlyDriver

_T = TypeVar("_T")

# Of these the largest value is what all can do; of other numbers the smallest.
_LEAST: Final = frozenset({"min_object_size", "min_part_size"})


def routed(routes: Mapping[str, Storage], default: Storage) -> Storage:
    """
    Return a storage with the objects of *default*, and under each prefix of *routes* those of another storage.

    ::

        storage = routed({"archive/": cold, "scratch/": local}, default=hot)
        await storage.put("archive/2026.tar", data)     # cold.root / "2026.tar"

    URIs and names are those of *default*: they do not tell where an object is. What *default* has under such a
    prefix itself is hidden. Capabilities are what all of the storages can do. Listings come in no order
    (``sorted_listing``): first what *default* has, then the rest. ``copy()`` works within one storage, and
    :func:`~asyncstore.copy_between` and trees between them, too. Settings, budgets and retries are those of
    *default*. Closing it leaves all of them open; closing one of them closes it.

    Args:
        routes: Keys relative to the root of *default*, which end with ``/`` or are taken so.

    Raises:
        ConfigurationError: A prefix is empty, or starts with another one.
    """
    storages = {f"{prefix.removesuffix('/')}/": storage for prefix, storage in sorted(routes.items())}
    if "/" in storages:
        raise ConfigurationError("a prefix of routes is empty: give that storage as default")
    for one, other in pairwise(storages):
        if other.startswith(one):
            raise ConfigurationError(f"the prefixes of routes overlap: {one!r} and {other!r}")

    prefixes = tuple((default.root / name, one.root) for name, one in storages.items())
    return default.wrapped(partial(_routed, prefixes=prefixes), others=tuple(storages.values()))


def _routed(driver: Driver, *others: Driver, prefixes: Sequence[tuple[ObjectURI, ObjectURI]]) -> RoutedDriver:
    routes = [Route(mount, root, other) for (mount, root), other in zip(prefixes, others, strict=True)]
    return RoutedDriver(driver, routes)


@dataclass(frozen=True, slots=True)
class Route:
    """
    A prefix whose objects another storage has.

    Attributes:
        mount: The prefix, which ends with ``/``.
        root: The root of the other storage.
        driver: Its driver.
    """

    mount: ObjectURI
    root: ObjectURI
    driver: Driver

    def inner(self, uri: ObjectURI) -> ObjectURI:
        """Return the URI that the other storage knows."""
        return self.root / uri.key[len(self.mount.key) :]

    def outer(self, uri: ObjectURI, prefix: ObjectURI) -> ObjectURI:
        """Return the URI that callers know of an object of the other storage, in a listing of *prefix*."""
        return prefix.with_key(self.mount.key + uri.key[len((self.root / "").key) :])

    def start(self, prefix: ObjectURI) -> ObjectURI:
        """Return where a listing of *prefix* starts in the other storage."""
        return self.inner(prefix) if self.has(prefix) else self.root / ""

    def after(self, key: str | None) -> str | None:
        """
        Return the key after which the other storage lists what comes after *key*; ``None`` if nothing does.
        """
        mount = self.mount.key
        if key is None or key < mount:
            return ""
        return (self.root / key[len(mount) :]).key if key.startswith(mount) else None

    def has(self, uri: ObjectURI) -> bool:
        """Whether *uri* is under the prefix."""
        mount = self.mount
        return uri.key.startswith(mount.key) and uri.bucket == mount.bucket and uri.provider == mount.provider


class RoutedDriver(ForwardingDriver):
    """
    Forwards each request to the driver that has the object.
    """

    def __init__(self, driver: Driver, routes: Sequence[Route]) -> None:
        super().__init__(driver)
        self._routes = routes
        self._drivers = [driver, *(route.driver for route in routes)]
        self._known: list[Capabilities] = []
        self._common = driver.capabilities

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        driver, inner = self._at(uri)
        body = await driver.open_read(inner, options)
        return body if driver is self.driver else RoutedBody(body, uri)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        driver, inner = self._at(uri)
        return _told(uri, await driver.put(inner, body, options))

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        driver, inner = self._at(uri)
        await driver.delete(inner, options)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        driver, inner = self._at(uri)
        return _told(uri, await driver.stat(inner, options))

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        driver, inner = self._at(uri)
        return await driver.get_tags(inner)

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        driver, inner = self._at(uri)
        await driver.set_tags(inner, tags)

    async def set_retention(
        self,
        uri: ObjectURI,
        retention: Retention | None,
        version_id: str | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        driver, inner = self._at(uri)
        await driver.set_retention(inner, retention, version_id, bypass=bypass)

    async def set_legal_hold(self, uri: ObjectURI, held: bool, version_id: str | None = None) -> None:
        driver, inner = self._at(uri)
        await driver.set_legal_hold(inner, held, version_id)

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        route = self._route(uris[0])
        mine = [uri for uri in uris if self._route(uri) is route]
        driver = self.driver if route is None else route.driver
        found = await driver.delete_batch(mine if route is None else list(map(route.inner, mine)))
        outcomes = dict(zip(mine, found, strict=True))
        # Those of another storage cannot be in the same request.
        return [outcomes[uri] if uri in outcomes else NotInBatchError() for uri in uris]

    async def copy(
        self, source: ObjectURI, target: ObjectURI, options: CopyOptions
    ) -> ObjectInfo | Pending[ObjectInfo]:
        self._check_shared(source, target)
        (driver, inner), (_, origin) = self._at(target), self._at(source)
        return _told(target, await driver.copy(origin, inner, options))

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        driver, inner = self._at(uri)
        return await driver.initiate_multipart_upload(inner, options)

    async def upload_part(
        self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
    ) -> Part | Pending[Part]:
        driver, inner = self._at(uri)
        return _told(uri, await driver.upload_part(inner, upload_id, number, body, options))

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
        self._check_shared(source, target)
        (driver, inner), (_, origin) = self._at(target), self._at(source)
        return await driver.copy_part(origin, inner, upload_id, number, start, end, options)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo | Pending[ObjectInfo]:
        driver, inner = self._at(uri)
        done = await driver.complete_multipart_upload(inner, upload_id, parts, options, checksum)
        return _told(uri, done)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        driver, inner = self._at(uri)
        await driver.abort_multipart_upload(inner, upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        driver, inner = self._at(uri)
        return await driver.list_parts(inner, upload_id, token)

    async def checksum_of_parts(self, uri: ObjectURI, info: Metadata) -> Checksum | None:
        driver, inner = self._at(uri)
        return await driver.checksum_of_parts(inner, replace(info, uri=inner))

    async def advance(self, pending: Pending[Any]) -> Any:
        driver, _ = self._at(pending.target)
        return _told(pending.target, await driver.advance(pending.state))

    async def undo(self, pending: Pending[Any], error: BaseException) -> Pending[Any] | None:
        driver, _ = self._at(pending.target)
        return _told(pending.target, await driver.undo(pending.state, error))

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        driver, inner = self._at(uri)
        return await sign(driver, method, inner, expires, options)

    async def sign_post(self, uri: ObjectURI, expires: timedelta, options: PostOptions) -> PresignedPost:
        driver, inner = self._at(uri)
        return await driver.sign_post(inner, expires, options)

    # Listings: a page is one request to one of the storages, and the token says to which.

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await self._listed("list_page", prefix, options, token)

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await self._listed("list_versions_page", prefix, options, token)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        steps = self._steps(prefix, None)
        number, inner = _parse(token, steps)
        route = steps[number].route
        if route is None:
            page = await self.driver.list_multipart_uploads(prefix, inner)
            uploads = [upload for upload in page.uploads if self._route(upload.uri) is None]
        else:
            page = await route.driver.list_multipart_uploads(route.start(prefix), inner)
            uploads = [replace(upload, uri=route.outer(upload.uri, prefix)) for upload in page.uploads]
        listed = page.first_listed or (page.uploads[0].upload_id if page.uploads else None)
        first = None if listed is None else f"{number} {listed}"
        return MultipartUploadPage(uploads, _next(steps, number, page.next_token), first)

    async def _listed(self, op: str, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        steps = self._steps(prefix, options.delimiter)
        number, inner = _parse(token, steps)
        step = steps[number]
        if step.common is not None:
            return await self._rolled(op, prefix.with_key(step.common), options, steps, number, inner)
        if step.route is None:
            page = await getattr(self.driver, op)(prefix, options, inner)
            commons = {other.common for other in steps}
            found = [info for info in page.objects if self._route(info.uri) is None and info.key not in commons]
        else:
            after = step.route.after(options.start_after)
            if after is None:
                return ListPage([], _next(steps, number, None))
            options = replace(options, start_after=after or None)
            page = await getattr(step.route.driver, op)(step.route.start(prefix), options, inner)
            found = [replace(info, uri=step.route.outer(info.uri, prefix)) for info in page.objects]
        return ListPage(found, _next(steps, number, page.next_token))

    async def _rolled(
        self, op: str, common: ObjectURI, options: ListOptions, steps: Sequence[Step], number: int, inner: str | None
    ) -> ListPage:
        """
        Return a page with the common prefix *common* if the storage of the step has a key that starts so.
        """
        route = steps[number].route
        if options.start_after is not None and common.key <= options.start_after:
            return ListPage([], _next(steps, number, None))
        if route is None:
            page = await getattr(self.driver, op)(common, ListOptions(), inner)
            found = any(self._route(info.uri) is None for info in page.objects)
        else:
            page = await getattr(route.driver, op)(route.start(common), ListOptions(page_size=1), inner)
            found = bool(page.objects)
        if not found:
            return ListPage([], _next(steps, number, page.next_token))
        # The other storages are not asked for it.
        last = max(at for at, step in enumerate(steps) if step.common == common.key)
        return ListPage([ObjectInfo(uri=common, size=0, is_prefix=True)], _next(steps, last, None))

    def _steps(self, prefix: ObjectURI, delimiter: str | None) -> list[Step]:
        """
        Return what is listed for *prefix*, one after the other.
        """
        inside = self._route(prefix)
        if inside is not None:
            return [Step(inside)]
        plain, rolled = [Step(None)], []
        for route in self._routes:
            key = route.mount.key
            if not key.startswith(prefix.key) or prefix.bucket != route.mount.bucket:
                continue
            at = -1 if delimiter is None else key.find(delimiter, len(prefix.key))
            if delimiter is None or at < 0:
                plain.append(Step(route))
            else:
                rolled.append(Step(route, key[: at + len(delimiter)]))
        commons = sorted({step.common for step in rolled if step.common is not None})
        return [*plain, *rolled, *(Step(None, common) for common in commons)]

    # The rest of the contract.

    def native(self) -> AbstractAsyncContextManager[Any]:
        raise NotSupportedError(
            "the storage has several others, each with its own client: open that of one of them",
            op="native",
            provider=self.provider,
        )

    async def prepare(self) -> None:
        for driver in self._drivers:
            await driver.prepare()

    def check_target(self, uri: ObjectURI) -> None:
        driver, inner = self._at(uri)
        driver.check_target(inner)

    def classify(self, error: Exception) -> StorageError | None:
        return next((known for driver in self._drivers if (known := driver.classify(error)) is not None), None)

    def describe(self) -> dict[str, str]:
        routes = ", ".join(f"{route.mount.name} to {route.root}" for route in self._routes)
        return {**self.driver.describe(), "routes": routes}

    @property
    def unproven(self) -> frozenset[Condition]:  # type: ignore[override]
        return frozenset().union(*(driver.unproven for driver in self._drivers))

    @property
    def preferred_checksum(self) -> ChecksumAlgorithm | None:  # type: ignore[override]
        preferred = self.driver.preferred_checksum
        return preferred if preferred in self.capabilities.checksums else None

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        # Nothing is written to what is read-only: what it cannot write limits nothing.
        known = [
            driver.driver.capabilities if isinstance(driver, ReadOnlyDriver) else driver.capabilities
            for driver in self._drivers
        ]
        if known != self._known:
            self._known, self._common = known, _common(known)
        return self._common

    def _route(self, uri: ObjectURI) -> Route | None:
        return next((route for route in self._routes if route.has(uri)), None)

    def _at(self, uri: ObjectURI) -> tuple[Driver, ObjectURI]:
        route = self._route(uri)
        return (self.driver, uri) if route is None else (route.driver, route.inner(uri))

    def _check_shared(self, source: ObjectURI, target: ObjectURI) -> None:
        if self._route(source) is not self._route(target):
            raise NotSupportedError(
                "source and target are in different storages, and each copies within itself only: use copy_between()",
                provider=self.provider,
            )


@dataclass(frozen=True, slots=True)
class Step:
    """
    A part of a listing: what one storage has.

    Attributes:
        route: ``None`` for the default storage.
        common: If set, whether it has a key under this common prefix.
    """

    route: Route | None
    common: str | None = None


class RoutedBody(ForwardingReadBody):
    """
    A body from the storage of a route, with the URI that callers know.
    """

    def __init__(self, body: ReadBody, uri: ObjectURI) -> None:
        super().__init__(body)
        self._uri = uri

    @property
    def info(self) -> Metadata:  # type: ignore[override]
        return replace(self.body.info, uri=self._uri)


def _told(uri: ObjectURI, done: _T) -> _T:
    """
    Return what a driver has returned about *uri*, as callers know it.
    """
    told: Any = done
    if isinstance(told, Pending):
        told = Pending(uri, told, told.wait)
    elif isinstance(told, ObjectInfo):
        told = replace(told, uri=uri)
    return cast("_T", told)


def _parse(token: str | None, steps: Sequence[Step]) -> tuple[int, str | None]:
    if token is None:
        return 0, None
    try:
        number, inner = json.loads(token)
        if 0 <= number < len(steps) and (inner is None or isinstance(inner, str)):
            return number, inner
    except (ValueError, TypeError):
        pass
    raise InvalidRequestError("the token is not from a listing of this prefix")


def _next(steps: Sequence[Step], number: int, inner: str | None) -> str | None:
    if inner is not None:
        return json.dumps([number, inner])
    return json.dumps([number + 1, None]) if number + 1 < len(steps) else None


def _common(all_of: Sequence[Capabilities]) -> Capabilities:
    """
    Return what all can do.
    """
    common: dict[str, Any] = {}
    for item in fields(Capabilities):
        values = [getattr(able, item.name) for able in all_of]
        common[item.name] = _least(item.name, values)
    if common["multipart"]:
        common["max_object_size"] = min(common["max_object_size"], common["max_parts"] * common["max_part_size"])
    return Capabilities(**{**common, "sorted_listing": len(all_of) == 1 and common["sorted_listing"]})


def _least(name: str, values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, bool):
        return all(values)
    if isinstance(first, int):
        return max(values) if name in _LEAST else min(values)
    if isinstance(first, frozenset):
        return first.intersection(*values)
    if isinstance(first, ChecksumAlgorithm):
        return first if len(set(values)) == 1 else None
    return first
