"""
Settings of the GCS driver, and their effect on a server that checks them.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any, Literal

import aiohttp
import pytest
from yarl import URL

from asyncstore import UploadOptions, open_storage
from asyncstore.config import StorageConfig
from asyncstore.driver import Driver
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.gcs import GCSDriver, open_driver
from asyncstore.drivers.gcs.names import HIDDEN
from asyncstore.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    StorageError,
)
from asyncstore.options import CopyOptions, DeleteOptions, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.testing.conformance.keys import KEYS
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.servers.gcs import GCSServer, Settings
from asyncstore.uri import parse_uri
from tests.drivers.calls import copied, finished
from tests.drivers.gcs.places import BUCKET, opened, serving
from tests.servers.gcs_client import account, key_file

_: type[Driver] = GCSDriver
URI = parse_uri("gs://bucket/some key")
KEY = b"k" * 32
READ = ReadOptions()


def built(**settings: Any) -> GCSDriver:
    return open_driver(StorageConfig.build("gs://bucket", settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"multpart": "xml"}, "gcs has no setting 'multpart'. Did you mean 'multipart'"),
        ({"multipart": "many"}, "multipart takes 'auto' or 'xml' or 'compose', not 'many'"),
        ({"checksum": "md4"}, "checksum takes 'crc32c' or 'none', not 'md4'"),
        ({"resumable_threshold": 0}, "at least 1"),
        ({"resumable_threshold": "much"}, "resumable_threshold takes a whole number"),
        ({"encryption_key": b"short"}, "32 bytes"),
        ({"encryption_key": "!"}, "32 bytes"),
        ({"encryption_key": KEY, "kms_key_name": "x"}, "encryption_key or kms_key_name, not both"),
        ({"endpoint_url": "http://elsewhere.example", "token": "fake"}, "https"),
        ({"endpoint_url": "http://elsewhere.example", "encryption_key": KEY, "anonymous": True}, "https"),
        ({"endpoint_url": "ftp://x"}, "endpoint"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], words: str) -> None:
    """
    Invalid settings are refused when the storage is opened, and the error says what would work.
    """
    with pytest.raises(ConfigurationError, match=words):
        built(**settings)


@pytest.mark.parametrize(
    ("settings", "environment", "endpoint"),
    [
        ({}, None, "https://storage.googleapis.com"),
        ({"universe_domain": "cloud.example"}, None, "https://storage.cloud.example"),
        ({"endpoint_url": "https://private.example/"}, "http://localhost:9", "https://private.example"),
        ({}, "http://localhost:9", "http://localhost:9"),
        ({}, "localhost:9", "http://localhost:9"),
    ],
)
def test_endpoint(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], environment: str | None, endpoint: str
) -> None:
    """
    The endpoint is the setting, else the emulator in the environment, else that of the cloud.
    """
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    if environment is not None:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", environment)

    assert built(**settings).describe()["endpoint"] == endpoint


def test_cloud_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variable that Google's clients read names the cloud, unless a setting does.
    """
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "of-the-environment.example")

    assert built().describe()["endpoint"] == "https://storage.of-the-environment.example"
    assert built(universe_domain="cloud.example").describe()["endpoint"] == "https://storage.cloud.example"


