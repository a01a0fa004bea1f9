"""
Cancelled at any moment, with real threads at work, an operation leaves nothing behind.

The systematic tests do the threads' work in the loop; these find the threads in
whatever state they are.
"""

import asyncio
from pathlib import Path

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, Upload
from tests.engine.build import KEY, ROOT, at_rest, open_files, patterned, written
from tests.engine.stepping import WAYS, Cancelled, cancelled_at

DATA = patterned(60_000)
PARTS = UploadOptions(part_size=5000, multipart_threshold=5000)
RANGES = DownloadOptions(part_size=5000, sync=False)
BULK = BulkOptions(upload=PARTS, download=RANGES)


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
