"""
Targets of downloads that are not plain: pipes and devices, other modes, directories to make, no hard links.
"""

import asyncio
import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncstore._support import rename, temporary
from asyncstore.engine.download.directories import Directories
from asyncstore.errors import AlreadyExistsError, InvalidRequestError, NotFoundError, QuotaExceededError
from asyncstore.options import BulkOptions, DownloadOptions, MiB
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download
from tests.build import KEY, ROOT, at_rest, patterned, written

SMALL = patterned(1000)
LARGE = patterned(3 * MiB + 5)
RANGES = DownloadOptions(part_size=MiB)
SIZES = pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])


@pytest.fixture(autouse=True)
async def nothing_held(storage: Storage, faults: FaultyDriver) -> Any:
    temporary._seen.clear()
    yield
    at_rest(storage, faults)


@contextmanager
def masked(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> set[str]:
    return {found.name for found in path.iterdir()}


@SIZES
async def test_a_pipe_is_written_into(storage: Storage, tmp_path: Path, data: bytes) -> None:
    """
    The reader of a named pipe gets the object, and the pipe stays a pipe.
    """
    await storage.put(KEY, data)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = await asyncio.create_subprocess_exec("cat", str(pipe), stdout=asyncio.subprocess.PIPE)

    (received, _), _ = await asyncio.gather(reader.communicate(), storage.download(KEY, pipe, options=RANGES))

    assert data == received
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert {"pipe"} == names(tmp_path)


async def test_a_pipe_that_nobody_reads_can_be_cancelled(storage: Storage, tmp_path: Path) -> None:
    await storage.put(KEY, SMALL)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(storage.download(KEY, tmp_path / "pipe"), 0.1)

    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


async def test_a_full_pipe_can_be_cancelled(storage: Storage, tmp_path: Path) -> None:
    """
    A reader that has stopped reading does not hold the download.
    """
    await storage.put(KEY, LARGE)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(storage.download(KEY, tmp_path / "pipe"), 0.3)
    os.close(reader)


@SIZES
async def test_a_device_is_written_into(storage: Storage, data: bytes) -> None:
    await storage.put(KEY, data)
    await storage.download(KEY, Path(os.devnull), options=RANGES)

    assert stat.S_ISCHR(os.lstat(os.devnull).st_mode)


async def test_bulk_into_a_device(storage: Storage, faults: FaultyDriver) -> None:
    """
    Also when the directory is known from the file before.
    """
    await storage.put(KEY, SMALL)
    result = await storage.bulk_download([Download(KEY, Path(os.devnull)) for _ in range(3)])

    assert 3 == result.done
    assert stat.S_ISCHR(os.lstat(os.devnull).st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has this device")
async def test_a_full_device(storage: Storage) -> None:
    await storage.put(KEY, SMALL)
    with pytest.raises(QuotaExceededError, match="/dev/full"):
        await storage.download(KEY, Path("/dev/full"))


def test_standard_output_by_name(tmp_path: Path) -> None:
    """
    The link /dev/stdout stays, and what it stands for gets the bytes.
    """
    program = """
import asyncio
from asyncstore import open_storage
async def main():
    async with open_storage("memory://b") as storage:
        await storage.put(storage.root / "k", b"data")
        await storage.download(storage.root / "k", "/dev/stdout")
asyncio.run(main())
"""
    before = os.lstat("/dev/stdout").st_mode
    piped = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True)

    assert b"data" == piped
    assert b"data" == (tmp_path / "out").read_bytes()
    assert before == os.lstat("/dev/stdout").st_mode


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system has no /proc")
async def test_a_directory_without_new_files(storage: Storage) -> None:
    """
    The error is that of the system, not that somebody changes the directories.
    """
    await storage.put(KEY, b"data")
    with pytest.raises(NotFoundError, match="No such file or directory: /proc/self/nope"):
        await storage.download(KEY, "/proc/self/nope")


async def test_a_socket_is_refused(storage: Storage, tmp_path: Path) -> None:
    await storage.put(KEY, SMALL)
    server = await asyncio.start_unix_server(lambda *_: None, tmp_path / "socket")
    async with server:
        with pytest.raises(InvalidRequestError, match="is a socket"):
            await storage.download(KEY, tmp_path / "socket")
        assert stat.S_ISSOCK((tmp_path / "socket").lstat().st_mode)


@SIZES
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o007])
async def test_the_umask_of_the_moment(storage: Storage, tmp_path: Path, data: bytes, mask: int) -> None:
    """
    A new file gets the mode that the umask at the time of the download leaves.
    """
    await storage.put(KEY, data)
    with masked(mask):
        await storage.download(KEY, tmp_path / "file", options=RANGES)

    assert 0o666 & ~mask == mode_of(tmp_path / "file")


