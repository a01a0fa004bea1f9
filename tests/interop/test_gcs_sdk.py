"""
Google's clients (google-cloud-storage, gcloud-aio-storage) read what we write, and the other way round.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud.storage import Bucket, transfer_manager

from asyncstore import Storage, UploadOptions, open_storage
from asyncstore.checksum import compute
from asyncstore.errors import PreconditionFailedError
from asyncstore.options import CopyOptions, MiB, ReadOptions
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.servers.gcs import GCSServer, Settings
from asyncstore.types import ChecksumAlgorithm
from tests.servers.gcs_client import account, key_file, sdk

AWKWARD = [
    "a b+c%20d",
    "ä/ö?ü#&=",
    "tilde~'()*!$,;:@",
    "日本/💾",
    "tab\tquote\"'<>&",
    "x//y",
    "dots/../up",
    "./here",
    "back\\slash",
    "/leading",
    "trailing/",
]
DATA = payload(11 * MiB + 7)
PARTS = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB, metadata={"a": "1 2"}, content_type="text/x")


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    async with GCSServer(buckets=["bucket"], settings=Settings(accounts=[account()])) as running:
        yield running


@pytest.fixture
async def storage(server: GCSServer) -> AsyncIterator[Storage]:
    async with open_storage("gs://bucket", endpoint_url=server.url, credentials_json=key_file(server.url)) as opened:
        yield opened


@pytest.fixture
async def theirs(server: GCSServer) -> AsyncIterator[Bucket]:
    """The bucket in google-cloud-storage; its calls block."""
    with sdk(server.url) as client:
        yield client.bucket("bucket")


async def in_thread(call: Any, *args: Any, **kwargs: Any) -> Any:
    return await asyncio.to_thread(call, *args, **kwargs)


@pytest.mark.parametrize("size", [4, len(DATA)], ids=["small", "parts"])
async def test_google_reads_what_we_put(storage: Storage, theirs: Bucket, size: int) -> None:
    """
    Google's client finds the bytes, headers, metadata, checksum and generation that we wrote.
    """
    info = await storage.put(storage.root / "k", DATA[:size], options=PARTS)

    blob = await in_thread(theirs.get_blob, "k")
    assert await in_thread(blob.download_as_bytes) == DATA[:size]
    assert (blob.content_type, blob.metadata, blob.size) == ("text/x", {"a": "1 2"}, size)
    assert str(blob.generation) == info.etag == info.version_id
    assert base64.b64decode(blob.crc32c) == compute(ChecksumAlgorithm.CRC32C, DATA[:size]).value


@pytest.mark.parametrize("way", ["conditional", "resumable", "stream"])
async def test_google_reads_every_kind_of_upload(storage: Storage, theirs: Bucket, way: str) -> None:
    """
    Google's client reads composed, resumable and streamed uploads.
    """
    condition: dict[str, Any] = {"if_none_match": "*"} if way == "conditional" else {}
    limit = 1 << 40 if way == "resumable" else 5 * MiB
    options = UploadOptions(part_size=5 * MiB, multipart_threshold=limit, metadata={"a": "é"}, **condition)
    source = io.BytesIO(DATA) if way == "stream" else DATA
    await storage.put(storage.root / "k", source, options=options)

    blob = await in_thread(theirs.get_blob, "k")
    assert await in_thread(blob.download_as_bytes) == DATA
    assert blob.metadata == {"a": "é"}
    assert [one.name for one in await in_thread(lambda: list(theirs.list_blobs()))] == ["k"]


@pytest.mark.parametrize("size", [5, len(DATA)])
async def test_we_read_what_google_puts(storage: Storage, theirs: Bucket, size: int) -> None:
    """
    We read what Google uploads, in one request and resumable, with the checksum that the service computed.
    """
    blob = theirs.blob("k", chunk_size=None if size == 5 else MiB)
    blob.metadata, blob.cache_control, blob.content_language = {"Some-Key": "a välue"}, "no-store", "de"
    await in_thread(blob.upload_from_file, io.BytesIO(DATA[:size]), size=size, content_type="text/x", checksum="crc32c")

    found = await storage.stat(storage.root / "k")
    async with storage.get(storage.root / "k") as stream:
        assert await stream.read() == DATA[:size]
        assert stream.info.metadata == found.metadata == {"some-key": "a välue"}
    assert (found.content_type, found.cache_control, found.content_language) == ("text/x", "no-store", "de")
    assert found.checksum == compute(ChecksumAlgorithm.CRC32C, DATA[:size])
    assert found.etag == str(blob.generation)


async def test_we_read_what_google_uploads_in_parts(storage: Storage, theirs: Bucket, tmp_path: Path) -> None:
    """
    An object from Google's multipart uploads has a CRC32C, which we verify, and no MD5.
    """
    (tmp_path / "file").write_bytes(DATA)
    await in_thread(
        transfer_manager.upload_chunks_concurrently,
        str(tmp_path / "file"),
        theirs.blob("k"),
        chunk_size=5 * MiB,
        worker_type=transfer_manager.THREAD,
    )
    found = await storage.stat(storage.root / "k")

    assert await storage.read(storage.root / "k") == DATA
    assert found.checksums == [compute(ChecksumAlgorithm.CRC32C, DATA)]


async def test_we_read_what_google_composes(storage: Storage, theirs: Bucket) -> None:
    """
    We read an object that Google composed.
    """
    for name in ("one", "two"):
        await storage.put(storage.root / name, name.encode())
    await in_thread(theirs.blob("k").compose, [theirs.blob("one"), theirs.blob("two")])

    assert await storage.read(storage.root / "k") == b"onetwo"


@pytest.mark.parametrize("key", AWKWARD)
async def test_awkward_key(storage: Storage, theirs: Bucket, server: GCSServer, key: str) -> None:
    """
    Both clients mean the same object by a key when they write, list, copy and delete it.
    """
    uri = storage.root.with_key(key)
    await storage.put(uri, b"ours")
    assert await in_thread(theirs.blob(key).download_as_bytes) == b"ours"
    async with storage.native() as client:
        assert await client.download("bucket", key) == b"ours"
    await in_thread(theirs.blob(key).upload_from_string, b"theirs")
    assert await storage.read(uri) == b"theirs"
    await storage.copy(uri, storage.root / "copy" / key)
    listed = [blob.name for blob in await in_thread(lambda: list(theirs.list_blobs()))]
    assert listed == [info.key async for info in storage.list()]
    result = await storage.bulk_delete([uri, storage.root / "copy" / key])

    assert result.done == 2
    assert await in_thread(lambda: list(theirs.list_blobs())) == []


async def test_etag_is_their_generation(storage: Storage, theirs: Bucket) -> None:
    """
    An object that Google's client has replaced since our read is not overwritten.
    """
    old = await storage.put(storage.root / "k", b"old")
    await in_thread(theirs.blob("k").upload_from_string, b"theirs", if_generation_match=int(old.etag or 0))

    with pytest.raises(PreconditionFailedError):
        await storage.put(storage.root / "k", b"ours", options=UploadOptions(if_match=old.etag))
    with pytest.raises(PreconditionFailedError):
        await storage.copy(storage.root / "k", storage.root / "copy", options=CopyOptions(source_if_match=old.etag))
    with pytest.raises(PreconditionFailedError):
        await storage.read(storage.root / "k", options=ReadOptions(if_match=old.etag))
    assert await in_thread(theirs.blob("k").download_as_bytes) == b"theirs"


async def test_native_client(storage: Storage, server: GCSServer) -> None:
    """
    The native client uses our endpoint, connections and token, and leaves the storage open.
    """
    await storage.put(storage.root / "k", b"data")
    async with storage.native() as client:
        assert await client.download("bucket", "k") == b"data"
        await client.upload("bucket", "theirs", b"x" * 10, content_type="text/plain", metadata={"metadata": {"a": "1"}})
        assert (await client.list_objects("bucket"))["items"][0]["name"] == "k"

    assert await storage.read(storage.root / "theirs") == b"x" * 10
    assert (await storage.stat(storage.root / "theirs")).metadata == {"a": "1"}
    tokens = {one.headers.get("authorization") for one in server.requests if one.path.startswith("/storage/")}
    assert len(tokens) == 1
    assert tokens != {None}
    assert len([one for one in server.requests if one.path == "/token"]) == 1
