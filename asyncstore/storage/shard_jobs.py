"""
Transfers of many items, in this process or spread over workers.
"""

from __future__ import annotations

import copy
import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asyncstore._support.threads import in_thread
from asyncstore.driver.forwarding import ForwardingDriver
from asyncstore.engine.ceilings import ThrottledDriver
from asyncstore.engine.progress import Meter
from asyncstore.engine.requests import Requests
from asyncstore.engine.shards.executors import OnExecutor
from asyncstore.engine.shards.processes import Processes
from asyncstore.engine.shards.shard import OpenJob
from asyncstore.engine.shards.spread import spread
from asyncstore.engine.task_pool import closing_generator, iterating
from asyncstore.errors import ConfigurationError, NotFoundError, StorageError
from asyncstore.options import BulkOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage.continuing import continued_work
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.tree_work import TreeWork, transfer_items, tree_work
from asyncstore.storage.trees import TreeItem
from asyncstore.types import BulkResult, Download, ItemOutcome, Upload
from asyncstore.uri import ObjectURI, Provider


@dataclass(frozen=True)
class TransferJob(ABC):
    """
    Transfers items from *source* to *target*; ``None`` is this machine.
    """

    source: Storage | None
    target: Storage | None

    @property
    @abstractmethod
    def bulk(self) -> BulkOptions:
        """Options of the transfers."""

    @abstractmethod
    async def transfer(self, items: AsyncIterator[TreeItem], progress: ProgressSink | None) -> BulkResult:
        """Transfer *items* in this process."""

    @abstractmethod
    def in_worker(self) -> TransferJob:
        """Return this job as a worker has it."""

    # As a job of workers

    def size(self, item: TreeItem) -> int | None:
        """Return the bytes of *item*, if they are known."""
        return item.size

    @asynccontextmanager
    async def opened(self, workers: int) -> AsyncIterator[OpenJob]:
        """
        Open the storages, whose limits so many *workers* share.
        """
        async with AsyncExitStack() as stack:
            for requests in self._requests():
                requests.limits.share(workers)
            for storage in self._storages():
                _share_ceilings(storage, workers)
                await stack.enter_async_context(storage)
            yield _OpenTransfer(self)

    def failed(self, items: Sequence[TreeItem], error: StorageError) -> BulkResult:
        """
        Return the result of *items*, each of which has failed with *error*.
        """
        outcomes = []
        for item in items:
            own = copy.copy(error)
            own.uri = str(item.target or item.source)
            outcomes.append(ItemOutcome(source=item.source, target=item.target, status="failed", error=own))
        return BulkResult(outcomes=outcomes, failed=len(outcomes))

    async def abort(self, uploads: Mapping[str, ObjectURI]) -> None:
        """
        Abort the multipart uploads that a worker which died has left, unless the next run is to take them up.
        """
        if self.target is None or self.bulk.upload.resume == "journal":
            return
        for upload_id, uri in uploads.items():
            with suppress(NotFoundError):
                await self.target.abort_multipart_upload(uri, upload_id)

    def _storages(self) -> list[Storage]:
        return [storage for storage in (self.source, self.target) if storage is not None]

    def _requests(self) -> Iterator[Requests]:
        known = set()
        for storage in self._storages():
            requests = storage._requests  # noqa: SLF001 - the budgets, which storages that wrap others share
            if id(requests.limits) not in known:
                known.add(id(requests.limits))
                yield requests


def _share_ceilings(storage: Storage, workers: int) -> None:
    driver = storage._driver  # noqa: SLF001 - opened for the job
    while isinstance(driver, ForwardingDriver):
        if isinstance(driver, ThrottledDriver):
            driver.ceilings.share(workers)
        driver = driver.driver


class _OpenTransfer:
    def __init__(self, job: TransferJob) -> None:
        self._job = job

    async def __call__(self, items: Sequence[TreeItem], progress: ProgressSink | None) -> BulkResult:
        return await self._job.transfer(_each(items), progress)

    def watch_uploads(self, changed: Callable[[Mapping[str, ObjectURI]], None]) -> None:
        if self._job.target is not None:
            uploads = self._job.target._requests.uploads  # noqa: SLF001
            uploads.changed = lambda: changed(uploads.objects)

    def watch_throttling(self, throttled: Callable[[], None]) -> None:
        for requests in self._job._requests():  # noqa: SLF001
            requests.limits.requests.slowed = throttled

    def throttled_elsewhere(self) -> None:
        for requests in self._job._requests():  # noqa: SLF001
            requests.limits.requests.refused_elsewhere()


