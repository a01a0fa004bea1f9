"""
The driver on a real server: what only Azure has, and every kind of credentials.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from yarl import URL

from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.auth.tokens import Secret
from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.driver.body import Body, BytesBody, BytesLike
from asyncstore.drivers.azure import AzureDriver, open_driver
from asyncstore.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    UnauthenticatedError,
)
from asyncstore.options import (
    ByteRange,
    CopyOptions,
    DeleteOptions,
    ListOptions,
    MiB,
    PresignOptions,
    ReadOptions,
    WriteOptions,
)
from asyncstore.types import Checksum, ChecksumAlgorithm
from asyncstore.uri import ObjectURI, parse_uri
from tests.drivers.calls import copied
from tests.servers.azure import AzureServer, FakeCredential, blocking_client, fresh_container, trusting
from tests.servers.azure_quirks import SAS_BATCH, WRONG_KEY

READ = ReadOptions()
PLAIN = WriteOptions()


@pytest.fixture(params=["azurite", "azurite_tls"])
def server(request: pytest.FixtureRequest) -> AzureServer:
    found: AzureServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def container(server: AzureServer) -> str:
    return fresh_container(server)


@pytest.fixture
def root(container: str) -> ObjectURI:
    return parse_uri(f"azure://{container}")


@asynccontextmanager
async def opened(root: ObjectURI, **settings: Any) -> AsyncIterator[AzureDriver]:
    driver = open_driver(StorageConfig.build(root, settings))
    try:
        yield driver
    finally:
        await driver.aclose()


@pytest.fixture
async def driver(server: AzureServer, root: ObjectURI) -> AsyncIterator[AzureDriver]:
    async with opened(root, **server.settings) as driver:
        yield driver


async def read(driver: AzureDriver, uri: ObjectURI, **options: Any) -> bytes:
    body = await driver.open_read(uri, ReadOptions(**options))
    try:
        return await body.read()
    finally:
        await body.aclose()


async def in_thread(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a blocking call of the SDK in a thread."""
    return await asyncio.to_thread(call, *args, **kwargs)


