"""
What the driver writes the official SDK reads, and the other way round.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.oci import OCIDriver, open_driver
from asyncstore.options import CopyOptions, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import ObjectURI, parse_uri
from tests.drivers.calls import copied
from tests.servers.oci import RunningOCI, running_oci

READ = ReadOptions()
AWKWARD = [
    "a b+c%20d",
    "ä/ö?ü#&=",
    "tilde~'()*!$,;:@",
    "日本/💾",
    "tab\tquote\"'<>&",
    "x//y",
    "dots/../up",
    "./here",
    "..",
    ".",
    "back\\slash",
    "/leading",
    "trailing/",
]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningOCI]:
    with running_oci() as running:
        yield running


@pytest.fixture
def bucket(server: RunningOCI) -> str:
    return server.fresh_bucket()


@pytest.fixture
def root(server: RunningOCI, bucket: str) -> ObjectURI:
    return parse_uri(f"oci://{server.namespace}/{bucket}/")


@pytest.fixture
async def driver(server: RunningOCI, root: ObjectURI) -> AsyncIterator[OCIDriver]:
    settings = {"endpoint_url": server.server.url, **server.user.settings(server.region)}
    opened = open_driver(StorageConfig.build(root, settings))
    yield opened
    await opened.aclose()


@pytest.fixture
def sdk(server: RunningOCI) -> Iterator[Any]:
    with server.client() as client:
        yield client


async def in_thread(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a blocking call of the SDK in a thread."""
    return await asyncio.to_thread(call, *args, **kwargs)


async def read(driver: OCIDriver, uri: ObjectURI) -> bytes:
    body = await driver.open_read(uri, READ)
    try:
        return await body.read()
    finally:
        await body.aclose()


async def test_the_sdk_reads_what_we_put(driver: OCIDriver, root: ObjectURI, sdk: Any) -> None:
    """
    The SDK reads the bytes, headers, metadata and checksums that the driver wrote.
    """
    options = WriteOptions(
        content_type="text/x",
        cache_control="no-cache",
        content_language="de",
        metadata={"a": "1 2", "b": "x"},
        storage_class="InfrequentAccess",
    )
    info = await driver.put(root / "k", BytesBody(b"data"), options)
    found = await in_thread(sdk.get_object, root.namespace, root.bucket, "k")

    assert found.data.content == b"data"
    names = ("content-type", "cache-control", "content-language", "opc-meta-a", "opc-meta-b", "storage-tier", "etag")
    assert [found.headers[name] for name in names] == [
        "text/x", "no-cache", "de", "1 2", "x", "InfrequentAccess", info.etag,
    ]  # fmt: skip
    assert base64.b64decode(found.headers["opc-content-crc32c"]) == compute(ChecksumAlgorithm.CRC32C, b"data").value


async def test_we_read_what_the_sdk_puts(driver: OCIDriver, root: ObjectURI, sdk: Any) -> None:
    """
    The driver reads what the SDK wrote, including the checksums that the SDK chose.
    """
    await in_thread(
        sdk.put_object,
        root.namespace,
        root.bucket,
        "k",
        b"data",
        content_type="text/x",
        opc_meta={"Some-Key": "a value"},
        opc_checksum_algorithm="SHA256",
    )
    found = await driver.stat(root / "k", READ)

    assert await read(driver, root / "k") == b"data"
    assert (found.content_type, found.metadata) == ("text/x", {"some-key": "a value"})
    assert set(found.checksums) == {
        compute(item, b"data") for item in (ChecksumAlgorithm.MD5, ChecksumAlgorithm.SHA256)
    }


@pytest.mark.parametrize("key", AWKWARD)
async def test_awkward_key(driver: OCIDriver, root: ObjectURI, sdk: Any, key: str) -> None:
    """
    The driver and the SDK agree on keys in reads, writes, lists, copies and deletions.
    """
    names = (root.namespace, root.bucket)
    uri = root.with_key(key)
    await driver.put(uri, BytesBody(b"ours"), WriteOptions())
    theirs = await in_thread(sdk.get_object, *names, key)
    assert theirs.data.content == b"ours"
    await in_thread(sdk.put_object, *names, key, b"theirs")
    assert await read(driver, uri) == b"theirs"
    listed = await in_thread(sdk.list_objects, *names)
    ours = await driver.list_page(root, ListOptions(), None)
    assert [item.name for item in listed.data.objects] == [info.key for info in ours.objects] == [key]
    await copied(driver, uri, root / f"copy of {key}", CopyOptions())
    assert (await in_thread(sdk.get_object, *names, f"copy of {key}")).data.content == b"theirs"
    assert await driver.delete_batch([uri, root / f"copy of {key}"]) == [None, None]

    assert (await in_thread(sdk.list_objects, *names)).data.objects == []