@dataclass(frozen=True)
class TreeJob(TransferJob):
    """
    Transfers the items of a tree.

    Attributes:
        compared: Whether the items come from a comparison.
    """

    options: TreeOptions
    compared: bool = False

    @property
    def bulk(self) -> BulkOptions:
        return self.options.bulk

    def work(self) -> TreeWork:
        """
        Return the function that transfers one item.

        Raises:
            NotSupportedError: A storage does not support an option.
        """
        if self.compared:
            return tree_work(self.source, self.target, self.options, compared=True)
        return continued_work(self.source, self.target, self.options)

    async def transfer(self, items: AsyncIterator[TreeItem], progress: ProgressSink | None) -> BulkResult:
        return await transfer_items(self.work(), items, self.bulk, progress)

    def in_worker(self) -> TreeJob:
        # The items are selected already, by what can be long lists of names.
        selection: dict[str, Any] = dict.fromkeys(("include", "exclude", "include_from", "exclude_from"), ())
        return replace(self, options=replace(self.options, names=None, bulk=_alone(self.bulk), **selection))


@dataclass(frozen=True)
class BulkJob(TransferJob):
    """
    Uploads files to *target*, or downloads objects of *source*.
    """

    options: BulkOptions

    @property
    def bulk(self) -> BulkOptions:
        return self.options

    async def transfer(self, items: AsyncIterator[TreeItem], progress: ProgressSink | None) -> BulkResult:
        if self.target is not None:
            uploads = (Upload(item.source, item.target) async for item in items)  # type: ignore[arg-type]
            return await self.target.bulk_upload(uploads, options=self.options, progress=progress)
        assert self.source is not None
        downloads = (Download(item.source, item.target) async for item in items)  # type: ignore[arg-type]
        return await self.source.bulk_download(downloads, options=self.options, progress=progress)

    def in_worker(self) -> BulkJob:
        return replace(self, options=_alone(self.options))


def _alone(options: BulkOptions) -> BulkOptions:
    return replace(options, workers=None, executor=None)


async def spread_items(job: TransferJob, items: AsyncIterator[TreeItem], meter: Meter) -> BulkResult:
    """
    Transfer *items* by the workers that the options of *job* ask for.

    Raises:
        ConfigurationError: The job cannot be pickled, or a storage has its objects in the memory of this process.
    """
    options = job.bulk
    own = job.in_worker()
    if not isinstance(options.executor, ThreadPoolExecutor):
        for storage in (job.source, job.target):
            if storage is not None and storage.provider == Provider.MEMORY:
                raise ConfigurationError("a worker is another process, in which memory:// has other objects")
    try:
        pickled = pickle.dumps(own)
    except ConfigurationError:
        raise
    except Exception as exc:
        raise ConfigurationError(f"workers cannot be given the options and storages of this operation: {exc}") from exc
    if options.executor is not None:
        workers = options.workers or getattr(options.executor, "workers", None) or os.cpu_count() or 1
        async with OnExecutor(job, pickled, options.executor, workers) as executor:
            return await spread(job, items, executor, meter)
    assert options.workers is not None
    async with Processes(job, pickled, options.workers, progress=meter.listening) as processes:
        return await spread(job, items, processes, meter)


async def spread_pairs(
    source: Storage | None,
    target: Storage | None,
    pairs: Iterable[tuple[Any, Any]] | AsyncIterable[tuple[Any, Any]],
    options: BulkOptions,
    progress: ProgressSink | None,
) -> BulkResult:
    """
    Upload or download the *pairs* of sources and targets of a bulk operation by workers.
    """
    return await spread_items(BulkJob(source, target, options), _items(pairs), Meter(progress))


async def _items(pairs: Iterable[tuple[Any, Any]] | AsyncIterable[tuple[Any, Any]]) -> AsyncGenerator[TreeItem, None]:
    if isinstance(pairs, AsyncIterable):
        async with iterating(pairs) as source:
            async for pair in source:
                yield await _item(*pair)
    else:
        with closing_generator(pairs) as items:
            for pair in items:
                yield await _item(*pair)


async def _item(source: Path | ObjectURI, target: Path | ObjectURI) -> TreeItem:
    size = None
    if isinstance(source, Path):
        with suppress(OSError):
            # If it cannot be read, its transfer says so.
            size = (await in_thread(source.stat)).st_size
    return TreeItem(source, target, size)


async def transfer_tree(job: TreeJob, items: AsyncIterator[TreeItem], meter: Meter) -> BulkResult:
    """
    Transfer *items*, in this process or by the workers that the options ask for.
    """
    if job.bulk.spread:
        return await spread_items(job, items, meter)
    return await transfer_items(job.work(), items, job.bulk, meter=meter)


async def _each(items: Sequence[TreeItem]) -> AsyncIterator[TreeItem]:
    for item in items:
        yield item
