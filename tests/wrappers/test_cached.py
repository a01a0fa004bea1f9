"""
What a cache answers, what it asks, what it keeps, and that it never serves anything wrong.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asyncstore import (
    ByteRange,
    Checksum,
    ChecksumAlgorithm,
    ConfigurationError,
    InvalidRequestError,
    Metadata,
    NotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    Retention,
    Storage,
    cached,
    parse_uri,
)
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import IntegrityError, UnavailableError
from asyncstore.options import KiB, MiB
from asyncstore.testing.conformance.harness import turns
from asyncstore.testing.faults import FaultyDriver
from asyncstore.wrappers.cache import directory as directory_module
from asyncstore.wrappers.cache.directory import FileEntry
from asyncstore.wrappers.cache.entry import decoded, encoded
from tests.build import changed, patterned

#: What asking costs: one read, without bytes.
ASKED = {"open_read": 1}

Make = Callable[..., Storage]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parent") / "cache"


@pytest.fixture(params=["memory", "directory"])
def make(request: pytest.FixtureRequest, storage: Storage, folder: Path) -> Make:
    """
    Returns a cached storage over the one with faults.
    """
    where = {"directory": folder} if request.param == "directory" else {}
    return lambda **settings: cached(storage, **{"max_bytes": 64 * MiB, **where, **settings})


@pytest.fixture
def bytes_received(monkeypatch: pytest.MonkeyPatch, memory: MemoryDriver) -> Iterator[list[int]]:
    """
    The bytes of each body that the service sent.
    """
    found: list[int] = []
    real = memory.open_read

    async def counting(uri, options):  # type: ignore[no-untyped-def]
        body = await real(uri, options)
        found.append(body.end - body.start)
        return body

    monkeypatch.setattr(memory, "open_read", counting)
    return found  # type: ignore[return-value]


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("??/*/*"))


# What is asked


async def test_second_read_sends_no_bytes(make: Make, faults: FaultyDriver, bytes_received: list[int]) -> None:
    """
    The service is asked whether the object is the same, and says so without a body.
    """
    store = make()
    await store.put("key", b"data", content_type="text/plain", metadata={"a": "1"})
    first = await store.read("key")
    faults.calls.clear()

    assert await store.read("key") == first == b"data"
    async with store.get("key") as body:
        assert (body.info.content_type, body.info.metadata) == ("text/plain", {"a": "1"})
        assert body.info.uri == store.root / "key"
        assert b"".join([chunk async for chunk in body]) == b"data"
    assert faults.calls == {"open_read": 2}
    assert bytes_received == [4]


async def test_within_max_age_nothing_is_asked(make: Make, faults: FaultyDriver) -> None:
    store = make(max_age=3600)
    await store.put("key", b"data")
    await store.read("key")
    faults.calls.clear()

    assert [await store.read("key") for _ in range(3)] == [b"data"] * 3
    assert not faults.calls


async def test_after_max_age_it_is_asked_once_more(
    make: Make, faults: FaultyDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An answer holds for max_age seconds again.
    """
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    store = make(max_age=10)
    await store.put("key", b"data")
    await store.read("key")
    later = now + 11
    monkeypatch.setattr(time, "time", lambda: later)
    for path in _files(store):
        os.utime(path, (now, now))
    faults.calls.clear()

    await store.read("key")
    if (paths := _files(store)) != []:
        os.utime(paths[0], (later, later))
    await store.read("key")

    assert faults.calls == ASKED


def _files(store: Storage) -> list[Path]:
    where = store.describe()["cache"].partition(",")[0]
    return [] if where == "memory" else files_in(Path(where))


async def test_what_others_changed_is_seen(make: Make, storage: Storage, bytes_received: list[int]) -> None:
    store = make()
    await storage.put("key", b"old")
    assert await store.read("key") == b"old"

    await storage.put("key", b"newer")

    assert [await store.read("key") for _ in range(2)] == [b"newer"] * 2
    assert bytes_received == [3, 5]


async def test_what_others_deleted_is_gone(make: Make, storage: Storage) -> None:
    store = make()
    await storage.put("key", b"old")
    await store.read("key")
    await storage.delete("key")

    for _ in range(2):
        with pytest.raises(NotFoundError):
            await store.read("key")


