"""
A download with ``resume`` goes on from what an earlier attempt left, of this process or another one.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncstore._support import temporary
from asyncstore._support.temporary import is_temporary, resumable_name
from asyncstore.driver.body import ReadBody
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.download import record
from asyncstore.errors import (
    AlreadyExistsError,
    InUseError,
    NotFoundError,
    PermissionDeniedError,
    SourceChangedError,
    UnavailableError,
)
from asyncstore.options import BulkOptions, ByteRange, DownloadOptions, MiB, ReadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, ProgressEvent
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT, at_rest, changed, patterned, written
from tests.stepping import WAYS, Cancelled, cancelled_at

DATA = patterned(4 * MiB + 5)
PARTS = 5
RESUME = DownloadOptions(part_size=MiB, max_concurrency=1, resume=True)


class Witness(MemoryDriver):
    """
    Memory that records the ranges of the reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[ByteRange | None] = []

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        self.ranges.append(options.range)
        return await super().open_read(uri, options)


@pytest.fixture
def memory() -> Witness:
    return Witness()


@pytest.fixture(autouse=True)
async def nothing_held(storage: Storage, faults: FaultyDriver) -> AsyncIterator[None]:
    temporary._seen.clear()
    await storage.put(KEY, DATA)
    faults.calls.clear()
    yield
    at_rest(storage, faults)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file"


def names(path: Path) -> set[str]:
    return {found.name for found in path.iterdir()}


def left(target: Path) -> Path:
    return target.with_name(resumable_name(target.name))


async def interrupted(
    storage: Storage, faults: FaultyDriver, target: Path, *, parts: int, options: DownloadOptions = RESUME
) -> None:
    """
    Download until *parts* parts are there, then fail.
    """
    faults.fail("open_read", PermissionDeniedError("the key has expired"), times=None, after=parts)
    with pytest.raises(PermissionDeniedError):
        await storage.download(KEY, target, options=options)
    faults.heal()
    faults.calls.clear()


