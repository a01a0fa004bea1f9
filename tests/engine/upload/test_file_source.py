"""
Sources of uploads: files, memory and streams of any kind.
"""

import array
import asyncio
import ctypes
import io
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstore.checksum import compute
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.upload.file_source import FileSource
from asyncstore.engine.upload.stream_source import StreamSource, as_chunks, in_memory
from asyncstore.errors import InvalidRequestError, NotFoundError, PermissionDeniedError, SourceChangedError
from asyncstore.options import UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import ObjectURI
from tests.build import KEY, at_rest, patterned, written

DATA = patterned(5000)
PARTS = UploadOptions(part_size=1000, multipart_threshold=1000)


# Files


async def test_a_part_reads_the_same_each_time(tmp_path: Path, small_chunks: int) -> None:
    async with FileSource(written(tmp_path / "file", DATA)) as file:
        assert await file.open() is None
        part = file.part(700, 4100, algorithm=ChecksumAlgorithm.CRC32C)
        first = [bytes(chunk) async for chunk in part.chunks()]
        again = [bytes(chunk) async for chunk in part.chunks()]

    assert DATA[700:4100] == b"".join(first)
    assert first == again
    assert part.checksum(ChecksumAlgorithm.CRC32C) == compute(ChecksumAlgorithm.CRC32C, DATA[700:4100])
    assert part.checksum(ChecksumAlgorithm.MD5) is None
    assert 3400 == part.size


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shorter(path: Path) -> None:
    os.truncate(path, 100)


def touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def set_back(path: Path) -> None:
    """
    Change the bytes, and set the time back as editors and backups do.
    """
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [longer, shorter, touched, set_back])
@pytest.mark.parametrize("options", [UploadOptions(), PARTS])
async def test_a_file_that_changes_is_not_published(
    storage: Storage,
    faults: FaultyDriver,
    memory: MemoryDriver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    options: UploadOptions,
) -> None:
    path = written(tmp_path / "file", DATA)
    once: list[Callable[[Path], None]] = [change]

    def changing(read: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any) -> Any:
            if once:
                once.pop()(path)
            return read(*args)

        return changed

    for name in ("pread", "pread_into"):
        monkeypatch.setattr(FileSource, name, changing(getattr(FileSource, name)))
    with pytest.raises(SourceChangedError) as caught:
        await storage.upload(path, KEY, options=options)

    assert ({}, {}) == (memory.objects, memory.uploads)
    assert "upload" in str(caught.value)
    at_rest(storage, faults)


