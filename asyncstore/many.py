"""
Many objects at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

from asyncstore.checks import Checks
from asyncstore.engine import bulk
from asyncstore.engine.calls import Calls
from asyncstore.engine.pool import iterating
from asyncstore.options import BulkOptions
from asyncstore.protocols import ProgressSink
from asyncstore.types import BulkResult, Download, Upload
from asyncstore.uri import URILike

_BULK: Final = BulkOptions()

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class BulkVerbs:
    """
    The verbs of :class:`~asyncstore.protocols.BulkStorage`.
    """

    _calls: Calls
    _checks: Checks

    async def bulk_upload(
        self,
        items: Iterable[Upload] | AsyncIterable[Upload],
        *,
        options: BulkOptions = _BULK,
        progress: ProgressSink | None = None,
    ) -> BulkResult:
        """
        Write many local files; *items* is drawn as they are written, and may have any length.

        An item that fails is an outcome of the result, unless ``options.stop_on_error``; a
        text that is no URI at all ends the whole. An asynchronous generator is closed at the end.
        One whose target exists already, under ``if_none_match="*"``, is skipped.
        """
        self._checks.write(options.upload)
        pairs = _each(items, lambda item: (Path(item.source), self._checks.parse(item.target)))
        return await bulk.bulk_upload(self._calls, pairs, options, progress, self._checks.object)

    async def bulk_download(
        self,
        items: Iterable[Download] | AsyncIterable[Download],
        *,
        options: BulkOptions = _BULK,
        progress: ProgressSink | None = None,
    ) -> BulkResult:
        """
        Bring many objects into local files; *items* is drawn as they arrive.

        An item that fails is an outcome of the result, unless ``options.stop_on_error``; a
        text that is no URI at all ends the whole. An asynchronous generator is closed at the end.
        One whose target exists already, under ``overwrite=False``, is skipped.
        """
        self._checks.read(options.download)
        pairs = _each(items, lambda item: (Path(item.target), self._checks.parse(item.source)))
        return await bulk.bulk_download(self._calls, pairs, options, progress, self._checks.object)

    async def bulk_delete(
        self,
        items: Iterable[URILike] | AsyncIterable[URILike],
        *,
        options: BulkOptions = _BULK,
        progress: ProgressSink | None = None,
    ) -> BulkResult:
        """
        Delete many objects, by as few requests as the provider allows.

        A missing one counts as deleted. One that fails is an outcome of the result,
        unless ``options.stop_on_error``.
        """
        keys = _each(items, self._checks.parse)
        return await bulk.bulk_delete(self._calls, keys, options, progress, self._checks.object)


def _each(items: Iterable[_In] | AsyncIterable[_In], convert: Callable[[_In], _Out]) -> Any:
    if isinstance(items, AsyncIterable):
        return _each_async(items, convert)
    return map(convert, items)


async def _each_async(items: AsyncIterable[_In], convert: Callable[[_In], _Out]) -> AsyncIterator[_Out]:
    async with iterating(items) as source:
        async for item in source:
            yield convert(item)
