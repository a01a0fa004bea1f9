"""
An operation leaves nothing behind, wherever it is cancelled.

Each operation runs repeatedly and is cancelled one loop iteration later each time, so
every await in it is cancelled once, including those of its own clean-up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncstore.checksum import compute
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.drivers.memory.driver import _with_checksums
from asyncstore.drivers.memory.world import stored_with
from asyncstore.engine.download import reader
from asyncstore.engine.progress import track
from asyncstore.engine.task_pool import iterating
from asyncstore.engine.upload import writer
from asyncstore.errors import InvalidRequestError, UnavailableError
from asyncstore.options import BulkOptions, ByteRange, CopyOptions, DownloadOptions, UploadOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm, Download, Upload
from tests.build import KEY, ROOT, ChecksumFirst, at_rest, changed, open_files, patterned, stream, written
from tests.stepping import WAYS, Cancelled, at_every_step

DATA = patterned(3500)
OLD = patterned(10)
PARTS = UploadOptions(part_size=1000, multipart_threshold=1000, max_concurrency=2)
RANGES = DownloadOptions(part_size=1000, max_concurrency=2)
BULK = BulkOptions(max_concurrency=2, upload=PARTS, download=RANGES)

Run = Callable[["Bench"], Awaitable[Any]]

pytestmark = [
    pytest.mark.usefixtures("threads_inline", "small_chunks"),
    pytest.mark.parametrize("way", WAYS),
]


class Bench:
    """
    A few objects and files, created again for each run.
    """

    def __init__(self, memory: MemoryDriver, faults: FaultyDriver, path: Path) -> None:
        self.memory = memory
        self.faults = faults
        self.storage: Storage = faults.storage(ROOT, max_requests=2, max_buffer_bytes=4000)
        self.path = path
        self.small = written(path / "small", OLD)
        self.large = written(path / "large", DATA)
        self.target = path / "target"
        self.buffer = bytearray()
        self.files = open_files()

    def check(self) -> None:
        """
        Every object and file is the old one or the complete new one, and nothing else exists.
        """
        at_rest(self.storage, self.faults)
        # Refused while anything refers to its memory.
        self.buffer.clear()
        assert {} == self.memory.uploads
        assert set(self.memory.objects.values()) <= {OLD, DATA}
        assert {name.read_bytes() for name in self.path.iterdir()} <= {OLD, DATA}
        assert {"small", "large", "target", "second"} >= {name.name for name in self.path.iterdir()}
        assert self.files == open_files()


def _check(benches: list[Bench]) -> Callable[[], None]:
    def check() -> None:
        benches[-1].check()

    return check


@pytest.fixture
def cancel_everywhere(
    memory: MemoryDriver, faults: FaultyDriver, tmp_path: Path
) -> Callable[[type[Cancelled], Run], Awaitable[int]]:
    async def run(way: type[Cancelled], operation: Run) -> int:
        benches: list[Bench] = []

        def make() -> Callable[[], Awaitable[Any]]:
            faults.heal()
            for name in ("target", "second"):
                (tmp_path / name).unlink(missing_ok=True)
            memory._world.bucket(ROOT).objects.clear()
            memory._world.bucket(ROOT)._keys.clear()
            benches.append(Bench(memory, faults, tmp_path))
            return lambda: operation(benches[-1])

        return await at_every_step(way, make, _check(benches))

    return run


Everywhere = Callable[[type[Cancelled], Run], Awaitable[int]]


async def stored(bench: Bench, *names: str) -> None:
    # Not through the storage, whose steps would be tested too.
    for name in names:
        bench.memory._world.bucket(ROOT).write(name, _stored(name, DATA))


def _stored(name: str, data: bytes) -> Any:
    plain = stored_with(ROOT / name, data, WriteOptions())
    return _with_checksums(plain, (compute(ChecksumAlgorithm.CRC32C, data),))


async def test_put_of_bytes(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    await cancel_everywhere(way, lambda bench: bench.storage.put(KEY, DATA))


async def test_multipart_put_of_bytes(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    steps = await cancel_everywhere(way, lambda bench: bench.storage.put(KEY, DATA, options=PARTS))

    assert steps > 10


async def test_put_of_a_short_stream(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    await cancel_everywhere(way, lambda bench: bench.storage.put(KEY, stream(OLD, 3)))


async def test_put_of_a_long_stream(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    await cancel_everywhere(way, lambda bench: bench.storage.put(KEY, stream(DATA), options=PARTS))


async def test_put_of_an_iterator(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    chunks = [DATA[:1200], DATA[1200:]]
    await cancel_everywhere(way, lambda bench: bench.storage.put(KEY, iter(chunks), options=PARTS))


async def test_put_of_an_open_file(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        with bench.large.open("rb") as file:
            await bench.storage.put(KEY, file, options=PARTS)

    await cancel_everywhere(way, run)


async def test_put_of_what_is_being_read(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        async with bench.storage.get(ROOT / "old") as body:
            await bench.storage.put(KEY, body, options=PARTS)

    await cancel_everywhere(way, run)


async def test_upload_of_a_small_file(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    await cancel_everywhere(way, lambda bench: bench.storage.upload(bench.small, KEY))


async def test_upload_of_a_large_file(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    await cancel_everywhere(way, lambda bench: bench.storage.upload(bench.large, KEY, options=PARTS))


@pytest.mark.parametrize("max_buffer_bytes", [4000, 3999])
async def test_upload_with_checksums_sent_first(
    cancel_everywhere: Everywhere,
    way: type[Cancelled],
    faults: FaultyDriver,
    memory: MemoryDriver,
    max_buffer_bytes: int,
) -> None:
    """
    With room for a few parts at a time, and for less than one.
    """
    driver = ChecksumFirst()
    driver._world = memory._world
    faults.driver = driver

    async def run(bench: Bench) -> None:
        bench.storage = faults.storage(ROOT, max_requests=2, max_buffer_bytes=max_buffer_bytes)
        bench.faults.fail("upload_part")
        await bench.storage.upload(bench.large, KEY, options=PARTS)

    await cancel_everywhere(way, run)


async def test_upload_that_retries(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    """
    Also during the waits between attempts.
    """

    async def run(bench: Bench) -> None:
        for op in ("initiate_multipart_upload", "upload_part", "complete_multipart_upload"):
            bench.faults.fail(op, times=2)
        await bench.storage.upload(bench.large, KEY, options=PARTS)

    await cancel_everywhere(way, run)


@pytest.mark.parametrize("op", ["initiate_multipart_upload", "upload_part", "complete_multipart_upload"])
async def test_upload_that_loses_replies(cancel_everywhere: Everywhere, way: type[Cancelled], op: str) -> None:
    async def run(bench: Bench) -> None:
        bench.faults.lose_reply(op)
        await bench.storage.upload(bench.large, KEY, options=PARTS)

    await cancel_everywhere(way, run)


@pytest.mark.parametrize("op", ["upload_part", "complete_multipart_upload"])
async def test_upload_that_fails(cancel_everywhere: Everywhere, way: type[Cancelled], op: str) -> None:
    """
    The cleanup after a failure is not interrupted.
    """

    async def run(bench: Bench) -> None:
        bench.faults.fail(op, InvalidRequestError("no"))
        bench.faults.fail("abort_multipart_upload", times=2)
        await bench.storage.upload(bench.large, KEY, options=PARTS)

    await cancel_everywhere(way, run)


async def test_download_of_a_small_object(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    await cancel_everywhere(way, _small_download)


async def _small_download(bench: Bench) -> None:
    bench.memory._world.bucket(ROOT).write("old", _stored("old", OLD))
    await bench.storage.download(ROOT / "old", bench.target)


@pytest.mark.parametrize("overwrite", [True, False])
async def test_download_of_a_large_object(cancel_everywhere: Everywhere, way: type[Cancelled], overwrite: bool) -> None:
    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        options = DownloadOptions(part_size=1000, max_concurrency=2, overwrite=overwrite)
        await bench.storage.download(ROOT / "old", bench.target, options=options)

    await cancel_everywhere(way, run)


async def test_download_over_an_old_file(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    """
    The old file stays until the new one is complete.
    """

    async def run(bench: Bench) -> None:
        bench.target.write_bytes(OLD)
        await stored(bench, "old")
        try:
            await bench.storage.download(ROOT / "old", bench.target, options=RANGES)
        finally:
            assert bench.target.read_bytes() in (OLD, DATA)

    await cancel_everywhere(way, run)


async def test_download_that_breaks(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        bench.faults.truncate(after=300, times=2)
        bench.faults.fail("open_read", times=1, after=2)
        await bench.storage.download(ROOT / "old", bench.target, options=RANGES)

    await cancel_everywhere(way, run)


async def test_get(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        bench.faults.truncate(after=300)
        async with bench.storage.get(ROOT / "old") as body:
            async for _ in body:
                await asyncio.sleep(0)

    await cancel_everywhere(way, run)


async def test_read_and_read_ranges(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        bench.faults.truncate(after=300)
        await bench.storage.read(ROOT / "old")
        await bench.storage.read_ranges(ROOT / "old", [ByteRange(0, 5), ByteRange(-5)])

    await cancel_everywhere(way, run)


async def test_read_into(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    """
    Whenever it ends, nothing refers to the memory.
    """
    read = []

    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        bench.faults.truncate(after=300, times=2)
        bench.buffer = bytearray(len(DATA))
        await bench.storage.read_into(ROOT / "old", bench.buffer, options=RANGES)
        read.append(bytes(bench.buffer))

    await cancel_everywhere(way, run)

    assert read[-1] == DATA


async def test_open_to_read(
    cancel_everywhere: Everywhere, way: type[Cancelled], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_FIRST_WINDOW", 500)
    monkeypatch.setattr(reader, "_LINE", 300)
    read = []

    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        bench.faults.truncate(after=300)
        async with bench.storage.open(ROOT / "old", read_ahead=1000, cache_size=2000) as file:
            pieces = []
            while piece := await file.read(250):
                pieces.append(piece)
            await file.seek(100)
            read.append((b"".join(pieces), b"".join([line async for line in file])))

    steps = await cancel_everywhere(way, run)

    assert steps > 20
    assert read[-1] == (DATA, DATA[100:])


@pytest.mark.parametrize("data", [OLD, DATA])
async def test_open_to_write(
    cancel_everywhere: Everywhere,
    way: type[Cancelled],
    data: bytes,
    memory: MemoryDriver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "_COLLECTED", 400)

    async def run(bench: Bench) -> None:
        async with bench.storage.open(KEY, "wb", options=PARTS) as file:
            for start in range(0, len(data), 300):
                await file.write(data[start : start + 300])

    await cancel_everywhere(way, run)

    assert [*memory.objects.values()] == [data]


async def test_open_to_write_and_fail(
    cancel_everywhere: Everywhere, way: type[Cancelled], memory: MemoryDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A block that ends with an exception is aborted, also if that is cancelled.
    """
    monkeypatch.setattr(writer, "_COLLECTED", 400)

    async def run(bench: Bench) -> None:
        async with bench.storage.open(KEY, "wb", options=PARTS) as file:
            await file.write(DATA)
            raise InvalidRequestError("no")

    await cancel_everywhere(way, run)

    assert not memory.objects


