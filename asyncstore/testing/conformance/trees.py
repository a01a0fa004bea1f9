"""
Trees of files and objects: what moves, and with how many requests.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from asyncstore.options import BulkOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.storage.compare import SyncOptions
from asyncstore.storage.content import stored_checksums
from asyncstore.storage.sync import sync_tree
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.tree_verbs import copy_tree, delete_tree, download_tree, upload_tree
from asyncstore.testing.conformance.harness import Harness, keys_of, requires, tagged
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Upload

_CREATE = BulkOptions(upload=UploadOptions(if_none_match="*"))


class Trees(Harness):
    """
    A tree moves once; a second time only what has changed does.
    """

    async def test_tree_verbs(self, storage: Storage, tmp_path: Path) -> None:
        """
        A tree is uploaded, downloaded, copied, and deleted again.
        """
        tree = _tree(tmp_path / "up", {"dir/a": b"one", "dir/b": b"two", "dir/c": b"three"})

        results = [await upload_tree(tmp_path / "up", storage, prefix="one")]
        results.append(await copy_tree(storage, storage, source_prefix="one", target_prefix="two"))
        results.append(await delete_tree(storage, prefix="one"))
        results.append(await download_tree(storage, tmp_path / "down", prefix="two"))

        assert [(result.done, result.failed) for result in results] == [(len(tree), 0)] * 4
        assert await keys_of(storage) == [f"two/{name}" for name in sorted(tree, key=str.encode)]
        assert {name: (tmp_path / "down" / name).read_bytes() for name in tree} == tree

    @requires("conditional_create")
    @pytest.mark.parametrize("verb", ["bulk", "tree"])
    async def test_existing_objects_are_looked_for_and_not_sent(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, verb: str
    ) -> None:
        """
        A create-only run over existing objects sends one request for each, and no bytes; one more for what is new.
        """
        tree = _tree(tmp_path, {"dir/a": b"one", "dir/b": payload(self.part_size(storage) + 9)})
        await upload_tree(tmp_path, storage)
        faults.calls.clear()

        if verb == "bulk":
            items = [Upload(tmp_path / name, storage.root / name) for name in tree]
            result = await faulty.bulk_upload(items, options=_CREATE)
        else:
            result = await upload_tree(tmp_path, faulty, options=TreeOptions(bulk=_CREATE))

        assert (result.done, result.skipped, result.failed) == (0, len(tree), 0)
        assert faults.calls == {"stat": len(tree)}

        _tree(tmp_path, {"dir/new": b"new"})
        faults.calls.clear()
        new = await faulty.bulk_upload([Upload(tmp_path / "dir/new", storage.root / "dir/new")], options=_CREATE)

        assert (new.done, faults.calls["stat"], faults.calls["put"]) == (1, 1, 1)

    async def test_second_sync_needs_only_the_listing(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        No object bytes move, up or down, and no request is sent but those of the listing.
        """
        tree = _tree(tmp_path / "up", {"dir/a": b"one", "dir/b": b"two", "dir/c": payload(self.part_size(storage) + 9)})
        await sync_tree(tmp_path / "up", storage)
        await sync_tree(storage, tmp_path / "down")
        faults.calls.clear()

        up = await sync_tree(tmp_path / "up", faulty)
        down = await sync_tree(faulty, tmp_path / "down", options=SyncOptions(delete=True))

        assert (up.transferred.done, down.transferred.done, up.ok, down.ok) == (0, 0, True, True)
        assert set(faults.calls) == {"list_page"}
        assert faults.calls["list_page"] == 2 * await _pages(faulty, faults)
        assert {name: (tmp_path / "down" / name).read_bytes() for name in tree} == tree

    async def test_changed_files_are_mended(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A truncated file is fetched again, and no other; one altered byte is found by checksum.
        """
        tree = _tree(tmp_path / "up", {"dir/a": b"one", "dir/b": b"two", "dir/c": b"three"})
        await sync_tree(tmp_path / "up", storage)
        await sync_tree(storage, tmp_path / "down")
        faults.calls.clear()

        (tmp_path / "down/dir/c").write_bytes(b"thr")
        truncated = await sync_tree(faulty, tmp_path / "down")
        read = Counter(faults.calls)["open_read"]
        _alter(tmp_path / "down/dir/a")
        altered = await sync_tree(faulty, tmp_path / "down", compare="checksum")

        assert (truncated.transferred.done, read) == (1, 1)
        assert altered.ok
        assert {name: (tmp_path / "down" / name).read_bytes() for name in tree} == tree

    @tagged("whole-checksums")
    async def test_only_the_altered_file_is_fetched(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A comparison by checksum finds one altered byte, also in an object made of parts, and fetches nothing else.
        """
        data = {"dir/a": self.two_parts(storage, 1), "dir/b": self.two_parts(storage, 2), "dir/c": b"three"}
        tree = _tree(tmp_path / "up", data)
        await sync_tree(tmp_path / "up", storage, bulk=BulkOptions(upload=self.multipart_options(storage)))
        if not await stored_checksums(storage, await storage.stat(storage.root / "dir/a")):
            pytest.xfail(f"{storage.provider} stores no checksum of the bytes")
        await sync_tree(storage, tmp_path / "down")
        _alter(tmp_path / "down/dir/a")

        unseen = await sync_tree(storage, tmp_path / "down")
        altered = await sync_tree(faulty, tmp_path / "down", compare="checksum")

        assert (unseen.transferred.done, altered.transferred.done, altered.ok) == (0, 1, True)
        assert faults.calls["open_read"] >= 1
        assert {name: (tmp_path / "down" / name).read_bytes() for name in tree} == tree


def _alter(path: Path) -> None:
    """Alter the last byte of a file, and neither its size nor its time."""
    times = path.stat()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


async def _pages(storage: Storage, faults: FaultyDriver) -> int:
    before = faults.calls["list_page"]
    await keys_of(storage)
    return faults.calls["list_page"] - before


def _tree(folder: Path, tree: Mapping[str, bytes]) -> Mapping[str, bytes]:
    # Some services tell times in whole seconds: a file that is as old as its object would be compared by checksum.
    before = time.time() - 60
    for name, data in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        os.utime(folder / name, (before, before))
    return tree
