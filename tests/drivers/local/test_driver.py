"""
Objects stay intact whatever happens: other writers, cancellation, links, other programs.
"""

import errno
import json
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from asyncstore._support.threads import in_thread
from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.driver import Driver
from asyncstore.driver.body import BytesBody, BytesLike
from asyncstore.drivers.local import LocalDriver, open_driver
from asyncstore.errors import (
    AlreadyExistsError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    QuotaExceededError,
    SourceChangedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import ByteRange, CopyOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import ChecksumAlgorithm
from tests.blocking import no_blocking
from tests.drivers.calls import PLAIN, Calls, Slow, copied, leftovers, names_in, opened_files

_: type[Driver] = LocalDriver


@pytest.fixture(autouse=True)
def never_blocks() -> Iterator[None]:
    with no_blocking():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def calls(root: Path) -> Calls:
    return opened_files(root)


async def test_file_has_the_permissions_of_the_umask(calls: Calls, root: Path) -> None:
    """The temporary file of a write is readable only by its owner."""
    seen: list[int] = []

    def modes() -> list[int]:
        return [stat.S_IMODE(file.stat().st_mode) for file in (root / ".asyncstore/tmp").iterdir()]

    class Watched(Slow):
        async def chunks(self) -> AsyncIterator[BytesLike]:
            async for chunk in super().chunks():
                yield chunk
                seen.extend(await in_thread(modes))

    umask = os.umask(0o027)
    try:
        await calls.driver.put(calls.key, Watched(b"12345678"), PLAIN)
    finally:
        os.umask(umask)

    assert set(seen) == {0o600}
    assert stat.S_IMODE((root / "dir/key").stat().st_mode) == 0o640


async def test_description_goes_with_the_bytes(calls: Calls, root: Path) -> None:
    """A file that another program changes becomes an object without metadata, with a new ETag."""
    before = await calls.put(content_type="a/b", metadata={"k": "v"})

    (root / "dir/key").write_bytes(b"other")

    after = await calls.stat()
    assert before.etag != after.etag
    assert (after.content_type, after.metadata, after.checksum, after.size) == (None, {}, None, 5)
    await calls.put()
    await calls.delete()
    kept = [file for file in (root / ".asyncstore/meta").rglob("*") if file.is_file()]
    assert [before.etag] == [file.name.partition("-")[2] for file in kept]


async def test_unreadable_sidecar_is_ignored(calls: Calls, root: Path) -> None:
    """A damaged sidecar loses the metadata, not the object."""
    await calls.put(metadata={"k": "v"})
    for file in (root / ".asyncstore/meta").rglob("*-*"):
        file.write_text("{")

    assert await calls.read() == b"data"
    assert (await calls.stat()).metadata == {}


def test_forgotten_descriptions_are_swept(calls: Calls, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stale sidecars are removed once they are a day old."""
    for key in ("kept", "changed", "gone", "young"):
        anyio.run(calls.put, key)
    shards = [path.name for path in (root / ".asyncstore/meta").iterdir()]
    long_ago = time.time() - 90_000
    (root / "changed").write_text("by others")
    (root / "gone").unlink()
    (root / "young").unlink()
    sidecars = {json.loads(file.read_text())["key"]: file for file in (root / ".asyncstore/meta").rglob("*-*")}
    for key in ("kept", "changed", "gone"):
        os.utime(sidecars[key], (long_ago, long_ago))

    for shard in shards:
        monkeypatch.setattr("random.randrange", lambda _, chosen=int(shard, 16): chosen)
        anyio.run(opened_files(root).put, "other")

    assert [key for key, file in sorted(sidecars.items()) if file.exists()] == ["kept", "young"]


async def test_replaced_while_read(calls: Calls) -> None:
    """A reader keeps reading the version that it opened."""
    await calls.put(data=b"1" * (3 * MiB))
    body = await calls.driver.open_read(calls.key, ReadOptions(range=ByteRange(1)))
    await calls.put(data=b"2" * (3 * MiB))

    data = await body.read()
    await body.aclose()
    await body.aclose()

    assert data == b"1" * (3 * MiB - 1)


@pytest.mark.parametrize("size", [MiB, 3 * MiB])
async def test_changed_in_place_while_read(calls: Calls, root: Path, size: int) -> None:
    """A read never mixes the bytes of two versions."""
    await calls.put(data=b"1" * (3 * MiB))
    body = await calls.driver.open_read(calls.key, ReadOptions())
    with (root / "dir/key").open("r+b") as file:
        file.write(b"2")
        file.truncate(size)

    with pytest.raises(SourceChangedError):
        await body.read()
    await body.aclose()


@pytest.mark.parametrize("place", ["link/key", "dir/link", "dir/link/key", "link"])
async def test_links_lead_nowhere(calls: Calls, root: Path, tmp_path: Path, place: str) -> None:
    """Nothing is read, written, copied or deleted through a symbolic link, and the error names it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_text("secret")
    target = outside if place.endswith("key") else outside / "key"
    link = root / place.removesuffix("/key")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    await calls.put("plain")

    for call in (
        lambda: calls.read(place),
        lambda: calls.stat(place),
        lambda: calls.put(place),
        lambda: calls.delete(place),
        lambda: calls.put(f"{place}/x"),
        lambda: copied(calls.driver, calls.root / place, calls.root / "copy", CopyOptions()),
        lambda: copied(calls.driver, calls.root / "plain", calls.root / place, CopyOptions()),
    ):
        with pytest.raises(PermissionDeniedError, match="'link'"):
            await call()

    assert await calls.keys() == ["plain"]
    assert (outside / "key").read_text() == "secret"
    assert names_in(outside) == ["key"]


async def test_hidden_directory_that_is_a_link(calls: Calls, root: Path, tmp_path: Path) -> None:
    """The driver's own directory is not followed out of the root either."""
    (tmp_path / "outside").mkdir()
    (root / ".asyncstore").symlink_to(tmp_path / "outside")

    with pytest.raises(PermissionDeniedError, match="asyncstore"):
        await calls.put()

    assert names_in(tmp_path / "outside") == []


async def test_root_may_be_reached_through_a_link(root: Path, tmp_path: Path) -> None:
    """The path of the root may contain links."""
    (tmp_path / "link").symlink_to(root)
    calls = opened_files(tmp_path / "link")

    await calls.put()

    assert (root / "dir/key").read_bytes() == b"data"


async def test_deletion_removes_empty_parents(calls: Calls, root: Path) -> None:
    """Empty parents are removed up to the root; directories with any file stay."""
    for key in ("a/b/c/d", "a/e"):
        await calls.put(key)

    await calls.delete("a/b/c/d")
    assert names_in(root / "a") == ["e"]
    outcomes = await calls.driver.delete_batch([calls.root / "a/e", calls.root / "none"])

    assert list(outcomes) == [None, None]
    assert names_in(root) == [".asyncstore"]


async def test_deletion_in_a_batch_fails_one_by_one(calls: Calls, root: Path) -> None:
    """Each key of a batch has its own outcome."""
    await calls.put("a")
    (root / "b").symlink_to("a")

    outcomes = await calls.driver.delete_batch([calls.root / "b", calls.root / "a"])

    assert [PermissionDeniedError, type(None)] == [type(outcome) for outcome in outcomes]
    assert await calls.keys() == []


async def test_large_bytes_are_written_in_steps(calls: Calls) -> None:
    """Bytes-like objects of any size and type are written."""
    data = memoryview(bytearray(os.urandom(9 * MiB)))

    info = await calls.driver.put(calls.key, BytesBody(data), WriteOptions(checksum=ChecksumAlgorithm.SHA256))

    assert await calls.read() == data
    assert compute(ChecksumAlgorithm.SHA256, data) == (await calls.stat()).checksums[1]
    assert info.checksum == compute(ChecksumAlgorithm.CRC32C, data)


@pytest.mark.parametrize("fast", [True, False])
async def test_copy_of_a_large_file(calls: Calls, monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    """A copy has the bytes, metadata and checksum of the source, also if the kernel cannot copy."""
    data = os.urandom(3 * MiB + 1)
    await calls.put(data=data, metadata={"k": "v"})

    def refused(*_: object) -> int:
        raise OSError(errno.EXDEV, "no")

    if not fast:
        monkeypatch.setattr(os, "copy_file_range", refused)
    info = await copied(calls.driver, calls.key, calls.root / "copy", CopyOptions())

    assert await calls.read("copy") == data
    assert (await calls.stat("copy")).metadata == {"k": "v"}
    assert compute(ChecksumAlgorithm.CRC32C, data) == info.checksum


async def test_synced_writes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the file, its sidecar and every changed directory are flushed."""
    flushed: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(stat.S_IFMT(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    config = StorageConfig.build(f"file://{root}", {})

    await Calls(open_driver(config), config.uri).put()
    synced = len(flushed)
    await opened_files(root).put("other")

    assert flushed.count(stat.S_IFREG) == 2
    assert synced == len(flushed) > 4


@pytest.mark.parametrize(
    ("number", "kind", "retryable"),
    [
        (errno.ENOENT, NotFoundError, False),
        (errno.EACCES, PermissionDeniedError, False),
        (errno.ENOSPC, QuotaExceededError, False),
        (errno.EDQUOT, QuotaExceededError, False),
        (errno.ENAMETOOLONG, InvalidRequestError, False),
        (errno.EXDEV, NotSupportedError, False),
        (errno.EIO, UnavailableError, True),
        (errno.ENOTTY, StorageError, False),
    ],
)
def test_errors_of_the_system(calls: Calls, number: int, kind: type[StorageError], retryable: bool) -> None:
    """Each OSError becomes an error class, with the name of its errno as code."""
    error = calls.driver.classify(OSError(number, "text", "/some/path"))

    assert type(error) is kind
    assert (error.code, error.retryable) == (errno.errorcode[number], retryable)
    assert "/some/path" not in str(error)
    assert calls.driver.classify(ValueError()) is None


async def test_full_disk_leaves_the_old_object(calls: Calls, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails publishes nothing and leaves no file."""
    await calls.put()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        await calls.driver.put(calls.key, Slow(b"123456"), PLAIN)
    monkeypatch.undo()

    assert await calls.objects() == {"dir/key": b"data"}
    assert leftovers(root) == []


async def test_settings_and_limits(calls: Calls, root: Path) -> None:
    """Unknown settings and long keys are refused; describe() shows the resolved settings."""
    with pytest.raises(ConfigurationError, match="colour"):
        opened_files(root, colour="red")
    with pytest.raises(InvalidRequestError):
        await calls.put("k" * 1025)
    with pytest.raises(InvalidRequestError):
        await calls.put(metadata={"k": "v" * 9000})
    with pytest.raises(AlreadyExistsError):
        await calls.driver.put((await calls.put()).uri, BytesBody(b""), WriteOptions(if_none_match="*"))

    assert calls.driver.describe() == {"root": str(root), "sync": "false"}
    async with calls.driver.native() as path:
        assert path == root
