"""
A download appears under its name only when all bytes are written and verified.
"""

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    SourceChangedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import ByteRange, DownloadOptions, MiB
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ProgressEvent
from tests.build import KEY, ROOT, at_rest, changed, patterned, written

DATA = patterned(3 * MiB + 5)
RANGES = DownloadOptions(part_size=MiB)


@pytest.fixture(autouse=True)
async def nothing_held(storage: Storage, faults: FaultyDriver) -> Any:
    await storage.put(KEY, DATA)
    faults.calls.clear()
    yield
    at_rest(storage, faults)


def names(path: Path) -> set[str]:
    return {found.name for found in path.iterdir()}


@pytest.mark.parametrize("size", [0, 1, MiB - 1, MiB, MiB + 1, 2 * MiB, 3 * MiB + 5])
async def test_sizes(storage: Storage, faults: FaultyDriver, tmp_path: Path, size: int) -> None:
    """
    One request up to a chunk or a part, otherwise one for each part.
    """
    await storage.put(KEY, DATA[:size])
    info = await storage.download(KEY, tmp_path / "file", options=RANGES)

    assert DATA[:size] == (tmp_path / "file").read_bytes()
    assert size == info.size
    assert max(1, -(-size // MiB)) == faults.calls["open_read"]
    assert {"file"} == names(tmp_path)


async def test_directories_are_created_with_default_modes(storage: Storage, tmp_path: Path) -> None:
    await storage.download(KEY, tmp_path / "a" / "b" / "file")

    expected = written(tmp_path / "other", b"").stat().st_mode
    assert expected == (tmp_path / "a" / "b" / "file").stat().st_mode


@pytest.mark.parametrize("wanted", [ByteRange(5, 2 * MiB), ByteRange(-9), ByteRange(3, 3), ByteRange(MiB)])
async def test_ranges(storage: Storage, tmp_path: Path, wanted: ByteRange) -> None:
    options = DownloadOptions(range=wanted, part_size=300_000)
    await storage.download(KEY, tmp_path / "file", options=options)

    assert DATA[wanted.start : wanted.end] == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("every", [100_000, MiB, MiB + 1, 2_000_000])
async def test_broken_bodies_resume(storage: Storage, faults: FaultyDriver, tmp_path: Path, every: int) -> None:
    faults.truncate(after=every, times=None)
    await storage.download(KEY, tmp_path / "file", options=DownloadOptions(part_size=8 * MiB))

    assert DATA == (tmp_path / "file").read_bytes()
    assert -(-len(DATA) // every) == faults.calls["open_read"]


async def test_breaks_without_a_byte_fail(storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    faults.truncate(after=0, times=None)
    with pytest.raises(UnavailableError):
        await storage.download(KEY, tmp_path / "file", options=RANGES)

    assert set() == names(tmp_path)


@pytest.mark.parametrize("size", [100, len(DATA)])
@pytest.mark.parametrize("options", [RANGES, DownloadOptions(part_size=8 * MiB)])
async def test_wrong_bytes(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, size: int, options: DownloadOptions
) -> None:
    """Bytes that do not match their checksum are read once more; if they are wrong again, nothing is written."""
    await storage.put(KEY, DATA[:size])
    faults.corrupt("read", times=None)
    with pytest.raises(IntegrityError) as caught:
        await storage.download(KEY, tmp_path / "file", options=options)

    assert ("download", str(KEY)) == (caught.value.op, caught.value.uri)
    assert set() == names(tmp_path)


@pytest.mark.parametrize("size", [100, len(DATA)])
async def test_bytes_damaged_once(storage: Storage, faults: FaultyDriver, tmp_path: Path, size: int) -> None:
    """Bytes that were damaged on the way are read once more, which counts as a retry; no byte is counted twice."""
    await storage.put(KEY, DATA[:size])
    faults.corrupt("read")
    events: list[ProgressEvent] = []
    await storage.download(KEY, tmp_path / "file", options=RANGES, progress=events.append)

    assert DATA[:size] == (tmp_path / "file").read_bytes()
    assert (1, size) == (events[-1].retries, events[-1].bytes_done)


@pytest.mark.parametrize("conditional", [True, False])
async def test_an_object_replaced_during_the_download(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, conditional: bool
) -> None:
    changed(faults, conditional_read=conditional)
    stop = faults.hang("open_read", after=2)
    old = written(tmp_path / "file", b"old")
    task = asyncio.ensure_future(storage.download(KEY, old, options=RANGES))
    await stop.reached()
    await storage.put(KEY, DATA[::-1])
    stop.release()
    with pytest.raises(SourceChangedError):
        await task

    assert b"old" == old.read_bytes()
    assert {"file"} == names(tmp_path)


async def test_a_missing_object(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        await storage.download(ROOT / "none", tmp_path / "file")

    assert set() == names(tmp_path)


def full_when_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", refuse)


def full_when_allocating(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)


@pytest.mark.parametrize(
    ("size", "fault"), [(100, full_when_writing), (len(DATA), full_when_writing), (len(DATA), full_when_allocating)]
)
async def test_a_full_disk(
    storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    fault: Callable[[pytest.MonkeyPatch], None],
) -> None:
    await storage.put(KEY, DATA[:size])
    fault(monkeypatch)
    with pytest.raises(QuotaExceededError) as caught:
        await storage.download(KEY, tmp_path / "file", options=RANGES)

    assert "ENOSPC" == caught.value.code
    assert set() == names(tmp_path)


async def test_a_file_larger_than_allowed(storage: Storage, tmp_path: Path) -> None:
    """
    With a limit that the kernel enforces.
    """
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MiB, most))
    try:
        with pytest.raises(QuotaExceededError):
            await storage.download(KEY, tmp_path / "file", options=RANGES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    assert set() == names(tmp_path)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
async def test_disks_that_cannot_allocate(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, "no such thing here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    await storage.download(KEY, tmp_path / "file", options=RANGES)

    assert DATA == (tmp_path / "file").read_bytes()


async def test_partial_writes(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwritev = os.pwritev

    def little(fd: int, buffers: list[memoryview], offset: int) -> int:
        return pwritev(fd, [buffers[0][:70_001]], offset)

    monkeypatch.setattr(os, "pwritev", little)
    await storage.download(KEY, tmp_path / "file", options=RANGES)

    assert DATA == (tmp_path / "file").read_bytes()


async def test_a_directory_that_cannot_be_written(storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a directory")
    with pytest.raises(StorageError):
        await storage.download(KEY, tmp_path / "file" / "below")

    assert 0 == faults.calls["open_read"]


async def test_a_directory_without_permission(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDeniedError):
        await storage.download(KEY, tmp_path / "file")

    assert 0 == faults.calls["open_read"]


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_target_that_is_a_directory(storage: Storage, faults: FaultyDriver, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="directory"):
        await storage.download(KEY, tmp_path / name)
    with pytest.raises(InvalidRequestError, match="directory"):
        await storage.download(KEY, Path("/"))

    assert 0 == faults.calls["open_read"]


class TestOverwriting:
    """
    An existing file is not replaced without permission.
    """

    OPTIONS = DownloadOptions(overwrite=False, part_size=MiB)

    async def test_existing_file(self, storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
        target = written(tmp_path / "file", b"old")
        with pytest.raises(AlreadyExistsError):
            await storage.download(KEY, target, options=self.OPTIONS)

        assert b"old" == target.read_bytes()
        assert 0 == faults.calls["open_read"]

    @pytest.mark.parametrize("size", [100, len(DATA)])
    async def test_file_created_during_the_download(
        self, storage: Storage, faults: FaultyDriver, tmp_path: Path, size: int
    ) -> None:
        await storage.put(KEY, DATA[:size])
        target = tmp_path / "file"
        stop = faults.hang_reply("open_read")
        task = asyncio.ensure_future(storage.download(KEY, target, options=self.OPTIONS))
        await stop.reached()
        target.write_bytes(b"other")
        stop.release()
        with pytest.raises(AlreadyExistsError):
            await task

        assert b"other" == target.read_bytes()
        assert {"file"} == names(tmp_path)

    async def test_one_of_two_concurrent_downloads_wins(self, storage: Storage, tmp_path: Path) -> None:
        target = tmp_path / "file"
        results = await asyncio.gather(
            *[storage.download(KEY, target, options=self.OPTIONS) for _ in range(2)], return_exceptions=True
        )

        assert {"Metadata", "AlreadyExistsError"} == {type(result).__name__ for result in results}
        assert DATA == target.read_bytes()
        assert {"file"} == names(tmp_path)


async def test_two_downloads_to_one_target(storage: Storage, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(storage.download(KEY, tmp_path / "file", options=RANGES))

    assert DATA == (tmp_path / "file").read_bytes()
    assert {"file"} == names(tmp_path)


async def test_names_of_the_maximum_length(storage: Storage, tmp_path: Path) -> None:
    await storage.download(KEY, tmp_path / ("ü" * 127))

    assert {"ü" * 127} == names(tmp_path)


async def test_a_symbolic_link_is_replaced_not_followed(storage: Storage, tmp_path: Path) -> None:
    other = written(tmp_path / "other", b"other")
    (tmp_path / "file").symlink_to(other)
    await storage.download(KEY, tmp_path / "file")

    assert b"other" == other.read_bytes()
    assert DATA == (tmp_path / "file").read_bytes()


_PROGRAM = """
import asyncio, signal, sys
from pathlib import Path
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import DownloadOptions, MiB
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ProgressEvent

async def main():
    memory = MemoryDriver()
    faults = FaultyDriver(memory)
    storage = faults.storage("memory://bucket")
    await storage.put("memory://bucket/key", bytes(4 * MiB))
    stop = faults.hang("open_read", after=2)
    task = asyncio.ensure_future(
        storage.download("memory://bucket/key", Path(sys.argv[1]), options=DownloadOptions(part_size=MiB))
    )
    await stop.reached()
    print("ready", flush=True)
    await task

# A shell that started the tests in the background ignores SIGINT, and so would this process.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
"""


@pytest.fixture
def downloading(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """
    Another process in the middle of a download that hangs.
    """
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        yield process
        process.kill()


def test_killed_in_the_middle(downloading: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """
    Nothing exists under the final name; the temporary file may stay.
    """
    downloading.kill()
    downloading.wait(10)

    assert not (tmp_path / "file").exists()
    assert all(name.startswith(".file.") and name.endswith(".part") for name in names(tmp_path))


def test_interrupted_from_the_keyboard(downloading: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """
    Ctrl-C ends the program immediately and leaves nothing.
    """
    began = time.monotonic()
    downloading.send_signal(signal.SIGINT)
    downloading.wait(10)

    assert time.monotonic() - began < 5
    assert 0 != downloading.returncode
    assert set() == names(tmp_path)