@pytest.mark.parametrize("wanted", [(0, 100), (50, None), (-7, None), (90, 5000), slice(99, 100)])
async def test_ranges_are_kept_and_cut_out_of_the_whole(
    make: Make, faults: FaultyDriver, bytes_received: list[int], wanted: tuple[int, int | None]
) -> None:
    """
    A range comes from an equal one, or from the whole object.
    """
    data = patterned(100)
    store, part = make(max_age=3600), ByteRange.of(wanted)
    await store.put("key", data)
    expected = data[part.start : part.end]

    assert [await store.read("key", range=wanted) for _ in range(2)] == [expected] * 2
    assert len(bytes_received) == 1
    await store.read("key")
    await store.put("other", data)
    await store.read("other")
    faults.calls.clear()
    assert await store.read("other", range=wanted) == expected
    assert not faults.calls


async def test_range_beyond_the_end(make: Make) -> None:
    store = make(max_age=3600)
    await store.put("key", b"data")
    await store.read("key")

    with pytest.raises(RangeNotSatisfiableError):
        await store.read("key", range=(4, None))


async def test_if_match(make: Make, storage: Storage) -> None:
    """
    A condition holds or fails as without a cache.
    """
    store = make()
    old = await store.put("key", b"old")
    assert await store.read("key", if_match=old.etag) == b"old"
    assert await store.read("key", if_match=old.etag) == b"old"
    with pytest.raises(PreconditionFailedError):
        await store.read("key", if_match="other")

    await storage.put("key", b"new")

    with pytest.raises(PreconditionFailedError):
        await store.read("key", if_match=old.etag)
    assert await store.read("key") == b"new"


async def test_without_conditional_reads_the_metadata_is_compared(
    make: Make, storage: Storage, faults: FaultyDriver, bytes_received: list[int]
) -> None:
    changed(faults, conditional_read=False)
    store = make()
    await storage.put("key", b"data")
    await store.read("key")
    faults.calls.clear()

    assert await store.read("key") == b"data"
    assert faults.calls == {"stat": 1}
    await storage.put("key", b"new")
    assert await store.read("key") == b"new"
    assert bytes_received == [4, 3]


async def test_versions_have_entries_of_their_own(make: Make) -> None:
    from asyncstore import open_storage

    async with open_storage("memory://bucket", versioning=True) as storage:
        store = cached(storage, max_bytes=MiB, max_age=3600)
        old = await store.put("key", b"old")
        await store.put("key", b"new")
        for _ in range(2):
            assert await store.read("key", version_id=old.version_id) == b"old"
            assert await store.read("key") == b"new"


# What is kept


