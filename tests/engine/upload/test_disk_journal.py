"""
An upload with ``resume="journal"`` is taken up by another storage or process.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncstore.checksum import compute
from asyncstore.config import state_directory
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import (
    AlreadyExistsError,
    ConfigurationError,
    IntegrityError,
    InUseError,
    InvalidRequestError,
    PermissionDeniedError,
    UnavailableError,
)
from asyncstore.options import BulkOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.fault_rules import Call
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm, ProgressEvent, Upload
from tests.build import KEY, ROOT, at_rest, patterned, written
from tests.stepping import WAYS, Cancelled, cancelled_at

DATA = patterned(4500)
COUNT = 5
CRC32C = ChecksumAlgorithm.CRC32C
RESUME = UploadOptions(part_size=1000, multipart_threshold=1000, max_concurrency=1, resume="journal", checksum=CRC32C)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def storage(faults: FaultyDriver, memory: MemoryDriver, state: Path) -> AsyncIterator[Storage]:
    storage = opened(faults, state)
    yield storage
    at_rest(storage, faults)
    assert not storage._requests.uploads.objects


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "file", DATA)


def opened(faults: FaultyDriver, state: Path, **settings: Any) -> Storage:
    return faults.storage(ROOT, state_directory=state, **settings)


def entries(state: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted(state.rglob("*")) if path.is_file()]


def change(state: Path, **values: Any) -> None:
    (file,) = (item for item in state.rglob("*") if item.is_file())
    file.write_text(json.dumps({**json.loads(file.read_bytes()), **values}))


def held(memory: MemoryDriver) -> set[int]:
    return {number for upload in memory._world.uploads.values() for number in upload.parts}


async def interrupted(storage: Storage, faults: FaultyDriver, path: Path, *, sent: int) -> None:
    """
    Upload *path* until *sent* parts are stored, then fail; close the storage.
    """
    faults.fail("upload_part", times=None, after=sent)
    with pytest.raises(UnavailableError):
        await storage.upload(path, KEY, options=RESUME)
    await storage.aclose()
    faults.heal()
    faults.calls.clear()


class TestInterrupted:
    """
    At any point; the storage that began it is closed.
    """

    @pytest.mark.parametrize("sent", range(COUNT))
    async def test_another_storage_resumes(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path, sent: int
    ) -> None:
        """
        Parts that the provider has are compared with the file, and not sent again.
        """
        await interrupted(storage, faults, path, sent=sent)
        assert 1 == len(entries(state)) == len(memory.uploads)
        events: list[ProgressEvent] = []

        info = await opened(faults, state).upload(path, KEY, options=RESUME, progress=events.append)

        assert COUNT - sent == faults.calls["upload_part"]
        assert 0 == faults.calls["initiate_multipart_upload"] == faults.calls["abort_multipart_upload"]
        assert DATA == memory.objects["dir/key"]
        assert len(DATA) == info.size == events[-1].bytes_done
        assert [] == entries(state)
        assert {} == memory.uploads

    @pytest.mark.parametrize("way", WAYS)
    async def test_at_every_step(
        self,
        faults: FaultyDriver,
        memory: MemoryDriver,
        path: Path,
        state: Path,
        threads_inline: None,
        small_chunks: int,
        way: type[Cancelled],
    ) -> None:
        """
        After a cancellation at any await, there is a record if, and only if, there is an upload, or an object that may
        be complete: the next attempt sends what is missing.
        """
        step, alive = 0, True
        while alive:
            step += 1
            options = replace(RESUME, max_concurrency=2)
            async with opened(faults, state, max_requests=2, max_buffer_bytes=4000) as storage:
                alive = await cancelled_at(step, way(), lambda: storage.upload(path, KEY, options=options))  # noqa: B023
                at_rest(storage, faults)
            there, done, recorded = held(memory), KEY.key in memory.objects, bool(entries(state))
            assert recorded == bool(memory.uploads) or done, f"step {step}"
            faults.calls.clear()
            async with opened(faults, state) as again:
                await again.upload(path, KEY, options=options)

            missing = 0 if done and recorded else COUNT - len(there)
            assert missing == faults.calls["upload_part"], f"step {step}"
            assert DATA == memory.objects["dir/key"]
            assert [] == entries(state)
            assert {} == memory.uploads
            memory._world.bucket(ROOT).remove(KEY.key)
        assert step > 30

    async def test_killed_before_the_id_was_known(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path
    ) -> None:
        """
        The upload that nobody knows is found by its time, and aborted.
        """
        await interrupted(storage, faults, path, sent=0)
        change(state, upload_id=None)

        await opened(faults, state).upload(path, KEY, options=RESUME)

        assert DATA == memory.objects["dir/key"]
        assert {} == memory.uploads
        assert [] == entries(state)

    async def test_killed_after_completion(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path
    ) -> None:
        """
        The object is recognized by its checksum; nothing is sent.
        """
        await interrupted(storage, faults, path, sent=2)
        (file,) = (item for item in state.rglob("*") if item.is_file())
        record = file.read_bytes()
        await opened(faults, state).upload(path, KEY, options=RESUME)
        file.write_bytes(record)
        faults.calls.clear()

        info = await opened(faults, state).upload(path, KEY, options=RESUME)

        assert 0 == faults.calls["upload_part"]
        assert len(DATA) == info.size
        assert [] == entries(state)

    @pytest.mark.parametrize("other", ["bytes", "before"])
    async def test_object_of_another_writer(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path, other: str
    ) -> None:
        """
        It is not taken for the result of the upload.
        """
        await storage.put(KEY, DATA if other == "before" else DATA[::-1])
        await interrupted(storage, faults, path, sent=2)
        if other == "before":
            change(state, started=time.time() + 60)
        memory._world.uploads.clear()
        await opened(faults, state).upload(path, KEY, options=RESUME)

        assert COUNT == faults.calls["upload_part"]
        assert DATA == memory.objects["dir/key"]

    async def test_many(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, tmp_path: Path, state: Path
    ) -> None:
        items = [
            Upload(written(tmp_path / f"file{number}", DATA + bytes([number])), ROOT / f"key{number}")
            for number in range(4)
        ]
        items += [Upload(written(tmp_path / "small", b"small"), ROOT / "small")]
        faults.fail("upload_part", PermissionDeniedError("no"), times=None, where=lambda call: call.number == 4)
        options = BulkOptions(upload=RESUME)
        assert 4 == (await storage.bulk_upload(items, options=options)).failed
        await storage.aclose()
        faults.heal()
        faults.calls.clear()

        result = await opened(faults, state).bulk_upload(items, options=options)

        assert 5 == result.done
        assert 8 == faults.calls["upload_part"]
        assert [] == entries(state)


class TestNotTheSame:
    """
    What another attempt cannot use is aborted.
    """

    @pytest.mark.parametrize(
        "change", [{"metadata": {"a": "b"}}, {"part_size": 1500}, {"checksum": ChecksumAlgorithm.CRC32}], ids=repr
    )
    async def test_other_options(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path, change: Any
    ) -> None:
        await interrupted(storage, faults, path, sent=3)
        await opened(faults, state).upload(path, KEY, options=replace(RESUME, **change))

        assert 1 == faults.calls["initiate_multipart_upload"] == faults.calls["abort_multipart_upload"]
        assert DATA == memory.objects["dir/key"]
        assert {} == memory.uploads

    @pytest.mark.parametrize("data", [DATA[::-1], DATA[:-1], b"small"], ids=["bytes", "size", "small"])
    async def test_changed_file(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path, data: bytes
    ) -> None:
        await interrupted(storage, faults, path, sent=3)
        await opened(faults, state).upload(written(path, data), KEY, options=RESUME)

        assert data == memory.objects["dir/key"]
        assert {} == memory.uploads
        assert [] == entries(state)

    async def test_file_changed_without_a_trace(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path
    ) -> None:
        """
        Parts that do not match the bytes of the file are sent again, whatever its size and time are.
        """
        await interrupted(storage, faults, path, sent=3)
        before = path.stat()
        with path.open("r+b") as file:
            file.write(b"\xff")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        await opened(faults, state).upload(path, KEY, options=RESUME)

        assert 3 == faults.calls["upload_part"]
        assert b"\xff" + DATA[1:] == memory.objects["dir/key"]

    @pytest.mark.parametrize("error", [InvalidRequestError("no"), IntegrityError("other bytes")], ids=repr)
    async def test_permanent_failure(
        self,
        storage: Storage,
        faults: FaultyDriver,
        memory: MemoryDriver,
        path: Path,
        state: Path,
        error: Exception,
    ) -> None:
        faults.fail("upload_part", error, after=2)  # type: ignore[arg-type]
        with pytest.raises(type(error)):
            await storage.upload(path, KEY, options=RESUME)

        assert {} == memory.uploads
        assert [] == entries(state)

    async def test_create_only(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path
    ) -> None:
        """
        If the object appears meanwhile, the upload goes.
        """
        await interrupted(storage, faults, path, sent=3)
        await opened(faults, state).put(KEY, b"another program's")
        with pytest.raises(AlreadyExistsError):
            await opened(faults, state).upload(path, KEY, options=replace(RESUME, if_none_match="*"))

        assert {} == memory.uploads
        assert [] == entries(state)

    async def test_failed_initiation(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path
    ) -> None:
        faults.lose_reply("initiate_multipart_upload", times=None)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=RESUME)

        assert {} == memory.uploads
        assert [] == entries(state)

    async def test_damaged_record(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path
    ) -> None:
        await interrupted(storage, faults, path, sent=3)
        for file in state.rglob("*.json"):
            file.write_bytes(file.read_bytes()[:-9])
        await opened(faults, state).upload(path, KEY, options=RESUME)

        assert DATA == memory.objects["dir/key"]
        assert [] == entries(state)

    async def test_other_endpoint(
        self, storage: Storage, faults: FaultyDriver, path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A bucket of another endpoint with the same name has its own uploads.
        """
        await interrupted(storage, faults, path, sent=3)
        monkeypatch.setattr(faults, "describe", lambda: {"endpoint": "https://another.example"})
        await opened(faults, state).upload(path, KEY, options=RESUME)

        assert COUNT == faults.calls["upload_part"]
        assert 1 == len(entries(state))
        monkeypatch.undo()
        await opened(faults, state).upload(path, KEY, options=RESUME)
        assert [] == entries(state)


