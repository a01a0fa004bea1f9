"""
Files: what is read is one version, what is written appears completely or not at all, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import random
from typing import Any

import fsspec
import pytest

from asyncstore import PreconditionFailedError
from asyncstore.integrations.fsspec import MemoryFileSystem, S3FileSystem, files
from asyncstore.options import KiB, MiB
from tests.conformance.s3 import settings
from tests.servers.s3 import S3Server, fresh_bucket

_numbers = itertools.count(1)

CACHES = ("asyncstore", "none", "readahead", "bytes", "blockcache", "background", "first", "all")


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(1).randbytes(3 * MiB + 17)


@pytest.fixture
def fs() -> MemoryFileSystem:
    return MemoryFileSystem(shared=f"files-{next(_numbers)}")


def unfinished(fs: MemoryFileSystem) -> list[Any]:
    async def uploads() -> list[Any]:
        storage, _ = fs.located("bucket/key")
        return [upload async for upload in storage.list_multipart_uploads()]

    found: list[Any] = fsspec.asyn.sync(fs.loop, uploads)
    return found


# Reading


@pytest.mark.parametrize("cache", CACHES)
def test_reads_like_a_file(fs: MemoryFileSystem, data: bytes, cache: str) -> None:
    """
    Through each cache, reads, seeks and lines give the bytes that a file in memory gives.
    """
    fs.pipe_file("bucket/key", data)
    choose = random.Random(2)
    with fs.open("bucket/key", cache_type=cache, block_size=256 * KiB) as file, io.BytesIO(data) as same:
        for _ in range(60):
            match choose.randrange(5):
                case 0:
                    place = choose.randrange(len(data))
                    assert same.seek(place) == file.seek(place)
                case 1:
                    assert same.readline() == file.readline()
                case 2:
                    assert same.seek(-1000, 2) == file.seek(-1000, 2)
                case _:
                    size = choose.choice((0, 1, 100, 70_000, 600_000))
                    assert same.read(size) == file.read(size)
            assert same.tell() == file.tell()
        file.seek(0)
        assert data == file.read()


def test_small_reads_that_follow_one_another_share_requests(fs: MemoryFileSystem, data: bytes) -> None:
    """
    Records in sequence are cut from chunks; a read at another place fetches what it asks for.
    """
    fs.pipe_file("bucket/key", data)

    with fs.open("bucket/key") as file:
        records = [file.read(100) for _ in range(5_000)]
        assert data[:500_000] == b"".join(records)
        assert file.cache.miss_count <= 3
        before = file.cache.total_requested_bytes
        file.seek(2 * MiB)
        assert data[2 * MiB : 2 * MiB + 1000] == file.read(1000)
        assert 1000 == file.cache.total_requested_bytes - before


def test_a_replaced_object_is_not_read_on(fs: MemoryFileSystem, data: bytes) -> None:
    """
    A file has one version.
    """
    fs.pipe_file("bucket/key", data)
    with fs.open("bucket/key") as file:
        file.read(10)
        fs.pipe_file("bucket/key", data[::-1])

        with pytest.raises(OSError, match="was replaced since it was opened"):
            file.seek(2 * MiB)
            file.read(10)


def test_text_and_compression(fs: MemoryFileSystem) -> None:
    """
    fsspec's own layers fit above.
    """
    with fs.open("bucket/lines.gz", "wt", compression="gzip") as file:
        file.writelines(f"line {number}\n" for number in range(1000))

    with fs.open("bucket/lines.gz", "rt", compression="infer") as file:
        assert [f"line {number}\n" for number in range(1000)] == list(file)


# blockcache leaves its own file to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("cache", ["simplecache", "filecache", "blockcache"])
def test_cached_on_disk(fs: MemoryFileSystem, cache: str, tmp_path: Any) -> None:
    """
    Chained caches of fsspec read through it.
    """
    fs.pipe_file("bucket/key", b"data")
    options = {cache: {"cache_storage": str(tmp_path)}, "asyncstore+memory": fs.storage_options}

    with fsspec.open(f"{cache}::asyncstore+memory://bucket/key", "rb", **options) as file:
        assert b"data" == file.read()
    del file
    gc.collect()


def test_options_of_other_packages_are_left_alone(fs: MemoryFileSystem) -> None:
    """
    dask gives options that mean something to another file system.
    """
    fs.pipe_file("bucket/key", b"data")

    with fs.open("bucket/key", default_cache="none") as file:
        assert b"data" == file.read()


# Writing


@pytest.mark.parametrize("piece", [1000, 700 * KiB, 20 * MiB])
@pytest.mark.parametrize("on", ["memory", "seaweed"])
def test_a_long_file_is_sent_in_parts(
    on: str, piece: int, fs: MemoryFileSystem, request: pytest.FixtureRequest
) -> None:
    """
    Whatever the size of the writes, parts are as large as the service needs, and the object is the bytes in order.
    """
    using: Any = fs
    path = "bucket/key"
    if on == "seaweed":
        server: S3Server = request.getfixturevalue("seaweed")
        using, path = S3FileSystem(**settings(server)), f"{fresh_bucket(server)}/key"
    written = random.Random(3).randbytes(12 * MiB + 5) * (piece > 1000) or bytes(100_500)

    with using.open(path, "wb", block_size=1000, content_type="text/x-test") as file:
        for start in range(0, len(written), piece):
            file.write(written[start : start + piece])

    assert written == using.cat_file(path)
    assert "text/x-test" == using.info(path)["content_type"]


def test_part_size_grows(fs: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file of unknown length never needs more parts than there may be.
    """
    monkeypatch.setattr(files, "_PARTS_OF_ONE_SIZE", 10)
    small = MemoryFileSystem(**fs.storage_options, min_part_size=1)
    with small.open("bucket/key", "wb", block_size=1) as file:
        for _ in range(10 + 2 * 10 + 1):
            file.write(b"x")
        assert 4 == file.blocksize

    assert 31 == small.size("bucket/key")


