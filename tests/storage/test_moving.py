"""
Moves of trees: a source is deleted only after its target is complete, and only if it is what was copied.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncstore import BulkResult, DownloadOptions, Storage, TreeOptions, UploadOptions
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.progress import Meter
from asyncstore.errors import InvalidRequestError, PermissionDeniedError, SourceChangedError
from asyncstore.options import BulkOptions
from asyncstore.storage.moving import MoveJob, remove_emptied
from asyncstore.storage.shard_jobs import transfer_tree
from asyncstore.storage.trees import TreeItem
from asyncstore.testing.conformance.harness import together
from asyncstore.testing.conformance.interrupts import INTERRUPTS, Interrupt
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ListPage
from asyncstore.uri import ObjectURI
from tests.build import ROOT, at_rest

OPTIONS = TreeOptions(bulk=BulkOptions(max_concurrency=1))

# The request that copies, or reads what is copied.
READS = {"up": "put", "down": "open_read", "inside": "copy", "between": "open_read"}


@pytest.fixture(params=["up", "down", "inside", "between"])
async def move(
    request: pytest.FixtureRequest, storage: Storage, faults: FaultyDriver, tmp_path: Path
) -> AsyncIterator["Move"]:
    async with FaultyDriver(MemoryDriver()).storage(ROOT) as other:
        yield Move(request.param, storage, other, tmp_path)
    at_rest(storage, faults)


class Move:
    """
    Moves one item in a direction; requests to the side of the storage can fail.
    """

    def __init__(self, direction: str, storage: Storage, other: Storage, folder: Path) -> None:
        self.direction = direction
        self._storages: tuple[Storage | None, Storage | None] = {
            "up": (None, storage),
            "down": (storage, None),
            "inside": (storage, storage),
            "between": (storage, other),
        }[direction]
        self.source = folder / "source" if direction == "up" else storage.root / "source"
        self.target = folder / "target" if direction == "down" else (self._storages[1] or storage).root / "target"

    async def __call__(self, options: TreeOptions = OPTIONS) -> BulkResult:
        async def items() -> AsyncIterator[TreeItem]:
            yield TreeItem(self.source, self.target)

        return await transfer_tree(MoveJob(*self._storages, options), items(), Meter(None))

    async def write(self, data: bytes, *, target: bool = False) -> None:
        where = self.target if target else self.source
        if isinstance(where, Path):
            where.write_bytes(data)
        else:
            storage = self._storages[target]
            assert storage is not None
            await storage.put(where, data)

    async def read(self, *, target: bool = False) -> bytes | None:
        where = self.target if target else self.source
        if isinstance(where, Path):
            return where.read_bytes() if where.exists() else None
        storage = self._storages[target]
        assert storage is not None
        return await storage.read(where) if await storage.exists(where) else None

    async def both(self) -> tuple[bytes | None, bytes | None]:
        return await self.read(), await self.read(target=True)


@pytest.mark.parametrize("verify", [False, True])
async def test_moved(move: Move, verify: bool) -> None:
    """
    The target has the bytes, and the source is gone; it is verified before that.
    """
    await move.write(b"data")

    result = await move(replace(OPTIONS, verify=verify))

    assert (result.done, result.failed) == (1, 0)
    assert await move.both() == (None, b"data")


async def test_failed_transfer_keeps_the_source(move: Move, faults: FaultyDriver) -> None:
    """
    Nothing is deleted if the copy fails.
    """
    await move.write(b"data")
    faults.fail(READS[move.direction], PermissionDeniedError())

    result = await move()

    assert [type(outcome.error) for outcome in result.failures] == [PermissionDeniedError]
    assert await move.both() == (b"data", None)
    assert not faults.calls["delete"]


async def test_skipped_keeps_the_source(move: Move) -> None:
    """
    What exists at the target, and is not to be overwritten, is not moved.
    """
    await move.write(b"data")
    await move.write(b"old", target=True)
    bulk = BulkOptions(upload=UploadOptions(if_none_match="*"), download=DownloadOptions(overwrite=False))

    result = await move(TreeOptions(bulk=bulk))

    assert (result.done, result.skipped) == (0, 1)
    assert await move.both() == (b"data", b"old")


@pytest.mark.parametrize("conditional", [True, False])
async def test_replaced_meanwhile(move: Move, faults: FaultyDriver, conditional: bool) -> None:
    """
    A source that was replaced while it was copied stays, and the failure says that the copy is complete.
    """
    faults.capabilities = replace(faults.capabilities, conditional_delete=conditional)
    await move.write(b"data")
    stop = faults.hang_reply(READS[move.direction])

    async def replace_it() -> None:
        await stop.reached()
        await move.write(b"other")
        stop.release()

    result = await together(replace_it(), move())

    (outcome,) = result.failures
    assert isinstance(outcome.error, SourceChangedError)
    assert f"the copy is complete: {move.target}" in outcome.error.__notes__
    assert await move.both() == (b"other", b"data")


@pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS)
async def test_cancelled(move: Move, faults: FaultyDriver, interrupt: Interrupt) -> None:
    """
    Wherever a move is cancelled, the source or the target is complete.
    """
    await move.write(b"data")
    op = {"up": "put", "down": "open_read", "inside": "delete", "between": "delete"}[move.direction]
    stop = faults.hang(op)

    await interrupt(move(), stop)

    assert await move.both() == (b"data", b"data" if op == "delete" else None)


async def test_onto_itself(storage: Storage) -> None:
    """
    An object that would be copied onto itself is left alone.
    """
    await storage.put("source", b"data")
    uri = storage.root / "source"

    async def items() -> AsyncIterator[TreeItem]:
        yield TreeItem(uri, uri)

    result = await transfer_tree(MoveJob(storage, storage, OPTIONS), items(), Meter(None))

    assert [type(outcome.error) for outcome in result.failures] == [InvalidRequestError]
    assert await storage.read("source") == b"data"


async def test_emptied_folders(storage: Storage, memory: MemoryDriver, tmp_path: Path) -> None:
    """
    Directories and markers are removed if nothing else is left; links are not followed.
    """
    for name in ("a/", "a/b/", "kept/", "kept/1"):
        await storage.put(name, b"1" if name[-1] == "1" else b"")
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "tree/kept").mkdir()
    (tmp_path / "outside/empty").mkdir(parents=True)
    os.symlink(tmp_path / "outside", tmp_path / "tree/kept/link")

    await remove_emptied(storage, storage.root / "a/", OPTIONS.bulk)
    await remove_emptied(storage, storage.root / "kept/", OPTIONS.bulk)
    await remove_emptied(tmp_path / "tree", None, OPTIONS.bulk)

    assert sorted([info.name async for info in storage.list()]) == ["kept/", "kept/1"]
    assert sorted(str(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*")) == [
        "kept",
        "kept/link",
    ]
    assert (tmp_path / "outside/empty").is_dir()


async def test_emptied_directories_of_an_account_that_has_them(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Each is deleted after those in it, and the one that was named last.
    """
    directories = ("moved", "moved/a", "moved/a/b", "moved-on")
    for name in directories:
        await storage.put(name, b"")
    listed, deleted = memory.list_page, list[str]()
    delete = memory.delete

    async def with_folders(*arguments: Any) -> ListPage:
        page = await listed(*arguments)
        return ListPage([replace(info, is_folder=True) for info in page.objects])

    async def noted(uri: ObjectURI, *arguments: Any) -> None:
        deleted.append(uri.key.rpartition("moved")[2])
        await delete(uri, *arguments)

    monkeypatch.setattr(memory, "list_page", with_folders)
    monkeypatch.setattr(memory, "delete", noted)
    faults.capabilities = replace(faults.capabilities, folders=True, delete_batch_size=0)

    result = await remove_emptied(storage, storage.root / "moved/", OPTIONS.bulk)

    assert (result.done, result.failed) == (3, 0)
    assert deleted == ["/a/b", "/a", ""]
    assert await storage.exists("moved-on")