async def test_we_read_what_the_upload_manager_writes(
    driver: OCIDriver, root: ObjectURI, sdk: Any, tmp_path: Path
) -> None:
    """
    A multipart upload of the SDK is read and listed; the MD5 of its parts' MD5s does not count as its own.
    """
    from oci.object_storage import UploadManager

    data = bytes(range(256)) * (25 * MiB // 256)
    path = tmp_path / "file"
    await in_thread(path.write_bytes, data)
    manager = UploadManager(sdk, allow_parallel_uploads=True)
    await in_thread(
        manager.upload_file, root.namespace, root.bucket, "k", str(path), part_size=10 * MiB, metadata={"a": "1"}
    )
    found = await driver.stat(root / "k", READ)
    (listed,) = (await driver.list_page(root, ListOptions(), None)).objects

    assert await read(driver, root / "k") == data
    assert found.checksum is None
    assert [(item.algorithm, item.parts) for item in found.checksums] == [(ChecksumAlgorithm.MD5, 3)]
    assert (found.size, found.metadata, listed.size, listed.etag) == (len(data), {"a": "1"}, len(data), found.etag)


async def test_checksum_of_the_upload_manager_covers_the_whole(
    driver: OCIDriver, root: ObjectURI, sdk: Any, tmp_path: Path
) -> None:
    """
    With newer checksums, the CRC of a multipart object covers all its bytes, and reads are compared with it.
    """
    from oci.object_storage import UploadManager

    data = bytes(range(251)) * (21 * MiB // 251)
    path = tmp_path / "file"
    await in_thread(path.write_bytes, data)
    arguments = {"part_size": 10 * MiB, "opc_checksum_algorithm": "CRC32C"}
    await in_thread(UploadManager(sdk).upload_file, root.namespace, root.bucket, "k", str(path), **arguments)
    found = await driver.stat(root / "k", READ)

    assert await read(driver, root / "k") == data
    assert found.checksum == compute(ChecksumAlgorithm.CRC32C, data)


async def test_upload_with_parts_of_both(driver: OCIDriver, root: ObjectURI, sdk: Any) -> None:
    """
    Parts of the driver and of the SDK make one object, and the driver can exclude a part.
    """
    uri, options = root / "k", WriteOptions(metadata={"a": "1"}, checksum=ChecksumAlgorithm.MD5)
    names = (root.namespace, root.bucket)
    upload = await driver.initiate_multipart_upload(uri, options)
    first = await driver.upload_part(uri, upload, 1, BytesBody(b"x" * 10 * MiB), options)
    await driver.upload_part(uri, upload, 2, BytesBody(b"left out"), options)
    await in_thread(sdk.upload_part, *names, "k", upload, 3, b"tail")
    listed = (await driver.list_parts(uri, upload, None)).parts
    theirs = (await in_thread(sdk.list_multipart_upload_parts, *names, "k", upload)).data
    assert [(part.number, part.etag, part.size) for part in listed] == [
        (part.part_number, part.etag, part.size) for part in theirs
    ]
    assert first.checksum == listed[0].checksum
    info = await driver.complete_multipart_upload(uri, upload, [listed[0], listed[2]], options)
    found = await in_thread(sdk.get_object, *names, "k")

    assert found.data.content == b"x" * 10 * MiB + b"tail"
    assert (found.headers["opc-meta-a"], found.headers["etag"]) == ("1", info.etag)
    assert info.size == 10 * MiB + 4


async def test_the_sdk_reads_the_checksum_of_the_whole(driver: OCIDriver, root: ObjectURI, sdk: Any) -> None:
    """
    The SDK sees a CRC of all the bytes of a multipart upload.
    """
    data = [b"x" * 10 * MiB, b"tail"]
    uri, options = root / "k", WriteOptions()
    upload = await driver.initiate_multipart_upload(uri, options)
    parts = [await driver.upload_part(uri, upload, n, BytesBody(d), options) for n, d in enumerate(data, 1)]
    whole = compute(ChecksumAlgorithm.CRC32C, b"".join(data))
    info = await driver.complete_multipart_upload(uri, upload, parts, options, whole)
    found = await in_thread(sdk.head_object, root.namespace, root.bucket, "k")

    assert found.headers["opc-content-crc32c"] == whole.base64()
    assert info.checksum == whole


async def test_preauthenticated_requests_are_the_same(driver: OCIDriver, root: ObjectURI, sdk: Any) -> None:
    """
    The SDK lists the driver's pre-authenticated requests, and the driver lists and deletes those of the SDK.
    """
    from datetime import UTC, datetime, timedelta

    from oci.object_storage.models import CreatePreauthenticatedRequestDetails

    names = (root.namespace, root.bucket)
    await driver.put(root / "a", BytesBody(b"data"), WriteOptions())
    await driver.sign("GET", root / "a", timedelta(hours=1))
    details = CreatePreauthenticatedRequestDetails(
        name="theirs",
        object_name="b",
        access_type="ObjectReadWrite",
        time_expires=datetime.now(UTC) + timedelta(hours=2),
    )
    await in_thread(sdk.create_preauthenticated_request, *names, details)
    (ours,) = [item async for item in driver.list_preauthenticated_requests(root / "a")]
    (theirs,) = [item async for item in driver.list_preauthenticated_requests(root / "b")]
    listed = (await in_thread(sdk.list_preauthenticated_requests, *names)).data
    assert {item.id for item in listed} == {ours.id, theirs.id}
    assert (ours.key, ours.access, theirs.name, theirs.access) == ("a", "ObjectRead", "theirs", "ObjectReadWrite")
    for item in (ours, theirs):
        await driver.delete_preauthenticated_request(root, item.id)

    assert (await in_thread(sdk.list_preauthenticated_requests, *names)).data == []


async def test_conditions_mean_the_same(driver: OCIDriver, root: ObjectURI, sdk: Any) -> None:
    """
    The driver and the SDK accept each other's ETags as conditions.
    """
    from oci.exceptions import ServiceError

    info = await driver.put(root / "k", BytesBody(b"1"), WriteOptions())
    names = (root.namespace, root.bucket, "k")
    put = await in_thread(sdk.put_object, *names, b"2", if_match=info.etag)
    with pytest.raises(ServiceError) as failure:
        await in_thread(sdk.put_object, *names, b"3", if_match=info.etag)
    assert failure.value.status == 412
    await driver.put(root / "k", BytesBody(b"4"), WriteOptions(if_match=f'"{put.headers["etag"]}"'))

    assert (await in_thread(sdk.get_object, *names)).data.content == b"4"


async def test_native_client(driver: OCIDriver, root: ObjectURI) -> None:
    """
    The native client has the same endpoint and credentials, and signs documents too.
    """
    from oci.object_storage.models import RenameObjectDetails

    await driver.put(root / "k", BytesBody(b"data"), WriteOptions())
    async with driver.native() as client:
        assert (await in_thread(client.get_namespace)).data == root.namespace
        details = RenameObjectDetails(source_name="k", new_name="other")
        await in_thread(client.rename_object, root.namespace, root.bucket, details)
        await in_thread(client.put_object, root.namespace, root.bucket, "put", b"by the SDK")

    assert await read(driver, root / "other") == b"data"
    assert await read(driver, root / "put") == b"by the SDK"


async def test_metadata_md5_of_the_original(driver: OCIDriver, root: ObjectURI, sdk: Any, tmp_path: Path) -> None:
    """
    An md5 that other tools store as metadata is the checksum of a multipart object.
    """
    from oci.object_storage import UploadManager

    data = b"y" * (12 * MiB)
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    manager = UploadManager(sdk)
    arguments = {"part_size": 10 * MiB, "metadata": {"md5": base64.b64encode(digest).decode()}}
    await in_thread(manager.upload_stream, root.namespace, root.bucket, "k", io.BytesIO(data), **arguments)
    found = await driver.stat(root / "k", READ)

    assert found.checksum == compute(ChecksumAlgorithm.MD5, data)
