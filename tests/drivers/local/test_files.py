"""
Files of objects: their modes, file systems without hard links, full disks, and what is never left behind.
"""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncstore import (
    AlreadyExistsError,
    DeleteOptions,
    InvalidRequestError,
    PreconditionFailedError,
    QuotaExceededError,
    StorageError,
    UploadOptions,
    open_storage,
)
from asyncstore._support import rename

PARTS = UploadOptions(part_size=100_000, multipart_threshold=100_000)
WAYS = ["small", "large", "parts", "copy"]
DATA = bytes(range(256)) * 1200


@contextmanager
def masked(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


async def write(root: Path, way: str, key: str = "key", **conditions: str) -> None:
    async with open_storage(f"file://{root}", sync=False) as storage:
        if way == "copy":
            await storage.put("source", DATA)
            await storage.copy("source", key)
            await storage.delete("source")
        elif way == "parts":
            upload_id = await storage.initiate_multipart_upload(key)
            parts = [await storage.upload_part(key, upload_id, n, DATA[n * 1000 :][:1000]) for n in range(1, 4)]
            await storage.complete_multipart_upload(key, upload_id, parts, options=UploadOptions(**conditions))  # type: ignore[arg-type]
        else:
            await storage.put(key, DATA[: 10 if way == "small" else None], options=UploadOptions(**conditions))  # type: ignore[arg-type]


def found(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("way", WAYS)
async def test_the_umask_of_the_moment(tmp_path: Path, way: str) -> None:
    """
    A new object's file has the mode that the umask leaves at the time of the write, not of the first one.
    """
    async with open_storage(f"file://{tmp_path}") as storage:
        for mask in (0o022, 0o077, 0o007):
            with masked(mask):
                await storage.put(f"put{mask}", b"data")
                await write(tmp_path, way, f"key{mask}")
            modes = {stat.S_IMODE((tmp_path / f"{name}{mask}").stat().st_mode) for name in ("put", "key")}
            assert modes == {0o666 & ~mask}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [0o600, 0o755])
async def test_the_mode_of_a_replaced_file(tmp_path: Path, way: str, mode: int) -> None:
    (tmp_path / "key").write_bytes(b"old")
    (tmp_path / "key").chmod(mode)
    await write(tmp_path, way)

    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == mode
    assert (tmp_path / "key").read_bytes() != b"old"


@pytest.mark.parametrize("way", ["small", "large", "parts"])
@pytest.mark.parametrize("exclusive", [True, False])
async def test_create_only_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, exclusive: bool
) -> None:
    """
    Another exclusive way is used; a file that another program creates is never replaced.
    """
    monkeypatch.setattr(os, "link", lambda *_, **__: fail(errno.EPERM))
    if not exclusive:
        monkeypatch.setattr(rename, "_exclusive_rename", lambda: None)
    await write(tmp_path, way, if_none_match="*")
    with pytest.raises(AlreadyExistsError):
        await write(tmp_path, way, if_none_match="*")

    async with open_storage(f"file://{tmp_path}") as storage:
        await storage.put("other", b"x", options=UploadOptions(if_none_match="*"))
        narrowed = "narrowed" in storage.describe()
    assert narrowed is not exclusive


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


async def test_removing_leaves_nothing_in_a_directory_of_others(tmp_path: Path) -> None:
    """
    Deleting files that asyncstore did not write makes no records, whatever the condition.
    """
    for name in ("a", "b/c", "d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"data")
    async with open_storage(f"file://{tmp_path}") as storage:
        etag = (await storage.stat("d")).etag
        await storage.delete("a")
        await storage.delete("missing")
        with pytest.raises(PreconditionFailedError):
            await storage.delete("d", options=DeleteOptions(if_match="other"))
        await storage.delete("d", options=DeleteOptions(if_match=etag))
        await storage.bulk_delete(["b/c"])

    assert found(tmp_path) == set()


@pytest.mark.parametrize("root", ["file", "file/below"])
@pytest.mark.parametrize("way", ["small", "large", "parts", "list", "read"])
async def test_a_root_that_is_a_file(tmp_path: Path, root: str, way: str) -> None:
    """
    The error says so.
    """
    (tmp_path / "file").write_bytes(b"data")
    async with open_storage(f"file://{tmp_path}/{root}") as storage:
        with pytest.raises(InvalidRequestError, match="is not a directory"):
            if way == "list":
                [info async for info in storage.list()]
            elif way == "read":
                await storage.read("key")
            else:
                await write(tmp_path / root, way)

    assert (tmp_path / "file").read_bytes() == b"data"


async def test_a_pipe_where_a_directory_is_needed(tmp_path: Path) -> None:
    """
    Special files are neither replaced nor moved.
    """
    os.mkfifo(tmp_path / "pipe")
    async with open_storage(f"file://{tmp_path}") as storage:
        with pytest.raises(InvalidRequestError, match="neither a file nor a directory"):
            await storage.put("pipe", b"data")
        with pytest.raises(InvalidRequestError, match="neither a file nor a directory"):
            await storage.put("pipe/below", b"data")

    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


async def test_temporary_files_of_downloads_are_no_objects(tmp_path: Path) -> None:
    """
    Those of killed downloads are not listed; an object of such a name is an ordinary one.
    """
    name = ".shard.asyncstore-0123456789ab.part"
    (tmp_path / name).write_bytes(b"half")
    async with open_storage(f"file://{tmp_path}") as storage:
        assert [info.name async for info in storage.list()] == []
        await storage.put(name, b"whole")
        assert [info.name async for info in storage.list()] == [name]
        assert await storage.read(name) == b"whole"

    assert (tmp_path / name).read_bytes() == b"half"


@pytest.fixture
def full_disk() -> Iterator[None]:
    """
    Files end after 150 kB, as on a full disk.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk(tmp_path: Path, full_disk: None) -> None:
    """
    The error is clear, the old object stays, and no half-written file does.
    """
    async with open_storage(f"file://{tmp_path}") as storage:
        await storage.put("key", b"old")
        for data in (DATA, iter([DATA[:100_000], DATA[100_000:]])):
            with pytest.raises(QuotaExceededError):
                await storage.put("key", data)
        assert await storage.read("key") == b"old"

    assert not list((tmp_path / ".asyncstore/tmp").iterdir())


@pytest.mark.parametrize("short", [1, 7, 1000])
async def test_records_are_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: int) -> None:
    """
    A write that takes only some of the bytes at a time loses no metadata.
    """
    write_some = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write_some(fd, bytes(data)[:short]))
    await write(tmp_path, "parts")
    async with open_storage(f"file://{tmp_path}") as storage:
        await storage.put("key", b"data", options=UploadOptions(metadata={"owner": "me"}))
        assert (await storage.stat("key")).metadata == {"owner": "me"}


async def test_a_record_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The object is not published, and no record stays.
    """

    def full(fd: int, data: bytes) -> int:
        if data[:1] == b"{":
            fail(errno.ENOSPC)
        return write_some(fd, data)

    write_some = os.write
    monkeypatch.setattr(os, "write", full)
    async with open_storage(f"file://{tmp_path}") as storage:
        for attempt in (storage.put("key", b"data"), storage.initiate_multipart_upload("key")):
            with pytest.raises(StorageError):
                await attempt

    assert [path for path in tmp_path.rglob("*") if path.is_file() and "locks" not in path.parts] == []