@pytest.mark.parametrize("size", [0, 1, MiB - 1, MiB, 3 * MiB + 5])
async def test_every_way_to_read(
    make: Make, faults: FaultyDriver, tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    """
    Every verb is answered from the cache, whichever filled it.
    """
    data = patterned(size)
    store = make(max_age=3600)
    target = tmp_path_factory.mktemp("target") / "file"
    buffer = bytearray(size)

    async def streamed() -> bytes:
        async with store.get("key") as body:
            return b"".join([chunk async for chunk in body])

    async def into() -> bytes:
        await store.read_into("key", buffer)
        return bytes(buffer)

    async def downloaded() -> bytes:
        await store.download("key", target)
        return target.read_bytes()

    ways = [lambda: store.read("key"), streamed, into, downloaded]
    for first in ways:
        await store.put("key", data)
        assert await first() == data
        assert await first() == data
        faults.calls.clear()
        assert [await way() for way in ways[:2]] == [data] * 2
        if first in ways[:2]:
            assert "open_read" not in faults.calls


async def test_what_was_not_read_to_its_end_is_not_kept(make: Make, bytes_received: list[int]) -> None:
    store = make(max_age=3600)
    await store.put("key", patterned(3 * MiB))

    async with store.get("key") as body:
        await anext(aiter(body))
    assert len(await store.read("key")) == 3 * MiB

    assert len(bytes_received) == 2


async def test_corrupt_reply_is_not_kept(make: Make, faults: FaultyDriver) -> None:
    """
    A reply that does not match the checksum of the object fails, and the next read asks the service.
    """
    store = make(max_age=3600)
    await store.put("key", patterned(1000))
    faults.corrupt("read")

    with pytest.raises(IntegrityError):
        await store.read("key")

    assert await store.read("key") == patterned(1000)


async def test_broken_reply_is_not_kept(make: Make, faults: FaultyDriver) -> None:
    store = make(max_age=3600)
    await store.put("key", patterned(1000))
    faults.truncate(after=500)

    assert [await store.read("key") for _ in range(2)] == [patterned(1000)] * 2


async def test_cancelled_read_is_not_kept(make: Make, faults: FaultyDriver, folder: Path) -> None:
    """
    Wherever it is cancelled, no file is left, and the next read is right.
    """
    store = make(max_age=3600)
    await store.put("key", patterned(3 * MiB))
    stop = faults.hang("read", after=1)
    reading = asyncio.ensure_future(store.read("key"))
    await stop.reached()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert files_in(folder) == []
    assert not faults.bodies_open
    assert await store.read("key") == patterned(3 * MiB)


async def test_cancelled_while_the_file_is_opened(
    storage: Storage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The file that a thread opens meanwhile is closed.
    """
    store = cached(storage, directory=folder, max_bytes=64 * MiB, max_age=3600)
    await store.put("key", patterned(3 * MiB))
    await store.read("key")
    opened: list[int] = []
    real = FileEntry.open

    def slow(path: Path, request: Any) -> FileEntry | None:
        entry = real(path, request)
        assert entry is not None
        opened.append(entry._descriptor)
        time.sleep(0.05)
        return entry

    monkeypatch.setattr(FileEntry, "open", slow)
    reading = asyncio.ensure_future(store.read("key"))
    while not opened:
        await asyncio.sleep(0.001)
    reading.cancel()
    # Not pytest.raises, which keeps the frames of the error.
    with suppress(asyncio.CancelledError):
        await reading
    assert reading.cancelled()
    del reading
    await turns()
    gc.collect()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


@pytest.mark.parametrize("write", ["put", "delete", "copy", "bulk", "multipart", "stream"])
async def test_own_writes_are_seen(make: Make, write: str) -> None:
    """
    Within max_age, too.
    """
    store = make(max_age=3600)
    await store.put("key", b"old")
    await store.put("source", b"new")
    await store.read("key")
    await store.read("key", range=(0, 2))
    new = b"new"

    if write == "put":
        await store.put("key", new)
    elif write == "copy":
        await store.copy("source", "key")
    elif write == "stream":
        async with store.open("key", "wb") as file:
            await file.write(new)
    elif write == "multipart":
        new = patterned(2 * MiB)
        await store.put("key", new, part_size=MiB, multipart_threshold=MiB)
    elif write == "delete":
        await store.delete("key")
    else:
        await store.bulk_delete(["key"])

    if write in ("delete", "bulk"):
        with pytest.raises(NotFoundError):
            await store.read("key")
    else:
        assert await store.read("key") == new
        assert await store.read("key", range=(0, 2)) == new[:2]


async def test_write_whose_reply_is_lost_is_seen(make: Make, faults: FaultyDriver) -> None:
    store = make(max_age=3600)
    await store.put("key", b"old")
    await store.read("key")
    faults.lose_reply("delete", InvalidRequestError("lost"))

    with pytest.raises(InvalidRequestError):
        await store.delete("key")

    with pytest.raises(NotFoundError):
        await store.read("key")


async def test_read_that_a_write_overtakes_is_not_kept(make: Make, faults: FaultyDriver) -> None:
    """
    A read that began before the write ends after it: what it read is not served afterwards.
    """
    store = make(max_age=3600)
    await store.put("key", b"old")
    stop = faults.hang("read")
    reading = asyncio.ensure_future(store.read("key"))
    await stop.reached()

    await store.put("key", b"new")
    stop.release()

    assert await reading == b"old"
    assert await store.read("key") == b"new"


# Bounds


async def test_oldest_goes_first(make: Make, faults: FaultyDriver) -> None:
    """
    What was used last stays.
    """
    store = make(max_bytes=40 * KiB, max_age=3600)
    for key in "abcde":
        await store.put(key, bytes(10 * KiB))
    for key in "abc":
        await store.read(key)
        await asyncio.sleep(0.01)
    await store.read("a")
    await store.read("d")
    await store.read("e")
    faults.calls.clear()

    for key in "ade":
        await store.read(key)

    assert not faults.calls


async def test_too_large_is_not_kept(make: Make, bytes_received: list[int], folder: Path) -> None:
    store = make(max_bytes=1000, max_age=3600)
    await store.put("key", bytes(1001))

    for _ in range(2):
        assert await store.read("key") == bytes(1001)

    assert bytes_received == [1001, 1001]
    assert files_in(folder) == []


async def test_directory_is_bounded_by_what_is_in_it(storage: Storage, folder: Path) -> None:
    """
    Two storages, as of two processes, keep within one bound together.
    """
    bound = 100 * KiB
    ones = [cached(storage, directory=folder, max_bytes=bound, max_age=3600) for _ in range(2)]
    for number in range(40):
        await storage.put(f"{number}", bytes(7 * KiB))
        await ones[number % 2].read(f"{number}")

        sizes = [path.stat().st_size for path in files_in(folder)]
        assert sum(sizes) <= bound
        assert sum(sizes) == int((folder / "lock").read_bytes().strip(b"\0 "))
    assert len(files_in(folder)) >= 10


# Files


@pytest.mark.parametrize(
    "harm", ["flip-first", "flip-middle", "flip-record", "truncate", "truncate-all", "append", "swap"]
)
async def test_damaged_file_is_never_served(storage: Storage, folder: Path, harm: str) -> None:
    """
    Whatever happens to a file, reads return what the service has.
    """
    data = patterned(3 * MiB + 5)
    store = cached(storage, directory=folder, max_bytes=64 * MiB, max_age=3600)
    await store.put("key", data)
    await store.read("key")
    (path,) = files_in(folder)
    content = bytearray(path.read_bytes())
    if harm == "swap":
        await store.put("other", bytes(len(data)))
        await store.read("other")
        other = next(found for found in files_in(folder) if found != path)
        content = bytearray(other.read_bytes())
    elif harm == "append":
        content += b"x"
    elif harm.startswith("truncate"):
        del content[0 if harm == "truncate-all" else 2 * MiB :]
    else:
        content[{"flip-first": 0, "flip-middle": 2 * MiB + 1, "flip-record": len(content) - 40}[harm]] ^= 1
    path.write_bytes(content)

    async with store.get("key") as body:
        assert b"".join([chunk async for chunk in body]) == data
    path.write_bytes(content)
    assert await store.read("key", range=(2 * MiB, 2 * MiB + 10)) == data[2 * MiB : 2 * MiB + 10]
    path.write_bytes(content)
    assert await store.read("key") == data


async def test_full_disk_stops_the_cache_and_nothing_else(
    storage: Storage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cached(storage, directory=folder, max_bytes=64 * MiB)
    await store.put("key", patterned(3 * MiB))

    def full(descriptor: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory_module, "_write_all", full)

    assert [await store.read("key") for _ in range(2)] == [patterned(3 * MiB)] * 2
    assert files_in(folder) == []


async def test_directory_that_cannot_be_used(storage: Storage, folder: Path, faults: FaultyDriver) -> None:
    """
    The first read says so, before anything is sent.
    """
    folder.write_bytes(b"a file")

    with pytest.raises(ConfigurationError, match="directory of the cache cannot be created"):
        await cached(storage, directory=folder, max_bytes=MiB).read("key")
    assert not faults.calls


async def test_files_are_private_and_stay(storage: Storage, folder: Path, faults: FaultyDriver) -> None:
    """
    Files are for this user only, and are there for the next storage.
    """
    store = cached(storage, directory=folder, max_bytes=MiB, max_age=3600)
    await store.put("key", b"data")
    await store.read("key")
    await store.aclose()
    faults.calls.clear()

    again = cached(storage, directory=folder, max_bytes=MiB, max_age=3600)

    assert await again.read("key") == b"data"
    assert not faults.calls
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files_in(folder)} == {0o600}


async def test_files_of_killed_processes_are_removed(storage: Storage, folder: Path) -> None:
    store = cached(storage, directory=folder, max_bytes=30 * KiB)
    await store.put("key", bytes(20 * KiB))
    await store.read("key")
    (path,) = files_in(folder)
    left = path.with_name(".x.asyncstore-0123456789ab.part")
    left.write_bytes(b"half")
    os.utime(left, (0, 0))

    await store.put("other", bytes(20 * KiB))
    await store.read("other")

    assert not left.exists()


async def test_a_directory_that_is_removed_meanwhile(storage: Storage, folder: Path) -> None:
    """
    Whoever empties the directory harms nobody.
    """
    import shutil

    store = cached(storage, directory=folder, max_bytes=MiB, max_age=3600)
    await store.put("key", b"data")
    await store.read("key")
    shutil.rmtree(folder)

    assert [await store.read("key") for _ in range(2)] == [b"data"] * 2
    assert len(files_in(folder)) == 1


_WORKER = """
    import asyncio, sys
    from asyncstore import cached, open_storage

    async def main():
        async with open_storage(f"file://{sys.argv[1]}/", sync=False) as storage:
            store = cached(storage, directory=sys.argv[2], max_bytes=100_000, max_age=60)

            async def work(task):
                for number in range(60):
                    key = str((number * 7 + task) % 20)
                    data = await store.read(key)
                    assert data == key.encode() * (4000 // len(key)), key
            await asyncio.gather(*map(work, range(8)))

    asyncio.run(main())
"""


def test_tasks_and_processes_share_a_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """
    Eight tasks in each of three processes read and evict at once, and every read is right.
    """
    objects, folder = tmp_path_factory.mktemp("objects"), tmp_path_factory.mktemp("parent") / "cache"
    for number in range(20):
        (objects / str(number)).write_bytes(str(number).encode() * (4000 // len(str(number))))
    command = [sys.executable, "-c", textwrap.dedent(_WORKER), str(objects), str(folder)]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]

    errors = [worker.communicate(timeout=50)[1] for worker in workers]

    assert errors == ["", "", ""]
    assert sum(path.stat().st_size for path in files_in(folder)) <= 100_000
    assert not [path for path in files_in(folder) if path.name.startswith(".")]


# Records


def test_metadata_survives() -> None:
    """
    All that is known of an object is known of it from the cache.
    """
    crc = Checksum(ChecksumAlgorithm.CRC32C, b"1234")
    info = Metadata(
        uri=parse_uri("memory://bucket/a"),
        size=5,
        etag="e",
        last_modified=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        version_id="v",
        storage_class="COLD",
        checksum=crc,
        is_prefix=False,
        is_current=True,
        is_deleted=False,
        is_folder=True,
        content_type="text/plain",
        content_encoding="gzip",
        content_language="de",
        content_disposition="inline",
        cache_control="no-store",
        metadata={"a": "1", "time": "2", "text": "3"},
        checksums=(crc, Checksum(ChecksumAlgorithm.MD5, bytes(16), 3)),
        retention=Retention(datetime(2030, 1, 2, tzinfo=UTC), "compliance"),
        legal_hold=True,
    )
    import json

    assert all(getattr(info, item.name) not in (None, "", {}) for item in fields(info))
    assert decoded(json.loads(json.dumps(encoded(info))), info.uri) == info


async def test_what_it_tells(make: Make, folder: Path) -> None:
    assert make().describe()["cache"] in ("memory, 67108864 bytes", f"{folder}, 67108864 bytes")


@pytest.mark.parametrize("settings", [{"max_bytes": 0}, {"max_bytes": 1, "max_age": -1.0}])
async def test_bad_settings_are_refused(storage: Storage, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="max_"):
        cached(storage, **settings)


async def test_error_of_the_service_is_told(make: Make, faults: FaultyDriver) -> None:
    """
    If the service cannot be asked, the read fails: what is kept may be stale.
    """
    store = make()
    await store.put("key", b"data")
    await store.read("key")
    faults.fail("open_read", times=None)

    with pytest.raises(UnavailableError):
        await store.read("key")
