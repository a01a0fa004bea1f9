"""
Microsoft's SDK reads what the driver writes, and the other way round: blocking and async.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobBlock, BlobServiceClient, ContentSettings
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient

from asyncstore import open_storage
from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.azure import AzureDriver, open_driver
from asyncstore.errors import InvalidRequestError, NotFoundError
from asyncstore.options import ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import ObjectURI, parse_uri
from tests.auth.azure.methods import bare_environment, entra
from tests.auth.conftest import FAKE_SECRET
from tests.drivers.azure.test_servers import account_sas, read
from tests.servers.azure import AzureServer, FakeCredential, blocking_client, fake_token, fresh_container
from tests.servers.identity.azure import Entra

READ = ReadOptions()
PLAIN = WriteOptions()
AWKWARD = [
    "a b+c%20d",
    "ä/ö?ü#&=",
    "tilde~'()*!$,;:@",
    "日本/💾",
    "new\nline",
    "tab\tquote\"'<>&",
    "x//y",
    "..a/b..",
    "/leading",
    "trailing/",
    "100%",
    "a%2Fb",
]


@pytest.fixture
def server(azurite: AzureServer) -> AzureServer:
    return azurite


@pytest.fixture
def root(server: AzureServer) -> ObjectURI:
    return parse_uri(f"azure://{fresh_container(server)}")


@pytest.fixture
async def driver(server: AzureServer, root: ObjectURI) -> AsyncIterator[AzureDriver]:
    opened = open_driver(StorageConfig.build(root, server.settings))
    yield opened
    await opened.aclose()


@pytest.fixture
def blocking(server: AzureServer) -> Iterator[BlobServiceClient]:
    with blocking_client(server) as client:
        yield client


@pytest.fixture
async def sdk(server: AzureServer) -> AsyncIterator[AsyncBlobServiceClient]:
    async with AsyncBlobServiceClient.from_connection_string(server.connection_string, retry_total=0) as client:
        yield client


async def in_thread(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a blocking call of the SDK in a thread."""
    return await asyncio.to_thread(call, *args, **kwargs)


async def test_sdk_reads_what_we_put(driver: AzureDriver, root: ObjectURI, blocking: BlobServiceClient) -> None:
    """
    The SDK finds our bytes, headers, metadata, tier and MD5.
    """
    options = WriteOptions(
        content_type="text/x",
        content_encoding="identity",
        content_language="de-CH",
        content_disposition='attachment; filename="a b"',
        cache_control="no-cache",
        metadata={"a": "1  2", "with-dash": "x"},
        storage_class="Cool",
    )
    info = await driver.put(root / "k", BytesBody(b"data"), options)
    blob = blocking.get_blob_client(root.bucket, "k")
    found = await in_thread(blob.get_blob_properties)

    assert (await in_thread(blob.download_blob)).readall() == b"data"
    kept: ContentSettings = found.content_settings
    assert (kept.content_type, kept.content_encoding, kept.content_language) == ("text/x", "identity", "de-CH")
    assert (kept.content_disposition, kept.cache_control) == ('attachment; filename="a b"', "no-cache")
    assert bytes(kept.content_md5 or b"") == compute(ChecksumAlgorithm.MD5, b"data").value
    assert found.metadata == {"a": "1  2", "with_x002d_dash": "x"}
    assert found.blob_tier == "Cool"
    assert found.etag.strip('"') == info.etag


async def test_we_read_what_the_sdk_puts(driver: AzureDriver, root: ObjectURI, sdk: AsyncBlobServiceClient) -> None:
    """
    The driver reads what the SDK wrote, with metadata names in lower case.
    """
    await sdk.get_blob_client(root.bucket, "k").upload_blob(
        b"data",
        metadata={"Some_Key": "A Value"},
        content_settings=ContentSettings(content_type="text/x", cache_control="no-store"),
        tags={"stage": "raw"},
    )
    found = await driver.stat(root / "k", READ)

    assert await read(driver, root / "k") == b"data"
    assert (found.content_type, found.cache_control) == ("text/x", "no-store")
    assert found.metadata == {"some_key": "A Value"}
    assert found.checksum == compute(ChecksumAlgorithm.MD5, b"data")
    assert await driver.get_tags(root / "k") == {"stage": "raw"}


