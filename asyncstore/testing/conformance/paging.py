"""
Pages of a listing, and changes between them.
"""

from __future__ import annotations

from typing import Final

import anyio
import pytest

from asyncstore.options import ListOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, relative, tagged
from asyncstore.testing.faults import FaultyDriver

_KEYS: Final = [f"{letter}{number}" for letter in "abc" for number in range(4)]
_TREE: Final = ["dir1/a", "dir1/b", "dir2/a", "dir2/sub/c", "dir2/sub/d", "file1", "file2", "x/y/z"]
_LEVEL: Final = [("dir1/", True), ("dir2/", True), ("file1", False), ("file2", False), ("x/", True)]


class Paging(Harness):
    """
    Every page size results in the same listing.
    """

    @pytest.mark.parametrize("size", [*range(1, 11), 12, 13, 100])
    async def test_pages_of_every_size(self, storage: Storage, size: int) -> None:
        """
        For every page size, no key is lost, repeated or reordered, and no page is too long.
        """
        await _write_all(storage, _KEYS)

        pages = await _pages(storage, ListOptions(page_size=size))

        assert [key for page in pages for key, _ in page] == _KEYS
        assert max(map(len, pages)) <= size

    @pytest.mark.parametrize("size", range(1, 11))
    async def test_levels_on_pages_of_every_size(self, storage: Storage, size: int) -> None:
        """
        A common prefix is listed once, wherever a page ends.
        """
        await _write_all(storage, _TREE)

        pages = await _pages(storage, ListOptions(page_size=size, delimiter="/"))

        assert [entry for page in pages for entry in page] == _LEVEL

    @tagged("list-order")
    @pytest.mark.parametrize("size", range(1, 11))
    async def test_levels_with_a_character_before_the_slash(self, storage: Storage, size: int) -> None:
        """
        ``t-/`` comes before ``t/``, though ``t`` comes before ``t-``, on pages of every size.
        """
        await _write_all(storage, ["t/x", "t-/x", "t/y", "t"])

        pages = await _pages(storage, ListOptions(page_size=size, delimiter="/"))

        assert [key for page in pages for key, _ in page] == ["t", "t-/", "t/"]

    async def test_exactly_one_page(self, storage: Storage) -> None:
        """
        A full last page has no token, or the page after it is empty.
        """
        keys = _KEYS[:5]
        await _write_all(storage, keys)

        pages = await _pages(storage, ListOptions(page_size=5))

        assert [page for page in pages if page] == [[(key, False) for key in keys]]

    async def test_token_can_be_used_again(self, storage: Storage) -> None:
        """
        A token is text that can be stored, and returns the same page each time.
        """
        await _write_all(storage, _KEYS)
        options = ListOptions(page_size=5)
        first = await storage.list_page(storage.root, options=options)

        once = await storage.list_page(storage.root, token=first.next_token, options=options)
        again = await storage.list_page(storage.root, token=first.next_token, options=options)

        assert isinstance(first.next_token, str)
        assert [relative(storage, info) for info in once.objects] == _KEYS[5:10]
        assert once.objects == again.objects

    async def test_insertion_between_pages(self, storage: Storage) -> None:
        """
        A key that is written into a page already listed does not change later pages.
        """
        await _write_all(storage, _KEYS)
        options = ListOptions(page_size=3)
        first = await storage.list_page(storage.root, options=options)
        await storage.put(storage.root / "a00", b"data")

        second = await storage.list_page(storage.root, token=first.next_token, options=options)

        assert [relative(storage, info) for info in second.objects] == _KEYS[3:6]

    async def test_deletion_between_pages(self, storage: Storage) -> None:
        """
        Keys that are deleted from a page already listed do not change later pages.
        """
        await _write_all(storage, _KEYS)
        options = ListOptions(page_size=3)
        first = await storage.list_page(storage.root, options=options)
        for key in _KEYS[:3]:
            await storage.delete(storage.root / key)

        second = await storage.list_page(storage.root, token=first.next_token, options=options)

        assert [relative(storage, info) for info in second.objects] == _KEYS[3:6]

    async def test_start_after_on_pages(self, storage: Storage) -> None:
        """
        ``start_after`` applies to the first page, and the token to the next ones.
        """
        await _write_all(storage, _KEYS)
        options = ListOptions(page_size=2, start_after=(storage.root / "b1").key)

        pages = await _pages(storage, options)

        assert [key for page in pages for key, _ in page] == ["b2", "b3", "c0", "c1", "c2", "c3"]

    async def test_pages_are_fetched_as_they_are_needed(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        A listing that stops early requests no further page, and holds no request.
        """
        await _write_all(storage, _KEYS)

        await anext(faulty.list(options=ListOptions(page_size=2)))

        assert faults.calls["list_page"] == 1
        assert faulty.statistics().requests_in_flight == 0

    async def test_more_than_a_thousand(self, storage: Storage) -> None:
        """
        All of 1,001 keys are listed, one more than a page of most providers has.
        """
        keys = [f"{number:04}" for number in range(1001)]
        await _write_all(storage, keys)

        assert await keys_of(storage) == keys


async def _write_all(storage: Storage, keys: list[str]) -> None:
    async with anyio.create_task_group() as group:
        for key in keys:
            group.start_soon(storage.put, storage.root / key, b"data")


async def _pages(storage: Storage, options: ListOptions) -> list[list[tuple[str, bool]]]:
    pages = []
    token = None
    while True:
        page = await storage.list_page(storage.root, token=token, options=options)
        pages.append([(relative(storage, info), info.is_prefix) for info in page.objects])
        token = page.next_token
        if token is None:
            return pages
