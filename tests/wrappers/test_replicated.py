"""
Reads fall over to replicas, and never mix versions; writes go to the primary storage only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncstore import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    SourceChangedError,
    Storage,
    open_storage,
    replicated,
)
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import PermissionDeniedError, UnavailableError
from asyncstore.testing.faults import FaultyDriver, Where
from asyncstore.wrappers.replicated import ReplicatedDriver
from asyncstore.wrappers.routed import Route
from tests.build import ROOT, at_rest, patterned


@pytest.fixture
async def replica() -> AsyncIterator[Storage]:
    async with open_storage("memory://replica/copies") as replica:
        yield replica


@pytest.fixture
def both(storage: Storage, replica: Storage) -> Storage:
    return replicated(storage, replica, pause=0.0)


def out_of_order(faults: FaultyDriver, *ops: str, times: int | None = None, where: Where | None = None) -> None:
    for op in ops or ("open_read", "stat", "list_page", "get_tags", "put", "delete"):
        faults.fail(op, times=times, where=where)


async def test_reads_fall_over(both: Storage, storage: Storage, replica: Storage, faults: FaultyDriver) -> None:
    """
    While the primary storage is unavailable all reads are answered, with the URIs of the primary one.
    """
    for place in (storage, replica):
        await place.put("dir/a", b"data", content_type="text/plain")
        await place.put("dir/b", b"more")
    await storage.set_tags("dir/a", {"of": "primary"})
    await replica.set_tags("dir/a", {"of": "replica"})
    assert await both.get_tags("dir/a") == {"of": "primary"}
    out_of_order(faults)
    faults.calls.clear()

    assert await both.read("dir/a") == b"data"
    info = await both.stat("dir/a")
    assert (info.uri, info.content_type) == (storage.root / "dir/a", "text/plain")
    assert [found.uri async for found in both.list("dir/")] == [storage.root / "dir/a", storage.root / "dir/b"]
    assert [found.name async for found in both.list(start_after="dir/a", page_size=1)] == ["dir/b"]
    assert await both.get_tags("dir/a") == {"of": "replica"}
    # Without a wait: there is another storage.
    assert faults.calls == {"open_read": 1, "stat": 1, "list_page": 2, "get_tags": 1}
    at_rest(both, faults)


async def test_writes_do_not(both: Storage, storage: Storage, replica: Storage, faults: FaultyDriver) -> None:
    """
    Writes and deletions are the primary storage's, and fail with it.
    """
    await both.put("a", b"data")
    assert await storage.exists("a")
    assert not await replica.exists("a")
    out_of_order(faults, "put", "delete")

    with pytest.raises(UnavailableError):
        await both.put("a", b"other")
    with pytest.raises(UnavailableError):
        await both.delete("a")


async def test_missing(both: Storage, storage: Storage, replica: Storage, faults: FaultyDriver) -> None:
    """
    A missing object is missing, unless the others count, too.
    """
    await replica.put("a", b"data")
    with pytest.raises(NotFoundError):
        await both.read("a")

    assert await replicated(storage, replica, missing_too=True).read("a") == b"data"
    out_of_order(faults)
    with pytest.raises(UnavailableError):
        await both.read("not in the replica")


async def test_other_errors_do_not_fall_over(both: Storage, replica: Storage, faults: FaultyDriver) -> None:
    """
    An answer is an answer, also a refusal.
    """
    await replica.put("a", b"data")
    faults.fail("open_read", PermissionDeniedError("no"))

    with pytest.raises(PermissionDeniedError):
        await both.read("a")


async def test_versions_are_not_mixed(both: Storage, storage: Storage, replica: Storage, faults: FaultyDriver) -> None:
    """
    A stream whose connection breaks goes on only in the same version, wherever that is.
    """
    await storage.put("a", patterned(200_000))
    await replica.put("a", bytes(200_000))
    faults.truncate(after=50_000)
    out_of_order(faults, "open_read", where=lambda call: faults.calls["open_read"] > 1)
    with pytest.raises((SourceChangedError, UnavailableError)):
        await both.read("a")

    faults.heal()
    out_of_order(faults, "open_read", times=1)
    async with both.get("a") as stream:
        etag = stream.info.etag
        assert await stream.read() == bytes(200_000)
    # The primary storage is back, and has another version.
    assert await both.read("a", if_match=etag, range=(0, 10)) == bytes(10)


async def test_listing_stays_where_it_began(both: Storage, replica: Storage, faults: FaultyDriver) -> None:
    """
    The token of a page is of one storage; that of another listing is refused.
    """
    for name in "abc":
        await replica.put(name, b"")
    out_of_order(faults, "list_page", times=1)
    faults.calls.clear()

    assert [info.name async for info in both.list(page_size=1)] == ["a", "b", "c"]
    assert faults.calls["list_page"] == 1
    with pytest.raises(InvalidRequestError, match="token"):
        await both.list_page("", token="other")


async def test_one_that_was_unavailable_is_asked_last() -> None:
    """
    During the pause its error is not waited for; after it, it is asked first again.
    """
    now = 0.0
    primary, replica = FaultyDriver(MemoryDriver()), FaultyDriver(MemoryDriver())
    route = Route(ROOT / "", ROOT, replica)
    driver = ReplicatedDriver(primary, [route], missing_too=False, pause=5.0, clock=lambda: now)
    async with FaultyDriver(replica).storage(ROOT) as direct, FaultyDriver(driver).storage(ROOT) as both:
        await direct.put("a", b"replica")
        primary.fail("open_read", times=1)
        for _ in range(3):
            assert await both.read("a") == b"replica"
        assert primary.calls["open_read"] == 1
        now = 6.0
        with pytest.raises(NotFoundError):
            await both.read("a")


def test_arguments(storage: Storage) -> None:
    """
    A replicated storage has replicas.
    """
    with pytest.raises(ConfigurationError, match="other"):
        replicated(storage)
    with pytest.raises(ConfigurationError, match="pause"):
        replicated(storage, storage, pause=-1)