async def test_copy(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        await bench.storage.copy(ROOT / "old", KEY)

    await cancel_everywhere(way, run)


async def test_multipart_copy(
    cancel_everywhere: Everywhere, way: type[Cancelled], faults: FaultyDriver, memory: MemoryDriver
) -> None:
    changed(faults, max_copy_size=1000)
    changed(memory, max_copy_size=1000)

    async def run(bench: Bench) -> None:
        await stored(bench, "old")
        await bench.storage.copy(ROOT / "old", KEY, options=CopyOptions(part_size=1000, max_concurrency=2))

    await cancel_everywhere(way, run)


async def test_bulk_upload(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        items = [Upload(bench.small, ROOT / "a"), Upload(bench.large, ROOT / "b"), Upload(bench.small, ROOT / "c")]
        await bench.storage.bulk_upload(items, options=BULK)

    await cancel_everywhere(way, run)


async def test_bulk_download_of_a_listing(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    """
    The source is an asynchronous generator, which is closed as well.
    """

    async def run(bench: Bench) -> None:
        await stored(bench, "target", "second")

        async def items() -> Any:
            async with iterating(bench.storage.list()) as listing:
                async for info in listing:
                    yield Download(info.uri, bench.path / info.key)

        await bench.storage.bulk_download(items(), options=BULK)

    await cancel_everywhere(way, run)


async def test_bulk_download_into_a_known_directory(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    """
    The second file is created, written and renamed by one thread call.
    """

    async def run(bench: Bench) -> None:
        for name in ("target", "second"):
            bench.memory._world.bucket(ROOT).write(name, _stored(name, OLD))
        items = [Download(ROOT / name, bench.path / name) for name in ("target", "second")]
        await bench.storage.bulk_download(items, options=replace(BULK, max_concurrency=1))

    steps = await cancel_everywhere(way, run)

    assert steps > 10


async def test_bulk_delete(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        await stored(bench, "a", "b", "c")
        bench.faults.fail("delete_batch", UnavailableError("later"))
        await bench.storage.bulk_delete(info.uri for info in await listed(bench))

    await cancel_everywhere(way, run)


async def listed(bench: Bench) -> list[Any]:
    return [info async for info in bench.storage.list()]


async def test_track(cancel_everywhere: Everywhere, way: type[Cancelled]) -> None:
    async def run(bench: Bench) -> None:
        async with track(bench.storage.upload, bench.large, KEY, options=PARTS) as transfer:
            async for _ in transfer:
                await asyncio.sleep(0)

    await cancel_everywhere(way, run)
