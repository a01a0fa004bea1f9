"""
Small files of a bulk that are read before their turn: the same outcomes, and nothing held at the end.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asyncstore.errors import InvalidRequestError, NotFoundError, SourceChangedError, StorageError
from asyncstore.options import BulkOptions, KiB
from asyncstore.storage import Storage
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.tree_verbs import upload_tree
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, ProgressEvent, Upload
from tests.build import KEY, ROOT, at_rest, open_files, patterned, written


def files(folder: Path, count: int, size: int = 1000) -> list[Upload]:
    return [Upload(written(folder / f"{n:03}", patterned(size + n)), ROOT / f"{n:03}") for n in range(count)]


async def test_all_kinds_of_files(storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """
    Large, empty, missing and impossible ones among small ones are read, or refused, in their turn.
    """
    before = open_files()
    items = files(tmp_path, 40)
    written(items[3].source, b"")
    written(items[7].source, patterned(300 * KiB))
    written(items[8].source, patterned(256 * KiB))
    items[11].source.unlink()
    items[12].source.unlink()
    items[12].source.mkdir()
    # One file for two objects, and one object that is written twice.
    items += [Upload(items[20].source, ROOT / "twice"), Upload(items[21].source, items[21].target)]
    result = await storage.bulk_upload(items)

    assert {item.source: type(item.error) for item in result.failures} == {
        items[11].source: NotFoundError,
        items[12].source: InvalidRequestError,
    }
    assert result.done == len(items) - 2
    for item in items:
        if item.source.is_file():
            assert await storage.read(item.target) == item.source.read_bytes()
    assert result.total_bytes == sum(item.source.stat().st_size for item in items if item.source.is_file())
    assert open_files() == before
    at_rest(storage, faults)


async def test_a_file_that_changes_while_it_is_read_ahead(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is read again in its turn, and fails if it changes again.
    """
    items, pread = files(tmp_path, 20), os.pread
    last = items[-1].source

    def changing(fd: int, size: int, offset: int) -> bytes:
        data = pread(fd, size, offset)
        if Path(f"/proc/self/fd/{fd}").readlink() == last:
            with last.open("ab") as file:
                file.write(b"more")
        return data

    monkeypatch.setattr(os, "pread", changing)
    result = await storage.bulk_upload(items)

    assert [(type(item.error), item.source) for item in result.failures] == [(SourceChangedError, last)]
    assert result.done == len(items) - 1


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_was_drawn_before_a_failure_is_begun(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, asynchronous: bool
) -> None:
    """
    Items that raise end the operation, after those before them have had their turn.
    """
    items = files(tmp_path, 5)

    def failing() -> Iterator[Upload]:
        yield from items
        raise ZeroDivisionError

    async def failing_later() -> AsyncIterator[Upload]:
        for item in failing():
            yield item

    with pytest.raises(ZeroDivisionError):
        await storage.bulk_upload(failing_later() if asynchronous else failing())
    at_rest(storage, faults)


async def test_items_of_an_asynchronous_generator_do_not_wait_for_later_ones(storage: Storage, tmp_path: Path) -> None:
    """
    The generator may wait for what it has yielded.
    """

    items = files(tmp_path, 5)

    async def one_by_one() -> AsyncIterator[Upload]:
        for item in items:
            yield item
            while not await storage.exists(item.target):
                await asyncio.sleep(0)

    async with asyncio.timeout(30):
        assert (await storage.bulk_upload(one_by_one())).done == 5


async def test_little_memory(faults: FaultyDriver, tmp_path: Path) -> None:
    """
    With room for few files only these are read ahead, and all are written.
    """
    storage = faults.storage(ROOT, max_buffer_bytes=600 * KiB)
    result = await storage.bulk_upload(files(tmp_path, 100, 100 * KiB))

    assert result.done == 100
    assert storage.statistics().bytes_peak <= 600 * KiB
    at_rest(storage, faults)


async def test_bytes_that_nobody_takes_are_given_up(faults: FaultyDriver, tmp_path: Path) -> None:
    """
    Files that are read ahead and then left out do not keep others from their memory.
    """
    storage = faults.storage(ROOT, max_buffer_bytes=1024 * KiB)
    for item in files(tmp_path, 100, 100 * KiB):
        if int(item.source.name) % 3:
            await storage.put(item.target, b"newer")
    async with asyncio.timeout(30):
        result = await upload_tree(tmp_path, storage, options=TreeOptions(update=True))

    assert (result.done, result.skipped) == (34, 66)
    at_rest(storage, faults)


async def test_cancelled_while_files_are_read(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The thread ends first; then nothing is held.
    """
    items, pread = files(tmp_path, 20), os.pread
    reached, goes_on = threading.Event(), threading.Event()
    before = open_files()

    def waiting(fd: int, size: int, offset: int) -> bytes:
        reached.set()
        goes_on.wait(30)
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", waiting)
    task = asyncio.ensure_future(storage.bulk_upload(items))
    await asyncio.to_thread(reached.wait, 30)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not faults.calls
    assert open_files() == before
    at_rest(storage, faults)


async def test_few_at_a_time(storage: Storage, tmp_path: Path) -> None:
    """
    What writes few at a time draws no more than a few.
    """
    items, ahead = files(tmp_path, 30), []
    done = 0

    def counted() -> Iterator[Upload]:
        for drawn, item in enumerate(items):
            ahead.append(drawn - done)
            yield item

    def note(event: ProgressEvent) -> None:
        nonlocal done
        done = event.objects_done

    result = await storage.bulk_upload(counted(), options=BulkOptions(max_concurrency=8), progress=note)
    assert result.done == 30
    assert max(ahead) <= 8 + 2


@pytest.mark.parametrize("name", ["missing", "a\0b", "a" * 300, "\udc80", "folder"])
async def test_one_bad_path_among_many(storage: Storage, faults: FaultyDriver, tmp_path: Path, name: str) -> None:
    """
    It is a failed item, and all others are written.
    """
    items = files(tmp_path, 20)
    (tmp_path / "folder").mkdir()
    items.insert(9, Upload(tmp_path / name, ROOT / "bad"))

    result = await storage.bulk_upload(items)

    assert (result.done, result.failed) == (20, 1)
    assert isinstance(result.failures[0].error, StorageError)
    at_rest(storage, faults)


@pytest.mark.parametrize("name", ["a\0b", "a" * 300])
async def test_one_bad_target_among_many(storage: Storage, faults: FaultyDriver, tmp_path: Path, name: str) -> None:
    """
    Files that one thread writes at the same time fail by themselves.
    """
    await storage.put(KEY, b"data")
    items = [Download(KEY, tmp_path / f"{number}") for number in range(20)]
    items.insert(9, Download(KEY, tmp_path / name))

    result = await storage.bulk_download(items)

    assert (result.done, result.failed) == (20, 1)
    assert isinstance(result.failures[0].error, StorageError)
    assert len(list(tmp_path.iterdir())) == 20
    at_rest(storage, faults)