async def test_sdk_reads_our_tags(driver: AzureDriver, root: ObjectURI, blocking: BlobServiceClient) -> None:
    """
    The SDK reads the tags that the driver sets, and finds blobs by them.
    """
    await driver.put(root / "k", BytesBody(b"data"), PLAIN)
    await driver.set_tags(root / "k", {"project": "a b", "x": "1/2"})

    found = await in_thread(blocking.get_blob_client(root.bucket, "k").get_blob_tags)
    container = blocking.get_container_client(root.bucket)
    named = await in_thread(lambda: [item["name"] for item in container.find_blobs_by_tags("\"project\"='a b'")])

    assert found == {"project": "a b", "x": "1/2"}
    assert named == ["k"]


@pytest.mark.parametrize("key", AWKWARD)
async def test_awkward_key(driver: AzureDriver, root: ObjectURI, sdk: AsyncBlobServiceClient, key: str) -> None:
    """
    The driver and the SDK agree on names in writes, reads, lists and deletions.
    """
    uri = root.with_key(key)
    await driver.put(uri, BytesBody(b"ours"), PLAIN)
    theirs = sdk.get_blob_client(root.bucket, key)
    assert await (await theirs.download_blob()).readall() == b"ours"
    await theirs.upload_blob(b"theirs", overwrite=True)
    assert await read(driver, uri) == b"theirs"
    listed = [blob.name async for blob in sdk.get_container_client(root.bucket).list_blobs()]
    ours = await driver.list_page(root, ListOptions(), None)

    assert listed == [info.key for info in ours.objects] == [key]
    assert await driver.delete_batch([uri]) == [None]
    assert not await theirs.exists()


async def test_sdk_sees_our_blocks(driver: AzureDriver, root: ObjectURI, sdk: AsyncBlobServiceClient) -> None:
    """
    Parts are uncommitted blocks, and committed ones after completion.
    """
    uri, options = root / "k", WriteOptions(metadata={"a": "1"})
    data = [bytes([number]) * MiB for number in range(3)]
    upload_id = await driver.initiate_multipart_upload(uri, options)
    parts = [await driver.upload_part(uri, upload_id, n, BytesBody(d), options) for n, d in enumerate(data, 1)]
    blob = sdk.get_blob_client(root.bucket, "k")
    _, uncommitted = await blob.get_block_list("all")
    await driver.complete_multipart_upload(uri, upload_id, parts, options)
    committed, rest = await blob.get_block_list("all")

    ids = [base64.b64decode(part.etag).decode() for part in parts]
    assert sorted(block.id for block in uncommitted) == sorted(ids)
    assert [block.id for block in committed] == ids
    assert rest == []
    assert await (await blob.download_blob()).readall() == b"".join(data)
    assert (await blob.get_blob_properties()).metadata == {"a": "1"}


async def test_sdk_completes_our_upload(driver: AzureDriver, root: ObjectURI, blocking: BlobServiceClient) -> None:
    """
    The SDK can commit our parts, which ends our upload.
    """
    upload_id = await driver.initiate_multipart_upload(root / "k", PLAIN)
    parts = [
        await driver.upload_part(root / "k", upload_id, number, BytesBody(data), PLAIN)
        for number, data in ((1, b"one "), (2, b"two"))
    ]
    blocks = [BlobBlock(base64.b64decode(part.etag).decode()) for part in parts]
    await in_thread(blocking.get_blob_client(root.bucket, "k").commit_block_list, blocks)

    assert await read(driver, root / "k") == b"one two"
    with pytest.raises(NotFoundError):
        await driver.complete_multipart_upload(root / "k", upload_id, parts, PLAIN)


