"""
Small files take one thread call each or fewer, with the same guarantees as large ones.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncstore._support import threads
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    QuotaExceededError,
    SourceChangedError,
)
from asyncstore.options import BulkOptions, DownloadOptions, KiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, Upload
from tests.build import ROOT, at_rest, patterned, written

COUNT = 20
DATA = patterned(16 * KiB)
ONE_BY_ONE = BulkOptions(max_concurrency=1)


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """
    Records the calls that run in threads.
    """
    seen: list[Any] = []
    submit: Callable[[Any], Any] = threads._submit

    def noting(work: Any) -> Any:
        seen.append(work)
        return submit(work)

    monkeypatch.setattr(threads, "_submit", noting)
    return seen


@pytest.fixture
async def keys(storage: Storage) -> list[str]:
    names = [f"key{number}" for number in range(COUNT)]
    for name in names:
        await storage.put(ROOT / name, DATA)
    return names


async def test_one_thread_call_reads_several_files(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, visits: list[Any]
) -> None:
    """
    Twice as many by each call as by the one before, up to 16.
    """
    items = [Upload(written(tmp_path / f"file{number}", DATA), ROOT / f"file{number}") for number in range(COUNT)]
    result = await storage.bulk_upload(items)

    assert COUNT == result.done == 2 + 4 + 8 + 6
    assert len(visits) == 4
    assert [DATA] * COUNT == [await storage.read(item.target) for item in items]
    at_rest(storage, faults)


async def test_a_download_is_one_thread_call(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, keys: list[str], visits: list[Any]
) -> None:
    """
    Created, written and renamed; the first file of a directory is created before the request, to test it.
    """
    items = [Download(ROOT / key, tmp_path / "new" / key) for key in keys]
    result = await storage.bulk_download(items, options=ONE_BY_ONE)

    assert COUNT == result.done
    assert COUNT + 1 == len(visits)
    assert sorted(keys) == sorted(path.name for path in (tmp_path / "new").iterdir())
    assert {DATA} == {path.read_bytes() for path in (tmp_path / "new").iterdir()}
    at_rest(storage, faults)


@pytest.mark.parametrize("size", [0, 1, 256 * KiB - 1, 256 * KiB, 256 * KiB + 1, 1024 * KiB, 1024 * KiB + 1])
@pytest.mark.parametrize("max_buffer_bytes", [1000, 48 * 1024 * KiB])
async def test_sizes(faults: FaultyDriver, tmp_path: Path, size: int, max_buffer_bytes: int) -> None:
    """
    For every size of small files, the bytes are right and the budget holds.
    """
    storage = faults.storage(ROOT, max_buffer_bytes=max_buffer_bytes)
    data = patterned(size)
    await storage.upload(written(tmp_path / "file", data), ROOT / "key")
    await storage.download(ROOT / "key", tmp_path / "again")

    assert data == (tmp_path / "again").read_bytes()
    assert storage.statistics().bytes_peak <= max_buffer_bytes
    at_rest(storage, faults)


async def test_a_file_above_the_threshold_is_not_read_twice(
    storage: Storage, faults: FaultyDriver, tmp_path: Path
) -> None:
    """
    Small, but a multipart upload because the caller wants it.
    """
    options = UploadOptions(part_size=5000, multipart_threshold=16 * KiB)
    await storage.upload(written(tmp_path / "file", DATA), ROOT / "key", options=options)

    assert 4 == faults.calls["upload_part"]
    assert DATA == await storage.read(ROOT / "key")


async def test_a_file_that_changes_while_it_is_read(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, pread = written(tmp_path / "file", DATA), os.pread

    def changing(fd: int, size: int, offset: int) -> bytes:
        data = pread(fd, size, offset)
        with path.open("ab") as file:
            file.write(b"more")
        return data

    monkeypatch.setattr(os, "pread", changing)
    with pytest.raises(SourceChangedError):
        await storage.upload(path, ROOT / "key")

    assert not faults.calls


@pytest.mark.parametrize("resume", [False, True])
async def test_a_directory_deleted_during_the_download_is_created_again(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, keys: list[str], resume: bool
) -> None:
    target = tmp_path / "new"
    stop = faults.hang("open_read", after=3)
    items = [Download(ROOT / key, target / key) for key in keys]
    options = BulkOptions(max_concurrency=1, download=DownloadOptions(resume=resume))
    task = asyncio.ensure_future(storage.bulk_download(items, options=options))
    await stop.reached()
    await asyncio.to_thread(shutil.rmtree, target)
    stop.release()
    result = await task

    assert COUNT == result.done
    assert sorted(keys[3:]) == sorted(path.name for path in target.iterdir())


async def test_a_directory_in_the_place_of_one_file(storage: Storage, tmp_path: Path, keys: list[str]) -> None:
    """
    Only this file fails, as if it were tested before, and nothing is left.
    """
    (tmp_path / keys[5]).mkdir()
    result = await storage.bulk_download([Download(ROOT / key, tmp_path / key) for key in keys], options=ONE_BY_ONE)

    (failure,) = result.failures
    assert isinstance(failure.error, InvalidRequestError)
    assert "directory" in str(failure.error)
    assert sorted(keys) == sorted(path.name for path in tmp_path.iterdir())


async def test_a_disk_that_becomes_full(
    storage: Storage, tmp_path: Path, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The files before it exist, and no partial one.
    """
    pwritev, count = os.pwritev, 0

    def refusing(*args: Any) -> int:
        nonlocal count
        count += 1
        if count > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwritev(*args)

    monkeypatch.setattr(os, "pwritev", refusing)
    result = await storage.bulk_download([Download(ROOT / key, tmp_path / key) for key in keys], options=ONE_BY_ONE)

    assert (5, COUNT - 5) == (result.done, result.failed)
    assert {QuotaExceededError} == {type(outcome.error) for outcome in result.failures}
    assert sorted(keys[:5]) == sorted(path.name for path in tmp_path.iterdir())


