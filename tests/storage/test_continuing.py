"""
Trees whose transfer was interrupted: with ``resume``, what is complete is skipped.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from asyncstore import download_tree, sync_tree, upload_tree
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import PermissionDeniedError
from asyncstore.options import BulkOptions, DownloadOptions, MiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.storage.compare import SyncOptions
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.tree_verbs import copy_tree
from asyncstore.testing.faults import FaultyDriver
from tests.build import ROOT, at_rest, patterned, written

LARGE = patterned(3 * MiB + 5)
FILES = {"a/large": LARGE, "b": b"b", "c/d": b"d"}
GO_ON = TreeOptions(
    bulk=BulkOptions(
        max_concurrency=1,
        upload=UploadOptions(resume="journal", multipart_threshold=MiB, part_size=MiB, max_concurrency=1),
        download=DownloadOptions(resume=True, part_size=MiB, max_concurrency=1),
    )
)


@pytest.fixture(autouse=True)
async def nothing_left(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    at_rest(storage, faults)
    assert {} == memory.uploads
    assert [] == [path for path in (tmp_path / "state").rglob("*") if path.is_file()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        written(tmp_path / "source" / name, data)
    return tmp_path / "source"


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_upload(storage: Storage, faults: FaultyDriver, memory: MemoryDriver, source: Path) -> None:
    """
    Parts and files that were sent are not sent again, whenever the objects were written.
    """
    denied = PermissionDeniedError("the key has expired")
    faults.fail("upload_part", denied, after=2)
    faults.fail("put", denied, after=1)
    assert 1 == (await upload_tree(source, storage, options=GO_ON)).done
    faults.heal()
    faults.calls.clear()

    result = await upload_tree(source, storage, options=GO_ON)
    again = await upload_tree(source, storage, options=GO_ON)

    assert (2, 1) == (result.done, result.skipped)
    assert (0, 3) == (again.done, again.skipped)
    assert (2, 1) == (faults.calls["upload_part"], faults.calls["put"])
    assert FILES == memory.objects


async def test_download(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, source: Path, tmp_path: Path
) -> None:
    await upload_tree(source, storage)
    denied = PermissionDeniedError("the key has expired")
    faults.fail("open_read", denied, after=2, where=lambda call: call.uri.key == "a/large")
    faults.fail("open_read", denied, where=lambda call: call.uri.key == "b")
    assert 1 == (await download_tree(storage, tmp_path / "copy", options=GO_ON)).done
    faults.heal()
    faults.calls.clear()

    result = await download_tree(storage, tmp_path / "copy", options=GO_ON)
    again = await download_tree(storage, tmp_path / "copy", options=GO_ON)

    assert (2, 1) == (result.done, result.skipped)
    assert (0, 3) == (again.done, again.skipped)
    assert 2 + 1 == faults.calls["open_read"]
    assert FILES == files(tmp_path / "copy")


@pytest.mark.parametrize("older", [False, True])
async def test_what_changed_is_transferred(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, source: Path, tmp_path: Path, older: bool
) -> None:
    """
    By its size; or, if it is newer, by its checksum.
    """
    await upload_tree(source, storage, options=GO_ON)
    await download_tree(storage, tmp_path / "copy", options=GO_ON)
    written(source / "b", b"longer" if older else b"B")
    if not older:
        os.utime(source / "b", (2e9, 2e9))
    os.utime(source / "c" / "d", (2e9, 2e9))
    up = await upload_tree(source, storage, options=GO_ON)
    os.utime(tmp_path / "copy" / "b", (0, 0))
    os.utime(tmp_path / "copy" / "c" / "d", (0, 0))
    down = await download_tree(storage, tmp_path / "copy", options=GO_ON)

    assert [(1, 2), (1, 2)] == [(result.done, result.skipped) for result in (up, down)]
    assert files(source) == memory.objects == files(tmp_path / "copy")


async def test_copy(storage: Storage, faults: FaultyDriver, memory: MemoryDriver, source: Path) -> None:
    await upload_tree(source, storage, options=GO_ON, prefix="one")
    first = await copy_tree(storage, storage, source_prefix="one", target_prefix="two", options=GO_ON)
    again = await copy_tree(storage, storage, source_prefix="one", target_prefix="two", options=GO_ON)

    assert [(3, 0), (0, 3)] == [(result.done, result.skipped) for result in (first, again)]
    assert FILES == {name[4:]: data for name, data in memory.objects.items() if name.startswith("two/")}


async def test_empty_folders(storage: Storage, memory: MemoryDriver, source: Path, tmp_path: Path) -> None:
    """
    Folders need no comparison.
    """
    (source / "empty").mkdir()
    options = replace(GO_ON, empty_folders=True)
    for _ in range(2):
        (await upload_tree(source, storage, options=options)).raise_for_failures()
        (await download_tree(storage, tmp_path / "copy", options=options)).raise_for_failures()

    assert "empty/" in memory.objects
    assert (tmp_path / "copy" / "empty").is_dir()


async def test_sync_decides_by_itself(storage: Storage, memory: MemoryDriver, source: Path) -> None:
    """
    What a comparison by checksum has found to differ is transferred, whatever its size and time are.
    """
    await upload_tree(source, storage, options=GO_ON)
    before = (source / "b").stat()
    written(source / "b", b"B")
    os.utime(source / "b", ns=(before.st_atime_ns, before.st_mtime_ns))
    result = await sync_tree(source, storage, options=SyncOptions(compare="checksum", bulk=GO_ON.bulk))

    assert 1 == result.transferred.done
    assert b"B" == memory.objects["b"]


async def test_records_of_complete_uploads_go(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, source: Path, tmp_path: Path
) -> None:
    """
    A process that is killed after the completion leaves a record, which the next run removes, though it sends nothing.
    """
    faults.fail("upload_part", PermissionDeniedError("the key has expired"), after=2)
    await upload_tree(source, storage, options=GO_ON)
    (record,) = (path for path in (tmp_path / "state").rglob("*") if path.is_file())
    kept = record.read_bytes()
    await upload_tree(source, storage, options=GO_ON)
    record.write_bytes(kept)
    other = written(record.with_name("0" * 32 + ".json"), kept.replace(str(ROOT).encode(), b"memory://another"))

    result = await upload_tree(source, storage, options=GO_ON)

    assert 3 == result.skipped
    assert [other] == [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    other.unlink()


async def test_files_without_a_record_go(storage: Storage, source: Path, tmp_path: Path) -> None:
    """
    Those of processes that were killed while they wrote them, unless they are new.
    """
    folder = tmp_path / "state" / "asyncstore" / "uploads"
    folder.mkdir(parents=True)
    for name in ("0.json", "0.new"):
        os.utime(written(folder / name, b"{"), (1e9, 1e9))
    new = written(folder / "1.json", b"")
    await upload_tree(source, storage, options=GO_ON)

    assert [new] == [*folder.iterdir()]
    new.unlink()