async def test_blocks_of_the_sdk_are_not_ours(
    driver: AzureDriver, root: ObjectURI, blocking: BlobServiceClient
) -> None:
    """
    Uncommitted blocks of other programs are not listed as uploads. The service refuses
    blocks with ids of another length beside them, until one program commits.
    """
    blob = blocking.get_blob_client(root.bucket, "k")
    await in_thread(blob.stage_block, "theirs", b"data")
    upload_id = await driver.initiate_multipart_upload(root / "k", PLAIN)

    assert (await driver.list_multipart_uploads(root, None)).uploads == []
    with pytest.raises(InvalidRequestError) as failure:
        await driver.upload_part(root / "k", upload_id, 1, BytesBody(b"part"), PLAIN)
    assert failure.value.code == "InvalidBlobOrBlock"
    assert "another program" in failure.value.message

    await in_thread(blob.commit_block_list, [])
    await driver.upload_part(root / "k", upload_id, 1, BytesBody(b"part"), PLAIN)


async def test_we_read_what_the_sdk_uploads_in_blocks(
    driver: AzureDriver, root: ObjectURI, server: AzureServer
) -> None:
    """
    The driver reads a blob from a parallel upload of the SDK.
    """
    data = bytes(range(256)) * (5 * MiB // 256)
    async with AsyncBlobServiceClient.from_connection_string(
        server.connection_string, max_single_put_size=MiB, max_block_size=MiB
    ) as client:
        await client.get_blob_client(root.bucket, "k").upload_blob(data, max_concurrency=3)

    assert await read(driver, root / "k") == data
    assert (await driver.stat(root / "k", READ)).checksum is None


async def test_native_client(server: AzureServer, driver: AzureDriver, root: ObjectURI) -> None:
    """
    The SDK's own client has the same endpoint and key; it appends, which the driver does not offer.
    """
    async with driver.native() as client:
        blob = client.get_blob_client(root.bucket, "log")
        await blob.create_append_blob()
        for line in (b"one\n", b"two\n"):
            await blob.append_block(line)
        assert client.account_name == server.account_name

    assert await read(driver, root / "log") == b"one\ntwo\n"


async def test_native_client_by_signature(server: AzureServer, root: ObjectURI) -> None:
    """
    A native client can also use a signature.
    """
    token = account_sas(server)
    driver = open_driver(StorageConfig.build(root, {**server.place, "sas_token": token}))
    async with driver.native() as client:
        await client.get_blob_client(root.bucket, "k").upload_blob(b"data")

    assert await read(driver, root / "k") == b"data"
    await driver.aclose()


async def test_native_client_by_token(azurite_tls: AzureServer) -> None:
    """
    A native client can use a token over TLS, which it shares with the driver.
    """
    root = parse_uri(f"azure://{fresh_container(azurite_tls)}")
    credential = FakeCredential()
    driver = open_driver(StorageConfig.build(root, {**azurite_tls.place, "credential": credential}))
    async with driver.native() as client:
        await client.get_blob_client(root.bucket, "k").upload_blob(b"data")
        await client.get_blob_client(root.bucket, "k").get_blob_properties()

    assert await read(driver, root / "k") == b"data"
    assert credential.asked == 1
    await driver.aclose()


async def test_application_by_secret(azurite_tls: AzureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A storage and the SDK's client share an application's token, which is requested once.
    """
    bare_environment(monkeypatch)
    root = parse_uri(f"azure://{fresh_container(azurite_tls)}")
    async with entra(tmp_path, "client_secret", Tokens(), client_secret=FAKE_SECRET) as running:
        assert running.http is not None
        assert running.http.ca_file is not None
        assert azurite_tls.ca_file is not None
        both = tmp_path / "both.pem"
        both.write_bytes(running.http.ca_file.read_bytes() + azurite_tls.ca_file.read_bytes())
        settings = {**azurite_tls.place, **running.auth.settings, "auth_type": "client_secret", "ca_file": both}
        async with open_storage(root, **settings) as storage:
            await storage.put(root / "ours", b"data")
            async with storage.native() as client:
                found = await client.get_blob_client(root.bucket, "ours").download_blob()
                assert await found.readall() == b"data"
                await client.get_blob_client(root.bucket, "theirs").upload_blob(b"more")
            assert await storage.read(root / "theirs") == b"more"
            described = storage.describe()

    assert running.fetches() == 1
    assert described["credentials"].startswith("client_secret (the application")


class Tokens(Entra):
    """
    A token service whose tokens Azurite accepts.
    """

    def document(self, token: str) -> dict[str, Any]:
        return {**super().document(token), "access_token": fake_token().token}
