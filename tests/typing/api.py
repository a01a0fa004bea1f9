"""
What callers write, held to by the type checker; nothing here is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import assert_type

from asyncstore import (
    AsyncStorage,
    BulkResult,
    BulkStorage,
    ByteRange,
    Download,
    Metadata,
    MultipartCapable,
    ObjectInfo,
    ObjectURI,
    Part,
    ProgressEvent,
    ReadStream,
    SigningCapable,
    Storage,
    TaggingCapable,
    Transfer,
    Upload,
    VersionedCapable,
    copy_between,
    open_storage,
    track,
)
from asyncstore.engine.stream import ResumingStream

_storage: type[AsyncStorage] = Storage
_bulk: type[BulkStorage] = Storage
_multipart: type[MultipartCapable] = Storage
_signing: type[SigningCapable] = Storage
_versioned: type[VersionedCapable] = Storage
_tagging: type[TaggingCapable] = Storage
_stream: type[ReadStream] = ResumingStream


async def one_object(storage: Storage, path: Path) -> None:
    uri = storage.root / "key"
    assert_type(uri, ObjectURI)
    assert_type(await storage.put(uri, b"data"), ObjectInfo)
    assert_type(await storage.put("memory://bucket/key", [b"da", b"ta"]), ObjectInfo)
    assert_type(await storage.put(uri, memoryview(b"data")), ObjectInfo)
    with path.open("rb") as file:
        assert_type(await storage.put(uri, file), ObjectInfo)
    async with storage.get(uri) as stream:
        assert_type(stream.info, Metadata)
        await storage.put(uri, aiter(stream))
        async for chunk in stream:
            assert_type(chunk, bytes)
    assert_type(await storage.read(uri), bytes)
    assert_type(await storage.read_ranges(uri, [ByteRange(0, 5)]), Sequence[bytes])
    assert_type(await storage.upload(path, uri, progress=print), ObjectInfo)
    assert_type(await storage.download(uri, str(path)), ObjectInfo)
    assert_type(await storage.copy(uri, storage.root / "copy"), ObjectInfo)
    async for info in storage.list():
        assert_type(info, ObjectInfo)


async def many_objects(storage: BulkStorage, path: Path, uri: ObjectURI) -> None:
    async def later() -> AsyncIterator[Upload]:
        yield Upload(path, uri)

    assert_type(await storage.bulk_upload(later()), BulkResult)
    assert_type(await storage.bulk_download([Download(uri, path)]), BulkResult)
    assert_type(await storage.bulk_delete([uri, "memory://bucket/key"]), BulkResult)


async def by_parts(storage: MultipartCapable, uri: ObjectURI) -> None:
    upload_id = await storage.initiate_multipart_upload(uri)
    part = await storage.upload_part(uri, upload_id, 1, b"data")
    assert_type(part, Part)
    assert_type(await storage.complete_multipart_upload(uri, upload_id, [part]), ObjectInfo)


async def in_tasks(storage: Storage, path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(storage.upload(path, "memory://bucket/key"))
        assert_type(task, asyncio.Task[ObjectInfo])
    async with track(storage.upload, path, "memory://bucket/key") as transfer:
        assert_type(transfer, Transfer[ObjectInfo])
        async for event in transfer:
            assert_type(event, ProgressEvent)
    assert_type(transfer.result, ObjectInfo)


async def two_storages() -> None:
    async with open_storage("memory://a") as source, open_storage("memory://b") as target:
        assert_type(await copy_between(source, source.root / "key", target, target.root / "key"), ObjectInfo)