class TestInterrupted:
    """
    At any point.
    """

    @pytest.mark.parametrize("parts", range(1, PARTS))
    async def test_between_parts(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, target: Path, parts: int
    ) -> None:
        """
        Only the missing parts are requested, after one look at the object.
        """
        await interrupted(storage, faults, target, parts=parts)
        assert {left(target).name} == names(target.parent)
        memory.ranges.clear()

        info = await storage.download(KEY, target, options=RESUME)

        wanted = [ByteRange(start, min(start + MiB, len(DATA))) for start in range(parts * MiB, len(DATA), MiB)]
        assert wanted == memory.ranges
        assert (1, len(wanted)) == (faults.calls["stat"], faults.calls["open_read"])
        assert DATA == target.read_bytes()
        assert len(DATA) == info.size
        assert {"file"} == names(target.parent)

    async def test_within_a_part(self, storage: Storage, faults: FaultyDriver, memory: Witness, target: Path) -> None:
        """
        What had arrived of a part is not requested again.
        """
        options = replace(RESUME, part_size=len(DATA))
        faults.truncate("read", after=3 * MiB)
        faults.fail("open_read", PermissionDeniedError("the key has expired"), after=1)
        with pytest.raises(PermissionDeniedError):
            await storage.download(KEY, target, options=options)
        memory.ranges.clear()

        await storage.download(KEY, target, options=options)

        assert [ByteRange(3 * MiB, len(DATA))] == memory.ranges
        assert DATA == target.read_bytes()

    async def test_complete_but_not_renamed(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        If all bytes are there, no byte is requested.
        """
        await interrupted(storage, faults, target, parts=4)
        memory.ranges.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(5, "no")))
            with pytest.raises(UnavailableError):
                await storage.download(KEY, target, options=replace(RESUME, sync=False))
        assert 1 == len(memory.ranges)

        await storage.download(KEY, target, options=RESUME)

        assert 1 == len(memory.ranges)
        assert DATA == target.read_bytes()

    async def test_several_times(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        for _ in range(PARTS - 2):
            faults.fail("open_read", PermissionDeniedError("the key has expired"), after=1)
            with pytest.raises(PermissionDeniedError):
                await storage.download(KEY, target, options=RESUME)
        await storage.download(KEY, target, options=RESUME)

        # One of each part, and those that failed.
        assert PARTS + PARTS - 2 == faults.calls["open_read"]
        assert DATA == target.read_bytes()

    @pytest.mark.parametrize("way", WAYS)
    async def test_at_every_step(
        self,
        storage: Storage,
        faults: FaultyDriver,
        memory: Witness,
        target: Path,
        threads_inline: None,
        small_chunks: int,
        monkeypatch: pytest.MonkeyPatch,
        way: type[Cancelled],
    ) -> None:
        """
        After a cancellation at any await, there is the file, or nothing but what the next attempt takes up.
        """
        data = patterned(4500)
        await storage.put(KEY, data)
        options = replace(RESUME, part_size=1000, max_concurrency=2)
        step, alive = 0, True
        while alive:
            step += 1
            alive = await cancelled_at(step, way(), lambda: storage.download(KEY, target, options=options))
            at_rest(storage, faults)
            assert names(target.parent) <= {"file", left(target).name}, f"step {step}"
            held = left(target).exists()
            faults.calls.clear()
            await storage.download(KEY, target, options=options)

            assert held == bool(faults.calls["stat"]), f"step {step}"
            assert held == (faults.calls["open_read"] < 5), f"step {step}"
            assert data == target.read_bytes()
            assert {"file"} == names(target.parent)
            target.unlink()
        assert step > 30

    async def test_progress_counts_what_is_there(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        await interrupted(storage, faults, target, parts=3)
        events: list[ProgressEvent] = []

        await storage.download(KEY, target, options=RESUME, progress=events.append)

        done = [event.bytes_done for event in events]
        assert sorted(done) == done
        assert 3 * MiB == next(count for count in done if count)
        assert len(DATA) == done[-1]

    async def test_other_part_size(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        """
        The size of the parts is that of the first attempt.
        """
        await interrupted(storage, faults, target, parts=3)
        await storage.download(KEY, target, options=replace(RESUME, part_size=100_000, max_concurrency=8))

        assert 2 == faults.calls["open_read"]
        assert DATA == target.read_bytes()

    async def test_a_range(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        options = replace(RESUME, range=ByteRange(7, 3 * MiB))
        await interrupted(storage, faults, target, parts=1, options=options)
        await storage.download(KEY, target, options=options)

        assert 2 == faults.calls["open_read"]
        assert DATA[7 : 3 * MiB] == target.read_bytes()

    async def test_many(self, storage: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
        """
        Large and small objects of a bulk, in directories that are new.
        """
        await storage.put(ROOT / "small", b"small")
        items = [Download(KEY, tmp_path / f"{number % 2}" / f"{number}") for number in range(4)]
        items += [Download(ROOT / "small", tmp_path / "0" / f"small{number}") for number in range(3)]
        options = BulkOptions(download=RESUME, max_concurrency=1)
        faults.fail("open_read", PermissionDeniedError("no"), times=4, after=2)
        assert 4 == (await storage.bulk_download(items, options=options)).failed
        faults.heal()
        faults.calls.clear()

        (await storage.bulk_download(items, options=options)).raise_for_failures()

        assert all(item.target.read_bytes() == (DATA if item.source == KEY else b"small") for item in items)
        assert {"0", "1", "3"} <= names(tmp_path / "0") | names(tmp_path / "1")
        assert not any(is_temporary(path.name) for path in tmp_path.rglob("*"))


class TestNotTheSame:
    """
    What does not belong to this version of the object is dropped.
    """

    async def test_replaced_object(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        await interrupted(storage, faults, target, parts=3)
        await storage.put(KEY, DATA[::-1])
        await storage.download(KEY, target, options=RESUME)

        assert DATA[::-1] == target.read_bytes()
        assert {"file"} == names(target.parent)

    async def test_replaced_while_it_is_resumed(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        await interrupted(storage, faults, target, parts=3)
        stop = faults.hang("open_read")
        task = asyncio.ensure_future(storage.download(KEY, target, options=RESUME))
        await stop.reached()
        await storage.put(KEY, DATA[::-1])
        stop.release()
        with pytest.raises(SourceChangedError):
            await task

        assert set() == names(target.parent)

    async def test_deleted_object(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        await interrupted(storage, faults, target, parts=3)
        await storage.delete(KEY)
        with pytest.raises(NotFoundError):
            await storage.download(KEY, target, options=RESUME)

        assert set() == names(target.parent)

    @pytest.mark.parametrize("other", ["key", "range"])
    async def test_other_bytes(self, storage: Storage, faults: FaultyDriver, target: Path, other: str) -> None:
        await interrupted(storage, faults, target, parts=3)
        await storage.put(ROOT / "other", DATA)
        source = ROOT / "other" if other == "key" else KEY
        options = replace(RESUME, range=ByteRange(1)) if other == "range" else RESUME
        await storage.download(source, target, options=options)

        assert DATA[options.range.start if options.range else 0 :] == target.read_bytes()
        assert 0 == faults.calls["stat"]

    async def test_object_that_became_small(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        await interrupted(storage, faults, target, parts=3)
        await storage.put(KEY, b"small")
        await storage.download(KEY, target, options=RESUME)

        assert b"small" == target.read_bytes()
        assert {"file"} == names(target.parent)

    async def test_damaged_bytes(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        """
        The checksum of the whole object covers what an earlier attempt wrote, which is read again if it is wrong.
        """
        await interrupted(storage, faults, target, parts=3)
        with left(target).open("r+b") as file:
            file.write(b"\xff")
        await storage.download(KEY, target, options=RESUME)

        assert DATA == target.read_bytes()
        assert {"file"} == names(target.parent)

    @pytest.mark.parametrize("cut", [0, 1, 40, 100, len(DATA)])
    async def test_damaged_record(self, storage: Storage, faults: FaultyDriver, target: Path, cut: int) -> None:
        await interrupted(storage, faults, target, parts=3)
        with left(target).open("r+b") as file:
            file.truncate(max(0, file.seek(0, os.SEEK_END) - cut))
            if not cut:
                file.seek(len(DATA))
                file.write(b"#")
        await storage.download(KEY, target, options=RESUME)

        assert 0 == faults.calls["stat"]
        assert DATA == target.read_bytes()
        assert {"file"} == names(target.parent)

    @pytest.mark.parametrize("boot", ["another", ""])
    @pytest.mark.parametrize("verify", [True, False])
    async def test_power_failure(
        self,
        storage: Storage,
        faults: FaultyDriver,
        target: Path,
        monkeypatch: pytest.MonkeyPatch,
        verify: bool,
        boot: str,
    ) -> None:
        """
        After the system was started again, the file is used only if a checksum can show that its bytes are there.
        """
        if not boot:
            # A system that does not tell.
            monkeypatch.setattr(record, "boot", lambda: boot)
        await interrupted(storage, faults, target, parts=3)
        monkeypatch.setattr("asyncstore.engine.download.download.boot", lambda: boot)
        await storage.download(KEY, target, options=replace(RESUME, verify=verify))

        assert (2 if verify else PARTS) == faults.calls["open_read"]
        assert DATA == target.read_bytes()

    async def test_server_without_ranges(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        """
        Nothing is kept that could not be resumed.
        """
        await interrupted(storage, faults, target, parts=3)
        changed(faults, ranges=False)
        await storage.download(KEY, target, options=RESUME)
        assert DATA == target.read_bytes()

        target.unlink()
        faults.fail("read", PermissionDeniedError("no"), after=1)
        with pytest.raises(PermissionDeniedError):
            await storage.download(KEY, target, options=RESUME)
        assert set() == names(target.parent)


class TestOthers:
    """
    Downloads without ``resume``, and several at once.
    """

    async def test_without_resume_nothing_stays(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        """
        Neither its own file, nor that of an earlier download to this target.
        """
        await interrupted(storage, faults, target, parts=3)
        await storage.download(KEY, target, options=replace(RESUME, resume=False))

        assert PARTS == faults.calls["open_read"]
        assert {"file"} == names(target.parent)

    async def test_others_keep_it(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        """
        A download to another file in the directory removes it after a week only.
        """
        await interrupted(storage, faults, target, parts=3)
        for age, there in ((6 * 86_400, True), (8 * 86_400, False)):
            now = left(target).stat().st_mtime
            os.utime(left(target), (now - age, now - age))
            temporary._seen.clear()
            await storage.download(KEY, target.with_name("other"))

            assert there == left(target).exists()
            if there:
                os.utime(left(target))

    async def test_two_at_once(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        """
        The second one fails before it writes anything; the first one is not disturbed.
        """
        stop = faults.hang("open_read", after=2)
        task = asyncio.ensure_future(storage.download(KEY, target, options=RESUME))
        await stop.reached()
        with pytest.raises(InUseError, match=r"another download to .*file is in progress, in this process"):
            await storage.download(KEY, target, options=RESUME)
        stop.release()
        await task

        assert DATA == target.read_bytes()
        assert {"file"} == names(target.parent)

    async def test_two_that_begin_together(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        results: list[Any] = await asyncio.gather(
            *(storage.download(KEY, target, options=RESUME) for _ in range(5)), return_exceptions=True
        )

        assert any(not isinstance(result, BaseException) for result in results)
        assert {InUseError} >= {type(result) for result in results if isinstance(result, BaseException)}
        assert DATA == target.read_bytes()
        assert {"file"} == names(target.parent)

    async def test_create_only(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        """
        If the target appears meanwhile, the rest of the attempt goes.
        """
        options = replace(RESUME, overwrite=False)
        await interrupted(storage, faults, target, parts=3, options=options)
        written(target, b"another program's")
        with pytest.raises(AlreadyExistsError):
            await storage.download(KEY, target, options=options)

        assert {"file"} == names(target.parent)

    async def test_mode(self, storage: Storage, faults: FaultyDriver, target: Path) -> None:
        await interrupted(storage, faults, target, parts=3)
        assert 0o600 == left(target).stat().st_mode & 0o777
        await storage.download(KEY, target, options=RESUME)

        assert written(target.with_name("other"), b"").stat().st_mode == target.stat().st_mode


_HANGING = """
import asyncio, sys
from pathlib import Path
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import DownloadOptions, MiB
from asyncstore.testing.faults import FaultyDriver

async def main():
    faults = FaultyDriver(MemoryDriver())
    storage = faults.storage("memory://bucket")
    await storage.put(storage.root / "dir/key", bytes(4 * MiB))
    stop = faults.hang("open_read", after=2)
    options = DownloadOptions(part_size=MiB, max_concurrency=1, resume=True)
    task = asyncio.ensure_future(storage.download(storage.root / "dir/key", Path(sys.argv[1]), options=options))
    await stop.reached()
    print("ready", flush=True)
    await task

asyncio.run(main())
"""


async def test_another_process(storage: Storage, faults: FaultyDriver, target: Path) -> None:
    """
    The error names the process; when that was killed, its file is there to be taken up.
    """
    with subprocess.Popen([sys.executable, "-c", _HANGING, str(target)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert b"ready\n" == process.stdout.readline()
            with pytest.raises(InUseError, match=f"in process {process.pid} "):
                await storage.download(KEY, target, options=RESUME)
        finally:
            process.kill()
    assert {left(target).name} == names(target.parent)

    # Its bytes are of another version.
    await storage.download(KEY, target, options=RESUME)

    assert 1 == faults.calls["stat"]
    assert DATA == target.read_bytes()
    assert {"file"} == names(target.parent)


async def test_file_of_another_user(
    storage: Storage, faults: FaultyDriver, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where everyone may write, someone could leave a file that seems to be complete: it is not used.
    """
    await interrupted(storage, faults, target, parts=3)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: left(target).stat().st_uid + 1)
        await storage.download(KEY, target, options=RESUME)

    assert PARTS == faults.calls["open_read"]
    assert {"file"} == names(target.parent)