async def test_files_that_may_not_be_replaced_are_checked_first(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, keys: list[str]
) -> None:
    """
    Before any request, also in a known directory.
    """
    for key in keys[5:]:
        written(tmp_path / key, b"old")
    faults.calls.clear()
    options = BulkOptions(max_concurrency=1, download=DownloadOptions(overwrite=False))
    result = await storage.bulk_download([Download(ROOT / key, tmp_path / key) for key in keys], options=options)

    assert (5, COUNT - 5) == (result.done, result.skipped)
    assert 5 == faults.calls["open_read"]
    assert b"old" == (tmp_path / keys[7]).read_bytes()
    with pytest.raises(AlreadyExistsError):
        await storage.download(ROOT / keys[0], tmp_path / keys[7], options=options.download)


@pytest.mark.parametrize("breaks", [1, 2])
async def test_a_broken_body_is_requested_again(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, keys: list[str], breaks: int
) -> None:
    # The second request asks for the rest, which is long enough to break as well.
    faults.truncate(after=1_000, times=breaks)
    await storage.download(ROOT / keys[0], tmp_path / "file")

    assert DATA == (tmp_path / "file").read_bytes()
    assert breaks == storage.statistics().retries
    at_rest(storage, faults)


async def test_an_object_replaced_while_it_is_read_again(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, keys: list[str]
) -> None:
    """
    The rest of another version is not written.
    """
    faults.truncate(after=10_000)
    stop = faults.hang("open_read", after=1)
    task = asyncio.ensure_future(storage.download(ROOT / keys[0], tmp_path / "file"))
    await stop.reached()
    await storage.put(ROOT / keys[0], DATA[::-1])
    stop.release()
    with pytest.raises(SourceChangedError):
        await task

    assert [] == list(tmp_path.iterdir())


async def test_wrong_bytes_in_a_known_directory(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, keys: list[str]
) -> None:
    faults.corrupt("read", after=3, times=2)
    result = await storage.bulk_download([Download(ROOT / key, tmp_path / key) for key in keys], options=ONE_BY_ONE)

    (failure,) = result.failures
    assert isinstance(failure.error, IntegrityError)
    assert COUNT - 1 == len(list(tmp_path.iterdir()))


async def test_concurrency_reaches_max_requests(storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """
    Less is reserved once objects turn out to be small.
    """
    for number in range(150):
        await storage.put(ROOT / f"key{number}", DATA)
    # The first ones started before any size was known.
    stop = faults.hang("open_read", times=None, after=64)
    items = [Download(ROOT / f"key{number}", tmp_path / f"file{number}") for number in range(150)]
    task = asyncio.ensure_future(storage.bulk_download(items, options=BulkOptions(max_concurrency=64)))
    async with asyncio.timeout(30):
        while faults.in_flight["open_read"] < 64:
            await asyncio.sleep(0.001)
    stop.release()
    result = await task

    assert 150 == result.done
    assert storage.statistics().bytes_peak <= 48 * 1024 * KiB


@pytest.mark.parametrize("large", [300 * KiB, 3000 * KiB])
async def test_large_ones_among_small_ones(faults: FaultyDriver, tmp_path: Path, large: int) -> None:
    """
    An object larger than expected reserves more, or is requested again if that is not free; the budget holds.
    """
    storage = faults.storage(ROOT, max_buffer_bytes=4096 * KiB)
    kinds = (patterned(1000), patterned(1001), patterned(large))
    for number in range(60):
        await storage.put(ROOT / f"key{number}", kinds[number % 3])
    faults.calls.clear()
    items = [Download(ROOT / f"key{number}", tmp_path / f"file{number}") for number in range(60)]
    result = await storage.bulk_download(items)

    assert 60 == result.done
    assert [True] * 60 == [kinds[number % 3] == item.target.read_bytes() for number, item in enumerate(items)]
    assert storage.statistics().bytes_peak <= 4096 * KiB
    # The second request of some, and none more than that.
    assert 60 < faults.calls["open_read"] <= 80
    assert 20 * sum(map(len, kinds)) == result.total_bytes
    at_rest(storage, faults)
