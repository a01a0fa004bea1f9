"""
The base of every group of the suite: its fixtures, its settings, and which tests are expected to fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import fields, replace
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
# Parameters of tests that hold keys.
_KEY_PARAMETERS = ("key", "one", "other")
_FLAGS = frozenset(item.name for item in fields(Capabilities))


def requires(*capabilities: str) -> Callable[[_TestT], _TestT]:
    """
    Mark a test as an expected failure where the storage lacks one of *capabilities*.

    *capabilities* are names of fields of :class:`Capabilities`.
    """
    assert set(capabilities) <= _FLAGS
    return _adding("_requires", capabilities)


def tagged(*tags: str) -> Callable[[_TestT], _TestT]:
    """
    Tag a test, so that ``quirks`` can name a group of tests at once.
    """
    return _adding("_tags", tags)


def _adding(attribute: str, values: tuple[str, ...]) -> Callable[[_TestT], _TestT]:
    def add(test: _TestT) -> _TestT:
        setattr(test, attribute, (*getattr(test, attribute, ()), *values))
        return test

    return add


class Harness:
    """
    The fixtures and settings that a driver's tests override, and what is built from them.

    Attributes:
        quirks: Why a test fails on the *server* that is used, or because of a rule that the
            provider documents; never because of the driver. Keys are the name of a test, with
            its parameter (``test_name[parameter]``) or without, the parameter alone
            (``[parameter]``), or a tag.
        makes_buckets: Whether writing to a missing bucket creates it, as for a directory.
        storage_class: A storage class of the provider that is not the default one, for the test of that option.
        signed_put_headers: Headers that a put to a presigned URL needs besides those that the URL itself tells.
    """

    quirks: ClassVar[Mapping[str, str]] = {}
    makes_buckets: ClassVar[bool] = False
    storage_class: ClassVar[str | None] = None
    signed_put_headers: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        known = _tests_and_tags(cls)
        for name in cls.quirks:
            if not name.startswith("[") and name.partition("[")[0] not in known:
                raise TypeError(f"{cls.__name__}.quirks names {name!r}, which is not a test or a tag of the suite")

    @pytest_asyncio.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        """
        The storage under test, empty, in a bucket of its own or under a prefix that ends in ``/``.
        """
        raise NotImplementedError("define the fixture storage, which opens the storage under test")
        yield

    @pytest_asyncio.fixture
    async def versioned(self, storage: Storage) -> AsyncIterator[Storage]:
        """
        A storage like :meth:`storage`, in a bucket with versioning enabled.
        """
        if not storage.capabilities.versions:
            pytest.xfail(f"{storage.provider} does not announce versions")
        pytest.skip(f"define the fixture versioned, with a bucket of {storage.provider} that has versioning enabled")
        yield

    @pytest_asyncio.fixture
    async def lockable(self, storage: Storage) -> AsyncIterator[Storage]:
        """
        A storage like :meth:`storage`, in a bucket whose objects can have a retention and a legal hold.
        """
        if not storage.capabilities.object_lock:
            pytest.xfail(f"{storage.provider} does not announce object_lock")
        pytest.skip(f"define the fixture lockable, with a bucket of {storage.provider} that has object lock enabled")
        yield

    @pytest.fixture
    def faults(self, storage: Storage) -> FaultyDriver:
        """
        The driver of :meth:`storage`, wrapped to inject faults and count calls.
        """
        return FaultyDriver(storage._driver)

    @pytest.fixture
    def faulty(self, storage: Storage, faults: FaultyDriver) -> Storage:
        """
        Another storage with the same root, whose requests pass through :meth:`faults`.
        """
        return self.rewrap(storage, faults)

    @pytest.fixture(autouse=True)
    def _expected_failures(self, request: pytest.FixtureRequest, storage: Storage) -> None:
        test = request.function
        for name in _names_of(request.node):
            if name in self.quirks:
                # xfail, not skip: no further set-up would make the test pass on this server.
                pytest.xfail(f"{name}: {self.quirks[name]}")
        for key in _keys_in(request.node):
            if not self.holds(key):
                pytest.xfail(f"{storage.provider} does not allow the key {key!r}")
        for capability in getattr(test, "_requires", ()):
            if not getattr(storage.capabilities, capability):
                pytest.xfail(f"{storage.provider} does not announce {capability}")

    def rewrap(self, storage: Storage, driver: Driver, **settings: Any) -> Storage:
        """
        Return a storage over *driver* with the root of *storage*; it retries without waiting.

        Do not close it: its driver belongs to *storage*.
        """
        faults = driver if isinstance(driver, FaultyDriver) else FaultyDriver(driver)
        return faults.storage(storage.root, **settings)

    def holds(self, key: str) -> bool:
        """
        Return whether the provider allows *key* below the root; most allow any text.
        """
        return True

    def missing_bucket(self, storage: Storage) -> ObjectURI | None:
        """
        Return a bucket that does not exist, or a prefix in it; ``None`` if the provider has no buckets.
        """
        root = storage.root
        if not root.bucket:
            return None
        return replace(root, bucket=f"{root.bucket}-missing", key="")

    def http_session(self) -> aiohttp.ClientSession:
        """
        Return a client for presigned URLs, which trusts the certificate of the server under test.
        """
        return aiohttp.ClientSession()

    def part_size(self, storage: Storage) -> int:
        """
        Return a part size that the provider accepts and that is quick to send.
        """
        # Streams shorter than 1 MiB are never uploaded in parts.
        return max(storage.capabilities.min_part_size, MiB)

    def multipart_options(self, storage: Storage, **settings: Any) -> UploadOptions:
        """
        Return options with which objects of one part or more use a multipart upload.
        """
        part = self.part_size(storage)
        return UploadOptions(part_size=part, multipart_threshold=part, **settings)

    def two_parts(self, storage: Storage, seed: int = 0) -> bytes:
        """
        Return the bytes of an object of two parts, the second one short.
        """
        return payload(self.part_size(storage) + 9, seed)


def top(storage: Storage) -> ObjectURI:
    """
    Return the root under which a key has no prefix: the bucket, or the root of files.
    """
    return storage.root.with_key("") if storage.root.bucket else storage.root


def relative(storage: Storage, info: ObjectInfo) -> str:
    """
    Return a key relative to the storage's root.
    """
    return info.key.removeprefix((storage.root / "x").key[:-1])


async def keys_of(storage: Storage, prefix: str = "", options: ListOptions | None = None) -> list[str]:
    """
    Return the listed keys under *prefix*, relative to the storage's root.
    """
    listing = storage.list(storage.root / prefix, options=options or ListOptions())
    return [relative(storage, info) async for info in listing]


async def unfinished_uploads(storage: Storage) -> list[str]:
    """
    Return the keys of multipart uploads that are neither completed nor aborted.
    """
    if not storage.capabilities.multipart:
        return []
    return [upload.uri.key async for upload in storage.list_multipart_uploads()]


def is_idle(storage: Storage, faults: FaultyDriver) -> bool:
    """
    Return whether every request has ended, every body is closed and every limit is released.
    """
    now = storage.statistics()
    idle = (now.requests_in_flight, now.requests_waiting, now.bytes_buffered) == (0, 0, 0)
    return idle and not any(faults.in_flight.values()) and not faults.bodies_open


async def together(beside: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Any]) -> Any:
    """
    Await *beside* and *work* concurrently, and return the result of *work*.
    """
    other = asyncio.get_running_loop().create_task(beside)
    try:
        return await work
    finally:
        await other


async def turns(count: int = 5) -> None:
    """
    Let other tasks run for *count* iterations of the event loop.
    """
    for _ in range(count):
        await asyncio.sleep(0)


def _tests_and_tags(cls: type) -> set[str]:
    tests = {name for name in dir(cls) if name.startswith("test_")}
    return tests | {tag for name in tests for tag in getattr(getattr(cls, name), "_tags", ())}


def _keys_in(item: pytest.Function) -> list[str]:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return [key for name in _KEY_PARAMETERS if isinstance(key := params.get(name), str)]


def _names_of(item: pytest.Function) -> list[str]:
    names = [item.originalname, item.name, *getattr(item.function, "_tags", ())]
    return [*names, f"[{item.callspec.id}]"] if hasattr(item, "callspec") else names
