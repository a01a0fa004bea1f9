"""
An operation leaves nothing behind when it is cancelled at any moment, with real threads.

The systematic tests do the threads' work in the loop; these find the threads in
whatever state they are.
"""

import asyncio
import gzip
from pathlib import Path
from random import Random

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, Upload
from tests.build import KEY, ROOT, at_rest, open_files, patterned, written
from tests.stepping import WAYS, Cancelled, cancelled_at

DATA = patterned(60_000)
PARTS = UploadOptions(part_size=5000, multipart_threshold=5000)
RANGES = DownloadOptions(part_size=5000, sync=False)
BULK = BulkOptions(upload=PARTS, download=RANGES)
NOISE = Random(5).randbytes(300_000)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bulk", [False, True])
async def test_uploads(tmp_path: Path, small_chunks: int, way: type[Cancelled], bulk: bool) -> None:
    path = written(tmp_path / "file", DATA)
    for step in range(1, 400, 13):
        memory = MemoryDriver()
        faults = FaultyDriver(memory)
        storage = faults.storage(ROOT, max_buffer_bytes=30_000)
        before = open_files()
        if bulk:
            items = [Upload(path, ROOT / f"{number}") for number in range(3)]
            await cancelled_at(step, way(), lambda: storage.bulk_upload(items, options=BULK))  # noqa: B023
        else:
            await cancelled_at(step, way(), lambda: storage.upload(path, KEY, options=PARTS))  # noqa: B023

        assert {} == memory.uploads
        assert set(memory.objects.values()) <= {DATA}
        assert before == open_files()
        at_rest(storage, faults)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bulk", [False, True])
async def test_downloads(tmp_path: Path, small_chunks: int, way: type[Cancelled], bulk: bool) -> None:
    memory = MemoryDriver()
    faults = FaultyDriver(memory)
    storage = faults.storage(ROOT, max_buffer_bytes=30_000)
    await storage.put(KEY, DATA)
    for step in range(1, 400, 13):
        before = open_files()
        if bulk:
            items = [Download(KEY, tmp_path / f"{number}") for number in range(3)]
            await cancelled_at(step, way(), lambda: storage.bulk_download(items, options=BULK))  # noqa: B023
        else:
            await cancelled_at(step, way(), lambda: storage.download(KEY, tmp_path / "0", options=RANGES))

        assert {"0", "1", "2"} >= {path.name for path in tmp_path.iterdir()}
        assert {path.read_bytes() for path in tmp_path.iterdir()} <= {DATA}
        assert before == open_files()
        at_rest(storage, faults)
        for path in tmp_path.iterdir():
            path.unlink()
    await asyncio.sleep(0)


@pytest.mark.parametrize("way", WAYS)
async def test_reads_into_memory(small_chunks: int, way: type[Cancelled]) -> None:
    faults = FaultyDriver(MemoryDriver())
    storage = faults.storage(ROOT)
    await storage.put(KEY, DATA)
    for step in range(1, 400, 13):
        buffer = bytearray(len(DATA))
        await cancelled_at(step, way(), lambda: storage.read_into(KEY, buffer, options=RANGES))  # noqa: B023

        # Refused while a thread writes to it.
        buffer.clear()
        at_rest(storage, faults)


@pytest.mark.parametrize("way", WAYS)
async def test_files_that_are_written(small_chunks: int, way: type[Cancelled]) -> None:
    async def write(storage: Storage) -> None:
        async with storage.open(KEY, "wb", options=PARTS, compression="gzip") as file:
            for start in range(0, len(NOISE), 100_000):
                await file.write(NOISE[start : start + 100_000])

    for step in range(1, 400, 13):
        memory = MemoryDriver()
        faults = FaultyDriver(memory)
        storage = faults.storage(ROOT, max_buffer_bytes=30_000)
        await cancelled_at(step, way(), lambda: write(storage))  # noqa: B023

        assert {} == memory.uploads
        for data in memory.objects.values():
            assert await asyncio.to_thread(gzip.decompress, data) == NOISE
        at_rest(storage, faults)
    await asyncio.sleep(0)
