"""
Moves of files and objects: each source is deleted once its target is complete, if it is still what was copied.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.engine.progress import ObjectMeter
from asyncstore.engine.task_pool import iterating
from asyncstore.errors import InvalidRequestError, SourceChangedError, StorageError
from asyncstore.options import BulkOptions
from asyncstore.storage.shard_jobs import TreeJob
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_pair import is_one_endpoint
from asyncstore.storage.tree_verbs import delete_items
from asyncstore.storage.tree_work import Around, TreeWork
from asyncstore.storage.trees import TreeItem, emptied
from asyncstore.types import UNKNOWN, BulkResult, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI, Provider


@dataclass(frozen=True)
class MoveJob(TreeJob):
    """
    Transfers the items of a tree, and deletes the source of each.
    """

    def work(self) -> TreeWork:
        return _Moves(super().work(), self.source, self.target)


class _Moves(Around):
    """
    Deletes the source of each item that was transferred.

    What is skipped, or fails, keeps its source; so does what was replaced meanwhile. Directories stay, see
    :func:`remove_emptied`.
    """

    def __init__(self, work: TreeWork, source: Storage | None, target: Storage | None) -> None:
        super().__init__(work, source, target)
        self._folders: set[Path | ObjectURI] = set()

    async def pairs(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[tuple[Any, Any]]:
        async def noted() -> AsyncIterator[TreeItem]:
            async with iterating(items) as steps:
                async for item in steps:
                    if item.is_folder:
                        self._folders.add(item.source)
                    yield item

        async for pair in self._work.pairs(noted()):
            yield pair

    async def skips(self, item: TreeItem) -> bool:
        assert item.target is not None
        await self._check_apart(item.source, item.target)
        return await super().skips(item)

    async def __call__(self, source: Any, target: Any, meter: ObjectMeter) -> ObjectInfo:
        if source in self._folders:
            self._folders.discard(source)
            return await self._work(source, target, meter)
        await self._check_apart(source, target)
        if isinstance(source, Path):
            found = await _identity(source)
            info = await self._work(source, target, meter)
            delete = _unlink(source, found)
        else:
            assert self._source is not None
            looked = await self._source.stat(source)
            info = await self._work(source, target, meter)
            delete = self._delete(source, target, looked, info)
        try:
            await delete
        except StorageError as exc:
            exc.add_note(f"the copy is complete: {target}")
            raise
        return info

    async def _delete(self, source: ObjectURI, target: Path | ObjectURI, looked: Metadata, copied: ObjectInfo) -> None:
        assert self._source is not None
        if self._target is not None and copied.size == UNKNOWN:
            assert isinstance(target, ObjectURI)
            await self._target._look_at_copy(target, looked, None)  # noqa: SLF001 - as Storage.move() does
        await self._source._delete_moved(source, target, looked, None)  # noqa: SLF001

    async def _check_apart(self, source: Path | ObjectURI, target: Path | ObjectURI) -> None:
        if await self._are_one(source, target):
            raise InvalidRequestError("source and target are the same", uri=str(source))

    async def _are_one(self, source: Path | ObjectURI, target: Path | ObjectURI) -> bool:
        one, other = _path_of(source), _path_of(target)
        if one is not None and other is not None:
            return await in_thread(_is_one_file, one, other)
        if self._source is None or self._target is None:
            return False
        assert isinstance(source, ObjectURI)
        assert isinstance(target, ObjectURI)
        same = (source.bucket, source.key) == (target.bucket, target.key)
        return same and is_one_endpoint(self._source, self._target)


def _path_of(where: Path | ObjectURI) -> Path | None:
    if isinstance(where, Path):
        return where
    return Path("/", where.key) if where.provider == Provider.LOCAL else None


def _is_one_file(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    # One of them does not exist: if it is the source, its transfer says so.
    return False


async def _identity(path: Path) -> tuple[int, ...]:
    """
    Return what changes if another file takes the place of *path*, or its bytes are altered.
    """

    def look() -> tuple[int, ...]:
        found = path.stat()
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, path.lstat().st_ino)

    with local_errors(path):
        return await in_thread(look)


async def _unlink(path: Path, found: tuple[int, ...]) -> None:
    if await _identity(path) != found:
        raise SourceChangedError("the file was replaced or altered after it had been copied, and was not deleted")
    with local_errors(path):
        await in_thread(path.unlink)


async def remove_emptied(source: Path | Storage, folder: ObjectURI | None, options: BulkOptions) -> BulkResult:
    """
    Remove the directories that a move has left behind, and return the outcomes of those in a storage.

    Empty directories on this machine are removed, *source* included. In a storage, directories and the markers of
    folders are deleted if nothing else is left under *folder*.
    """
    if isinstance(source, Path):
        await in_thread(_remove_empty, source)
        return BulkResult()
    assert folder is not None
    items = await emptied(source, folder)

    async def each() -> AsyncIterator[TreeItem]:
        for item in items:
            yield item

    return await delete_items(source, each(), options)


def _remove_empty(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        # One that is not empty stays, and so does the working directory.
        with suppress(OSError):
            Path(folder).rmdir()
