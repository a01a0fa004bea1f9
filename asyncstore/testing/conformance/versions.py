"""
Object versions, where the provider keeps them.
"""

from __future__ import annotations

from typing import Final

import pytest

from asyncstore.errors import NotFoundError
from asyncstore.options import CopyOptions, DeleteOptions, ListOptions, ReadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, relative, requires, tagged
from asyncstore.types import ObjectInfo

_KEYS: Final = ["a/x", "a/y", "b", "c + d", "e%2Ff", "g/é"]


class Versions(Harness):
    """
    Overwritten and deleted versions can be listed, read, restored and deleted permanently.

    An id identifies a version of a key. Whether a deletion leaves a marker, and the order
    of the versions of one key, depend on the provider.
    """

    @requires("versions")
    async def test_overwritten_version_is_kept(self, versioned: Storage) -> None:
        """
        Each write makes a version with its own id; one is current, and each can be read by its id.
        """
        await _write(versioned, "key", b"one")
        await _write(versioned, "key", b"second")

        found = await _versions(versioned)

        assert sorted(info.size for info in found) == [3, 6]
        assert [info.size for info in found if info.is_current] == [6]
        assert len({info.version_id for info in found}) == 2
        assert not any(info.is_deleted or info.is_prefix for info in found)
        contents = {await versioned.read(info.uri, options=_at(info)) for info in found}
        assert contents == {b"one", b"second"}

    @requires("versions")
    async def test_write_returns_its_version(self, versioned: Storage) -> None:
        """
        A write returns the same version id as a listing and a stat.
        """
        info = await versioned.put(versioned.root / "key", b"data")

        assert [entry.version_id for entry in await _versions(versioned)] == [info.version_id]
        assert (await versioned.stat(info.uri)).version_id == info.version_id

    @requires("versions")
    async def test_deleted_object_is_kept(self, versioned: Storage) -> None:
        """
        After a deletion the key is missing and no version with bytes is current, but the id still reads the bytes.
        """
        await _write(versioned, "key", b"data")
        await versioned.delete(versioned.root / "key")

        found = await _versions(versioned)

        with pytest.raises(NotFoundError):
            await versioned.read(versioned.root / "key")
        assert await keys_of(versioned) == []
        (kept,) = [info for info in found if not info.is_deleted]
        assert kept.is_current is False
        assert await versioned.read(kept.uri, options=_at(kept)) == b"data"

    @requires("versions")
    async def test_version_is_deleted_for_good(self, versioned: Storage) -> None:
        """
        Deleting by id deletes only that version; after all are deleted, nothing remains.
        """
        await _write(versioned, "key", b"one")
        await _write(versioned, "key", b"second")
        (old,) = [info for info in await _versions(versioned) if not info.is_current]

        await versioned.delete(old.uri, options=DeleteOptions(version_id=old.version_id))

        (left,) = await _versions(versioned)
        assert left.is_current
        assert await versioned.read(left.uri) == b"second"
        await versioned.delete(left.uri, options=DeleteOptions(version_id=left.version_id))
        assert await _versions(versioned) == []

    @requires("versions", "copy")
    async def test_version_is_restored(self, versioned: Storage) -> None:
        """
        A restored version is current again, with its metadata, as a new version beside the others.
        """
        await versioned.put("key", b"one", metadata={"colour": "red"})
        await _write(versioned, "key", b"second")
        (old,) = [info for info in await _versions(versioned) if not info.is_current]
        assert old.version_id is not None

        restored = await versioned.restore_version("key", old.version_id)

        assert await versioned.read("key") == b"one"
        info = await versioned.stat("key")
        assert info.metadata == {"colour": "red"}
        assert restored.version_id == info.version_id != old.version_id
        assert sorted(info.size for info in await _versions(versioned)) == [3, 3, 6]

    @requires("versions", "copy")
    async def test_deleted_object_is_restored(self, versioned: Storage) -> None:
        """
        An object that was deleted exists again after a version of it was restored.
        """
        written = await versioned.put("key", b"data")
        await versioned.delete("key")
        assert written.version_id is not None

        await versioned.restore_version("key", written.version_id)

        assert await versioned.read("key") == b"data"
        assert await keys_of(versioned) == ["key"]

    @requires("versions", "copy")
    async def test_missing_version_is_not_restored(self, versioned: Storage) -> None:
        """
        A version that was deleted permanently cannot be restored, and the object stays as it is.
        """
        written = await versioned.put("key", b"one")
        await _write(versioned, "key", b"second")
        assert written.version_id is not None
        await versioned.delete("key", version_id=written.version_id)

        with pytest.raises(NotFoundError):
            await versioned.restore_version("key", written.version_id)

        assert await versioned.read("key") == b"second"

    @requires("versions", "copy")
    async def test_old_version_is_brought_back(self, versioned: Storage) -> None:
        """
        Copying an old version onto its key makes its bytes current again.
        """
        await _write(versioned, "key", b"one")
        await _write(versioned, "key", b"second")
        (old,) = [info for info in await _versions(versioned) if not info.is_current]

        await versioned.copy(old.uri, old.uri, options=CopyOptions(source_version_id=old.version_id))

        assert await versioned.read(old.uri) == b"one"
        assert len(await _versions(versioned)) == 3

    @requires("versions")
    @tagged("list-order")
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 12, 100])
    async def test_versions_on_pages_of_every_size(self, versioned: Storage, size: int) -> None:
        """
        For every page size, no version is lost, repeated or reordered, and versions of one key stay together.
        """
        for data in (b"one", b"second"):
            for key in _KEYS:
                await _write(versioned, key, data)

        found = await _versions(versioned, options=ListOptions(page_size=size))

        assert [relative(versioned, info) for info in found] == [key for key in _KEYS for _ in range(2)]
        assert len({(info.key, info.version_id) for info in found}) == 2 * len(_KEYS)
        assert sum(bool(info.is_current) for info in found) == len(_KEYS)

    @requires("versions")
    async def test_versions_under_a_prefix(self, versioned: Storage) -> None:
        """
        Only versions of keys that start with the prefix are listed.
        """
        for key in _KEYS:
            await _write(versioned, key, b"data")

        found = [info async for info in versioned.list_versions(versioned.root / "a/")]

        assert [relative(versioned, info) for info in found] == ["a/x", "a/y"]

    @requires("versions")
    async def test_versions_by_level(self, versioned: Storage) -> None:
        """
        With a delimiter, all versions under a common prefix are rolled up into one entry.
        """
        for key in ("a/x", "a/x", "a/y", "b"):
            await _write(versioned, key, b"data")

        found = await _versions(versioned, options=ListOptions(delimiter="/"))

        assert [(relative(versioned, info), info.is_prefix) for info in found] == [("a/", True), ("b", False)]

    @requires("versions")
    @tagged("versions-start-after")
    async def test_versions_after_a_key(self, versioned: Storage) -> None:
        """
        ``start_after`` excludes the key itself, with all of its versions.
        """
        for key in ("a", "a", "b", "b", "c"):
            await _write(versioned, key, b"data")
        after = (versioned.root / "a").key

        found = await _versions(versioned, options=ListOptions(start_after=after))

        assert [relative(versioned, info) for info in found] == ["b", "b", "c"]


async def _write(storage: Storage, key: str, data: bytes) -> None:
    await storage.put(storage.root / key, data)


async def _versions(storage: Storage, options: ListOptions | None = None) -> list[ObjectInfo]:
    return [info async for info in storage.list_versions(options=options or ListOptions())]


def _at(info: ObjectInfo) -> ReadOptions:
    return ReadOptions(version_id=info.version_id)
