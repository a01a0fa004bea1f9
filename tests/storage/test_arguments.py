"""
Unsupported operations and invalid arguments are refused before any request.
"""

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidRequestError,
    InvalidURIError,
    NotFoundError,
    NotSupportedError,
    StorageError,
)
from asyncstore.options import (
    BulkOptions,
    ByteRange,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ReadOptions,
    UploadOptions,
    WriteOptions,
)
from asyncstore.storage import Storage, open_storage, opening
from asyncstore.storage.copy_between import copy_between
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm, Download, Upload
from tests.build import KEY, ROOT, changed, patterned

Use = Callable[[Storage, Any], Awaitable[Any]]
NOW = datetime.now(UTC)


async def listed(storage: Storage, uri: Any) -> None:
    async for _ in storage.list(uri):
        pass


async def opened(storage: Storage, uri: Any) -> None:
    async with storage.get(uri):
        pass


async def parts_listed(storage: Storage, uri: Any) -> None:
    async for _ in storage.list_parts(uri, "id"):
        pass


VERBS: dict[str, Use] = {
    "get": opened,
    "read": lambda storage, uri: storage.read(uri),
    "read_ranges": lambda storage, uri: storage.read_ranges(uri, [ByteRange(0, 0)]),
    "put": lambda storage, uri: storage.put(uri, b""),
    "delete": lambda storage, uri: storage.delete(uri),
    "exists": lambda storage, uri: storage.exists(uri),
    "stat": lambda storage, uri: storage.stat(uri),
    "list_page": lambda storage, uri: storage.list_page(uri),
    "list": listed,
    "copy": lambda storage, uri: storage.copy(uri, KEY),
    "copy to": lambda storage, uri: storage.copy(KEY, uri),
    "upload": lambda storage, uri: storage.upload(Path("/none"), uri),
    "download": lambda storage, uri: storage.download(uri, Path("/none/none")),
    "initiate": lambda storage, uri: storage.initiate_multipart_upload(uri),
    "upload_part": lambda storage, uri: storage.upload_part(uri, "id", 1, b""),
    "complete": lambda storage, uri: storage.complete_multipart_upload(uri, "id", []),
    "abort": lambda storage, uri: storage.abort_multipart_upload(uri, "id"),
    "list_parts": parts_listed,
    "bulk_delete": lambda storage, uri: storage.bulk_delete([uri], options=BulkOptions(stop_on_error=True)),
    "bulk_upload": lambda storage, uri: storage.bulk_upload(
        [Upload(Path("/none"), uri)], options=BulkOptions(stop_on_error=True)
    ),
    "bulk_download": lambda storage, uri: storage.bulk_download(
        [Download(uri, Path("/none/none"))], options=BulkOptions(stop_on_error=True)
    ),
}
OF_OBJECTS = {name: use for name, use in VERBS.items() if not name.startswith("list") or name == "list_parts"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("uri", ["s3://bucket/key", "s3:/bucket/key", "unknown://bucket/key"])
async def test_other_uris(storage: Storage, faults: FaultyDriver, verb: str, uri: str) -> None:
    with pytest.raises(InvalidURIError):
        await VERBS[verb](storage, uri)

    assert 0 == faults.calls.total()


@pytest.mark.parametrize("verb", OF_OBJECTS)
@pytest.mark.parametrize("uri", [ROOT, ROOT / ("ü" * 513)])
async def test_no_key_or_one_that_is_too_long(storage: Storage, faults: FaultyDriver, verb: str, uri: Any) -> None:
    with pytest.raises(InvalidURIError):
        await OF_OBJECTS[verb](storage, uri)

    assert 0 == faults.calls.total()


@pytest.mark.parametrize("verb", VERBS)
async def test_closed(storage: Storage, faults: FaultyDriver, verb: str) -> None:
    await storage.aclose()
    await storage.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await VERBS[verb](storage, KEY)

    assert 0 == faults.calls.total()


UNABLE: dict[str, tuple[dict[str, Any], Callable[[Storage], Awaitable[Any]]]] = {
    "create-only put": (
        {"conditional_create": False},
        lambda storage: storage.put(KEY, b"", options=UploadOptions(if_none_match="*")),
    ),
    "if_match on put": (
        {"conditional_replace": False},
        lambda storage: storage.put(KEY, b"", options=UploadOptions(if_match="etag")),
    ),
    "create-only upload": (
        {"conditional_create": False},
        lambda storage: storage.upload(Path("/none"), KEY, options=UploadOptions(if_none_match="*")),
    ),
    "conditions on completing": (
        {"conditional_create": False},
        lambda storage: storage.complete_multipart_upload(KEY, "id", [], options=UploadOptions(if_none_match="*")),
    ),
    "metadata": (
        {"metadata": False},
        lambda storage: storage.put(KEY, b"", options=UploadOptions(metadata={"a": "b"})),
    ),
    "content type": (
        {"content_type": False},
        lambda storage: storage.put(KEY, b"", options=UploadOptions(content_type="text/plain")),
    ),
    "content encoding": (
        {"content_headers": False},
        lambda storage: storage.put(KEY, b"", options=UploadOptions(content_encoding="gzip")),
    ),
    "storage class": (
        {"storage_classes": False},
        lambda storage: storage.put(KEY, b"", options=UploadOptions(storage_class="COLD")),
    ),
    "checksum": (
        {"checksums": frozenset()},
        lambda storage: storage.put(KEY, b"", options=UploadOptions(checksum=ChecksumAlgorithm.MD5)),
    ),
    "conditional read": (
        {"conditional_read": False},
        lambda storage: storage.read(KEY, options=ReadOptions(if_modified_since=NOW)),
    ),
    "conditional download": (
        {"conditional_read": False},
        lambda storage: storage.download(KEY, Path("/none/none"), options=DownloadOptions(if_match="etag")),
    ),
    "version": ({"versions": False}, lambda storage: storage.stat(KEY, options=ReadOptions(version_id="1"))),
    "delete of a version": (
        {"versions": False},
        lambda storage: storage.delete(KEY, options=DeleteOptions(version_id="1")),
    ),
    "delete with if_match": (
        {"conditional_delete": False},
        lambda storage: storage.delete(KEY, options=DeleteOptions(if_match="etag")),
    ),
    "copy": ({"copy": False}, lambda storage: storage.copy(KEY, ROOT / "copy")),
    "copy with conditions": (
        {"conditional_copy": False},
        lambda storage: storage.copy(KEY, ROOT / "copy", options=CopyOptions(if_none_match="*")),
    ),
    "copy of a version": (
        {"versions": False},
        lambda storage: storage.copy(KEY, ROOT / "copy", options=CopyOptions(source_version_id="1")),
    ),
    "copy with metadata": (
        {"metadata": False},
        lambda storage: storage.copy(
            KEY, ROOT / "copy", options=CopyOptions(replace=WriteOptions(metadata={"a": "b"}))
        ),
    ),
    "copy with other headers": (
        {"copy_replace": False},
        lambda storage: storage.copy(
            KEY, ROOT / "copy", options=CopyOptions(replace=WriteOptions(content_type="a/b", metadata={"a": "b"}))
        ),
    ),
    "copy without metadata": (
        {"copy_replace": False},
        lambda storage: storage.copy(KEY, ROOT / "copy", options=CopyOptions(replace=WriteOptions())),
    ),
    "multipart": ({"multipart": False}, lambda storage: storage.initiate_multipart_upload(KEY)),
    "signing": ({"sign": False}, lambda storage: storage.presign(KEY)),
    "bulk upload": (
        {"conditional_create": False},
        lambda storage: storage.bulk_upload([], options=BulkOptions(upload=UploadOptions(if_none_match="*"))),
    ),
    "bulk download": (
        {"conditional_read": False},
        lambda storage: storage.bulk_download([], options=BulkOptions(download=DownloadOptions(if_match="etag"))),
    ),
}


@pytest.mark.parametrize("name", UNABLE)
async def test_unsupported_options(storage: Storage, faults: FaultyDriver, name: str) -> None:
    capabilities, use = UNABLE[name]
    changed(faults, **capabilities)
    with pytest.raises(NotSupportedError, match="memory does not support"):
        await use(storage)

    assert 0 == faults.calls.total()


async def test_unused_options_are_not_refused(storage: Storage, faults: FaultyDriver) -> None:
    """A provider that stores no metadata still stores bytes."""
    changed(faults, metadata=False, content_type=False, content_headers=False, storage_classes=False)
    await storage.put(KEY, b"data")

    assert b"data" == await storage.read(KEY)


async def test_metadata_that_is_too_large(storage: Storage, faults: FaultyDriver) -> None:
    options = UploadOptions(metadata={"k": "v" * 3000})
    with pytest.raises(InvalidRequestError, match="metadata"):
        await storage.put(KEY, b"", options=options)
    with pytest.raises(InvalidRequestError, match="metadata"):
        await storage.copy(KEY, ROOT / "copy", options=CopyOptions(replace=options))

    assert 0 == faults.calls.total()


async def test_objects_that_are_too_large(storage: Storage, faults: FaultyDriver) -> None:
    changed(faults, max_object_size=10)
    with pytest.raises(InvalidRequestError, match="at most"):
        await storage.put(KEY, bytes(11))
    changed(faults, max_object_size=100, max_put_size=10, multipart=False)
    with pytest.raises(InvalidRequestError, match="one request"):
        await storage.put(KEY, bytes(11))

    assert 0 == faults.calls.total()


@pytest.mark.parametrize("number", [0, -1, 10_001])
async def test_invalid_part_numbers(storage: Storage, faults: FaultyDriver, number: int) -> None:
    with pytest.raises(InvalidRequestError, match="a part number must be 1 to"):
        await storage.upload_part(KEY, "id", number, b"")

    assert 0 == faults.calls.total()


async def test_parts_of_any_bytes(storage: Storage) -> None:
    """
    A part may be any bytes-like object, and nothing else.
    """
    upload_id = await storage.initiate_multipart_upload(KEY)
    wide = memoryview(bytes(range(12))).cast("i")
    parts = [
        await storage.upload_part(KEY, upload_id, 1, wide),
        await storage.upload_part(KEY, upload_id, 2, memoryview(b"abcdef")[::2]),
    ]
    with pytest.raises(TypeError):
        await storage.upload_part(KEY, upload_id, 3, "text")  # type: ignore[arg-type]
    await storage.complete_multipart_upload(KEY, upload_id, parts)

    assert bytes(range(12)) + b"ace" == await storage.read(KEY)


async def test_expiry_in_the_past(storage: Storage, faults: FaultyDriver) -> None:
    changed(faults, sign=True)
    with pytest.raises(ConfigurationError):
        await storage.presign(KEY, expires=timedelta(0))

    assert 0 == faults.calls.total()


@pytest.mark.parametrize("verb", ["read", "stat", "copy", "download"])
async def test_errors_can_be_pickled(storage: Storage, faults: FaultyDriver, verb: str, tmp_path: Path) -> None:
    """
    Pickled errors keep all their fields.
    """
    faults.fail("open_read")
    with pytest.raises(NotFoundError) as caught:
        if verb == "download":
            await storage.download(ROOT / "new", tmp_path / "file")
        else:
            await VERBS[verb](storage, ROOT / "new")
    again = pickle.loads(pickle.dumps(caught.value))

    assert (type(caught.value), str(caught.value)) == (type(again), str(again))
    assert (verb, str(ROOT / "new"), "memory") == (again.op, again.uri, again.provider)


async def test_deleting(storage: Storage, faults: FaultyDriver) -> None:
    await storage.delete(KEY)
    with pytest.raises(NotFoundError):
        await storage.delete(KEY, missing_ok=False)

    assert (1, 1) == (faults.calls["delete"], faults.calls["stat"])


async def test_exists(storage: Storage, faults: FaultyDriver) -> None:
    assert not await storage.exists(KEY)
    await storage.put(KEY, b"")
    assert await storage.exists(KEY)


class TestCopying:
    """
    Copies within a provider, in one request or multipart, and between providers.
    """

    async def test_onto_itself(self, storage: Storage, faults: FaultyDriver) -> None:
        await storage.put(KEY, b"data")
        with pytest.raises(InvalidRequestError, match="same object"):
            await storage.copy(KEY, KEY)
        await storage.copy(KEY, KEY, options=CopyOptions(replace=WriteOptions(metadata={"a": "b"})))

        assert {"a": "b"} == (await storage.stat(KEY)).metadata

    @pytest.mark.parametrize("size", [1000, 1001, 3500])
    async def test_multipart(self, storage: Storage, faults: FaultyDriver, size: int) -> None:
        changed(faults, max_copy_size=1000)
        kept = UploadOptions(content_type="text/plain", metadata={"a": "b"})
        await storage.put(KEY, patterned(size), options=kept)
        await storage.copy(KEY, ROOT / "copy", options=CopyOptions(part_size=1000))
        info = await storage.stat(ROOT / "copy")

        assert patterned(size) == await storage.read(ROOT / "copy")
        assert ("text/plain", {"a": "b"}) == (info.content_type, info.metadata)
        assert (1 if size == 1000 else 0, 0 if size == 1000 else -(-size // 1000)) == (
            faults.calls["copy"],
            faults.calls["copy_part"],
        )

    async def test_too_large_to_copy(self, storage: Storage, faults: FaultyDriver) -> None:
        changed(faults, max_copy_size=10, copy_part=False)
        await storage.put(KEY, bytes(11))
        with pytest.raises(NotSupportedError, match="at most 10 bytes, not 11"):
            await storage.copy(KEY, ROOT / "copy")

    @pytest.mark.parametrize("size", [0, 10, 3500])
    async def test_between(self, storage: Storage, memory: MemoryDriver, size: int, small_chunks: int) -> None:
        async with opening.open_storage("memory://other") as other:
            await other.put("memory://other/key", patterned(size), options=UploadOptions(metadata={"a": "b"}))
            await copy_between(other, "memory://other/key", storage, KEY)

        assert patterned(size) == memory.objects["dir/key"]
        assert {"a": "b"} == (await storage.stat(KEY)).metadata

    async def test_between_with_wrong_bytes(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver, small_chunks: int
    ) -> None:
        """
        A copy of corrupted bytes is not published.
        """
        await storage.put(KEY, patterned(3500))
        faults.corrupt("read")
        options = UploadOptions(part_size=1000)
        with pytest.raises(IntegrityError):
            await copy_between(storage, KEY, storage, ROOT / "copy", options=options)

        assert {"dir/key"} == set(memory.objects)
        assert {} == memory.uploads


def test_statistics_and_description_name_no_secret(storage: Storage) -> None:
    assert 0 == storage.statistics().requests
    assert {"provider": "memory", "root": str(ROOT)} == storage.describe()
    assert replace(storage.statistics(), requests=1).requests == 1
    assert issubclass(NotSupportedError, StorageError)


def test_storage_of_two_running_loops() -> None:
    """
    A storage in use in one event loop refuses operations of another at once; after the first loop it may move on.
    """
    storage = open_storage("memory://bucket")

    async def put(key: str) -> None:
        await storage.put(storage.root / key, b"data")

    async def both() -> None:
        await put("a")
        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, put("b"))

    asyncio.run(both())
    asyncio.run(put("c"))

    assert ["a", "c"] == asyncio.run(_keys(storage))


async def _keys(storage: Storage) -> list[str]:
    return [info.key async for info in storage.list()]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda storage, wrong: storage.put(KEY, b"", options=wrong), "UploadOptions"),
        (lambda storage, wrong: storage.upload("file", KEY, options=wrong), "UploadOptions"),
        (lambda storage, wrong: storage.initiate_multipart_upload(KEY, options=wrong), "UploadOptions"),
        (lambda storage, wrong: storage.read(KEY, options=wrong), "ReadOptions"),
        (lambda storage, wrong: storage.stat(KEY, options=wrong), "ReadOptions"),
        (lambda storage, wrong: storage.read_ranges(KEY, [ByteRange(0, 1)], options=wrong), "ReadOptions"),
        (lambda storage, wrong: storage.download(KEY, "file", options=wrong), "DownloadOptions"),
        (lambda storage, wrong: storage.copy(KEY, KEY, options=wrong), "CopyOptions"),
        (lambda storage, wrong: storage.delete(KEY, options=wrong), "DeleteOptions"),
        (lambda storage, wrong: storage.list_page(ROOT, options=wrong), "ListOptions"),
        (lambda storage, wrong: anext(storage.list(options=wrong)), "ListOptions"),
        (lambda storage, wrong: anext(storage.list_versions(options=wrong)), "ListOptions"),
        (lambda storage, wrong: storage.bulk_upload([], options=wrong), "BulkOptions"),
        (lambda storage, wrong: storage.bulk_download([], options=wrong), "BulkOptions"),
        (lambda storage, wrong: storage.bulk_delete([], options=wrong), "BulkOptions"),
    ],
)
async def test_options_of_another_operation(
    storage: Storage, faults: FaultyDriver, call: Callable[[Storage, Any], Awaitable[Any]], expected: str
) -> None:
    """
    Options of another operation are refused by name, before anything is sent.
    """
    with pytest.raises(TypeError, match=f"options must be {expected}, not WriteOptions"):
        await call(storage, WriteOptions())

    assert not faults.calls
