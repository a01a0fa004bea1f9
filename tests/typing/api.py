"""
Typical calls of the public interface, for the type checker; they are not run.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, assert_type

from asyncstore import (
    AsyncStorage,
    AuthConfig,
    BulkResult,
    BulkStorage,
    ByteRange,
    CopyResult,
    DecodedReader,
    Difference,
    Download,
    EncodedWriter,
    Metadata,
    MiB,
    MultipartCapable,
    ObjectInfo,
    ObjectReader,
    ObjectURI,
    ObjectWriter,
    Part,
    ProgressEvent,
    ReadStream,
    RetentionCapable,
    SigningCapable,
    Storage,
    SyncResult,
    TaggingCapable,
    Transfer,
    TreeOptions,
    TreeProblem,
    TreeResult,
    Upload,
    UploadOptions,
    VersionedCapable,
    WriteResult,
    cached,
    compare_trees,
    connect_auth,
    copy_between,
    copy_tree,
    download_tree,
    open_storage,
    read_only,
    replicated,
    routed,
    sync,
    sync_tree,
    throttled,
    track,
    under,
    upload_tree,
)
from asyncstore.driver import ForwardingDriver
from asyncstore.engine.download.stream import ResumingStream

_storage: type[AsyncStorage] = Storage
_bulk: type[BulkStorage] = Storage
_multipart: type[MultipartCapable] = Storage
_signing: type[SigningCapable] = Storage
_versioned: type[VersionedCapable] = Storage
_tagging: type[TaggingCapable] = Storage
_retaining: type[RetentionCapable] = Storage
_stream: type[ReadStream] = ResumingStream


async def one_object(storage: Storage, path: Path) -> None:
    uri = storage.root / "key"
    assert_type(uri, ObjectURI)
    assert_type(await storage.put(uri, b"data"), WriteResult)
    assert_type(await storage.put("memory://bucket/key", [b"da", b"ta"]), WriteResult)
    assert_type(await storage.put(uri, memoryview(b"data")), WriteResult)
    with path.open("rb") as file:
        assert_type(await storage.put(uri, file), WriteResult)
    async with storage.get(uri) as stream:
        assert_type(stream.info, Metadata)
        await storage.put(uri, aiter(stream))
        async for chunk in stream:
            assert_type(chunk, bytes)
    assert_type(await storage.read(uri), bytes)
    assert_type(await storage.read_ranges(uri, [ByteRange(0, 5)]), Sequence[bytes])
    assert_type(await storage.read_into(uri, bytearray(5), range=(0, 5)), int)
    assert_type(await storage.read_into(uri, array("d", [0.0])), int)
    assert_type(await storage.upload(path, uri, progress=print), WriteResult)
    assert_type(await storage.download(uri, str(path)), ObjectInfo)
    assert_type(await storage.copy(uri, storage.root / "copy"), CopyResult)
    assert_type(await storage.put(uri, b"data", progress=print), WriteResult)
    assert_type(await storage.read(uri, progress=print), bytes)
    assert_type(await storage.copy(uri, storage.root / "copy", progress=print), CopyResult)
    async for info in storage.list():
        assert_type(info, ObjectInfo)


async def opened_files(storage: Storage) -> None:
    async with storage.open("key") as reader:
        assert_type(reader, ObjectReader)
        assert_type(await reader.read(5), bytes)
        assert_type(await reader.readinto(bytearray(5)), int)
        assert_type(await reader.seek(0), int)
        async for line in reader:
            assert_type(line, bytes)
        assert_type(await storage.put("copy", reader), WriteResult)
    async with storage.open("key", "r", encoding="latin-1", newline="") as text:
        assert_type(text, DecodedReader[str])
        assert_type(await text.readline(), str)
        async for word in text:
            assert_type(word, str)
    async with storage.open("key", "rb", compression="gzip") as unpacked:
        assert_type(await unpacked.read(), bytes)
    async with storage.open("key", "xb", options=UploadOptions(content_type="text/plain")) as writer:
        assert_type(writer, ObjectWriter)
        assert_type(await writer.write(memoryview(b"data")), int)
    assert_type(writer.info, WriteResult | None)
    async with storage.open("key", "w") as lines:
        assert_type(lines, EncodedWriter[str])
        await lines.write("line\n")
        await lines.write(b"line\n")  # type: ignore[arg-type]
    opened = await storage.open("key", "wb")
    assert_type(await opened.close(), WriteResult)
    storage.open("key", "rb", encoding="utf-8")  # type: ignore[call-overload]
    storage.open("key", "r+")  # type: ignore[call-overload]


async def many_objects(storage: BulkStorage, path: Path, uri: ObjectURI) -> None:
    async def later() -> AsyncIterator[Upload]:
        yield Upload(path, uri)

    assert_type(await storage.bulk_upload(later()), BulkResult)
    assert_type(await storage.bulk_download([Download(uri, path)]), BulkResult)
    assert_type(await storage.bulk_delete([uri, "memory://bucket/key"]), BulkResult)


async def multipart(storage: MultipartCapable, uri: ObjectURI) -> None:
    upload_id = await storage.initiate_multipart_upload(uri)
    part = await storage.upload_part(uri, upload_id, 1, b"data")
    assert_type(part, Part)
    assert_type(await storage.complete_multipart_upload(uri, upload_id, [part]), WriteResult)


async def in_tasks(storage: Storage, path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(storage.upload(path, "memory://bucket/key"))
        assert_type(task, asyncio.Task[WriteResult])
    async with track(storage.upload, path, "memory://bucket/key") as transfer:
        assert_type(transfer, Transfer[WriteResult])
        async for event in transfer:
            assert_type(event, ProgressEvent)
    assert_type(transfer.result, WriteResult)


async def two_storages() -> None:
    async with open_storage("memory://a") as source, open_storage("memory://b") as target:
        assert_type(await copy_between(source, source.root / "key", target, target.root / "key"), CopyResult)


async def credentials_for_sdks() -> None:
    async with connect_auth(AuthConfig(provider="aws")) as credentials:
        await credentials.for_botocore()
        credentials.for_gcloud()
        await credentials.for_azure()
        await credentials.for_oci()


class _UploadFile:
    async def read(self, size: int = -1) -> bytes:
        return b""


async def asynchronous_files(storage: Storage, reader: asyncio.StreamReader) -> None:
    await storage.put(storage.root / "key", _UploadFile())
    await storage.put(storage.root / "key", reader)


async def fields_as_keywords(storage: Storage, path: Path) -> None:
    assert_type(await storage.read("key", range=(0, 5), if_match="etag"), bytes)
    written = await storage.put("key", b"", content_type="text/plain", if_none_match="*", checksum="md5")
    assert_type(written, WriteResult)
    assert_type(await storage.upload(path, "key", part_size=8 * MiB), WriteResult)
    assert_type(await storage.bulk_delete(["key"], stop_on_error=True), BulkResult)
    async with track(storage.download, "key", path, overwrite=False) as transfer:
        assert_type(transfer, Transfer[ObjectInfo])
    async for info in storage.list(delimiter="/"):
        assert_type(info, ObjectInfo)


async def trees(storage: Storage, path: Path) -> None:
    assert_type(await upload_tree(path, storage, exclude=["*.log"], symlinks="skip"), TreeResult)
    assert_type(await copy_tree(storage, storage, source_prefix="a", target_prefix="b"), TreeResult)
    assert_type(await sync_tree(path, storage, delete=True, compare="checksum"), SyncResult)
    async with track(download_tree, storage, path, options=TreeOptions(hidden=False)) as transfer:
        assert_type(transfer, Transfer[TreeResult])
    async for step in compare_trees(path, storage, delete=True):
        assert_type(step, Difference | TreeProblem)


async def wrappers(storage: Storage, path: Path) -> None:
    assert_type(read_only(storage), Storage)
    assert_type(under(storage, "prefix"), Storage)
    assert_type(cached(storage, max_bytes=MiB, directory=path, max_age=60), Storage)
    assert_type(throttled(storage, requests_per_second=10, bytes_per_second=1e6), Storage)
    assert_type(replicated(storage, storage), Storage)
    assert_type(routed({"a/": storage}, default=storage), Storage)
    assert_type(storage.wrapped(ForwardingDriver), Storage)
    cached(storage)  # type: ignore[call-arg]
    under(storage, path)  # type: ignore[arg-type]


async def wrong_keywords(storage: Storage) -> None:
    await upload_tree("a", storage, exlude=["*.log"])  # type: ignore[call-arg]
    await storage.read("key", if_mach="etag")  # type: ignore[call-arg]
    await storage.read("key", range=5)  # type: ignore[arg-type]
    await storage.stat("key", range=(0, 5))  # type: ignore[call-arg]
    await storage.put("key", b"", if_none_match="etag")  # type: ignore[arg-type]
    await storage.put("key", b"", part_size="8MiB")  # type: ignore[arg-type]
    await storage.delete("key", storage_class="STANDARD")  # type: ignore[call-arg]


def settings_as_keywords(path: Path) -> None:
    assert_type(open_storage("s3://bucket", region="eu-west-1", ca_file=path, sse_customer_key=bytes(32)), Storage)
    assert_type(open_storage("lab://bucket", settings={"style": "path"}), Storage)
    saved: dict[str, Any] = {"region": "eu-west-1"}
    assert_type(open_storage("s3://bucket", **saved), Storage)
    open_storage("s3://bucket", regoin="eu-west-1")  # type: ignore[call-arg]
    open_storage("s3://bucket", connect_timeout="1")  # type: ignore[arg-type]
    open_storage("s3://bucket", addressing_style="dns")  # type: ignore[arg-type]


def blocking(path: Path) -> None:
    with sync.open_storage("s3://bucket", region="eu-west-1") as storage:
        assert_type(storage.read("a", range=(0, 5)), bytes)
        assert_type(storage.put("a", b"data", content_type="text/plain"), WriteResult)
        assert_type(list(storage.list("a/")), list[ObjectInfo])
        with storage.get("a") as stream:
            assert_type(stream.read(5), bytes)
        with storage.open("a") as binary:
            assert_type(binary.read(), bytes)
        with storage.open("a", "r", compression="gzip") as text:
            assert_type(list(text), list[str])
        assert_type(sync.upload_tree(path, sync.under(storage, "a")), TreeResult)
        storage.read("a", rnage=(0, 5))  # type: ignore[call-arg]
        storage.open("a", "r+")  # type: ignore[call-overload]
