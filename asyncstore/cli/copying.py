"""
What copies the items: uploads, downloads, copies inside a provider and between two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from asyncstore.between import copy_between
from asyncstore.cli.plan import Item
from asyncstore.cli.transfer import Operation
from asyncstore.engine.bulk import bulk_each
from asyncstore.engine.progress import ObjectMeter
from asyncstore.errors import AlreadyExistsError
from asyncstore.options import BulkOptions, CopyOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage import Storage
from asyncstore.types import Download, ObjectInfo, ProgressEvent, Upload
from asyncstore.uri import ObjectURI


def operation(source: Storage | None, target: Storage | None, options: BulkOptions) -> Operation:
    """
    Return what brings items from *source* to *target*; ``None`` is this machine.
    """
    if source is None:
        assert target is not None
        upload = target.bulk_upload
        return lambda items, progress: upload(_uploads(items), options=options, progress=progress)
    if target is None:
        download = source.bulk_download
        return lambda items, progress: download(_downloads(items), options=options, progress=progress)
    copier = _Copier(source, target, options)
    return lambda items, progress: bulk_each(_pairs(items), copier, options, progress)


class _Copier:
    """
    Copies one object, inside a provider if it can, else through this process.
    """

    def __init__(self, source: Storage, target: Storage, options: BulkOptions) -> None:
        self._source = source
        self._target = target
        self._options = options.upload
        self._inside = source is target and source.capabilities.copy
        self._create_only = options.upload.if_none_match is not None

    async def __call__(self, source: ObjectURI, target: ObjectURI, meter: ObjectMeter) -> ObjectInfo:
        if not self._inside:
            return await copy_between(
                self._source, source, self._target, target, options=self._options, progress=_into(meter)
            )
        conditional = self._create_only and self._target.capabilities.conditional_copy
        if self._create_only and not conditional and await self._target.exists(target):
            raise AlreadyExistsError("there is an object already")
        info = await self._target.copy(source, target, options=CopyOptions(if_none_match="*" if conditional else None))
        meter.expect(info.size)
        meter.advance(info.size)
        return info


def _into(meter: ObjectMeter) -> ProgressSink:
    def tell(event: ProgressEvent) -> None:
        if event.object_bytes_total is not None:
            meter.expect(event.object_bytes_total)
        if event.bytes_done > meter.done:
            meter.advance(event.bytes_done - meter.done)

    return tell


async def _uploads(items: AsyncIterator[Item]) -> AsyncIterator[Upload]:
    async for item in items:
        assert isinstance(item.source, Path)
        assert isinstance(item.target, ObjectURI)
        yield Upload(item.source, item.target)


async def _downloads(items: AsyncIterator[Item]) -> AsyncIterator[Download]:
    async for item in items:
        assert isinstance(item.source, ObjectURI)
        assert isinstance(item.target, Path)
        yield Download(item.source, item.target)


async def _pairs(items: AsyncIterator[Item]) -> AsyncIterator[tuple[Any, Any]]:
    async for item in items:
        yield item.source, item.target
