"""
A storage that reads from replicas where it is unavailable.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from asyncstore._support.argument_types import check_argument
from asyncstore.driver import Capabilities, Driver, ForwardingDriver, ReadBody
from asyncstore.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import ListOptions, ReadOptions
from asyncstore.storage import Storage
from asyncstore.types import Checksum, ListPage, Metadata
from asyncstore.uri import ObjectURI
from asyncstore.wrappers.routed import Route, RoutedBody

_T = TypeVar("_T")
_LOG: Final = logging.getLogger("asyncstore")

_CONDITIONS: Final = ("if_match", "if_none_match", "if_modified_since", "if_unmodified_since")


def replicated(primary: Storage, *others: Storage, missing_too: bool = False, pause: float = 10.0) -> Storage:
    """
    Return a storage with the objects of *primary* that reads from *others* while *primary* is unavailable.

    ::

        storage = replicated(zurich, frankfurt)
        await storage.read("model.bin")     # from frankfurt, if zurich does not answer or refuses with 503

    Reads, metadata, tags and listings fall over to the next storage if one is unavailable (:class:`UnavailableError`),
    in the order of the arguments; if none answers, the error is that of the first. Writes, versions and presigned URLs
    are those of *primary* only. Copying to the others is up to their provider, or to
    :func:`~asyncstore.sync_tree`: what they answer may be older.

    Each has its objects under its own root: ``primary.root / "a"`` is ``other.root / "a"``. URIs and names are those
    of *primary*, and so are budgets and retries. A read that goes on (a range of a large object, a broken connection)
    is pinned to the ETag that it began with, so bytes of two versions are never mixed; it fails if no storage has
    that ETag. A listing fails if the storage that it began with becomes unavailable.

    Closing it leaves all of them open; closing one of them closes it.

    Args:
        others: Storages of any provider. One that cannot do what a read asks for is passed over.
        missing_too: Whether an object that is not found is looked for in the others, too.
        pause: Seconds for which a storage that was unavailable is asked last.

    Raises:
        ConfigurationError: There are no *others*, or *pause* is negative.
    """
    if not others:
        raise ConfigurationError("replicated() takes one or more other storages: replicated(primary, other)")
    check_argument("missing_too", missing_too, bool)
    if not 0 <= pause < math.inf:
        raise ConfigurationError(f"pause must be 0 or more seconds, not {pause}")
    roots = (primary.root / "", *(other.root for other in others))
    return primary.wrapped(partial(_replicated, roots=roots, missing_too=missing_too, pause=pause), others=others)


def _replicated(
    driver: Driver, *others: Driver, roots: Sequence[ObjectURI], missing_too: bool, pause: float
) -> ReplicatedDriver:
    mount, *rest = roots
    replicas = [Route(mount, root, other) for root, other in zip(rest, others, strict=True)]
    return ReplicatedDriver(driver, replicas, missing_too=missing_too, pause=pause)


class ReplicatedDriver(ForwardingDriver):
    """
    Forwards all to the primary driver, and reads to the first one that answers.

    Args:
        replicas: Where the others have the objects.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        driver: Driver,
        replicas: Sequence[Route],
        *,
        missing_too: bool,
        pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(driver)
        self._replicas = replicas
        self._missing_too = missing_too
        self._pause = pause
        self._clock = clock
        # When each may be asked first again; the primary one is the first.
        self._paused = [-math.inf] * (1 + len(replicas))

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        async def send(driver: Driver, inner: ObjectURI) -> ReadBody:
            body = await driver.open_read(inner, options)
            return body if inner is uri else RoutedBody(body, uri)

        return await self._first(uri, send, lambda able: _can_read(able, options), pinned=options.if_match is not None)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        async def send(driver: Driver, inner: ObjectURI) -> Metadata:
            info = await driver.stat(inner, options)
            return info if inner is uri else replace(info, uri=uri)

        return await self._first(uri, send, lambda able: _can_read(able, options), pinned=options.if_match is not None)

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        return await self._first(uri, lambda driver, inner: driver.get_tags(inner), lambda able: able.tags > 0)

    async def checksum_of_parts(self, uri: ObjectURI, info: Metadata) -> Checksum | None:
        # That of another storage is not known here.
        try:
            return await self.driver.checksum_of_parts(uri, info)
        except (NotFoundError, PreconditionFailedError, UnavailableError):
            return None

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        if token is not None:
            # It is of the storage that gave it.
            number, inner = _parse(token, len(self._replicas))
            return await self._listed(number, prefix, options, inner)
        return await self._each(
            prefix,
            lambda number: self._listed(number, prefix, options, None),
            lambda able: able.sorted_listing >= self.capabilities.sorted_listing,
        )

    async def _listed(self, number: int, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        if number == 0:
            page = await self.driver.list_page(prefix, options, token)
        else:
            route = self._replicas[number - 1]
            after = route.after(options.start_after)
            if after is None:
                return ListPage([], None)
            options = replace(options, start_after=after or None)
            page = await route.driver.list_page(route.start(prefix), options, token)
            page = replace(page, objects=[replace(info, uri=route.outer(info.uri, prefix)) for info in page.objects])
        return page if page.next_token is None else replace(page, next_token=json.dumps([number, page.next_token]))

    async def _first(
        self,
        uri: ObjectURI,
        send: Callable[[Driver, ObjectURI], Awaitable[_T]],
        can: Callable[[Capabilities], bool],
        *,
        pinned: bool = False,
    ) -> _T:
        def at(number: int) -> Awaitable[_T]:
            if number == 0:
                return send(self.driver, uri)
            route = self._replicas[number - 1]
            return send(route.driver, route.inner(uri))

        return await self._each(uri, at, can, pinned=pinned)

    async def _each(
        self,
        uri: ObjectURI,
        send: Callable[[int], Awaitable[_T]],
        can: Callable[[Capabilities], bool],
        *,
        pinned: bool = False,
    ) -> _T:
        """
        Return what *send* returns for the first storage that answers.

        Args:
            can: Whether a storage with these capabilities can answer.
            pinned: Whether only one version of the object is right: one that has another is passed over.
        """
        errors: dict[int, Exception] = {}
        for number in self._order(uri, can):
            try:
                return await send(number)
            except Exception as exc:
                if not self._falls_over(number, exc, pinned=pinned):
                    raise
                errors[number] = exc
                _LOG.debug("read %s from the next storage: %r", uri, exc)
        raise errors[min(errors)]

    def _order(self, uri: ObjectURI, can: Callable[[Capabilities], bool]) -> list[int]:
        now = self._clock()
        replicas = enumerate(self._replicas, 1)
        able = [number for number, route in replicas if route.has(uri) and can(route.driver.capabilities)]
        return sorted([0, *able], key=lambda number: self._paused[number] > now)

    def _falls_over(self, number: int, error: Exception, *, pinned: bool) -> bool:
        driver = self._replicas[number - 1].driver if number else self.driver
        known = error if isinstance(error, StorageError) else driver.classify(error)
        if isinstance(known, UnavailableError):
            self._paused[number] = self._clock() + self._pause
            return True
        if isinstance(known, NotFoundError):
            # A replica that has not got the object yet proves nothing.
            return self._missing_too or number > 0
        return pinned and isinstance(known, PreconditionFailedError)

    # The rest of the contract.

    async def prepare(self) -> None:
        await self.driver.prepare()
        for route in self._replicas:
            await route.driver.prepare()

    def classify(self, error: Exception) -> StorageError | None:
        drivers = (self.driver, *(route.driver for route in self._replicas))
        return next((known for driver in drivers if (known := driver.classify(error)) is not None), None)

    def describe(self) -> dict[str, str]:
        return {**self.driver.describe(), "replicas": ", ".join(str(route.root) for route in self._replicas)}


def _can_read(able: Capabilities, options: ReadOptions) -> bool:
    if options.version_id is not None or (options.range is not None and not able.ranges):
        # Ids of versions are those of one bucket.
        return False
    return able.conditional_read or all(getattr(options, name) is None for name in _CONDITIONS)


def _parse(token: str, replicas: int) -> tuple[int, str]:
    try:
        number, inner = json.loads(token)
        if 0 <= number <= replicas and isinstance(inner, str):
            return number, inner
    except (ValueError, TypeError):
        pass
    raise InvalidRequestError("the token is not from a listing of this storage")
