"""
Settings of the GCS driver, and what they do on a server that checks them.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from yarl import URL

from asyncstore import UploadOptions, open_storage
from asyncstore.body import BytesBody
from asyncstore.config import StorageConfig
from asyncstore.driver import Driver
from asyncstore.drivers.gcs import GCSDriver, open_driver
from asyncstore.drivers.gcs.names import HIDDEN
from asyncstore.errors import ConfigurationError, InvalidRequestError, NotFoundError, StorageError
from asyncstore.options import CopyOptions, DeleteOptions, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.testing.conformance.keys import KEYS
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.servers.gcs import GCSServer, Settings
from asyncstore.uri import parse_uri
from tests.drivers.gcs_places import BUCKET, opened, serving
from tests.servers_check.gcs import account, key_file

_: type[Driver] = GCSDriver
URI = parse_uri("gs://bucket/some key")
KEY = b"k" * 32
READ = ReadOptions()


def built(**settings: Any) -> GCSDriver:
    return open_driver(StorageConfig.build("gs://bucket", settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"multpart": "xml"}, "multipart"),
        ({"multipart": "many"}, "xml"),
        ({"checksum": "md4"}, "crc32c"),
        ({"resumable_threshold": 0}, "at least 1"),
        ({"resumable_threshold": "much"}, "number of bytes"),
        ({"encryption_key": b"short"}, "32 bytes"),
        ({"encryption_key": "!"}, "32 bytes"),
        ({"encryption_key": KEY, "kms_key_name": "x"}, "excludes"),
        ({"endpoint_url": "http://elsewhere.example", "token": "fake"}, "https"),
        ({"endpoint_url": "http://elsewhere.example", "encryption_key": KEY, "anonymous": True}, "https"),
        ({"endpoint_url": "ftp://x"}, "endpoint"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], words: str) -> None:
    """
    What cannot be meant is refused when the storage is opened, with what is known.
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
    The endpoint is the setting, else the emulator of the environment, else that of the cloud.
    """
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    if environment is not None:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", environment)

    assert built(**settings).describe()["endpoint"] == endpoint


def test_cloud_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variable of Google's clients names the cloud, unless a setting does.
    """
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "of-the-environment.example")

    assert built().describe()["endpoint"] == "https://storage.of-the-environment.example"
    assert built(universe_domain="cloud.example").describe()["endpoint"] == "https://storage.cloud.example"


async def test_emulator_needs_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With ``STORAGE_EMULATOR_HOST`` alone a program runs against an emulator; explicit credentials stay.
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
    Who is billed is named by every request, of both APIs and in batches.
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
            await driver.copy(URI, URI.with_key("copy"), CopyOptions())
            upload = await driver.initiate_multipart_upload(URI, WriteOptions())
            part = await driver.upload_part(URI, upload, 1, BytesBody(b"data"), WriteOptions())
            await driver.complete_multipart_upload(URI, upload, [part], WriteOptions())
            assert await driver.delete_batch([URI]) == [None]
            await driver.delete(URI.with_key("copy"), DeleteOptions())
            assert (await driver.list_page(URI.with_key(""), ListOptions(), None)).objects == []


@pytest.mark.parametrize("multipart", ["xml", "compose"])
async def test_keys_of_ones_own(multipart: str) -> None:
    """
    Objects under a customer's key are written, read and copied with it, in every way, and not without.
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
    The name of a key is given with everything that makes an object.
    """
    name = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    async with serving(kms_key_name=name, resumable_threshold=100) as (server, driver):
        await driver.put(URI.with_key("put"), BytesBody(b"data"), WriteOptions())
        await driver.put(URI.with_key("resumable"), BytesBody(bytes(100)), WriteOptions())
        await driver.copy(URI.with_key("put"), URI.with_key("copy"), CopyOptions())
        for key, options in (("xml", WriteOptions()), ("composed", WriteOptions(if_none_match="*"))):
            upload = await driver.initiate_multipart_upload(URI.with_key(key), options)
            part = await driver.upload_part(URI.with_key(key), upload, 1, BytesBody(b"data"), options)
            await driver.complete_multipart_upload(URI.with_key(key), upload, [part], options)

        stored = server.world.bucket(BUCKET)
        names = {
            key: stored.get(key, None).fields.get("kmsKeyName", "")
            for key in ("put", "resumable", "copy", "xml", "composed")
        }
        assert {key for key, found in names.items() if not found.startswith(name)} == set()


async def test_no_checksum() -> None:
    """
    With ``checksum="none"`` nothing is sent, nor announced.
    """
    async with serving(checksum="none") as (_, driver):
        await driver.put(URI, BytesBody(b"data"), WriteOptions())

        assert driver.capabilities.checksums == frozenset()
        assert driver.preferred_checksum is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_signed_by_a_service_account(method: str) -> None:
    """
    A URL signed with an account's key works for who holds it, for that method.
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


async def test_signing_what_cannot_be() -> None:
    """
    Other methods, and lives of more than seven days, are refused.
    """
    driver = built(hmac_access_id="GOOGFAKE", hmac_secret="fake-secret", anonymous=True)

    with pytest.raises(ConfigurationError, match="GET"):
        await driver.sign("POST", URI, timedelta(hours=1))
    with pytest.raises(ConfigurationError, match="seven days"):
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
def test_signing_is_announced_by_who_can(settings: dict[str, Any], able: bool) -> None:
    """
    Credentials that sign nothing do not announce it.
    """
    assert built(**settings).capabilities.sign is able


async def test_versions() -> None:
    """
    Each generation of an object can be read, looked at, copied and deleted by its id.
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
            assert (await driver.copy(URI, URI.with_key("copy"), options)).size == 3
            await driver.delete(URI, DeleteOptions(version_id=old.version_id))
            with pytest.raises(NotFoundError):
                await driver.stat(URI, ReadOptions(version_id=old.version_id))
            assert (await driver.stat(URI, READ)).version_id == new.version_id


async def test_hidden_objects_are_not_listed() -> None:
    """
    Parts that wait to be composed are in no listing of the bucket, unless they are asked for.
    """
    async with serving(multipart="compose") as (_, driver):
        root = URI.with_key("")
        upload = await driver.initiate_multipart_upload(URI, WriteOptions())
        await driver.upload_part(URI, upload, 1, BytesBody(b"data"), WriteOptions())
        await driver.put(URI.with_key("seen"), BytesBody(b""), WriteOptions())

        for options in (ListOptions(), ListOptions(delimiter="/"), ListOptions(start_after=".")):
            assert [info.key for info in (await driver.list_page(root, options, None)).objects] == ["seen"]
        assert len((await driver.list_page(root / HIDDEN, ListOptions(), None)).objects) == 2


async def test_bulk_of_awkward_keys() -> None:
    """
    All names that GCS takes go through a batch.
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
async def test_metadata_that_would_be_lost(way: str) -> None:
    """
    What would not come back by a read is refused before it is written.
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