@pytest.mark.parametrize("size", [10, 9 * MiB])
def test_an_exception_publishes_nothing(fs: MemoryFileSystem, size: int) -> None:
    """
    Neither a part nor an upload is left of a block that failed.
    """
    with pytest.raises(KeyError), fs.open("bucket/key", "wb") as file:
        file.write(bytes(size))
        raise KeyError

    assert not fs.exists("bucket/key")
    assert [] == unfinished(fs)


@pytest.mark.parametrize("size", [10, 9 * MiB])
def test_a_forgotten_file_publishes_nothing(fs: MemoryFileSystem, size: int) -> None:
    """
    A file that is collected says so, and aborts its upload.
    """
    file = fs.open("bucket/key", "wb")
    file.write(bytes(size))

    with pytest.warns(ResourceWarning, match="nothing is published"):
        del file

    # Calls of the event loop are made in order.
    assert not fs.exists("bucket/key")
    fsspec.asyn.sync(fs.loop, _until, lambda storage: storage.list_multipart_uploads(), fs)
    assert [] == unfinished(fs)


async def _until(uploads: Any, fs: MemoryFileSystem) -> None:
    async with asyncio.timeout(10):
        while [upload async for upload in uploads(fs.located("bucket/key")[0])]:
            await asyncio.sleep(0)


@pytest.mark.parametrize("size", [10, 9 * MiB])
def test_transactions(fs: MemoryFileSystem, size: int) -> None:
    """
    Files appear together at the end of a transaction, or none of them does.
    """
    with fs.transaction:
        for name in ("bucket/1", "bucket/2"):
            with fs.open(name, "wb") as file:
                file.write(bytes(size))
        assert [] == fs.find("bucket")
    assert ["bucket/1", "bucket/2"] == fs.find("bucket")
    assert size == fs.size("bucket/2")

    with pytest.raises(KeyError), fs.transaction:
        with fs.open("bucket/3", "wb") as file:
            file.write(bytes(size))
        raise KeyError
    assert ["bucket/1", "bucket/2"] == fs.find("bucket")
    assert [] == unfinished(fs)


def test_exclusive(fs: MemoryFileSystem) -> None:
    """
    Of two writers that create a file, one gets an error, at the latest when it closes its file.
    """
    one, other = fs.open("bucket/key", "xb"), fs.open("bucket/key", "xb")
    one.write(b"one")
    other.write(b"other")
    one.close()

    with pytest.raises(FileExistsError):
        other.close()
    assert b"one" == fs.cat_file("bucket/key")


def test_without_parts() -> None:
    """
    Where the provider has no parts, the file is sent at the end.
    """
    fs = MemoryFileSystem(shared="files-without-parts", multipart=False)
    with fs.open("bucket/key", "wb", block_size=1000) as file:
        for _ in range(10):
            file.write(bytes(700))

    assert 7000 == fs.size("bucket/key")


def test_conditions_of_a_write(fs: MemoryFileSystem) -> None:
    """
    A file is written under the conditions of the storage's options, in parts, too.
    """
    fs.pipe_file("bucket/key", b"old")
    with (
        pytest.raises(OSError, match="if_match is 'other'") as raised,
        fs.open("bucket/key", "wb", if_match="other") as file,
    ):
        file.write(bytes(9 * MiB))

    assert isinstance(raised.value.__cause__, PreconditionFailedError)
    assert b"old" == fs.cat_file("bucket/key")
    assert [] == unfinished(fs)


def test_modes(fs: MemoryFileSystem) -> None:
    """
    Objects are not appended to.
    """
    with pytest.raises(NotImplementedError, match="'ab'"):
        fs.open("bucket/key", "ab")
