"""
Listing: which keys, and in which order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from asyncstore.options import ListOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, relative, tagged


class Listing(Harness):
    """
    Prefixes, delimiters, order and ``start_after``.
    """

    async def test_no_objects(self, storage: Storage) -> None:
        """
        Listing an empty bucket or a prefix without objects returns nothing, without an error.
        """
        assert await keys_of(storage) == []
        assert await keys_of(storage, "no/such/prefix/") == []

    async def test_prefix_is_a_raw_string(self, storage: Storage) -> None:
        """
        A prefix can end anywhere in a key, not only at a slash.
        """
        await _write(storage, ["foo", "foo.bar/x", "foo/x", "fo", "f", "g", "bar/foo"])

        assert sorted(await keys_of(storage, "fo")) == ["fo", "foo", "foo.bar/x", "foo/x"]
        assert await keys_of(storage, "foo/") == ["foo/x"]
        assert await keys_of(storage, "foo.b") == ["foo.bar/x"]
        assert await keys_of(storage, "foo/x/") == []

    async def test_whole_key_as_prefix(self, storage: Storage) -> None:
        """
        A whole key used as a prefix matches the object itself.
        """
        await _write(storage, ["key", "key2"])

        assert await keys_of(storage, "key2") == ["key2"]
        assert await keys_of(storage, "key") == ["key", "key2"]

    async def test_root_without_a_prefix(self, storage: Storage) -> None:
        """
        Without a prefix, everything under the root is listed.
        """
        await _write(storage, ["a", "b/c"])

        assert [relative(storage, info) async for info in storage.list()] == ["a", "b/c"]

    @tagged("list-order")
    async def test_byte_order_of_whole_keys(self, storage: Storage) -> None:
        """
        Keys are sorted by their bytes: a slash is an ordinary character.
        """
        keys = ["a", "a b", "a!", "a-x", "a.x", "a/", "a/b", "a/b/c", "a0", "aa", "a~", "B", "b", "é", "\uff5e", "😀"]
        await _write(storage, keys)

        assert await keys_of(storage) == sorted(keys)
        assert sorted(keys) == sorted(keys, key=str.encode)

    async def test_order_beyond_the_basic_plane(self, storage: Storage) -> None:
        """
        Keys are sorted by UTF-8, not by UTF-16.
        """
        keys = ["x\ue000", "x\uff5e", "x\U00010000", "x\U0001f600"]
        await _write(storage, reversed(keys))

        assert await keys_of(storage) == keys

    async def test_sizes_are_listed(self, storage: Storage) -> None:
        """
        Each entry has the size of its object.
        """
        for size in range(4):
            await storage.put(storage.root / f"{size}", bytes(size))

        assert [info.size async for info in storage.list()] == [0, 1, 2, 3]

    @pytest.mark.parametrize("delimiter", ["/", "\\", "abc"], ids=["slash", "backslash", "word"])
    async def test_delimiter(self, storage: Storage, delimiter: str) -> None:
        """
        Any text can be the delimiter.
        """
        keys = [f"1{delimiter}x", f"1{delimiter}y{delimiter}z", "2", f"3{delimiter}x", f"{delimiter}4"]
        await _write(storage, keys)

        assert await _level(storage, "", delimiter) == sorted(
            [(f"1{delimiter}", True), ("2", False), (f"3{delimiter}", True), (delimiter, True)]
        )
        assert await _level(storage, f"1{delimiter}", delimiter) == [
            (f"1{delimiter}x", False),
            (f"1{delimiter}y{delimiter}", True),
        ]

    async def test_delimiter_under_part_of_a_name(self, storage: Storage) -> None:
        """
        Under a prefix that ends within a name, common prefixes end at the next delimiter.
        """
        await _write(storage, ["foo/1", "foo.bar/2", "food", "fo/3", "f/4"])

        assert await _level(storage, "foo", "/") == [("foo.bar/", True), ("foo/", True), ("food", False)]

    async def test_delimiter_in_the_prefix(self, storage: Storage) -> None:
        """
        A delimiter within the prefix does not count; an empty name between two delimiters does.
        """
        await _write(storage, ["a/b/c", "a//d", "a/e"])

        assert await _level(storage, "a/", "/") == [("a//", True), ("a/b/", True), ("a/e", False)]

    async def test_folder_object(self, storage: Storage) -> None:
        """
        A key that ends in the delimiter is listed as a prefix one level up, and as an object under itself.
        """
        await _write(storage, ["dir/", "dir/x"])

        assert await _level(storage, "", "/") == [("dir/", True)]
        assert await _level(storage, "dir/", "/") == [("dir/", False), ("dir/x", False)]

    async def test_prefix_vanishes_with_its_last_object(self, storage: Storage) -> None:
        """
        A common prefix disappears with its last object: there are no folders.
        """
        await _write(storage, ["dir1/x", "dir2/x", "dir2/sub/y"])
        await storage.delete(storage.root / "dir2/x")
        await storage.delete(storage.root / "dir2/sub/y")

        assert await _level(storage, "", "/") == [("dir1/", True)]
        assert await keys_of(storage) == ["dir1/x"]

    async def test_object_and_prefix_of_one_name(self, storage: Storage) -> None:
        """
        An object ``a`` and the prefix ``a/`` are two entries.
        """
        await _write(storage, ["a", "a/b", "c"])

        assert await _level(storage, "", "/") == [("a", False), ("a/", True), ("c", False)]

    async def test_start_after_is_exclusive(self, storage: Storage) -> None:
        """
        A listing starts after the given key, whether the key exists or not.
        """
        await _write(storage, ["a", "b", "b1", "c/d", "e"])

        assert await self._after(storage, "", "b") == ["b1", "c/d", "e"]
        assert await self._after(storage, "", "b0") == ["b1", "c/d", "e"]
        assert await self._after(storage, "", "e") == []
        assert await self._after(storage, "", "") == ["a", "b", "b1", "c/d", "e"]

    async def test_start_after_with_a_prefix(self, storage: Storage) -> None:
        """
        A start before the prefix has no effect; one after the prefix's last key leaves nothing.
        """
        await _write(storage, ["a", "b/1", "b/2", "b/3", "c"])

        assert await self._after(storage, "b/", "a") == ["b/1", "b/2", "b/3"]
        assert await self._after(storage, "b/", "b/1") == ["b/2", "b/3"]
        assert await self._after(storage, "b/", "b/3") == []
        assert await self._after(storage, "b/", "c") == []

    async def test_start_after_with_a_delimiter(self, storage: Storage) -> None:
        """
        With a delimiter, only common prefixes after the start are listed.
        """
        await _write(storage, ["a/1", "b/1", "b/2", "c", "d/1"])

        assert await self._after(storage, "", "a/~", "/") == ["b/", "c", "d/"]
        assert await self._after(storage, "", "b/", "/") == ["c", "d/"]
        assert await self._after(storage, "", "c", "/") == ["d/"]

    @tagged("list-order")
    async def test_start_after_among_slashes(self, storage: Storage) -> None:
        """
        ``start_after`` compares bytes too.
        """
        await _write(storage, ["a-x", "a.x", "a/x", "a0"])

        assert await self._after(storage, "", "a-x") == ["a.x", "a/x", "a0"]
        assert await self._after(storage, "", "a/") == ["a/x", "a0"]

    async def test_parallel_listing(self, storage: Storage) -> None:
        """
        With requests in parallel, each key comes once, in the same order.
        """
        keys = [f"{folder}/{number:02}" for folder in ("a", "a/b", "c", "d") for number in range(12)]
        await _write(storage, [*keys, "a.txt", "a0", "b"])

        plain = await keys_of(storage)
        for page_size in (3, 10):
            options = ListOptions(page_size=page_size, max_concurrency=4)
            assert await keys_of(storage, options=options) == plain
            after = replace(options, start_after=(storage.root / "a/b/03").key)
            assert await keys_of(storage, options=after) == [key for key in plain if key > "a/b/03"]

    async def test_glob(self, storage: Storage) -> None:
        """
        A glob finds the keys that match it, at any level where it says so.
        """
        await _write(storage, ["a/1.txt", "a/2.csv", "a/b/3.txt", "a/b/c/4.txt", "b/5.txt", "6.txt"])

        assert await _found(storage, "*.txt") == ["6.txt"]
        assert await _found(storage, "a/*.txt") == ["a/1.txt"]
        assert await _found(storage, "*/[!1].txt") == ["b/5.txt"]
        assert await _found(storage, "a/**/*.txt") == ["a/1.txt", "a/b/3.txt", "a/b/c/4.txt"]
        assert await _found(storage, "?/b/**") == ["a/b/3.txt", "a/b/c/4.txt"]
        assert await _found(storage, "a/1.txt") == ["a/1.txt"]
        assert await _found(storage, "a") == []

    async def _after(self, storage: Storage, prefix: str, key: str, delimiter: str | None = None) -> list[str]:
        options = ListOptions(start_after=(storage.root / key).key, delimiter=delimiter)
        return await keys_of(storage, prefix, options)


async def _found(storage: Storage, pattern: str) -> list[str]:
    return sorted([relative(storage, info) async for info in storage.glob(pattern)])


async def _write(storage: Storage, keys: Iterable[str]) -> None:
    for key in keys:
        await storage.put(storage.root / key, b"data")


async def _level(storage: Storage, prefix: str, delimiter: str) -> list[tuple[str, bool]]:
    listing = storage.list(storage.root / prefix, options=ListOptions(delimiter=delimiter))
    return [(relative(storage, info), info.is_prefix) async for info in listing]