async def test_a_missing_file(storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        await storage.upload(tmp_path / "none", KEY)

    assert ("upload", str(KEY)) == (caught.value.op, caught.value.uri)
    assert 0 == faults.calls.total()


async def test_a_directory(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="is a directory"):
        await storage.upload(tmp_path, KEY)


async def test_a_named_pipe_is_refused_without_waiting(storage: Storage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequestError, match="not a regular file"):
        await storage.upload(tmp_path / "pipe", KEY)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system has no /proc")
async def test_a_file_whose_size_the_system_does_not_tell(storage: Storage) -> None:
    """
    It is no empty object: the error says how to send it, and that works.
    """
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0

    with pytest.raises(InvalidRequestError, match=r"open it and put\(\) the stream"):
        await storage.upload(path, KEY)
    assert not await storage.exists(KEY)

    with path.open("rb") as file:
        await storage.put(KEY, file)
    assert (await storage.read(KEY)).startswith(b"Name:")


async def test_an_empty_file(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert (await storage.upload(tmp_path / "empty", KEY)).size == 0


async def test_an_unreadable_file(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path / "file", DATA)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDeniedError):
        await storage.upload(path, KEY)


# Memory


@pytest.mark.parametrize("options", [UploadOptions(), PARTS])
async def test_views_of_any_items(storage: Storage, options: UploadOptions) -> None:
    numbers = array.array("d", range(500))
    await storage.put(KEY, memoryview(numbers), options=options)

    assert numbers.tobytes() == await storage.read(KEY)


@pytest.mark.parametrize("options", [UploadOptions(), UploadOptions(part_size=500, multipart_threshold=0)])
async def test_views_with_gaps(storage: Storage, options: UploadOptions) -> None:
    await storage.put(KEY, memoryview(DATA)[::3], options=options)

    assert DATA[::3] == await storage.read(KEY)


@pytest.mark.parametrize("view", [memoryview(b"").cast("i"), memoryview(array.array("d")), memoryview(b"")[::2]])
async def test_views_of_nothing(storage: Storage, view: memoryview) -> None:
    assert 0 == (await storage.put(KEY, view)).size


def test_views_of_more_dimensions() -> None:
    table = memoryview(bytes(range(12))).cast("B", (3, 4))
    whole = in_memory(table)

    assert isinstance(whole, memoryview)
    assert bytes(range(12)) == whole.tobytes()


# Streams


async def gather(source: StreamSource, size: int) -> list[bytes]:
    return [bytes(piece) async for piece in _pieces(source, size)]


async def _pieces(source: StreamSource, size: int) -> AsyncIterator[bytearray]:
    while piece := await source.read(size):
        yield piece


@given(cuts=st.lists(st.integers(0, 40), max_size=20), size=st.integers(1, 50))
async def test_pieces_are_whole_whatever_the_chunks(cuts: list[int], size: int) -> None:
    data = patterned(sum(cuts))
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(data[at : at + cut])
        at += cut
    pieces = await gather(StreamSource(as_chunks(iter(chunks))), size)

    assert data == b"".join(pieces)
    assert all(len(piece) == size for piece in pieces[:-1])


async def test_chunks_with_gaps_and_wide_items(storage: Storage) -> None:
    chunks: list[Any] = [memoryview(DATA)[::2], memoryview(array.array("i", [1, 2])), memoryview(b"").cast("i"), b"x"]
    await storage.put(KEY, iter(chunks))

    assert b"".join(memoryview(chunk).tobytes() for chunk in chunks) == await storage.read(KEY)


async def test_a_buffer_can_be_reused(storage: Storage) -> None:
    """
    Once the next chunk is requested, the owner may change and resize the previous one.
    """

    async def chunks() -> AsyncIterator[bytearray]:
        buffer = bytearray()
        for start in range(0, 5000, 700):
            buffer += DATA[start : start + 700]
            yield buffer
            buffer.clear()

    await storage.put(KEY, chunks(), options=PARTS)

    assert DATA == await storage.read(KEY)


class Trickle(io.RawIOBase):
    """
    A file that returns less than requested.
    """

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 333))


@pytest.mark.parametrize("make", [io.BytesIO, Trickle, lambda data: io.BufferedReader(io.BytesIO(data))])
async def test_open_files(storage: Storage, make: Callable[[bytes], Any]) -> None:
    file = make(DATA)
    await storage.put(KEY, file, options=PARTS)

    assert DATA == await storage.read(KEY)


async def test_open_files_are_read_from_their_position(storage: Storage, tmp_path: Path) -> None:
    with written(tmp_path / "file", DATA).open("rb") as file:
        file.seek(1000)
        await storage.put(KEY, file)

    assert DATA[1000:] == await storage.read(KEY)


async def test_waiting_pipes_do_not_delay_files(storage: Storage, tmp_path: Path) -> None:
    """
    Even as many of them as there are file threads.
    """
    path = written(tmp_path / "file", DATA)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        ends = []
        for number in range(12):
            receiving, sending = os.pipe()
            ends.append(sending)
            group.create_task(piped(storage, receiving, KEY / f"{number}"))
        await asyncio.sleep(0.02)
        await storage.upload(path, KEY)
        for end in ends:
            os.write(end, b"data")
            os.close(end)

    assert DATA == await storage.read(KEY)
    assert b"data" == await storage.read(KEY / "11")


