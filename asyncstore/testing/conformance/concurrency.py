"""
Concurrent work within the configured limits.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import anyio

from asyncstore.options import BulkOptions, DownloadOptions, KiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, keys_of, requires, unfinished_uploads
from asyncstore.testing.conformance.payloads import async_chunks, payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, Upload

_MOMENT: Final = 0.002


class Concurrency(Harness):
    """
    Cross-talk, limits of requests and memory, and their release.
    """

    async def test_no_crosstalk(self, storage: Storage) -> None:
        """
        Twenty objects written and read concurrently do not mix.
        """
        objects = {f"{number}": payload(4 * KiB, seed=number) for number in range(20)}
        found: dict[str, bytes] = {}

        async def read(key: str) -> None:
            found[key] = await storage.read(storage.root / key)

        async with anyio.create_task_group() as group:
            for key, data in objects.items():
                group.start_soon(storage.put, storage.root / key, data)
        async with anyio.create_task_group() as group:
            for key in objects:
                group.start_soon(read, key)

        assert found == objects

    async def test_requests_in_flight(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A bulk upload of many parts uses all of ``max_requests``, and no more.
        """
        part = self.part_size(storage)
        narrow = self.rewrap(storage, faults, max_requests=3)
        items = _files(tmp_path, storage, [part + 9, part + 9, 1000, 1000, 1000, storage.capabilities.min_object_size])
        for op in ("put", "upload_part"):
            faults.slow(op, _MOMENT)
        options = self.multipart_options(storage)

        result = await narrow.bulk_upload(items, options=BulkOptions(upload=options))

        assert (result.done, result.failed) == (6, 0)
        assert faults.peak["all"] == 3
        assert narrow.statistics().requests_peak == 3
        assert is_idle(narrow, faults)

    async def test_requests_in_flight_while_downloading(
        self, storage: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A body that is read counts as a request until it is closed.
        """
        size = 256 * KiB
        for number in range(6):
            await storage.put(storage.root / f"{number}", payload(size + number))
        narrow = self.rewrap(storage, faults, max_requests=2)
        faults.slow("read", _MOMENT)
        items = [Download(storage.root / f"{number}", tmp_path / f"{number}") for number in range(6)]

        result = await narrow.bulk_download(items)

        assert (result.done, result.failed) == (6, 0)
        assert faults.peak["all"] <= 2
        assert is_idle(narrow, faults)

    async def test_one_request_is_enough(self, storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
        """
        With ``max_requests=1`` every operation still completes.
        """
        part = self.part_size(storage)
        narrow = self.rewrap(storage, faults, max_requests=1)
        options = self.multipart_options(storage)
        target = storage.root / "key"
        data = payload(part + 9)

        await narrow.put(target, async_chunks(data), options=options)
        await narrow.download(target, tmp_path / "file", options=DownloadOptions(part_size=part // 2))
        read = await narrow.read_ranges(target, [])

        assert list(read) == []
        assert (tmp_path / "file").read_bytes() == data
        assert faults.peak["all"] == 1

    @requires("multipart")
    async def test_bytes_in_memory(self, storage: Storage, faults: FaultyDriver) -> None:
        """
        Concurrent streams share ``max_buffer_bytes``, and all complete.
        """
        part = self.part_size(storage)
        narrow = self.rewrap(storage, faults, max_buffer_bytes=2 * part)
        options = self.multipart_options(storage)
        data = payload(2 * part + 9)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(_put, narrow, f"{number}", data, options)

        assert 0 < narrow.statistics().bytes_peak <= 2 * part
        assert [await storage.read(storage.root / key) == data for key in "012"] == [True, True, True]
        assert is_idle(narrow, faults)

    @requires("multipart")
    async def test_less_memory_than_a_part(self, storage: Storage, faults: FaultyDriver) -> None:
        """
        A stream is written even if only one part fits into ``max_buffer_bytes``.
        """
        part = self.part_size(storage)
        narrow = self.rewrap(storage, faults, max_buffer_bytes=part)
        options = self.multipart_options(storage)
        data = payload(part + 9)

        with anyio.fail_after(30):
            await _put(narrow, "key", data, options)

        assert await storage.read(storage.root / "key") == data
        assert narrow.statistics().bytes_peak <= part
        assert is_idle(narrow, faults)

    @requires("multipart")
    async def test_files_written_in_turn(self, storage: Storage, faults: FaultyDriver) -> None:
        """
        One task writes more files in turn than ``max_buffer_bytes`` has parts.
        """
        part = self.part_size(storage)
        narrow = self.rewrap(storage, faults, max_buffer_bytes=part)
        options = self.multipart_options(storage)
        data = payload(part + 9)

        with anyio.fail_after(30):
            async with AsyncExitStack() as stack:
                targets = [storage.root / key for key in "012"]
                files = [await stack.enter_async_context(narrow.open(uri, "wb", options=options)) for uri in targets]
                for start in range(0, len(data), part // 2):
                    for file in files:
                        await file.write(data[start : start + part // 2])

        assert [await storage.read(uri) == data for uri in targets] == [True, True, True]
        assert is_idle(narrow, faults)

    async def test_everything_is_released(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        After operations of every kind, some of which failed, no request and no memory is held.
        """
        part = self.part_size(storage)
        upload = self.multipart_options(storage)
        items = _files(tmp_path / "up", storage, [part + 9, 1000, storage.capabilities.min_object_size])
        faults.fail("put", times=3)
        faults.fail("upload_part", times=1)

        await faulty.bulk_upload(
            [*items, Upload(tmp_path / "missing", storage.root / "x")], options=BulkOptions(upload=upload)
        )
        await faulty.bulk_download(
            Download(item.target, tmp_path / "down" / item.source.name) for item in [*items, items[0]]
        )
        await faulty.bulk_delete(item.target for item in items)

        assert is_idle(faulty, faults)
        assert await keys_of(storage) == []
        assert await unfinished_uploads(storage) == []


async def _put(storage: Storage, key: str, data: bytes, options: UploadOptions) -> None:
    await storage.put(storage.root / key, async_chunks(data), options=options)


def _files(folder: Path, storage: Storage, sizes: list[int]) -> list[Upload]:
    folder.mkdir(exist_ok=True)
    items = []
    for number, size in enumerate(sizes):
        (folder / f"{number}").write_bytes(payload(size, seed=number))
        items.append(Upload(folder / f"{number}", storage.root / f"{number}"))
    return items