def account_sas(server: AzureServer, letters: str = "rwdlac") -> str:
    permissions: Any = AccountSasPermissions
    token: str = generate_account_sas(
        server.account_name,
        account_key=server.account_key,
        resource_types=ResourceTypes(service=True, container=True, object=True),
        permission=permissions.from_string(letters),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return token


class Streamed(Body):
    """Bytes in chunks, whose checksum is not known in advance."""

    replayable = False

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    async def chunks(self) -> AsyncIterator[BytesLike]:
        for start in range(0, len(self._data), MiB):
            yield self._data[start : start + MiB]


async def _works(driver: AzureDriver, root: ObjectURI, *, batches: bool = True) -> None:
    uri = root / "some key"
    await driver.put(uri, BytesBody(b"data"), PLAIN)
    upload_id = await driver.initiate_multipart_upload(root / "parts", PLAIN)
    part = await driver.upload_part(root / "parts", upload_id, 1, BytesBody(b"part"), PLAIN)
    await driver.complete_multipart_upload(root / "parts", upload_id, [part], PLAIN)
    await copied(driver, uri, root / "copy", CopyOptions())
    listed = await driver.list_page(root, ListOptions(), None)

    assert [info.key for info in listed.objects] == ["copy", "parts", "some key"]
    assert await read(driver, root / "copy") == b"data"
    if batches:
        assert await driver.delete_batch([uri, root / "copy", root / "missing"]) == [None, None, None]
    else:
        for key in ("some key", "copy", "missing"):
            await driver.delete(root / key, DeleteOptions())
    await driver.delete(root / "parts", DeleteOptions())
    assert not (await driver.list_page(root, ListOptions(), None)).objects


async def test_account_key(driver: AzureDriver, root: ObjectURI) -> None:
    """
    The account key allows everything.
    """
    await _works(driver, root)


async def test_connection_string(server: AzureServer, root: ObjectURI) -> None:
    """
    So does a connection string, which also names the endpoint.
    """
    async with opened(root, connection_string=server.connection_string, ca_file=server.ca_file) as driver:
        await _works(driver, root)


async def test_sas(server: AzureServer, root: ObjectURI) -> None:
    """
    So does a signature, as text, as a secret, or from a function, plain or async.
    """
    token = account_sas(server)

    async def later() -> str:
        return token

    for given in (token, f"?{token}", Secret(token), lambda: token, later):
        async with opened(root, **server.place, sas_token=given) as driver:
            await _works(driver, root, batches=SAS_BATCH not in server.quirks)


async def test_sas_without_the_right(server: AzureServer, root: ObjectURI) -> None:
    """
    A signature for reading does not allow writing.
    """
    async with opened(root, **server.place, sas_token=account_sas(server, "rl")) as driver:
        with pytest.raises(PermissionDeniedError) as failure:
            await driver.put(root / "key", BytesBody(b"data"), PLAIN)

    assert "sig" not in str(failure.value)
    assert failure.value.request_id


async def test_wrong_key(server: AzureServer, root: ObjectURI) -> None:
    """
    A wrong key is rejected.
    """
    async with opened(root, **{**server.settings, "account_key": "ZmFrZQ=="}) as driver:
        with pytest.raises(StorageError):
            await read(driver, root / "key")
        server.skip_if(WRONG_KEY)
        with pytest.raises(UnauthenticatedError) as failure:
            await read(driver, root / "key")

    assert failure.value.code == "AuthenticationFailed"


async def test_anonymous(server: AzureServer, root: ObjectURI, driver: AzureDriver) -> None:
    """
    Anonymous requests can read a public container, but not write to it.
    """
    await driver.put(root / "key", BytesBody(b"data"), PLAIN)
    with blocking_client(server) as client:
        await in_thread(
            client.get_container_client(root.bucket).set_container_access_policy, {}, public_access="container"
        )

    async with opened(root, **server.place, anonymous=True) as guest:
        assert await read(guest, root / "key") == b"data"
        assert len((await guest.list_page(root, ListOptions(), None)).objects) == 1
        with pytest.raises(StorageError):
            await guest.put(root / "key", BytesBody(b"other"), PLAIN)
        with pytest.raises(NotSupportedError):
            await guest.sign("GET", root / "key", timedelta(hours=1))


async def test_user_delegation(azurite_tls: AzureServer) -> None:
    """
    With a token, URLs are signed by a delegation key, which is requested once.
    """
    root = parse_uri(f"azure://{fresh_container(azurite_tls)}")
    async with opened(root, **azurite_tls.place, credential=FakeCredential()) as driver:
        await driver.put(root / "a b", BytesBody(b"data"), PLAIN)
        urls = [await driver.sign("GET", root / "a b", timedelta(hours=hours)) for hours in (1, 1, 24)]
        async with trusting(azurite_tls) as session:
            for url in urls:
                async with session.get(URL(url, encoded=True)) as reply:
                    assert (reply.status, await reply.read()) == (200, b"data")
            async with session.delete(URL(urls[0], encoded=True)) as refused:
                assert refused.status == 403
            options = PresignOptions(response_content_type="a/b", response_content_disposition="inline; filename=ü")
            url = await driver.sign("GET", root / "a b", timedelta(hours=1), options)
            async with session.get(URL(url, encoded=True)) as reply:
                assert (reply.status, reply.headers["Content-Type"]) == (200, "a/b")
        with pytest.raises(ConfigurationError):
            await driver.sign("GET", root / "a b", timedelta(days=8))

    assert "skoid=" in urls[0]
    assert urls[0] == urls[1] or "se=" in urls[0]


async def test_session_for_others(server: AzureServer, root: ObjectURI, driver: AzureDriver) -> None:
    """
    The credentials authenticate any aiohttp session.
    """
    address = URL(driver._wire.addresses.url(driver._wire.addresses.blob(root / "a b")), encoded=True)
    for settings in (
        {"account_name": server.account_name, "account_key": server.account_key},
        {"sas_token": account_sas(server)},
    ):
        await driver.put(root / "a b", BytesBody(b"data"), PLAIN)
        async with (
            trusting(server) as trust,
            azure_credentials(None, settings) as credentials,
            credentials.http_client([str(address.origin())], connector=trust.connector) as session,
        ):
            for _ in range(2):
                async with session.get(address, headers={"Range": "bytes=1-2"}) as reply:
                    assert await reply.read() == b"at"
            headers = {"x-ms-blob-type": "BlockBlob", "Content-Length": "3"}
            async with session.put(address, data=b"new", headers=headers) as reply:
                assert reply.status == 201


async def test_checksum_is_verified(driver: AzureDriver, root: ObjectURI) -> None:
    """
    The service verifies both kinds of checksum, of puts and of parts.
    """

    class Wrong(BytesBody):
        def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
            return compute(algorithm, b"other")

    upload_id = await driver.initiate_multipart_upload(root / "key", PLAIN)
    for algorithm in (ChecksumAlgorithm.CRC64NVME, ChecksumAlgorithm.MD5):
        options = WriteOptions(checksum=algorithm)
        with pytest.raises(IntegrityError):
            await driver.put(root / "key", Wrong(b"data"), options)
        with pytest.raises(IntegrityError):
            await driver.upload_part(root / "key", upload_id, 1, Wrong(b"data"), options)
        info = await driver.put(root / "good", BytesBody(b"data"), options)
        assert info.checksum == compute(algorithm, b"data")


async def test_checksum_of_a_stream(driver: AzureDriver, root: ObjectURI) -> None:
    """
    For bytes whose checksum is not known in advance, the service returns that of what it received.
    """
    info = await driver.put(root / "key", Streamed(bytes(3 * MiB)), PLAIN)
    found = await driver.stat(root / "key", READ)

    assert info.checksum is None or info.checksum == compute(info.checksum.algorithm, bytes(3 * MiB))
    assert found.checksum == compute(ChecksumAlgorithm.MD5, bytes(3 * MiB))
    assert await read(driver, root / "key", range=ByteRange(-3)) == bytes(3)


async def test_lease(server: AzureServer, driver: AzureDriver, root: ObjectURI) -> None:
    """
    A blob under a lease can be written and deleted with the id of the lease only.
    """
    await driver.put(root / "key", BytesBody(b"old"), PLAIN)
    with blocking_client(server) as client:
        lease = await in_thread(client.get_blob_client(root.bucket, "key").acquire_lease, 60)

    for refused in (
        driver.put(root / "key", BytesBody(b"new"), PLAIN),
        driver.delete(root / "key", DeleteOptions()),
    ):
        with pytest.raises(PreconditionFailedError) as failure:
            await refused
        assert failure.value.code == "LeaseIdMissing"
    (outcome,) = await driver.delete_batch([root / "key"])
    assert isinstance(outcome, PreconditionFailedError)

    async with opened(root, **server.settings, lease_id=lease.id) as holder:
        await holder.put(root / "key", BytesBody(b"new"), PLAIN)
        upload_id = await holder.initiate_multipart_upload(root / "key", PLAIN)
        part = await holder.upload_part(root / "key", upload_id, 1, BytesBody(b"part"), PLAIN)
        assert (await holder.list_parts(root / "key", upload_id, None)).parts == [part]
        await holder.complete_multipart_upload(root / "key", upload_id, [part], PLAIN)
        assert await read(driver, root / "key") == b"part"
        assert await holder.delete_batch([root / "key"]) == [None]


async def test_snapshots(server: AzureServer, driver: AzureDriver, root: ObjectURI) -> None:
    """
    A snapshot is listed, read and copied by its id; its blob is deleted only with ``delete_snapshots``.
    """
    await driver.put(root / "key", BytesBody(b"old"), PLAIN)
    with blocking_client(server) as client:
        await in_thread(client.get_blob_client(root.bucket, "key").create_snapshot)
    await driver.put(root / "key", BytesBody(b"newer"), PLAIN)

    found = (await driver.list_versions_page(root, ListOptions(), None)).objects
    (snapshot,) = [info for info in found if not info.is_current]
    assert [info.size for info in found if info.is_current] == [5]
    assert await read(driver, root / "key", version_id=snapshot.version_id) == b"old"
    stat = await driver.stat(root / "key", ReadOptions(version_id=snapshot.version_id))
    assert (stat.size, stat.version_id) == (3, snapshot.version_id)
    await copied(driver, root / "key", root / "copy", CopyOptions(source_version_id=snapshot.version_id))
    assert await read(driver, root / "copy") == b"old"

    with pytest.raises(InvalidRequestError) as failure:
        await driver.delete(root / "key", DeleteOptions())
    assert failure.value.code == "SnapshotsPresent"
    async with opened(root, **server.settings, delete_snapshots=True) as thorough:
        await thorough.delete(root / "key", DeleteOptions())
    with pytest.raises(NotFoundError):
        await driver.stat(root / "key", ReadOptions(version_id=snapshot.version_id))


async def test_one_snapshot_is_deleted(server: AzureServer, driver: AzureDriver, root: ObjectURI) -> None:
    """
    Deleting a snapshot leaves the blob.
    """
    await driver.put(root / "key", BytesBody(b"old"), PLAIN)
    with blocking_client(server) as client:
        made = await in_thread(client.get_blob_client(root.bucket, "key").create_snapshot)

    await driver.delete(root / "key", DeleteOptions(version_id=f"snapshot:{made['snapshot']}"))

    assert await read(driver, root / "key") == b"old"
    assert len((await driver.list_versions_page(root, ListOptions(), None)).objects) == 1


async def test_tiers(driver: AzureDriver, root: ObjectURI) -> None:
    """
    The storage class is the tier; an archived blob cannot be read.
    """
    for tier in ("Hot", "Cool", "Archive"):
        await driver.put(root / tier, BytesBody(b"data"), WriteOptions(storage_class=tier))
        assert (await driver.stat(root / tier, READ)).storage_class == tier
    listed = {info.key: info.storage_class for info in (await driver.list_page(root, ListOptions(), None)).objects}

    assert listed == {"Archive": "Archive", "Cool": "Cool", "Hot": "Hot"}
    with pytest.raises(PermissionDeniedError) as failure:
        await read(driver, root / "Archive")
    assert failure.value.code == "BlobArchived"


async def test_tags_of_everything(server: AzureServer, root: ObjectURI) -> None:
    """
    Tags from the settings are set by every write: a put, a multipart upload and a copy.
    """
    tags = {"project": "a b", "x": "1/2"}
    async with opened(root, **server.settings, tags=tags) as driver:
        await driver.put(root / "put", BytesBody(b"data"), PLAIN)
        upload_id = await driver.initiate_multipart_upload(root / "parts", PLAIN)
        part = await driver.upload_part(root / "parts", upload_id, 1, BytesBody(b"part"), PLAIN)
        await driver.complete_multipart_upload(root / "parts", upload_id, [part], PLAIN)
        await copied(driver, root / "put", root / "copy", CopyOptions())

        assert [await driver.get_tags(root / key) for key in ("put", "parts", "copy")] == [tags] * 3


async def test_append_and_page_blobs_are_read(server: AzureServer, driver: AzureDriver, root: ObjectURI) -> None:
    """
    Blobs of the other types are listed, read, copied and deleted; a put replaces them.
    """
    with blocking_client(server) as client:
        log = client.get_blob_client(root.bucket, "append")
        await in_thread(log.create_append_blob)
        for line in (b"one\n", b"two\n"):
            await in_thread(log.append_block, line)
        disk = client.get_blob_client(root.bucket, "page")
        await in_thread(disk.create_page_blob, 512)
        await in_thread(disk.upload_page, b"p" * 512, 0, 512)

    assert await read(driver, root / "append") == b"one\ntwo\n"
    assert await read(driver, root / "page", range=ByteRange(-2)) == b"pp"
    assert [info.size for info in (await driver.list_page(root, ListOptions(), None)).objects] == [8, 512]
    await copied(driver, root / "page", root / "copy", CopyOptions())
    assert await read(driver, root / "copy", range=ByteRange(510)) == b"pp"
    await driver.put(root / "append", BytesBody(b"block"), PLAIN)
    assert await read(driver, root / "append") == b"block"
    assert await driver.delete_batch([root / "append", root / "copy", root / "page"]) == [None] * 3


async def test_aborted_upload_is_not_listed(server: AzureServer, driver: AzureDriver, root: ObjectURI) -> None:
    """
    Another process does not list an aborted upload either, and the blob does not exist.
    """
    upload_id = await driver.initiate_multipart_upload(root / "key", PLAIN)
    await driver.upload_part(root / "key", upload_id, 1, BytesBody(b"part"), PLAIN)
    async with opened(root, **server.settings) as other:
        before = (await other.list_multipart_uploads(root, None)).uploads
        await driver.abort_multipart_upload(root / "key", upload_id)

        assert [upload.upload_id for upload in before] == [upload_id]
        assert (await other.list_multipart_uploads(root, None)).uploads == []
        assert (await other.list_parts(root / "key", upload_id, None)).parts == []
        with pytest.raises(NotFoundError):
            await other.stat(root / "key", READ)


async def test_parts_behind_an_object_are_listed_by_its_key(driver: AzureDriver, root: ObjectURI) -> None:
    """
    Uploads to a blob that has bytes are listed for its own key only.
    """
    await driver.put(root / "key", BytesBody(b"old"), PLAIN)
    upload_id = await driver.initiate_multipart_upload(root / "key", PLAIN)
    await driver.upload_part(root / "key", upload_id, 1, BytesBody(b"part"), PLAIN)

    assert [one.upload_id for one in (await driver.list_multipart_uploads(root / "key", None)).uploads] == [upload_id]
    assert (await driver.list_multipart_uploads(root, None)).uploads == []


async def test_empty_part_is_refused(driver: AzureDriver, root: ObjectURI) -> None:
    """
    A block has at least one byte, and an upload at least one part.
    """
    upload_id = await driver.initiate_multipart_upload(root / "key", PLAIN)

    with pytest.raises(InvalidRequestError):
        await driver.upload_part(root / "key", upload_id, 1, BytesBody(b""), PLAIN)
    with pytest.raises(InvalidRequestError):
        await driver.complete_multipart_upload(root / "key", upload_id, [], PLAIN)


async def test_append_blob_becomes_a_block_blob(azurite: AzureServer) -> None:
    """
    A copy with other metadata is made of blocks, whatever its source is; it cannot replace an append blob.
    """
    root = parse_uri(f"azure://{fresh_container(azurite)}")
    options = CopyOptions(replace=WriteOptions(metadata={"a": "1"}))
    async with opened(root, **azurite.settings) as driver:
        async with driver.native() as client:
            await client.get_blob_client(root.bucket, "log").create_append_blob()
            await client.get_blob_client(root.bucket, "log").append_block(b"line")
        await copied(driver, root / "log", root / "copy", options)
        with pytest.raises(InvalidRequestError) as failure:
            await copied(driver, root / "log", root / "log", options)

        assert failure.value.code == "InvalidBlobType"
        assert await read(driver, root / "copy") == b"line"
        assert await read(driver, root / "log") == b"line"


@pytest.mark.parametrize("size", [0, 5])
async def test_copy_with_other_headers(azurite: AzureServer, size: int) -> None:
    """
    A copy of any size can have its own headers.
    """
    root = parse_uri(f"azure://{fresh_container(azurite)}")
    async with opened(root, **azurite.settings) as driver:
        await driver.put(root / "source", BytesBody(bytes(size)), WriteOptions(content_type="text/x"))
        new = WriteOptions(content_type="text/y", metadata={"a": "1"}, storage_class="Cool")
        await copied(driver, root / "source", root / "target", CopyOptions(replace=new))
        found = await driver.stat(root / "target", READ)

    assert (found.size, found.content_type, found.metadata, found.storage_class) == (
        size,
        "text/y",
        {"a": "1"},
        "Cool",
    )


async def test_full_batch(driver: AzureDriver, root: ObjectURI) -> None:
    """
    One request deletes as many blobs as the capabilities say, with awkward names.
    """
    keys = [root / f"dir/{number} é%20?#&" for number in range(3)]
    for uri in keys:
        await driver.put(uri, BytesBody(b"data"), PLAIN)
    missing = [root / f"missing/{number}" for number in range(driver.capabilities.delete_batch_size - 3)]

    assert await driver.delete_batch([*keys, *missing]) == [None] * 256
    assert (await driver.list_page(root, ListOptions(), None)).objects == []


async def test_missing_container(driver: AzureDriver, root: ObjectURI) -> None:
    """
    Requests about a container that does not exist fail.
    """
    missing = parse_uri(f"azure://{root.bucket}x")
    for call in (
        driver.delete(missing / "key", DeleteOptions()),
        driver.delete_batch([missing / "key"]),
        driver.list_multipart_uploads(missing, None),
    ):
        with pytest.raises(NotFoundError) as failure:
            outcomes = await call
            assert isinstance(outcomes, list)
            assert isinstance(outcomes[0], Exception)
            raise outcomes[0]
        assert failure.value.code in ("ContainerNotFound", "ResourceNotFound")


async def test_one_connection_serves(server: AzureServer, root: ObjectURI) -> None:
    """
    Bodies that are closed early and errors release their connections.
    """
    connector = aiohttp.TCPConnector(ssl=trusting_context(server), limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        settings = {**server.settings, "ca_file": None}
        async with opened(root, **settings, session=session) as driver:
            await driver.put(root / "key", BytesBody(bytes(MiB)), PLAIN)
            body = await driver.open_read(root / "key", READ)
            await body.aclose()
            with pytest.raises(NotFoundError):
                await driver.open_read(root / "missing", READ)
            async with asyncio.timeout(5):
                assert len(await read(driver, root / "key")) == MiB


def trusting_context(server: AzureServer) -> Any:
    import ssl

    return ssl.create_default_context(cafile=server.ca_file) if server.ca_file else True


async def test_headers_of_the_caller_are_signed(server: AzureServer, root: ObjectURI) -> None:
    """
    A shared key signs every ``x-ms-`` header, also those that the caller adds to all requests.
    """
    headers = {"X-Ms-Client-Request-Id": "of the caller", "x-other": "as it is"}
    async with opened(root, **{**server.settings, "headers": headers}) as driver:
        await driver.put(root.with_key("key"), BytesBody(b"data"), PLAIN)
        assert b"data" == await read(driver, root.with_key("key"))
        assert 1 == len((await driver.list_page(root, ListOptions(), None)).objects)


@pytest.mark.parametrize("name", ["x-ms-date", "X-MS-Version"])
def test_headers_of_the_signature_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name.lower()):
        open_driver(StorageConfig.build("azure://container@account", {"anonymous": True, "headers": {name: "1"}}))
