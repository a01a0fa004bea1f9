"""
A storage with routes is one storage to callers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncstore import (
    ConfigurationError,
    InvalidRequestError,
    NotSupportedError,
    Storage,
    copy_between,
    copy_tree,
    open_storage,
    read_only,
    routed,
    under,
)
from asyncstore.errors import PermissionDeniedError
from asyncstore.testing.faults import FaultyDriver


@pytest.fixture
async def files(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
    async with open_storage(tmp_path_factory.mktemp("root").as_uri(), sync=False) as files:
        yield files


@pytest.fixture
def both(storage: Storage, files: Storage) -> Storage:
    return routed({"archive/": files}, default=storage)


async def names(storage: Storage, prefix: str = "", **options: str | int) -> list[str]:
    return sorted([info.name async for info in storage.list(prefix, **options)])  # type: ignore[arg-type]


async def test_objects_are_where_the_routes_say(both: Storage, storage: Storage, files: Storage) -> None:
    """
    Names and URIs are those of the storage with routes.
    """
    written = await both.put("archive/2026/a", b"old")
    await both.put("b", b"new")

    assert (written.name, str(written.uri)) == ("archive/2026/a", "memory://bucket/archive/2026/a")
    assert await files.read("2026/a") == b"old"
    assert await names(storage) == ["b"]
    assert await both.read(written.uri) == b"old"
    assert (await both.stat("archive/2026/a")).uri == written.uri
    async with both.get("archive/2026/a") as body:
        assert body.info.uri == written.uri


async def test_listings(both: Storage, storage: Storage) -> None:
    """
    A listing has all that can be read, once, and nothing hidden.
    """
    for key in ("a", "archive/x/1", "archive/x/2", "archive/y", "archived", "z/1"):
        await both.put(key, b"data")
    await storage.put("archive/hidden", b"data")

    assert await names(both) == ["a", "archive/x/1", "archive/x/2", "archive/y", "archived", "z/1"]
    assert await names(both, page_size=1) == await names(both)
    assert await names(both, "archive") == ["archive/x/1", "archive/x/2", "archive/y", "archived"]
    assert await names(both, "archive/") == ["archive/x/1", "archive/x/2", "archive/y"]
    assert await names(both, "archive/x/") == ["archive/x/1", "archive/x/2"]
    assert await names(both, delimiter="/") == ["a", "archive/", "archived", "z/"]
    assert await names(both, "archive/", delimiter="/") == ["archive/x/", "archive/y"]
    assert await names(both, start_after="archive/x/1") == ["archive/x/2", "archive/y", "archived", "z/1"]
    assert await names(both, start_after="archive0") == ["archived", "z/1"]
    assert await names(both, start_after="archive/", delimiter="/") == ["archived", "z/"]


async def test_a_common_prefix_of_several_storages_is_one_entry(storage: Storage, files: Storage) -> None:
    other = routed({"a/one": files}, default=routed({"a/two": under(files, "two")}, default=storage))
    await other.put("a/one/x", b"data")
    assert await names(other, delimiter="/") == ["a/"]

    await other.put("a/own", b"data")

    assert await names(other, delimiter="/") == ["a/"]
    assert await names(other, "a/", delimiter="/") == ["a/one/", "a/own"]


async def test_token_of_another_listing(both: Storage) -> None:
    for token in ("x", "[7, null]", "[0]", '["a", "b"]'):
        with pytest.raises(InvalidRequestError, match="token"):
            await both.list_page("", token=token)


async def test_copies(both: Storage) -> None:
    """
    Within a storage by itself, and between two through this process.
    """
    await both.put("archive/a", b"data")
    await both.copy("archive/a", "archive/b")
    with pytest.raises(NotSupportedError, match="copy_between"):
        await both.copy("archive/a", "c")
    await copy_between(both, "archive/a", both, "c")
    await copy_tree(both, both, source_prefix="archive", target_prefix="tree")

    assert await names(both) == ["archive/a", "archive/b", "c", "tree/a", "tree/b"]
    assert await both.read("tree/b") == b"data"


async def test_bulk_deletion_spans_storages(both: Storage, faults: FaultyDriver) -> None:
    keys = ["a", "archive/a", "b", "archive/b"]
    for key in keys:
        await both.put(key, b"data")

    result = await both.bulk_delete(keys)

    assert (result.done, result.failed) == (4, 0)
    assert await names(both) == []


async def test_capabilities_are_what_all_can_do(both: Storage, storage: Storage, files: Storage) -> None:
    able = both.capabilities

    assert able.max_put_size == min(storage.capabilities.max_put_size, files.capabilities.max_put_size)
    assert able.min_part_size == max(storage.capabilities.min_part_size, files.capabilities.min_part_size)
    assert able.tags == min(storage.capabilities.tags, files.capabilities.tags)
    assert able.checksums == storage.capabilities.checksums & files.capabilities.checksums
    assert not able.sorted_listing
    with pytest.raises(NotSupportedError):
        both.native()
    assert both.describe()["routes"] == f"archive/ to {files.root}"


async def test_routes_to_wrappers(storage: Storage, files: Storage) -> None:
    """
    A part can be read-only.
    """
    both = routed({"archive": read_only(files)}, default=storage)
    await files.put("a", b"data")

    await both.put("a", b"mine")
    with pytest.raises(PermissionDeniedError):
        await both.put("archive/a", b"mine")
    assert await both.read("archive/a") == b"data"
    assert both.capabilities.multipart


async def test_closing_a_storage_closes_what_uses_it(both: Storage, storage: Storage, files: Storage) -> None:
    await both.aclose()
    await storage.put("a", b"data")
    await files.put("a", b"data")
    again = routed({"archive/": files}, default=storage)

    await files.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await again.read("a")
    assert await storage.read("a") == b"data"


@pytest.mark.parametrize("prefixes", [["", "a"], ["/"], ["a", "a/b"]])
async def test_bad_routes_are_refused(storage: Storage, files: Storage, prefixes: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        routed(dict.fromkeys(prefixes, files), default=storage)
