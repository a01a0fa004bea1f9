"""
Memory does not grow with the size of a transfer.
"""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asyncstore.config import StorageConfig
from asyncstore.driver.body import Body, ReadBody
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import DownloadOptions, MiB, ReadOptions, UploadOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.types import Checksum, Metadata, ObjectInfo, Part
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT

SIZE = 300 * MiB


class ZeroBody(ReadBody):
    """
    Zeros, produced while they are read.
    """

    def __init__(self, info: Metadata, start: int, end: int) -> None:
        self.info = info
        self.start = start
        self.end = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = self.start
        while at < self.end:
            chunk = bytes(min(128 * 1024, self.end - at))
            at += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        """
        Holds nothing.
        """


class Nowhere(MemoryDriver):
    """
    Discards what is written, and reads as zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received = 0

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        wanted = options.range
        end = SIZE if wanted is None or wanted.end is None else wanted.end
        return ZeroBody(self._info(), 0 if wanted is None else wanted.start, end)

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        async for chunk in body.chunks():
            self.received += len(chunk)
        return Part(number, "etag", body.size)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        return self._info()

    def _info(self) -> Metadata:
        return Metadata(uri=KEY, size=SIZE, etag="etag", last_modified=datetime.now(UTC))


@pytest.fixture
def nowhere() -> Nowhere:
    return Nowhere()


@pytest.fixture
def nothing(nowhere: Nowhere) -> Storage:
    return Storage(nowhere, StorageConfig(uri=ROOT))


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """
    Returns the peak of Python's memory since the fixture started.
    """
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()


async def test_uploading_a_file(nothing: Storage, nowhere: Nowhere, sparse: Path, peak: Callable[[], int]) -> None:
    await nothing.upload(sparse, KEY, options=UploadOptions(max_concurrency=4))

    assert SIZE == nowhere.received
    assert peak() < 24 * MiB


async def test_putting_a_stream(nothing: Storage, nowhere: Nowhere, peak: Callable[[], int]) -> None:
    async def zeros() -> AsyncIterator[bytes]:
        for _ in range(SIZE // MiB):
            yield bytes(MiB)

    await nothing.put(KEY, zeros(), options=UploadOptions(part_size=8 * MiB, max_concurrency=4))

    assert SIZE == nowhere.received
    assert peak() < 64 * MiB


async def test_parts_of_a_stream_in_flight(peak: Callable[[], int]) -> None:
    """
    A service that takes its time does not let one stream fill all of ``max_buffer_bytes``: two thirds at most.
    """

    class Slow(Nowhere):
        async def upload_part(
            self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
        ) -> Part:
            await asyncio.sleep(0.1)
            return await super().upload_part(uri, upload_id, number, body, options)

    async def zeros() -> AsyncIterator[bytes]:
        for _ in range(SIZE // MiB):
            yield bytes(MiB)

    storage = Storage(Slow(), StorageConfig(uri=ROOT))
    await storage.put(KEY, zeros())

    assert 64 * MiB == storage.statistics().bytes_peak
    assert peak() < 80 * MiB


async def test_downloading(nothing: Storage, tmp_path: Path, peak: Callable[[], int]) -> None:
    options = DownloadOptions(max_concurrency=4, sync=False)
    await nothing.download(KEY, tmp_path / "file", options=options)

    assert SIZE == (tmp_path / "file").stat().st_size
    assert peak() < 24 * MiB