async def piped(storage: Storage, receiving: int, target: ObjectURI) -> None:
    with os.fdopen(receiving, "rb") as pipe:
        await storage.put(target, pipe)


async def test_open_files_are_read_in_a_thread(storage: Storage) -> None:
    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            names.add(threading.current_thread().name)
            return super().read(size)

    names: set[str] = set()
    await storage.put(KEY, Watched(DATA))

    assert {True} == {name.startswith("asyncstore") for name in names}


@pytest.mark.parametrize("text", ["", "text"])
async def test_text_files_are_refused(storage: Storage, memory: MemoryDriver, text: str) -> None:
    with pytest.raises(TypeError, match="binary"):
        await storage.put(KEY, io.StringIO(text))  # type: ignore[arg-type]

    assert {} == memory.objects


async def test_a_file_without_data_yet_is_not_empty(storage: Storage, memory: MemoryDriver) -> None:
    """
    A non-blocking file returns None while no data is available.
    """

    class NotYet(io.RawIOBase):
        def read(self, size: int = -1) -> None:
            return None

    with pytest.raises(TypeError, match="NoneType"):
        await storage.put(KEY, NotYet())

    assert {} == memory.objects


@pytest.mark.parametrize("data", ["text", Path("file"), 7, None, ["text"], [1, 2], {"a": 1}])
async def test_other_types_are_refused(storage: Storage, faults: FaultyDriver, data: Any) -> None:
    with pytest.raises(TypeError):
        await storage.put(KEY, data)

    assert 0 == faults.calls.total()


class SourceError(Exception):
    """
    The exception of a caller's own generator.
    """


@pytest.mark.parametrize("good", [0, 500, 1000, 1700, 3500])
async def test_a_stream_that_raises_publishes_nothing(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, small_chunks: int, good: int
) -> None:
    """
    The caller's own exception is raised unchanged, and nothing is held.
    """
    closed = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for start in range(0, good, 100):
                yield DATA[start : start + 100]
            raise SourceError
        finally:
            closed.append(True)

    with pytest.raises(SourceError):
        await storage.put(KEY, chunks(), options=PARTS)

    assert ({}, {}) == (memory.objects, memory.uploads)
    assert [True] == closed
    at_rest(storage, faults)


async def test_an_iterator_that_raises(storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
    def chunks() -> Iterator[bytes]:
        yield DATA
        raise SourceError

    with pytest.raises(SourceError):
        await storage.put(KEY, chunks(), options=PARTS)

    assert ({}, {}) == (memory.objects, memory.uploads)
    at_rest(storage, faults)


async def test_a_generator_is_closed_when_the_write_fails(
    storage: Storage, faults: FaultyDriver, small_chunks: int
) -> None:
    closed = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(500)
        finally:
            closed.append(True)

    faults.fail("upload_part", InvalidRequestError("no"), after=2)
    with pytest.raises(InvalidRequestError):
        await storage.put(KEY, chunks(), options=PARTS)

    assert [True] == closed


async def test_a_socket(tmp_path: Path) -> None:
    """
    A socket cannot be opened; the error says what it is.
    """
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        async with FileSource(tmp_path / "socket") as source:
            with pytest.raises(InvalidRequestError, match="is a socket"):
                await source.open()


@pytest.mark.parametrize(
    "items",
    [array.array("d", [1.5, 2.5]), (ctypes.c_int32.__ctype_be__ * 3)(1, 2, 3), memoryview(bytes(range(20)))[::2]],
    ids=["array", "big-endian", "strided"],
)
async def test_memory_of_any_items(storage: Storage, items: Any) -> None:
    """
    Memory is written as its bytes, whatever its items are.
    """
    await storage.put(KEY, items)

    assert bytes(items) == await storage.read(KEY)