@SIZES
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
async def test_the_mode_of_a_replaced_file(storage: Storage, tmp_path: Path, data: bytes, mode: int) -> None:
    await storage.put(KEY, data)
    written(tmp_path / "file", b"old").chmod(mode)
    await storage.download(KEY, tmp_path / "file", options=RANGES)

    assert mode == mode_of(tmp_path / "file")
    assert data == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_without_hard_links(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, exclusive: bool, data: bytes
) -> None:
    """
    Create-only downloads work on a file system without hard links, and without an exclusive rename.
    """
    monkeypatch.setattr(os, "link", lambda *_, **__: fail(number))
    if not exclusive:
        monkeypatch.setattr(rename, "_exclusive_rename", lambda: None)
    await storage.put(KEY, data)
    options = DownloadOptions(part_size=MiB, overwrite=False)
    await storage.download(KEY, tmp_path / "file", options=options)
    with pytest.raises(AlreadyExistsError):
        await storage.download(KEY, tmp_path / "file", options=options)

    assert data == (tmp_path / "file").read_bytes()
    assert {"file"} == names(tmp_path)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_rename_never_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclusive: bool) -> None:
    """
    Whatever the file system can do, a file that exists stays, and so does the source.
    """
    monkeypatch.setattr(os, "link", lambda *_, **__: fail(errno.EPERM))
    if not exclusive:
        monkeypatch.setattr(rename, "_exclusive_rename", lambda: None)
    source, target = written(tmp_path / "source", b"new"), written(tmp_path / "target", b"old")
    with pytest.raises(FileExistsError):
        rename.rename_new(str(source), str(target))

    assert b"old" == target.read_bytes()
    assert b"new" == source.read_bytes()


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


async def test_a_file_where_a_directory_is_needed(storage: Storage, tmp_path: Path) -> None:
    """
    The error names the file that is in the way; it is never counted as skipped.
    """
    await storage.put(KEY, SMALL)
    written(tmp_path / "file", b"old")
    for below in ("a", "a/b/c"):
        with pytest.raises(InvalidRequestError, match="file is a file, and a directory is needed there"):
            await storage.download(KEY, tmp_path / "file" / below)
    options = BulkOptions(download=DownloadOptions(overwrite=False))
    result = await storage.bulk_download([Download(KEY, tmp_path / "file" / "a")], options=options)

    assert (0, 1) == (result.skipped, result.failed)
    assert b"old" == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("name", ["n" * 256, "/".join(["d" * 200] * 30)], ids=["name", "path"])
async def test_a_name_that_is_too_long(storage: Storage, tmp_path: Path, name: str) -> None:
    await storage.put(KEY, SMALL)
    with pytest.raises(InvalidRequestError, match="File name too long"):
        await storage.download(KEY, tmp_path / name)

    assert set() == names(tmp_path)


async def test_a_failed_download_removes_the_directories_that_it_made(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(NotFoundError):
        await storage.download(ROOT / "missing", tmp_path / "there" / "a" / "b" / "file")

    assert {"there"} == names(tmp_path)
    assert set() == names(tmp_path / "there")


async def test_failures_of_a_bulk_remove_no_directory_with_a_file(storage: Storage, tmp_path: Path) -> None:
    """
    Of the directories that a bulk operation makes, those without a file go away.
    """
    await storage.put(KEY, SMALL)
    items = [
        *(Download(ROOT / "missing", tmp_path / "empty" / str(number) / "file") for number in range(20)),
        *(Download(ROOT / "missing", tmp_path / "mixed" / str(number)) for number in range(20)),
        Download(KEY, tmp_path / "mixed" / "file"),
        *(Download(ROOT / "missing", tmp_path / "mixed" / "deep" / str(number)) for number in range(20)),
    ]
    result = await storage.bulk_download(items)

    assert 1 == result.done
    assert {"mixed"} == names(tmp_path)
    assert {"file"} == names(tmp_path / "mixed")


_HANGING = """
import asyncio, sys
from pathlib import Path
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import DownloadOptions, MiB
from asyncstore.testing.faults import FaultyDriver

async def main():
    faults = FaultyDriver(MemoryDriver())
    storage = faults.storage("memory://bucket")
    await storage.put(storage.root / "key", bytes(4 * MiB))
    stop = faults.hang("open_read", after=2)
    task = asyncio.ensure_future(
        storage.download(storage.root / "key", Path(sys.argv[1]), options=DownloadOptions(part_size=MiB))
    )
    await stop.reached()
    print("ready", flush=True)
    await task

asyncio.run(main())
"""


async def test_what_a_killed_process_left(storage: Storage, tmp_path: Path) -> None:
    """
    The next process that downloads into the directory removes it; that of a process that lives stays.
    """
    await storage.put(KEY, SMALL)
    mine = written(tmp_path / ".mine.0123456789ab.part", b"another program's")
    command = [sys.executable, "-c", _HANGING, str(tmp_path / "big")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert b"ready\n" == process.stdout.readline()
            (left,) = names(tmp_path) - {mine.name}
            assert left.startswith(".big.")
            await storage.download(KEY, tmp_path / "one")
            assert {left, mine.name, "one"} == names(tmp_path)
        finally:
            process.kill()
    temporary._seen.clear()
    await storage.download(KEY, tmp_path / "two")

    assert {mine.name, "one", "two"} == names(tmp_path)


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/dev/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 40, hard))
    yield used + 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_many_files_with_few_descriptors(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, few_descriptors: int
) -> None:
    """
    Transfers wait for a free descriptor instead of failing.
    """
    await storage.put(KEY, LARGE[: MiB + 1])
    many = BulkOptions(max_concurrency=100, download=DownloadOptions(sync=False))
    items = [Download(KEY, tmp_path / "d" / str(number)) for number in range(60)]
    result = await storage.bulk_download(items, options=many)

    result.raise_for_failures()
    assert 60 == result.done


def test_a_directory_that_another_thread_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at a missing directory, another download can create it."""
    missing = tmp_path / "a" / "b"

    def lexists(path: str) -> bool:
        os.makedirs(path, exist_ok=True)
        return True

    monkeypatch.setattr(os.path, "lexists", lexists)
    Directories().make(str(missing))

    assert missing.is_dir()
