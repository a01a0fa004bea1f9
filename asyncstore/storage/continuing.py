"""
Going on with the transfer of a tree: items that are complete are skipped.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from asyncstore._support.threads import in_thread
from asyncstore.engine.existing import AlreadyCompleteError
from asyncstore.engine.progress import ObjectMeter
from asyncstore.errors import NotFoundError
from asyncstore.storage import mtime
from asyncstore.storage.content import file_checksum, whole_checksums
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.tree_work import TreeWork, tree_work
from asyncstore.storage.trees import TreeItem
from asyncstore.types import Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_SECOND = 1_000_000_000


def continued_work(source: Storage | None, target: Storage | None, options: TreeOptions) -> TreeWork:
    """
    Return the function that transfers the items of a tree; one that skips what is complete, if *options* say to resume.

    Raises:
        NotSupportedError: A storage does not support an option.
    """
    work = tree_work(source, target, options)
    resume = options.bulk.download.resume if target is None else options.bulk.upload.resume
    return Continued(work, source, target) if resume else work


class Continued(TreeWork):
    """
    Transfers what is not complete at the target.

    An item is complete if both sides have the same size, and the target was written after the source, or has the
    source's time, or a checksum proves that both are the same.

    Args:
        work: Transfers one item.
        source, target: The storages; ``None`` is this machine.
    """

    def __init__(self, work: TreeWork, source: Storage | None, target: Storage | None) -> None:
        self.skippable = work.skippable
        self._work = work
        self._source = source
        self._target = target
        self._folders: set[Any] = set()

    async def pairs(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[tuple[Any, Any]]:
        async def noted() -> AsyncIterator[TreeItem]:
            async for item in items:
                if item.is_folder:
                    self._folders.add(item.target)
                yield item

        async for pair in self._work.pairs(noted()):
            yield pair

    async def __call__(self, source: Any, target: Any, meter: ObjectMeter) -> ObjectInfo:
        if target in self._folders:
            self._folders.discard(target)
        elif await self._complete(source, target):
            raise AlreadyCompleteError(uri=str(target))
        return await self._work(source, target, meter)

    async def skips(self, item: TreeItem) -> bool:
        assert item.target is not None
        done = not item.is_folder and await self._complete(item.source, item.target)
        return done or await self._work.skips(item)

    async def exists(self, target: Path | ObjectURI) -> bool:
        return await self._work.exists(target)

    async def finish(self) -> None:
        await self._work.finish()

    async def _complete(self, source: Path | ObjectURI, target: Path | ObjectURI) -> bool:
        if isinstance(target, Path):
            file = await in_thread(_status, target)
            info = None if file is None else await self._info(self._source, source)
            return file is not None and info is not None and await self._downloaded(info, target, file)
        found = await self._info(self._target, target)
        if found is None:
            return False
        if isinstance(source, Path):
            file = await in_thread(_status, source)
            return file is not None and await self._uploaded(source, file, found)
        info = await self._info(self._source, source)
        return info is not None and await self._copied(info, found)

    async def _downloaded(self, info: Metadata, path: Path, file: os.stat_result) -> bool:
        if info.size != file.st_size:
            return False
        written = mtime.written(info)
        if written is not None and file.st_mtime_ns >= written // _SECOND * _SECOND:
            return True
        own = mtime.modified(info)
        if own is not None and file.st_mtime_ns // _SECOND == own // _SECOND:
            return True
        assert self._source is not None
        return await _same_checksum(path, self._source, info)

    async def _uploaded(self, path: Path, file: os.stat_result, found: Metadata) -> bool:
        if found.size != file.st_size:
            return False
        written = mtime.written(found)
        assert self._target is not None
        # Many services tell whole seconds only, so that an object can seem to be older than its file.
        return (written is not None and file.st_mtime_ns <= written) or await _same_checksum(path, self._target, found)

    async def _copied(self, info: Metadata, found: Metadata) -> bool:
        if info.size != found.size:
            return False
        written, copied = mtime.written(info), mtime.written(found)
        if written is not None and copied is not None and written < copied:
            return True
        assert self._source is not None
        assert self._target is not None
        ones = {item.algorithm: item for item in whole_checksums(self._source, info)}
        return any(ones.get(item.algorithm) == item for item in whole_checksums(self._target, found))

    @staticmethod
    async def _info(storage: Storage | None, uri: Path | ObjectURI) -> Metadata | None:
        assert storage is not None
        assert isinstance(uri, ObjectURI)
        try:
            return await storage.stat(uri)
        except NotFoundError:
            return None


async def _same_checksum(path: Path, storage: Storage, info: Metadata) -> bool:
    known = whole_checksums(storage, info)
    return bool(known) and await file_checksum(path, known[0].algorithm) == known[0]


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a regular file; ``None`` if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        # If it matters, the transfer says so.
        return None
    return found if stat.S_ISREG(found.st_mode) else None
