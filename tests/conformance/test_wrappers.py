"""
The conformance suite through the storages that wrap others, over memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import ClassVar, Final, TypeVar

import pytest

from asyncstore import (
    ObjectURI,
    PresignedURL,
    PresignOptions,
    Storage,
    cached,
    open_storage,
    replicated,
    routed,
    throttled,
    under,
)
from asyncstore.driver import READS, Driver, ForwardingDriver, ReadBody
from asyncstore.errors import UnavailableError
from asyncstore.options import PLAIN_PRESIGN
from asyncstore.testing.conformance import StorageConformance
from asyncstore.wrappers.read_only import ReadOnlyDriver
from tests.conformance.gcs import NAMES

_T = TypeVar("_T")

_ORDER: Final = "a listing of several storages has no order"
_REFUSED: Final = dict.fromkeys(NAMES, "memory refuses what GCS refuses")


class Wrapped(StorageConformance):
    """
    A storage in memory, and around it what :meth:`wrap` returns.
    """

    __test__ = False

    storage_class: ClassVar[str | None] = "COLD"
    makes_buckets: ClassVar[bool] = True
    quirks: ClassVar[Mapping[str, str]] = _REFUSED

    def wrap(self, storage: Storage) -> Storage:
        raise NotImplementedError

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with open_storage("memory://bucket", min_part_size=1) as storage, self.wrap(storage) as wrapper:
            yield wrapper

    @pytest.fixture
    async def versioned(self) -> AsyncIterator[Storage]:
        async with open_storage("memory://bucket", versioning=True) as storage, self.wrap(storage) as wrapper:
            yield wrapper

    @pytest.fixture
    async def lockable(self, versioned: Storage) -> Storage:
        return versioned


class TestUnder(Wrapped):
    """
    A prefix of a prefix.
    """

    __test__ = True

    quirks: ClassVar[Mapping[str, str]] = {
        **_REFUSED,
        "test_first_in_the_bucket": "the storage is confined to its root",
    }

    def wrap(self, storage: Storage) -> Storage:
        return under(under(storage, "some"), "view/")

    def missing_bucket(self, storage: Storage) -> ObjectURI | None:
        return None


class TestThrottled(Wrapped):
    """
    With limits that no test reaches.
    """

    __test__ = True

    def wrap(self, storage: Storage) -> Storage:
        return throttled(storage, requests_per_second=1e9, bytes_per_second=1e15)


class TestReadOnly(Wrapped):
    """
    Whatever reads goes through the read-only storage; the rest directly to the one that it wraps.
    """

    __test__ = True

    def wrap(self, storage: Storage) -> Storage:
        return storage.wrapped(ReadsThroughReadOnly)


class ReadsThroughReadOnly(ForwardingDriver):
    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._reading = ReadOnlyDriver(driver)

    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        return await (self._reading.call(op, uris, send) if op in READS else send())

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        return await (self._reading if method in ("GET", "HEAD") else self.driver).sign(method, uri, expires, options)


class TestCachedInMemory(Wrapped):
    """
    With room for some objects only, so that entries come and go.
    """

    __test__ = True

    def wrap(self, storage: Storage) -> Storage:
        return cached(storage, max_bytes=3_000_000)


class TestCachedInADirectory(Wrapped):
    """
    In files.
    """

    __test__ = True

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.directory = tmp_path_factory.mktemp("cache")

    def wrap(self, storage: Storage) -> Storage:
        return cached(storage, directory=self.directory, max_bytes=3_000_000)


class TestRouted(Wrapped):
    """
    All in the storage of one route, under a prefix there, beside the default one.
    """

    __test__ = True

    quirks: ClassVar[Mapping[str, str]] = TestUnder.quirks

    def missing_bucket(self, storage: Storage) -> ObjectURI | None:
        return None

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with (
            open_storage("memory://bucket", min_part_size=1) as default,
            open_storage("memory://other/p") as other,
        ):
            yield under(routed({"elsewhere": other}, default), "elsewhere")

    @pytest.fixture
    async def versioned(self) -> AsyncIterator[Storage]:
        async with (
            open_storage("memory://bucket", versioning=True) as default,
            open_storage("memory://other", versioning=True) as other,
        ):
            yield under(routed({"elsewhere": other}, default), "elsewhere")


class TestRoutedToFiles(Wrapped):
    """
    In the default storage, and in those of routes for some of the names that the tests use.
    """

    __test__ = True

    quirks: ClassVar[Mapping[str, str]] = {
        **_REFUSED,
        "list-order": _ORDER,
        "test_prefix_is_not_deleted": _ORDER,
        "test_object_and_prefix_of_one_name": _ORDER,
        "test_byte_order_of_whole_keys": _ORDER,
        "test_copy": "each storage copies within itself only",
    }

    @pytest.fixture
    async def storage(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
        folder = tmp_path_factory.mktemp("root").as_uri()
        async with (
            open_storage("memory://bucket", min_part_size=1) as default,
            open_storage(folder, sync=False) as files,
        ):
            yield routed({name: under(files, name) for name in ("dir", "a", "logs", "a.b")}, default)

    @pytest.fixture
    async def lockable(self, storage: Storage) -> Storage:
        assert not storage.capabilities.object_lock
        pytest.xfail("files cannot be protected, and so not all of the objects")
        return storage


class TestReplicated(Wrapped):
    """
    With a primary storage that answers.
    """

    __test__ = True

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with (
            open_storage("memory://bucket", min_part_size=1) as primary,
            open_storage("memory://other/p") as other,
        ):
            yield replicated(primary, other)

    def wrap(self, storage: Storage) -> Storage:
        return replicated(storage, storage)


class TestReadFromReplicas(Wrapped):
    """
    With a primary storage whose replies to reads are lost, unless they are refusals: the replica has the same objects.
    """

    __test__ = True

    def wrap(self, storage: Storage) -> Storage:
        return replicated(storage.wrapped(LosesReplies), storage)

    @pytest.fixture
    async def versioned(self) -> AsyncIterator[Storage]:
        # Versions are those of the primary storage, which has to answer.
        async with open_storage("memory://bucket", versioning=True) as storage:
            yield replicated(storage, storage)


class LosesReplies(ForwardingDriver):
    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        reply = await send()
        if op in ("open_read", "stat", "list_page", "get_tags"):
            if isinstance(reply, ReadBody):
                await reply.aclose()
            raise UnavailableError("the connection broke")
        return reply


class TestAll(Wrapped):
    """
    All of them, around each other.
    """

    __test__ = True

    quirks: ClassVar[Mapping[str, str]] = TestUnder.quirks

    def wrap(self, storage: Storage) -> Storage:
        inner = under(storage.wrapped(ReadsThroughReadOnly), "view")
        return cached(throttled(inner, requests_per_second=1e9), max_bytes=3_000_000)

    def missing_bucket(self, storage: Storage) -> ObjectURI | None:
        return None
