"""
Listings with requests in parallel: the same entries in the same order, few more requests, nothing left behind.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import aclosing

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import InvalidRequestError, PermissionDeniedError
from asyncstore.options import ListOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ListPage
from asyncstore.uri import ObjectURI
from tests.build import ROOT, at_rest, changed


async def fill(storage: Storage, keys: list[str]) -> None:
    for key in keys:
        await storage.put(key, b"")


async def listed(storage: Storage, prefix: str = "", **options: object) -> list[str]:
    wanted = ListOptions(**options)  # type: ignore[arg-type]
    return [info.key async for info in storage.list(storage.root / prefix, options=wanted)]


def even() -> list[str]:
    return [f"{folder:03}/{number:03}" for folder in range(20) for number in range(20)]


def deep() -> list[str]:
    return [f"data/v1/{a}/{b}/{number:03}" for a in "xyz" for b in "pqr" for number in range(25)]


def flat() -> list[str]:
    return [f"{number:05}" for number in range(400)]


def tiny_folders() -> list[str]:
    return [f"{number:05}/only" for number in range(400)]


def small_folders() -> list[str]:
    return [f"{folder:03}/{number:02}" for folder in range(60) for number in range(9)]


def one_large_then_tiny() -> list[str]:
    return [*(f"0/{number:05}" for number in range(160)), *(f"1{number:05}/only" for number in range(300))]


SHAPES: dict[Callable[[], list[str]], float] = {
    # At most so many times the requests of a listing page by page.
    even: 1.5,
    deep: 2.0,
    flat: 1.0,
    tiny_folders: 1.0,
    small_folders: 2.5,
    one_large_then_tiny: 3.0,
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_entries_and_requests(storage: Storage, faults: FaultyDriver, shape: Callable[[], list[str]]) -> None:
    """
    Any shape of keys is listed whole and in order, with not many more requests than page by page.
    """
    keys = shape()
    await fill(storage, keys)
    faults.calls.clear()
    assert await listed(storage, page_size=20) == sorted(keys)
    plain = faults.calls.total()
    faults.calls.clear()

    assert await listed(storage, page_size=20, max_concurrency=8) == sorted(keys)

    assert faults.calls.total() <= SHAPES[shape] * plain + 2
    assert faults.peak["list_page"] <= 8
    at_rest(storage, faults)


def random_keys(seed: int) -> Iterator[str]:
    choose = random.Random(seed)
    for _ in range(150):
        depth = choose.randrange(1, 5)
        yield "/".join(
            choose.choice(["a", "a!", "a.", "b", "b0", "c-d", "é", ""]) for _ in range(depth)
        ) + choose.choice(["", "~", "0", "/"])


@pytest.mark.parametrize("seed", range(8))
async def test_any_keys(storage: Storage, seed: int) -> None:
    """
    Names around the slash in byte order, empty names and markers of folders are listed once.
    """
    keys = sorted({key for key in random_keys(seed) if key})
    await fill(storage, keys)

    for page_size in (2, 9, 30):
        assert await listed(storage, page_size=page_size, max_concurrency=5) == keys
        for prefix in ("a", "a/", "b"):
            below = [key for key in keys if key.startswith(prefix)]
            assert await listed(storage, prefix, page_size=page_size, max_concurrency=5) == below
        after = [key for key in keys if key > "a/b"]
        assert await listed(storage, page_size=page_size, max_concurrency=5, start_after="a/b") == after


async def test_in_parallel(storage: Storage, faults: FaultyDriver) -> None:
    """
    So many requests are in flight as allowed, and no more pages are fetched ahead than the buffer has.
    """
    await fill(storage, even())
    faults.calls.clear()
    held = faults.hang("list_page", times=None, where=lambda call: call.uri.key == "019/")
    async with aclosing(storage.list(page_size=20, max_concurrency=4)) as entries:  # type: ignore[type-var]
        assert (await anext(entries)).key == "000/000"
        for _ in range(100):
            await asyncio.sleep(0)

        assert faults.calls["list_page"] <= 4 * 4 + 4
        async for info in entries:
            if info.key == "015/000":
                break
        assert faults.peak["list_page"] == 4
    del held
    at_rest(storage, faults)


async def test_an_error_comes_in_order(storage: Storage, faults: FaultyDriver) -> None:
    """
    What comes before the page that fails is listed first, and no task is left.
    """
    await fill(storage, even())
    faults.fail("list_page", PermissionDeniedError("no"), where=lambda call: call.uri.key == "010/")
    found = []
    with pytest.raises(PermissionDeniedError):
        async for info in storage.list(page_size=20, max_concurrency=8):
            found.append(info.key)  # noqa: PERF401 - up to the error

    assert found == [key for key in even() if key < "010/"]
    at_rest(storage, faults)


async def test_cancelled(storage: Storage, faults: FaultyDriver) -> None:
    """
    A cancelled listing cancels the requests in flight.
    """
    await fill(storage, even())
    hanging = faults.hang("list_page", times=None, where=lambda call: call.uri.key > "005/")
    task = asyncio.ensure_future(listed(storage, page_size=20, max_concurrency=8))
    await hanging.reached()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    at_rest(storage, faults)


class IgnoresStarts(MemoryDriver):
    """
    An endpoint that does not know ``start_after``.
    """

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await super().list_page(prefix, ListOptions(page_size=20, delimiter=options.delimiter), token)


async def test_endpoint_that_ignores_the_start() -> None:
    """
    Keys are listed once also if the endpoint starts each listing at its first key.
    """
    async with FaultyDriver(IgnoresStarts()).storage(ROOT) as storage:
        for key in even():
            await storage.put(key, b"")

        assert await listed(storage, page_size=20, max_concurrency=8) == even()


async def test_not_split(storage: Storage, faults: FaultyDriver) -> None:
    """
    Levels, and listings in no order, are fetched page by page, as they always are.
    """
    await fill(storage, even())
    faults.calls.clear()
    assert len(await listed(storage, page_size=20, delimiter="/", max_concurrency=8)) == 20
    assert faults.calls.total() == 1
    changed(faults, sorted_listing=False)
    faults.calls.clear()

    assert await listed(storage, page_size=20, max_concurrency=8) == even()
    assert faults.calls.total() == 20
    assert faults.peak["list_page"] == 1


async def test_single_pages_have_no_concurrency(storage: Storage) -> None:
    """
    The option is refused where it would do nothing.
    """
    with pytest.raises(InvalidRequestError, match="list_page"):
        await storage.list_page("", max_concurrency=2)
