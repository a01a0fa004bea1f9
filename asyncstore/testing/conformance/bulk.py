"""
Bulk uploads and downloads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncstore.errors import AlreadyExistsError, NotFoundError
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, relative, requires
from asyncstore.testing.conformance.payloads import payload
from asyncstore.types import Download, ProgressEvent, Upload


class Bulk(Harness):
    """
    Each item has an outcome.
    """

    async def test_tree_up_and_down(self, storage: Storage, tmp_path: Path) -> None:
        """
        A tree of files is the same after an upload and a download.
        """
        tree = _tree(tmp_path / "up", self.part_size(storage), storage.capabilities.min_object_size)
        options = BulkOptions(upload=self.multipart_options(storage))

        up = await storage.bulk_upload(
            (Upload(tmp_path / "up" / name, storage.root / name) for name in tree), options=options
        )
        down = await storage.bulk_download(self._listed(storage, tmp_path / "down"))

        total = sum(map(len, tree.values()))
        assert (up.done, up.failed, up.total_bytes) == (len(tree), 0, total)
        assert (down.done, down.failed, down.total_bytes) == (len(tree), 0, total)
        assert {name: (tmp_path / "down" / name).read_bytes() for name in tree} == tree
        assert await keys_of(storage) == sorted(tree)

    async def test_failures_are_outcomes(self, storage: Storage, tmp_path: Path) -> None:
        """
        A failed item does not stop the others, and its outcome has the error.
        """
        (tmp_path / "there").write_bytes(b"data")
        items = [Upload(tmp_path / name, storage.root / name) for name in ("missing", "there")]

        result = await storage.bulk_upload(items)

        (failure,) = result.failures
        assert (result.done, result.failed) == (1, 1)
        assert isinstance(failure.error, NotFoundError)
        assert failure.source == tmp_path / "missing"
        assert await keys_of(storage) == ["there"]
        with pytest.raises(ExceptionGroup):
            result.raise_for_failures()

    async def test_missing_objects_are_outcomes(self, storage: Storage, tmp_path: Path) -> None:
        """
        A missing object fails only its own item, and creates no file.
        """
        await storage.put(storage.root / "there", b"data")
        items = [Download(storage.root / name, tmp_path / name) for name in ("missing", "there")]

        result = await storage.bulk_download(items)

        (failure,) = result.failures
        assert isinstance(failure.error, NotFoundError)
        assert [path.name for path in tmp_path.iterdir()] == ["there"]

    async def test_bulk_download_stops_on_the_first_error(self, storage: Storage, tmp_path: Path) -> None:
        """
        ``stop_on_error=True`` raises the first error by itself.
        """
        with pytest.raises(NotFoundError):
            await storage.bulk_download(
                [Download(storage.root / "missing", tmp_path / "file")], options=BulkOptions(stop_on_error=True)
            )

    @requires("conditional_create")
    async def test_existing_objects_are_skipped(self, storage: Storage, tmp_path: Path) -> None:
        """
        A create-only bulk upload skips existing objects.
        """
        await storage.put(storage.root / "a", b"old")
        for name in "ab":
            (tmp_path / name).write_bytes(b"new")
        items = [Upload(tmp_path / name, storage.root / name) for name in "ab"]

        result = await storage.bulk_upload(items, options=BulkOptions(upload=UploadOptions(if_none_match="*")))

        assert (result.done, result.skipped, result.failed) == (1, 1, 0)
        assert await storage.read(storage.root / "a") == b"old"
        assert await storage.read(storage.root / "b") == b"new"

    async def test_existing_files_are_skipped(self, storage: Storage, tmp_path: Path) -> None:
        """
        With ``overwrite=False``, existing files are skipped.
        """
        (tmp_path / "a").write_bytes(b"old")
        for key in "ab":
            await storage.put(storage.root / key, b"new")
        options = BulkOptions(download=DownloadOptions(overwrite=False))

        result = await storage.bulk_download(
            [Download(storage.root / key, tmp_path / key) for key in "ab"], options=options
        )

        assert (result.done, result.skipped, result.failed) == (1, 1, 0)
        assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"old", b"new"]
        with pytest.raises(AlreadyExistsError):
            await storage.download(storage.root / "a", tmp_path / "a", options=options.download)

    async def test_progress_of_many_adds_up(self, storage: Storage, tmp_path: Path) -> None:
        """
        Counts only grow and end at the totals; the last event, and no other, is ``done``.
        """
        tree = _tree(tmp_path, self.part_size(storage), storage.capabilities.min_object_size)
        events: list[ProgressEvent] = []

        await storage.bulk_upload(
            [Upload(tmp_path / name, storage.root / name) for name in tree], progress=events.append
        )

        done = [event.bytes_done for event in events]
        assert done == sorted(done)
        assert [event.kind for event in events].count("done") == 1
        last = events[-1]
        assert (last.kind, last.objects_done, last.objects_total) == ("done", len(tree), len(tree))
        assert last.bytes_done == last.bytes_total == sum(map(len, tree.values()))

    async def _listed(self, storage: Storage, folder: Path) -> AsyncIterator[Download]:
        async for info in storage.list():
            yield Download(info.uri, folder / relative(storage, info))


def _tree(folder: Path, part: int, smallest: int) -> dict[str, bytes]:
    tree = {f"dir{number % 3}/sub/{number}": payload(number * 100 or smallest, seed=number) for number in range(20)}
    tree |= {"smallest": payload(smallest), "large": payload(part + 9)}
    for name, data in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return tree