class TestOthers:
    """
    Several attempts at once; the files of the journal.
    """

    async def test_two_at_once(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path
    ) -> None:
        """
        The second one fails before it sends anything; the first one is not disturbed.
        """
        stop = faults.hang("upload_part", after=2)
        task = asyncio.ensure_future(storage.upload(path, KEY, options=RESUME))
        await stop.reached()
        with pytest.raises(InUseError, match="dir/key: another upload to this object is in progress, in this process"):
            await opened(faults, state).upload(path, KEY, options=RESUME)
        await storage.upload(written(path.with_name("small"), b"small"), KEY, options=RESUME)
        stop.release()
        await task

        assert DATA == memory.objects["dir/key"]
        assert [] == entries(state)

    async def test_nothing_secret(self, storage: Storage, faults: FaultyDriver, path: Path, state: Path) -> None:
        """
        Only the user can read it; what is stored with the object is not in it.
        """
        faults.fail("upload_part", times=None)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=replace(RESUME, metadata={"project": "moonshot"}))
        files = [state, *state.rglob("*")]

        assert [0o700, 0o700, 0o600] == [item.stat().st_mode & 0o777 for item in files]
        assert b"moonshot" not in files[-1].read_bytes()
        (entry,) = entries(state)
        assert {"memory://bucket/dir/key", str(path), os.getpid()} == {entry["uri"], entry["source"][0], entry["pid"]}

    async def test_no_locks(
        self, storage: Storage, faults: FaultyDriver, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The error says what works.
        """
        monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(37, "No locks available")))
        with pytest.raises(ConfigurationError, match="set state_directory to another one, or resume=True"):
            await storage.upload(path, KEY, options=RESUME)

        assert not faults.calls["initiate_multipart_upload"]

    async def test_directory_that_cannot_be_made(self, faults: FaultyDriver, path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"cannot be in .*set state_directory"):
            await opened(faults, path / "state").upload(path, KEY, options=RESUME)

    async def test_journal_that_cannot_be_read(self, faults: FaultyDriver, path: Path, tmp_path: Path) -> None:
        """
        It is an error of the storage, not of the system, for small files as well.
        """
        (tmp_path / "state" / "uploads").mkdir(parents=True)
        storage = opened(faults, tmp_path / "state")
        entry = storage._requests.disk_journal.entry(KEY)
        entry.path.symlink_to("nowhere")
        for data in (DATA, b"small"):
            with pytest.raises(PermissionDeniedError, match=r"uploads/.*\.json"):
                await storage.upload(written(path, data), KEY, options=RESUME)

        assert not faults.calls["put"] + faults.calls["initiate_multipart_upload"]

    async def test_parts_as_the_provider_has_them(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, state: Path
    ) -> None:
        """
        A part whose reply was lost is not sent again.
        """
        faults.lose_reply("upload_part", after=1)
        faults.fail("upload_part", times=None, after=1)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=RESUME)
        faults.heal()
        numbers: list[int | None] = []

        def note(call: Call) -> bool:
            numbers.append(call.number)
            return False

        faults.fail("upload_part", where=note)
        await opened(faults, state).upload(path, KEY, options=RESUME)

        assert [3, 4, 5] == numbers
        assert compute(CRC32C, DATA) == compute(CRC32C, memory.objects["dir/key"])


def test_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As the XDG base directory specification has it: a relative path is ignored.
    """
    monkeypatch.setenv("HOME", "/home/me")
    for value, expected in ("", "/home/me/.local/state"), ("/var/me", "/var/me"), ("rel", "/home/me/.local/state"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert Path(expected, "asyncstore") == state_directory()


_HANGING = """
import asyncio, sys
from pathlib import Path
from asyncstore.options import MiB, UploadOptions
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.testing.faults import FaultyDriver

async def main():
    faults = FaultyDriver(MemoryDriver())
    storage = faults.storage("memory://bucket", state_directory=sys.argv[2])
    stop = faults.hang("upload_part", after=2)
    options = UploadOptions(part_size=1000, multipart_threshold=1000, max_concurrency=1, resume="journal")
    task = asyncio.ensure_future(storage.upload(Path(sys.argv[1]), "dir/key", options=options))
    await stop.reached()
    print("ready", flush=True)
    await task

asyncio.run(main())
"""


async def test_another_process(storage: Storage, faults: FaultyDriver, path: Path, state: Path) -> None:
    """
    The error names the process; the lock of one that was killed is gone.
    """
    command = [sys.executable, "-c", _HANGING, str(path), str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert b"ready\n" == process.stdout.readline()
            with pytest.raises(InUseError, match=f"in process {process.pid} "):
                await storage.upload(path, KEY, options=RESUME)
        finally:
            process.kill()
    assert 1 == len(entries(state))

    await storage.upload(path, KEY, options=RESUME)

    assert [] == entries(state)
