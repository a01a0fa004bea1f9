"""
Uploading one file, and downloading one object.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from asyncstore.errors import AlreadyExistsError, InvalidRequestError, NotFoundError, SourceChangedError
from asyncstore.options import ByteRange, DownloadOptions, KiB, MiB
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, requires, together, unfinished_uploads
from asyncstore.testing.conformance.payloads import SIZES, payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ProgressEvent

#: Sizes around the chunk of 1 MiB and around parts of 1.5 MiB.
_DOWNLOADS: Final = [0, 1, MiB - 1, MiB, MiB + 1, 1536 * KiB, 1536 * KiB + 1, 3 * MiB - 1, 3 * MiB, 3 * MiB + 1]


class Files(Harness):
    """
    Whole files, at every size at which the engine changes its strategy, without leftovers.
    """

    @pytest.mark.parametrize(
        "size", [*SIZES.values(), lambda _: MiB, lambda _: MiB + 1], ids=[*SIZES, "chunk", "chunk-and-one"]
    )
    async def test_upload(self, storage: Storage, tmp_path: Path, size: Callable[[int], int]) -> None:
        """
        The object has the bytes of the file, and the upload returns its size and ETag.
        """
        part = self.part_size(storage)
        data = payload(size(part))
        (tmp_path / "file").write_bytes(data)
        options = self.multipart_options(storage)

        info = await storage.upload(tmp_path / "file", storage.root / "key", options=options)

        assert await storage.read(storage.root / "key") == data
        assert (info.size, info.etag) == (len(data), (await storage.stat(storage.root / "key")).etag)
        assert (tmp_path / "file").read_bytes() == data

    @pytest.mark.parametrize("size", _DOWNLOADS)
    async def test_download(self, storage: Storage, tmp_path: Path, size: int) -> None:
        """
        The file has the bytes of the object, and the directory contains nothing else.
        """
        data = payload(size)
        await storage.put(storage.root / "key", data)
        options = DownloadOptions(part_size=1536 * KiB, max_concurrency=3)

        info = await storage.download(storage.root / "key", tmp_path / "file", options=options)

        assert (tmp_path / "file").read_bytes() == data
        assert info.size == size
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    @pytest.mark.parametrize("size", ["empty", "one-byte", "two-parts-and-more"])
    async def test_progress_of_one_object_adds_up(self, storage: Storage, tmp_path: Path, size: str) -> None:
        """
        In both directions, each byte is counted once, and the last event is ``done``.
        """
        part = self.part_size(storage)
        data = payload(SIZES[size](part))
        (tmp_path / "file").write_bytes(data)
        up: list[ProgressEvent] = []
        down: list[ProgressEvent] = []

        await storage.upload(
            tmp_path / "file",
            storage.root / "key",
            options=self.multipart_options(storage),
            progress=up.append,
        )
        await storage.download(
            storage.root / "key", tmp_path / "copy", options=DownloadOptions(part_size=MiB), progress=down.append
        )

        for events in (up, down):
            counts = [event.bytes_done for event in events]
            assert counts == sorted(counts)
            assert (events[-1].kind, events[-1].bytes_done, events[-1].bytes_total) == ("done", len(data), len(data))
            assert [event.kind for event in events].count("done") == 1

    async def test_progress_of_a_repeated_part(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        Bytes that a retry sends again are counted once; the retry is counted too.
        """
        part = self.part_size(storage)
        (tmp_path / "file").write_bytes(payload(part + 9))
        events: list[ProgressEvent] = []
        faults.lose_reply("upload_part" if storage.capabilities.multipart else "put")

        await faulty.upload(
            tmp_path / "file",
            faulty.root / "key",
            options=self.multipart_options(storage),
            progress=events.append,
        )

        assert (events[-1].bytes_done, events[-1].retries) == (part + 9, 1)

    async def test_missing_file(self, faulty: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
        """
        A missing file raises NotFoundError, and nothing is sent.
        """
        with pytest.raises(NotFoundError):
            await faulty.upload(tmp_path / "missing", faulty.root / "key")
        assert not faults.calls

    async def test_directory_is_refused(self, storage: Storage, tmp_path: Path) -> None:
        """
        A directory is refused in both directions.
        """
        await storage.put(storage.root / "key", b"data")

        with pytest.raises(InvalidRequestError):
            await storage.upload(tmp_path, storage.root / "other")
        with pytest.raises(InvalidRequestError):
            await storage.download(storage.root / "key", tmp_path)
        assert await keys_of(storage) == ["key"]

    @requires("multipart")
    async def test_file_that_changes_is_not_published(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A file that changes during its upload fails the upload, and nothing is published.
        """
        part = self.part_size(storage)
        path = tmp_path / "file"
        path.write_bytes(payload(part + 9))
        os.utime(path, (0, 0))
        stop = faults.hang("upload_part")

        async def change() -> None:
            await stop.reached()
            path.write_bytes(payload(part + 9, seed=1))
            stop.release()

        options = self.multipart_options(storage)
        with pytest.raises(SourceChangedError):
            await together(change(), faulty.upload(path, faulty.root / "key", options=options))

        assert await keys_of(storage) == []
        assert await unfinished_uploads(storage) == []

    async def test_missing_object_makes_no_file(self, storage: Storage, tmp_path: Path) -> None:
        """
        A failed download leaves nothing in the directory.
        """
        with pytest.raises(NotFoundError):
            await storage.download(storage.root / "missing", tmp_path / "file")
        assert list(tmp_path.iterdir()) == []

    async def test_download_replaces(self, storage: Storage, tmp_path: Path) -> None:
        """
        A download replaces an existing file, unless ``overwrite=False``.
        """
        await storage.put(storage.root / "key", b"new")
        (tmp_path / "file").write_bytes(b"a longer old one")

        with pytest.raises(AlreadyExistsError):
            await storage.download(storage.root / "key", tmp_path / "file", options=DownloadOptions(overwrite=False))
        kept = (tmp_path / "file").read_bytes()
        await storage.download(storage.root / "key", tmp_path / "file")

        assert kept == b"a longer old one"
        assert (tmp_path / "file").read_bytes() == b"new"

    async def test_download_makes_directories(self, storage: Storage, tmp_path: Path) -> None:
        """
        A download creates missing parent directories.
        """
        await storage.put(storage.root / "key", b"data")

        await storage.download(storage.root / "key", tmp_path / "a" / "b" / "file")

        assert (tmp_path / "a" / "b" / "file").read_bytes() == b"data"

    async def test_download_of_a_range(self, storage: Storage, tmp_path: Path) -> None:
        """
        A range of an object can be downloaded, also a range of several parts.
        """
        data = payload(4 * MiB)
        await storage.put(storage.root / "key", data)
        options = DownloadOptions(range=ByteRange(100, 3 * MiB + 7), part_size=MiB)

        await storage.download(storage.root / "key", tmp_path / "file", options=options)

        assert (tmp_path / "file").read_bytes() == data[100 : 3 * MiB + 7]
