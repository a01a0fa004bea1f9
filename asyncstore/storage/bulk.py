"""
Bulk verbs: many objects in one call.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar, Unpack

from asyncstore.engine import bulk
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import closing_generator, iterating
from asyncstore.keywords import BulkFields, merged
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage.arguments import Checks, check_type, local_path
from asyncstore.types import BulkResult, Download, Upload
from asyncstore.uri import ObjectURI, URILike

_BULK: Final = BulkOptions()

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class BulkVerbs:
    """
    The verbs of :class:`~asyncstore.protocols.BulkStorage`.
    """

    _requests: Requests
    _checks: Checks

    async def bulk_upload(
        self,
        items: Iterable[Upload] | AsyncIterable[Upload],
        *,
        options: BulkOptions = _BULK,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult:
        """
        Write many local files; *items* is consumed lazily, and may have any length.

        A failed item becomes an outcome of the result, unless ``options.stop_on_error``; an
        invalid URI ends the whole operation. An item whose target exists already, with
        ``if_none_match="*"``, is skipped. A generator is closed at the end.
        """
        options = merged(options, BulkOptions, fields)
        check_type(options, BulkOptions)
        self._checks.write(options.upload)
        pairs = _each(items, self._to_upload)
        if options.spread:
            return await _spread(None, self, pairs, options, progress)
        return await bulk.bulk_upload(self._requests, pairs, options, progress, self._checks.target)

    async def bulk_download(
        self,
        items: Iterable[Download] | AsyncIterable[Download],
        *,
        options: BulkOptions = _BULK,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult:
        """
        Download many objects to local files; *items* is consumed lazily.

        A failed item becomes an outcome of the result, unless ``options.stop_on_error``; an
        invalid URI ends the whole operation. An item whose target exists already, with
        ``overwrite=False``, is skipped. A generator is closed at the end.
        """
        options = merged(options, BulkOptions, fields)
        check_type(options, BulkOptions)
        self._checks.read(options.download, DownloadOptions)
        pairs = _each(items, self._to_download)
        if options.spread:
            return await _spread(self, None, pairs, options, progress)
        return await bulk.bulk_download(self._requests, pairs, options, progress, self._checks.object)

    async def bulk_delete(
        self,
        items: Iterable[URILike] | AsyncIterable[URILike],
        *,
        options: BulkOptions = _BULK,
        progress: ProgressSink | None = None,
        **fields: Unpack[BulkFields],
    ) -> BulkResult:
        """
        Delete many objects with as few requests as the endpoint allows.

        A missing object counts as deleted. A failed one becomes an outcome of the result,
        unless ``options.stop_on_error``.
        """
        options = merged(options, BulkOptions, fields)
        check_type(options, BulkOptions)
        keys = _each(items, self._checks.parse)
        return await bulk.bulk_delete(self._requests, keys, options, progress, self._checks.target)

    def _uploader(self, options: UploadOptions) -> bulk.Uploader:
        """Return what writes one file of many, which a tree has."""
        self._checks.write(options)
        return bulk.Uploader(self._requests, options, self._checks.target)

    def _downloader(self, options: DownloadOptions) -> bulk.Work:
        """Return the function that downloads one object of many."""
        self._checks.read(options, DownloadOptions)
        return bulk.downloader(self._requests, options, self._checks.object)

    def _to_upload(self, item: Upload) -> tuple[Path, ObjectURI]:
        _check_item(item, Upload)
        return local_path("source", item.source), self._checks.parse(item.target)

    def _to_download(self, item: Download) -> tuple[ObjectURI, Path]:
        _check_item(item, Download)
        return self._checks.parse(item.source), local_path("target", item.target)


async def _spread(
    source: Any, target: Any, pairs: Any, options: BulkOptions, progress: ProgressSink | None
) -> BulkResult:
    # Imported here, since it knows the storage that these verbs are a part of.
    from asyncstore.storage.shard_jobs import spread_pairs

    return await spread_pairs(source, target, pairs, options, progress)


def _check_item(item: object, kind: type) -> None:
    if not isinstance(item, kind):
        raise TypeError(f"items must be {kind.__name__}(source, target), not {type(item).__name__}")


def _each(items: Iterable[_In] | AsyncIterable[_In], convert: Callable[[_In], _Out]) -> Any:
    if isinstance(items, AsyncIterable):
        return _each_async(items, convert)
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise TypeError(f"items takes an iterable, not {type(items).__name__}")
    return _each_plain(items, convert)


def _each_plain(items: Iterable[_In], convert: Callable[[_In], _Out]) -> Iterator[_Out]:
    with closing_generator(items) as source:
        for item in source:
            yield convert(item)


async def _each_async(items: AsyncIterable[_In], convert: Callable[[_In], _Out]) -> AsyncIterator[_Out]:
    async with iterating(items) as source:
        async for item in source:
            yield convert(item)
