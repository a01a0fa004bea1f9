"""
What every group of the suite stands on: the fixtures, and who need not take which test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import aiohttp
import pytest
import pytest_asyncio

from asyncstore.driver import Capabilities, Driver
from asyncstore.options import ListOptions, MiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

_TestT = TypeVar("_TestT", bound=Callable[..., Any])
# Parameters of tests that are keys.
_KEY_PARAMETERS = ("key", "one", "other")
_FLAGS = frozenset(item.name for item in fields(Capabilities))


def requires(*capabilities: str) -> Callable[[_TestT], _TestT]:
    """
    Expect a test to fail where the storage lacks one of *capabilities* (fields of :class:`Capabilities`).
    """
    assert set(capabilities) <= _FLAGS
    return _adding("_requires", capabilities)


def tagged(*tags: str) -> Callable[[_TestT], _TestT]:
    """
    Give a test names under which ``quirks`` can refer to it, together with others.
    """
    return _adding("_tags", tags)


def _adding(attribute: str, values: tuple[str, ...]) -> Callable[[_TestT], _TestT]:
    def add(test: _TestT) -> _TestT:
        setattr(test, attribute, (*getattr(test, attribute, ()), *values))
        return test

    return add


class Harness:
    """
    The fixtures that a driver's tests fill in, and those made from them.

    Attributes:
        quirks: Why a test cannot hold against the *server* that is used, or by a rule that
            the provider documents (a driver has no excuse), by the name of the test, with its parameter
            (``test_name[parameter]``), by the parameter alone (``[parameter]``), or by tag.
        makes_buckets: Whether a bucket that is missing comes into being when it is
            written to, as a directory does.
        signed_put_headers: What goes along with a put to a signed URL.
    """

    quirks: ClassVar[Mapping[str, str]] = {}
    makes_buckets: ClassVar[bool] = False
    signed_put_headers: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        known = _names(cls)
        for name in cls.quirks:
            if not name.startswith("[") and name.partition("[")[0] not in known:
                raise TypeError(f"{cls.__name__}.quirks names {name!r}, which is neither a test nor a tag")

    @pytest_asyncio.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        """
        The storage under test, on a bucket or a prefix (that ends in ``/``) of its own, empty.
        """
        raise NotImplementedError("a subclass opens its storage here")
        yield

    @pytest_asyncio.fixture
    async def versioned(self, storage: Storage) -> AsyncIterator[Storage]:
        """
        A storage as :meth:`storage`, in a bucket that keeps versions.
        """
        if not storage.capabilities.versions:
            pytest.xfail(f"{storage.provider} does not announce versions")
        pytest.skip(f"no bucket of {storage.provider} that keeps versions was given: define the fixture versioned")
        yield

    @pytest.fixture
    def faults(self, storage: Storage) -> FaultyDriver:
        """
        Faults and counts round the driver of :meth:`storage`.
        """
        return FaultyDriver(storage._driver)

    @pytest.fixture
    def faulty(self, storage: Storage, faults: FaultyDriver) -> Storage:
        """
        Another storage in the same place, whose requests go by way of :meth:`faults`.
        """
        return self.rewrap(storage, faults)

    @pytest.fixture(autouse=True)
    def _excused(self, request: pytest.FixtureRequest, storage: Storage) -> None:
        test = request.function
        for name in _refer_to(request.node):
            if name in self.quirks:
                # An expected failure, not a skipped test: there is nothing to provide
                # that would make it pass on this server.
                pytest.xfail(f"{name}: {self.quirks[name]}")
        for key in _keys_in(request.node):
            if not self.holds(key):
                pytest.xfail(f"{storage.provider} has no such keys: {key!r}")
        for capability in getattr(test, "_requires", ()):
            if not getattr(storage.capabilities, capability):
                pytest.xfail(f"{storage.provider} does not announce {capability}")

    def rewrap(self, storage: Storage, driver: Driver, **settings: Any) -> Storage:
        """
        Return a storage over *driver* in the place of *storage*; it does not wait between attempts.

        It is not closed: what it uses belongs to *storage*.
        """
        faults = driver if isinstance(driver, FaultyDriver) else FaultyDriver(driver)
        return faults.storage(storage.root, **settings)

    def holds(self, key: str) -> bool:
        """
        Tell whether the provider's rules allow *key* below the root; most take any text.
        """
        return True

    def missing_bucket(self, storage: Storage) -> ObjectURI | None:
        """
        Return a bucket that is not there, or a prefix in it; ``None`` if there is no such thing.
        """
        root = storage.root
        if not root.bucket:
            return None
        return ObjectURI(root.provider, f"{root.bucket}-missing", namespace=root.namespace, region=root.region)

    def http_session(self) -> aiohttp.ClientSession:
        """
        Return a client for signed URLs, which trusts the server under test.
        """
        return aiohttp.ClientSession()

    def part_size(self, storage: Storage) -> int:
        """
        Return a size of parts that the provider takes and that is quick to send.
        """
        # Shorter streams than 1 MiB never go by parts.
        return max(storage.capabilities.min_part_size, MiB)

    def by_parts(self, storage: Storage, **settings: Any) -> UploadOptions:
        """
        Return options under which objects of one part and more are written by parts.
        """
        part = self.part_size(storage)
        return UploadOptions(part_size=part, multipart_threshold=part, **settings)

    def two_parts(self, storage: Storage, seed: int = 0) -> bytes:
        """
        Return the bytes of an object that takes two parts, the second one short.
        """
        return payload(self.part_size(storage) + 9, seed)


def top(storage: Storage) -> ObjectURI:
    """
    Return the place where a key can start with anything: the bucket, or the root of files.
    """
    return storage.root.with_key("") if storage.root.bucket else storage.root


def relative(storage: Storage, info: ObjectInfo) -> str:
    """
    Return a key without what the storage's root adds.
    """
    return info.key.removeprefix((storage.root / "x").key[:-1])


async def keys_of(storage: Storage, prefix: str = "", options: ListOptions | None = None) -> list[str]:
    """
    Return all that is listed under *prefix*, without what the root adds.
    """
    listing = storage.list(storage.root / prefix, options=options or ListOptions())
    return [relative(storage, info) async for info in listing]


async def unfinished(storage: Storage) -> list[str]:
    """
    Return the keys of the uploads by parts that are neither completed nor aborted.
    """
    if not storage.capabilities.multipart:
        return []
    return [upload.uri.key async for upload in storage.list_multipart_uploads()]


def nothing_under_way(storage: Storage, faults: FaultyDriver) -> bool:
    """
    Whether every request has ended, every body is closed and all budgets are given back.
    """
    now = storage.statistics()
    idle = (now.requests_in_flight, now.requests_waiting, now.bytes_buffered) == (0, 0, 0)
    return idle and not any(faults.in_flight.values()) and not faults.bodies_open


async def together(beside: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Any]) -> Any:
    """
    Return what *work* does, with *beside* running meanwhile, to its end.
    """
    other = asyncio.get_running_loop().create_task(beside)
    try:
        return await work
    finally:
        await other


async def turns(count: int = 5) -> None:
    """
    Let other tasks run for *count* turns of the loop.
    """
    for _ in range(count):
        await asyncio.sleep(0)


def _names(cls: type) -> set[str]:
    tests = {name for name in dir(cls) if name.startswith("test_")}
    return tests | {tag for name in tests for tag in getattr(getattr(cls, name), "_tags", ())}


def _keys_in(item: pytest.Function) -> list[str]:
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return [key for name in _KEY_PARAMETERS if isinstance(key := given.get(name), str)]


def _refer_to(item: pytest.Function) -> list[str]:
    names = [item.originalname, item.name, *getattr(item.function, "_tags", ())]
    return [*names, f"[{item.callspec.id}]"] if hasattr(item, "callspec") else names