async def test_emulator_needs_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With ``STORAGE_EMULATOR_HOST`` alone requests to an emulator are anonymous; explicit credentials are used.
    """
    async with GCSServer(buckets=[BUCKET]) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        async with open_storage("gs://bucket") as storage:
            await storage.put(storage.root / "key", b"data")
            assert await storage.read(storage.root / "key") == b"data"
        assert all("authorization" not in request.headers for request in server.requests)
        assert "token" in built(token="fake").describe()["credentials"]


async def test_requester_pays() -> None:
    """
    Every request names the project to bill, in both APIs and in batches.
    """
    async with GCSServer() as server:
        server.create_bucket(BUCKET, billing={"requesterPays": True})
        async with opened(server.url) as poor:
            with pytest.raises(StorageError):
                await poor.put(URI, BytesBody(b"data"), WriteOptions())
        async with opened(server.url, user_project="my project") as driver:
            await driver.put(URI, BytesBody(b"data"), WriteOptions())
            body = await driver.open_read(URI, READ)
            assert await body.read() == b"data"
            await driver.stat(URI, READ)
            await copied(driver, URI, URI.with_key("copy"), CopyOptions())
            upload = await driver.initiate_multipart_upload(URI, WriteOptions())
            part = await finished(driver, driver.upload_part(URI, upload, 1, BytesBody(b"data"), WriteOptions()))
            await finished(driver, driver.complete_multipart_upload(URI, upload, [part], WriteOptions()))
            assert await driver.delete_batch([URI]) == [None]
            await driver.delete(URI.with_key("copy"), DeleteOptions())
            assert (await driver.list_page(URI.with_key(""), ListOptions(), None)).objects == []


@pytest.mark.parametrize("multipart", ["xml", "compose"])
async def test_customer_supplied_key(multipart: Literal["xml", "compose"]) -> None:
    """
    A customer-supplied key goes along with every kind of write, read and copy; without it reads fail.
    """
    data = payload(5 * MiB + 9)
    async with serving(encryption_key=base64.b64encode(KEY).decode(), multipart=multipart) as (server, driver):
        for threshold in (1, 1 << 40):
            storage = open_storage(
                "gs://bucket",
                endpoint_url=server.url,
                anonymous=True,
                encryption_key=KEY,
                multipart=multipart,
                resumable_threshold=threshold,
            )
            async with storage:
                for name, limit in (("single", 1 << 40), ("parts", 5 * MiB)):
                    options = UploadOptions(multipart_threshold=limit, part_size=5 * MiB)
                    await storage.put(storage.root / name, data, options=options)
                    assert await storage.read(storage.root / name) == data
                await storage.copy(storage.root / "parts", storage.root / "copy")
                assert await storage.read(storage.root / "copy") == data
        stored = server.world.bucket(BUCKET)
        digest = base64.b64encode(hashlib.sha256(KEY).digest()).decode()
        assert {stored.get(name, None).key_sha256 for name in ("single", "parts", "copy")} == {digest}
        assert (await driver.stat(URI.with_key("copy"), READ)).size == len(data)
        async with opened(server.url) as other:
            with pytest.raises(InvalidRequestError):
                await other.open_read(URI.with_key("copy"), READ)
    assert base64.b64encode(KEY).decode() not in repr(driver._settings)


async def test_kms_key() -> None:
    """
    Every kind of write names the KMS key.
    """
    name = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    async with serving(kms_key_name=name, resumable_threshold=100) as (server, driver):
        await driver.put(URI.with_key("put"), BytesBody(b"data"), WriteOptions())
        await driver.put(URI.with_key("resumable"), BytesBody(bytes(100)), WriteOptions())
        await copied(driver, URI.with_key("put"), URI.with_key("copy"), CopyOptions())
        for key, options in (("xml", WriteOptions()), ("composed", WriteOptions(if_none_match="*"))):
            upload = await driver.initiate_multipart_upload(URI.with_key(key), options)
            part = await finished(driver, driver.upload_part(URI.with_key(key), upload, 1, BytesBody(b"data"), options))
            await finished(driver, driver.complete_multipart_upload(URI.with_key(key), upload, [part], options))

        stored = server.world.bucket(BUCKET)
        names = {
            key: stored.get(key, None).fields.get("kmsKeyName", "")
            for key in ("put", "resumable", "copy", "xml", "composed")
        }
        assert {key for key, found in names.items() if not found.startswith(name)} == set()


async def test_no_checksum() -> None:
    """
    With ``checksum="none"`` no checksum is sent, and none is in the capabilities.
    """
    async with serving(checksum="none") as (_, driver):
        await driver.put(URI, BytesBody(b"data"), WriteOptions())

        assert driver.capabilities.checksums == frozenset()
        assert driver.preferred_checksum is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_signed_by_a_service_account(method: str) -> None:
    """
    A URL presigned with an account's key works without credentials, for its method only.
    """
    settings = Settings(tokens=[], accounts=[account()])
    async with GCSServer(buckets=[BUCKET], settings=settings) as server:
        storage = open_storage("gs://bucket", endpoint_url=server.url, credentials_json=key_file(server.url))
        async with storage, aiohttp.ClientSession() as session:
            target = storage.root / "ä /?+%"
            await storage.put(target, b"old")
            url = URL(await storage.presign(target, method=method), encoded=True)
            other = "GET" if method != "GET" else "DELETE"
            async with session.request(other, url) as refused:
                assert refused.status == 403
            data = b"new" if method == "PUT" else None
            async with session.request(method, url, data=data) as reply:
                assert reply.status < 300
            if method == "PUT":
                assert await storage.read(target) == b"new"
            assert await storage.exists(target) is (method != "DELETE")


async def test_form_signed_by_a_service_account() -> None:
    """
    A form is signed with an account's key, too; one that would have to name a project to bill is refused.
    """
    settings = Settings(tokens=[], accounts=[account()])
    async with GCSServer(buckets=[BUCKET], settings=settings) as server:
        keys: dict[str, Any] = {"endpoint_url": server.url, "credentials_json": key_file(server.url)}
        async with open_storage("gs://bucket", **keys) as storage, aiohttp.ClientSession() as session:
            form = await storage.presign_post("ä b", content_type="text/plain")
            sent = aiohttp.FormData(form.fields)
            sent.add_field("file", b"data", filename="f")
            async with session.post(form.url, data=sent) as reply:
                assert reply.status == 204
            assert await storage.read("ä b") == b"data"
        async with open_storage("gs://bucket", user_project="p", **keys) as billed:
            with pytest.raises(NotSupportedError, match="project to bill"):
                await billed.presign_post("key")


async def test_presigned_url_names_the_project_to_bill() -> None:
    """
    A URL for a bucket with requester pays works without a header, and bills the project of the storage.
    """
    settings = Settings(tokens=[], accounts=[account()])
    async with GCSServer(settings=settings) as server:
        server.create_bucket(BUCKET, billing={"requesterPays": True})
        storage = open_storage(
            "gs://bucket", endpoint_url=server.url, credentials_json=key_file(server.url), user_project="my project"
        )
        async with storage, aiohttp.ClientSession() as session:
            await storage.put(storage.root / "key", b"data")
            url = await storage.presign(storage.root / "key")
            async with session.get(URL(url, encoded=True)) as reply:
                assert await reply.read() == b"data"

    assert "&userProject=my%20project" in url


async def test_invalid_presigned_urls() -> None:
    """
    Other methods, and more than seven days, are refused.
    """
    driver = built(hmac_access_id="GOOGFAKE", hmac_secret="fake-secret", anonymous=True)

    with pytest.raises(ConfigurationError, match="GET"):
        await driver.sign("POST", URI, timedelta(hours=1))
    with pytest.raises(ConfigurationError, match="7 days"):
        await driver.sign("GET", URI, timedelta(days=8))


@pytest.mark.parametrize(
    ("settings", "able"),
    [
        ({"anonymous": True}, False),
        ({"token": "fake"}, False),
        ({"metadata_host": "127.0.0.1:9"}, True),
        ({"token": "fake", "hmac_access_id": "GOOGFAKE", "hmac_secret": "fake-secret"}, True),
        ({"credentials_file": "/no/such/file"}, True),
        ({}, True),
    ],
)
def test_signing_capability(settings: dict[str, Any], able: bool) -> None:
    """
    The capability to sign URLs depends on the credentials.
    """
    assert built(**settings).capabilities.sign is able


async def test_versions() -> None:
    """
    Each generation of an object can be read, statted, copied and deleted by its id.
    """
    async with GCSServer() as server:
        server.create_bucket(BUCKET, versioning={"enabled": True})
        async with opened(server.url) as driver:
            old = await driver.put(URI, BytesBody(b"old"), WriteOptions())
            new = await driver.put(URI, BytesBody(b"new"), WriteOptions())
            body = await driver.open_read(URI, ReadOptions(version_id=old.version_id))
            assert await body.read() == b"old"
            assert (await driver.stat(URI, ReadOptions(version_id=old.version_id))).etag == old.etag
            options = CopyOptions(source_version_id=old.version_id)
            assert (await copied(driver, URI, URI.with_key("copy"), options)).size == 3
            await driver.delete(URI, DeleteOptions(version_id=old.version_id))
            with pytest.raises(NotFoundError):
                await driver.stat(URI, ReadOptions(version_id=old.version_id))
            assert (await driver.stat(URI, READ)).version_id == new.version_id


async def test_hidden_objects_are_not_listed() -> None:
    """
    Parts of composed uploads are in no listing of the bucket, unless the prefix names them.
    """
    async with serving(multipart="compose") as (_, driver):
        root = URI.with_key("")
        upload = await driver.initiate_multipart_upload(URI, WriteOptions())
        await finished(driver, driver.upload_part(URI, upload, 1, BytesBody(b"data"), WriteOptions()))
        await driver.put(URI.with_key("seen"), BytesBody(b""), WriteOptions())

        for options in (ListOptions(), ListOptions(delimiter="/"), ListOptions(start_after=".")):
            assert [info.key for info in (await driver.list_page(root, options, None)).objects] == ["seen"]
        assert len((await driver.list_page(root / HIDDEN, ListOptions(), None)).objects) == 2


async def test_bulk_of_awkward_keys() -> None:
    """
    Every key that GCS allows can be deleted in a batch.
    """
    keys = [key for key in KEYS.values() if not {"\r", "\n"} & set(key)]
    async with GCSServer(buckets=[BUCKET]) as server:
        async with open_storage("gs://bucket/prefix/", endpoint_url=server.url, anonymous=True) as storage:
            for key in keys:
                await storage.put(storage.root / key, b"data")

            result = await storage.bulk_delete([storage.root / key for key in keys])

            assert (result.done, result.failed) == (len(keys), 0)
            assert [info async for info in storage.list()] == []
        assert len([one for one in server.requests if one.path.startswith("/batch/")]) == 1


@pytest.mark.parametrize("way", ["key", "value"])
async def test_metadata_that_headers_would_change(way: str) -> None:
    """
    Metadata that a read would not return as it is fails before anything is sent.
    """
    metadata = {"a key": "1"} if way == "key" else {"key": " padded "}
    async with serving() as (server, driver):
        for call in (
            driver.put(URI, BytesBody(b""), WriteOptions(metadata=metadata)),
            driver.initiate_multipart_upload(URI, WriteOptions(metadata=metadata)),
        ):
            with pytest.raises(ConfigurationError, match="headers"):
                await call
        assert server.requests == []
