"""
Without multipart uploads, a large file is streamed by one request, not held in memory.
"""

import os
from pathlib import Path

import pytest

from asyncstore.driver.body import Body
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import InvalidRequestError, SourceChangedError
from asyncstore.options import MiB, UploadOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm, ObjectInfo, ProgressEvent
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT, at_rest, changed, patterned, stream, written

LARGE = UploadOptions(multipart_threshold=1000)


class Watching(MemoryDriver):
    """
    Memory that records what it gets, and lets the file change before reading it.
    """

    bodies: list[Body]
    touched: Path | None = None

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        self.bodies = [*getattr(self, "bodies", []), body]
        if self.touched is not None:
            os.utime(self.touched, ns=(1, 1))
        return await super().put(uri, body, options)


@pytest.fixture
def memory() -> MemoryDriver:
    return Watching()


@pytest.fixture(autouse=True)
def without_parts(faults: FaultyDriver) -> None:
    changed(faults, multipart=False)


async def test_one_request_that_is_not_held(
    storage: Storage, faults: FaultyDriver, memory: Watching, small_chunks: int, tmp_path: Path
) -> None:
    """The file is streamed, not loaded into memory."""
    await storage.upload(written(tmp_path / "file", patterned(3500)), KEY, options=LARGE)

    assert patterned(3500) == memory.objects[KEY.key]
    assert 1 == faults.calls["put"]
    assert [None] == [body.data for body in memory.bodies]
    at_rest(storage, faults)


async def test_memory(faults: FaultyDriver, tmp_path: Path) -> None:
    """Memory use does not grow with the file."""
    storage = faults.storage(ROOT)
    await storage.upload(written(tmp_path / "file", bytes(20 * MiB)), KEY)

    assert storage.statistics().bytes_peak <= 2 * MiB
    at_rest(storage, faults)


async def test_it_can_be_retried(storage: Storage, faults: FaultyDriver, small_chunks: int, tmp_path: Path) -> None:
    """After a lost reply the file is read again from the start, and its bytes count once."""
    seen: list[ProgressEvent] = []
    faults.lose_reply("put")
    await storage.upload(written(tmp_path / "file", patterned(3500)), KEY, options=LARGE, progress=seen.append)

    assert patterned(3500) == await storage.read(KEY)
    assert 2 == faults.calls["put"]
    assert 3500 == seen[-1].bytes_done == max(event.bytes_done for event in seen)
    at_rest(storage, faults)


@pytest.mark.parametrize("algorithm", [None, ChecksumAlgorithm.SHA256])
async def test_file_that_changes_is_not_published(
    storage: Storage,
    faults: FaultyDriver,
    memory: Watching,
    small_chunks: int,
    tmp_path: Path,
    algorithm: ChecksumAlgorithm | None,
) -> None:
    """A file that changes while it is sent is not published."""
    memory.touched = written(tmp_path / "file", patterned(3500))
    options = UploadOptions(multipart_threshold=1000, checksum=algorithm)

    with pytest.raises(SourceChangedError):
        await storage.upload(memory.touched, KEY, options=options)

    assert {} == memory.objects
    at_rest(storage, faults)


@pytest.mark.parametrize("way", ["put", "stream", "upload"])
async def test_too_small(storage: Storage, faults: FaultyDriver, tmp_path: Path, way: str) -> None:
    """If the provider does not support empty objects, one is refused before any request."""
    changed(faults, min_object_size=1)
    ways = {
        "put": lambda: storage.put(KEY, b""),
        "stream": lambda: storage.put(KEY, stream(b"")),
        "upload": lambda: storage.upload(written(tmp_path / "file", b""), KEY),
    }

    with pytest.raises(InvalidRequestError, match="at least 1 bytes, not 0"):
        await ways[way]()

    assert 0 == faults.calls.total()
    at_rest(storage, faults)
