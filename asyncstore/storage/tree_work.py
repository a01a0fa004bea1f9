"""
Transfers the items of a tree one by one: files and objects, directories and the markers that stand for them.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.engine.bulk import bulk_each
from asyncstore.engine.progress import Meter, ObjectMeter
from asyncstore.engine.task_pool import for_each, iterating
from asyncstore.errors import AlreadyExistsError, NotFoundError, StorageError
from asyncstore.options import BulkOptions, UploadOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage import mtime
from asyncstore.storage.content import Content, check_same
from asyncstore.storage.copy_between import Copier
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_options import TreeOptions, check_target
from asyncstore.storage.trees import TreeItem, TreeStep, modified_at
from asyncstore.storage.walk import TreeProblem
from asyncstore.types import BulkResult, ObjectInfo
from asyncstore.uri import ObjectURI

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Items that are looked at at the same time without being transferred, and items that wait for them.
_LOOKING: Final = 16
_WINDOW: Final = 256


async def in_windows(
    items: AsyncGenerator[_Item, None], handle: Callable[[_Item], Awaitable[_Result]]
) -> AsyncGenerator[_Result, None]:
    """
    Yield the result of *handle* for each of *items*, in their order, while some are handled at the same time.
    """
    window: list[_Item] = []
    async with aclosing(items):
        async for item in items:
            window.append(item)
            if len(window) == _WINDOW:
                for result in await _handled(window, handle):
                    yield result
                window = []
    for result in await _handled(window, handle):
        yield result


async def _handled(window: Sequence[_Item], handle: Callable[[_Item], Awaitable[_Result]]) -> list[_Result]:
    results: dict[int, _Result] = {}

    async def one(number: int) -> None:
        results[number] = await handle(window[number])

    await for_each(range(len(window)), one, max_concurrency=_LOOKING)
    return [results[number] for number in range(len(window))]


class TreeWork(ABC):
    """
    Transfers one item from its source to its target.

    Attributes:
        skippable: Whether an item whose target exists already is skipped.
        most: The most requests of all items, if they share one budget.
    """

    skippable: bool
    most: int | None = None

    @abstractmethod
    async def __call__(self, source: Any, target: Any, meter: ObjectMeter) -> ObjectInfo:
        """Transfer one item, and count its bytes with *meter*."""

    async def pairs(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[tuple[Any, Any]]:
        """Yield the sources and targets of *items*, a generator of which is closed at the end."""
        async with iterating(items) as steps:
            async for item in steps:
                yield item.source, item.target

    async def remaining(self, steps: AsyncGenerator[TreeStep, None]) -> AsyncGenerator[TreeStep, None]:
        """Yield those of *steps* that would transfer something, and what cannot be looked at as problems."""

        async def looked_at(step: TreeStep) -> TreeStep | None:
            try:
                return None if isinstance(step, TreeItem) and await self.skips(step) else step
            except StorageError as exc:
                return TreeProblem(step.source, exc)

        async with aclosing(in_windows(steps, looked_at)) as found:
            async for step in found:
                if step is not None:
                    yield step

    async def skips(self, item: TreeItem) -> bool:
        """Return whether the target of *item* would be left as it is."""
        if not self.skippable or (item.is_folder and isinstance(item.target, Path)):
            return False
        assert item.target is not None
        return await self.exists(item.target)

    @abstractmethod
    async def exists(self, target: Path | ObjectURI) -> bool:
        """Return whether there is a file or object at *target*."""

    async def finish(self) -> None:  # noqa: B027 - most have nothing to clean up
        """Clean up after the last item."""

    def close(self) -> None:  # noqa: B027 - as above
        """Release what is held for items that have not been transferred."""


async def transfer_items(
    work: TreeWork,
    items: AsyncIterator[TreeItem],
    options: BulkOptions,
    progress: ProgressSink | None = None,
    *,
    meter: Meter | None = None,
) -> BulkResult:
    """
    Transfer *items* by *work*, as a bulk operation.
    """
    try:
        result = await bulk_each(
            work.pairs(items), work, options, progress, skippable=work.skippable, most=work.most, meter=meter
        )
    finally:
        work.close()
    await work.finish()
    return result


def summed(one: BulkResult, other: BulkResult) -> BulkResult:
    """
    Return the outcomes of both.
    """
    counts = ("done", "skipped", "failed", "total_bytes", "elapsed")
    return BulkResult(
        outcomes=[*one.outcomes, *other.outcomes],
        **{name: getattr(one, name) + getattr(other, name) for name in counts},
    )


def tree_work(
    source: Storage | None, target: Storage | None, options: TreeOptions, *, compared: bool = False
) -> TreeWork:
    """
    Return the function that transfers the items of a tree from *source* to *target*; ``None`` is this machine.

    Args:
        compared: Whether the items come from a comparison: then downloaded files get the time of their objects, without
            ``preserve_mtime`` too, and ``update`` has been honoured already.

    Raises:
        NotSupportedError: A storage does not support an option.
    """
    work: TreeWork
    if target is None:
        assert source is not None
        work = _Downloads(source, options, object_times=compared)
    else:
        check_target(options, target)
        work = _Uploads(target, options) if source is None else _Copies(source, target, options)
    if options.verify:
        work = _Verified(work, source, target)
    return _Updates(work, source, target) if options.update and not compared else work


class _ToStorage(TreeWork):
    """
    Writes to a storage.
    """

    _target: Storage

    async def exists(self, target: Path | ObjectURI) -> bool:
        assert isinstance(target, ObjectURI)
        return await self._target.exists(target)


class _Uploads(_ToStorage):
    def __init__(self, storage: Storage, options: TreeOptions) -> None:
        self.skippable = options.bulk.upload.if_none_match is not None
        self._target = storage
        self._options = options.bulk.upload
        self._mtime = options.preserve_mtime
        self._upload = storage._uploader(options.bulk.upload)  # noqa: SLF001
        self.most = storage.statistics().requests_ceiling
        self._max_concurrency = options.bulk.max_concurrency

    async def pairs(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[tuple[Any, Any]]:
        ahead = self._upload.reading_ahead(super().pairs(items), self._max_concurrency)
        assert isinstance(ahead, AsyncIterable)
        async with iterating(ahead) as pairs:
            async for pair in pairs:
                yield pair

    def close(self) -> None:
        self._upload.close()

    async def finish(self) -> None:
        if self._options.resume == "journal":
            # Of uploads that were completed, but whose processes were killed before they could remove the record.
            await self._target._settle_uploads()  # noqa: SLF001

    async def __call__(self, source: Path, target: ObjectURI, meter: ObjectMeter) -> ObjectInfo:
        if target.key.endswith("/"):
            return await put_marker(self._target, target, self._options)
        if not self._mtime:
            return await self._upload(source, target, meter)
        with local_errors(source):
            modified = mtime.encoded(await in_thread(mtime.of_file, source), self._target.provider)
        options = replace(self._options, metadata={mtime.KEY: modified, **self._options.metadata})
        return await self._upload(source, target, meter, options)


class _Downloads(TreeWork):
    def __init__(self, storage: Storage, options: TreeOptions, *, object_times: bool) -> None:
        self.skippable = not options.bulk.download.overwrite
        self._download = storage._downloader(options.bulk.download)  # noqa: SLF001
        self.most = storage.statistics().requests_ceiling
        self._time = mtime.modified if options.preserve_mtime else mtime.written if object_times else None
        self._folders: set[ObjectURI] = set()
        self._ends: dict[Path, anyio.Event] = {}

    async def pairs(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[tuple[Any, Any]]:
        async with iterating(items) as steps:
            async for item in steps:
                if item.is_folder:
                    assert isinstance(item.source, ObjectURI)
                    self._folders.add(item.source)
                yield item.source, item.target

    async def exists(self, target: Path | ObjectURI) -> bool:
        assert isinstance(target, Path)
        with local_errors(target):
            return await in_thread(os.path.lexists, target)

    async def __call__(self, source: ObjectURI, target: Path, meter: ObjectMeter) -> ObjectInfo:
        if source in self._folders:
            self._folders.discard(source)
            with local_errors(target):
                await in_thread(_make_directory, target)
            return ObjectInfo(uri=source, size=0, is_folder=True)
        # A comparison that starts again can repeat an item that is still being downloaded.
        while (end := self._ends.get(target)) is not None:
            await end.wait()
        end = self._ends[target] = anyio.Event()
        try:
            info = await self._download(source, target, meter)
            if self._time is not None:
                await in_thread(mtime.set_mtime, target, self._time(info))
        finally:
            del self._ends[target]
            end.set()
        return info


class _Copies(_ToStorage):
    def __init__(self, source: Storage, target: Storage, options: TreeOptions) -> None:
        upload = options.bulk.upload
        self.skippable = upload.if_none_match is not None
        self._target = target
        self._options = upload
        self._copy = Copier(source, target, upload, preserve_mtime=options.preserve_mtime)
        self._folders: set[ObjectURI] = set()

    async def pairs(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[tuple[Any, Any]]:
        async with iterating(items) as steps:
            async for item in steps:
                if item.is_folder:
                    assert isinstance(item.target, ObjectURI)
                    self._folders.add(item.target)
                yield item.source, item.target

    async def __call__(self, source: ObjectURI, target: ObjectURI, meter: ObjectMeter) -> ObjectInfo:
        if target in self._folders:
            self._folders.discard(target)
            return await put_marker(self._target, target, self._options)
        return await self._copy(source, target, meter)


class Around(TreeWork):
    """
    Does something before or after the transfers of other work.
    """

    def __init__(self, work: TreeWork, source: Storage | None, target: Storage | None) -> None:
        self.skippable = work.skippable
        self.most = work.most
        self._work = work
        self._source = source
        self._target = target

    def pairs(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[tuple[Any, Any]]:
        return self._work.pairs(items)

    async def skips(self, item: TreeItem) -> bool:
        return await self._work.skips(item)

    async def exists(self, target: Path | ObjectURI) -> bool:
        return await self._work.exists(target)

    async def finish(self) -> None:
        await self._work.finish()

    def close(self) -> None:
        self._work.close()


class _Verified(Around):
    """
    Compares each item with its source after its transfer.
    """

    async def __call__(self, source: Any, target: Any, meter: ObjectMeter) -> ObjectInfo:
        info = await self._work(source, target, meter)
        if not info.is_folder:
            meter.verifying()
            await check_same(_content(self._source, source), _content(self._target, target))
        return info


class _Updates(Around):
    """
    Skips items whose targets were modified after their sources.
    """

    def __init__(self, work: TreeWork, source: Storage | None, target: Storage | None) -> None:
        super().__init__(work, source, target)
        self.skippable = True
        self._modified: dict[Path | ObjectURI, float] = {}

    def pairs(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[tuple[Any, Any]]:
        return self._work.pairs(self._remembered(items))

    async def _remembered(self, items: AsyncIterator[TreeItem]) -> AsyncIterator[TreeItem]:
        async with iterating(items) as steps:
            async for item in steps:
                if item.modified is not None:
                    self._modified[item.source] = item.modified
                yield item

    async def skips(self, item: TreeItem) -> bool:
        return await self._is_newer(item.source, item.target, item.modified) or await super().skips(item)

    async def __call__(self, source: Any, target: Any, meter: ObjectMeter) -> ObjectInfo:
        if await self._is_newer(source, target, self._modified.pop(source, None)):
            raise AlreadyExistsError("it was modified after its source", uri=str(target))
        return await self._work(source, target, meter)

    async def _is_newer(self, source: Any, target: Any, modified: float | None) -> bool:
        there = await _modified(self._target, target)
        if there is not None and modified is None:
            modified = await _modified(self._source, source)
        return there is not None and modified is not None and there > modified


async def _modified(storage: Storage | None, where: Path | ObjectURI) -> float | None:
    content = _content(storage, where)
    try:
        if isinstance(content, Path):
            with local_errors(content):
                return (await in_thread(content.stat)).st_mtime
        storage, uri = content
        return modified_at(await storage.stat(uri))
    except NotFoundError:
        return None


def _content(storage: Storage | None, where: Path | ObjectURI) -> Content:
    if storage is None:
        assert isinstance(where, Path)
        return where
    assert isinstance(where, ObjectURI)
    return storage, where


def _make_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


async def put_marker(storage: Storage, target: ObjectURI, options: UploadOptions) -> ObjectInfo:
    """
    Write the object without bytes that stands for an empty directory.
    """
    info = await storage.put(target, b"", options=UploadOptions(if_none_match=options.if_none_match))
    return replace(info, is_folder=True)
