"""
The driver against the stand-in, which checks every signature: what the conformance suite does not cover.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from asyncstore import open_storage
from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.oci import OCIDriver, open_driver
from asyncstore.errors import (
    AlreadyExistsError,
    ConfigurationError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.options import ByteRange, CopyOptions, DeleteOptions, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.oci import OCIServer
from asyncstore.types import ChecksumAlgorithm, Part
from asyncstore.uri import ObjectURI, parse_uri
from tests.drivers.calls import copied
from tests.servers.oci import readonly_user, user

READ = ReadOptions()
PLAIN = WriteOptions()
ROOT = parse_uri("oci://standin/bucket/")


@pytest.fixture
async def server() -> AsyncIterator[OCIServer]:
    async with OCIServer(user(), readonly_user()) as server:
        server.create_bucket("bucket")
        yield server


@asynccontextmanager
async def opened(server: OCIServer, root: ObjectURI = ROOT, **settings: Any) -> AsyncIterator[OCIDriver]:
    own = {} if {"config_file", "anonymous", "key_content"} & set(settings) else user().settings(server.store.region)
    driver = open_driver(StorageConfig.build(root, {"endpoint_url": server.url, **own, **settings}))
    try:
        yield driver
    finally:
        await driver.aclose()


@pytest.fixture
async def driver(server: OCIServer) -> AsyncIterator[OCIDriver]:
    async with opened(server) as driver:
        yield driver


async def read(driver: OCIDriver, uri: ObjectURI, options: ReadOptions = READ) -> bytes:
    body = await driver.open_read(uri, options)
    try:
        return await body.read()
    finally:
        await body.aclose()


def count(server: OCIServer, method: str, path: str) -> int:
    return sum(item.method == method and path in item.path for item in server.requests)


# Namespaces.


async def test_namespace_is_fetched_once(server: OCIServer) -> None:
    """
    Concurrent requests fetch the namespace once, and only if neither URI nor setting names it.
    """
    root = parse_uri("oci:///bucket/")
    async with opened(server, root) as driver:
        await asyncio.gather(*(driver.put(root / f"{n}", BytesBody(b"x"), PLAIN) for n in range(20)))
        page = await driver.list_page(root, ListOptions(), None)
    assert (count(server, "GET", "/n") - count(server, "GET", "/n/")) == 1
    assert page.objects[0].uri == root / "0"

    async with opened(server, root, namespace="standin") as driver:
        assert await read(driver, root / "3") == b"x"
    assert (count(server, "GET", "/n") - count(server, "GET", "/n/")) == 1


async def test_namespace_and_cancellation(server: OCIServer) -> None:
    """
    Cancelling one waiter for the namespace does not affect the others.
    """
    server.inject(Fault(path="/n$", delay=0.2, status=500))
    root = parse_uri("oci:///bucket/")
    async with opened(server, root) as driver:
        first = asyncio.ensure_future(driver.stat(root / "k", READ))
        second = asyncio.ensure_future(driver.stat(root / "k", READ))
        await asyncio.sleep(0.05)
        first.cancel()
        with pytest.raises(UnavailableError):
            await second
        assert first.cancelled()


async def test_unknown_namespace(driver: OCIDriver) -> None:
    """
    A missing namespace is an error, unlike a missing object.
    """
    with pytest.raises(NotFoundError) as failure:
        await driver.delete(parse_uri("oci://nobody/bucket/k"), DeleteOptions())
    assert failure.value.code == "NamespaceNotFound"


# Credentials and clock skew.


async def test_clock_skew(server: OCIServer, driver: OCIDriver) -> None:
    """
    After a refusal because of clock skew, the request is sent again with OCI's time, including its body.
    """
    server.store.clock_offset = 3600.0
    await driver.put(ROOT / "k", BytesBody(b"data"), PLAIN)
    await driver.put(ROOT / "l", BytesBody(b"data"), PLAIN)

    assert [item.method for item in server.requests] == ["PUT", "PUT", "PUT"]
    assert driver.describe()["clock offset"] in ("+3600 s", "+3599 s")


async def test_unknown_key(server: OCIServer, driver: OCIDriver) -> None:
    """
    A request with a refused key is not sent again, and the error is OCI's.
    """
    server.store.revoke(user().key_id)

    with pytest.raises(UnauthenticatedError) as failure:
        await driver.stat(ROOT / "k", READ)
    assert len(server.requests) == 1
    with pytest.raises(UnauthenticatedError) as failure:
        await read(driver, ROOT / "k")
    assert (failure.value.status, failure.value.code) == (401, "NotAuthenticated")
    assert failure.value.request_id


async def test_session_is_refreshed(server: OCIServer, tmp_path: Path) -> None:
    """
    A session that OCI has ended is read again from its file, once for twenty refusals.
    """

    def write(session: Any) -> None:
        (tmp_path / "token").write_text(session.token)
        (tmp_path / "key.pem").write_text(session.private_key)

    old, new = await asyncio.to_thread(lambda: (server.authenticate(user()), server.authenticate(user())))
    write(old)
    profile = f"[DEFAULT]\nkey_file={tmp_path}/key.pem\nsecurity_token_file={tmp_path}/token\nregion=us-phoenix-1\n"
    (tmp_path / "config").write_text(profile)
    async with opened(server, config_file=str(tmp_path / "config")) as driver:
        await driver.put(ROOT / "k", BytesBody(b"data"), PLAIN)
        server.store.revoke(old.key_id)
        write(new)
        found = await asyncio.gather(*(read(driver, ROOT / "k") for _ in range(20)))
        before = len(server.requests)
        assert await read(driver, ROOT / "k") == b"data"

    assert found == [b"data"] * 20
    assert len(server.requests) == before + 1
    assert "session" in driver.describe()["credentials"]


async def test_readonly_user(server: OCIServer) -> None:
    """
    A user without write permission gets an error that says so.
    """
    settings: dict[str, Any] = {**readonly_user().settings("us-phoenix-1")}
    async with opened(server, **settings) as driver:
        with pytest.raises(StorageError) as failure:
            await driver.put(ROOT / "k", BytesBody(b"data"), PLAIN)
    assert isinstance(failure.value, NotFoundError | PermissionDeniedError)


async def test_anonymous(server: OCIServer) -> None:
    """
    Anonymous requests are not signed.
    """
    async with opened(server, anonymous=True, region="us-phoenix-1") as driver:
        with pytest.raises(StorageError):
            await driver.stat(ROOT / "k", READ)
    assert "authorization" not in server.requests[-1].headers


async def test_credentials_are_not_redirected(server: OCIServer) -> None:
    """
    A redirect to another origin is not followed, so it never receives a signature.
    """
    async with OCIServer(user()) as other:
        server.inject(Fault(status=307, headers={"Location": f"{other.url}/n/standin/b/bucket/o/k"}, times=None))
        async with opened(server) as driver:
            with pytest.raises(InvalidRequestError):
                await driver.open_read(ROOT / "k", READ)

        assert other.requests == []


async def test_signed_session(server: OCIServer, driver: OCIDriver) -> None:
    """
    The credentials sign the requests of an aiohttp session, including documents, and recover from clock skew.
    """
    credentials = driver._wire.credentials
    await driver.put(ROOT / "a", BytesBody(b"data"), PLAIN)
    server.store.clock_offset = 3600.0
    async with credentials.http_client([server.url]) as session:
        async with session.get(f"{server.url}/n/standin/b/bucket/o/a") as reply:
            assert (reply.status, await reply.read()) == (200, b"data")
        details = b'{"sourceName":"a","newName":"b"}'
        headers = {"Content-Type": "application/json"}
        url = f"{server.url}/n/standin/b/bucket/actions/renameObject"
        async with session.post(url, data=details, headers=headers) as reply:
            assert reply.status == 200
    assert await read(driver, ROOT / "b") == b"data"


# Reading.


async def test_conditions_on_dates(driver: OCIDriver) -> None:
    """
    OCI does not support conditions on dates, so the driver compares them with the reply.
    """
    await driver.put(ROOT / "k", BytesBody(b"data"), PLAIN)
    written = (await driver.stat(ROOT / "k", READ)).last_modified
    assert written is not None
    second = timedelta(seconds=1)

    for call in (driver.stat, driver.open_read):
        with pytest.raises(NotModifiedError):
            await call(ROOT / "k", ReadOptions(if_modified_since=written))
        with pytest.raises(PreconditionFailedError):
            await call(ROOT / "k", ReadOptions(if_unmodified_since=written - second))
    options = ReadOptions(if_modified_since=written - second, if_unmodified_since=written)
    assert await read(driver, ROOT / "k", options) == b"data"


async def test_overwritten_version(driver: OCIDriver) -> None:
    """
    Reading an overwritten version with its ETag is a failed condition.
    """
    old = await driver.put(ROOT / "k", BytesBody(b"old"), PLAIN)
    await driver.put(ROOT / "k", BytesBody(b"new"), PLAIN)

    with pytest.raises(PreconditionFailedError):
        await driver.open_read(ROOT / "k", ReadOptions(if_match=old.etag, version_id=old.version_id))
    with pytest.raises(NotFoundError):
        await driver.open_read(ROOT / "k", ReadOptions(version_id=old.version_id))


@pytest.mark.parametrize("form", ["base64", "hex", "HEX"])
async def test_md5_metadata(server: OCIServer, form: str) -> None:
    """
    Metadata named md5 is the checksum of an object for which OCI has none, unless that is turned off.
    """
    digest = compute(ChecksumAlgorithm.MD5, b"datadata").value
    text = {"base64": base64.b64encode(digest).decode(), "hex": digest.hex(), "HEX": digest.hex().upper()}[form]
    async with opened(server, checksum="md5") as driver:
        options = WriteOptions(metadata={"md5": text})
        upload = await driver.initiate_multipart_upload(ROOT / "k", options)
        parts = [await driver.upload_part(ROOT / "k", upload, n, BytesBody(b"data"), options) for n in (1, 2)]
        await driver.complete_multipart_upload(ROOT / "k", upload, parts, options)
        assert (await driver.stat(ROOT / "k", READ)).checksum == compute(ChecksumAlgorithm.MD5, b"datadata")
    async with opened(server, md5_metadata="no") as driver:
        assert (await driver.stat(ROOT / "k", READ)).checksum is None


async def test_md5_metadata_mismatch(server: OCIServer) -> None:
    """
    A read whose bytes do not match the metadata fails.
    """
    wrong = compute(ChecksumAlgorithm.MD5, b"other").base64()
    async with opened(server, checksum="none") as driver:
        options = WriteOptions(metadata={"md5": wrong})
        upload = await driver.initiate_multipart_upload(ROOT / "k", options)
        part = await driver.upload_part(ROOT / "k", upload, 1, BytesBody(b"data"), options)
        await driver.complete_multipart_upload(ROOT / "k", upload, [part], options)
    settings: dict[str, Any] = {"endpoint_url": server.url, **user().settings("us-phoenix-1")}
    async with open_storage(ROOT, **settings) as storage:
        with pytest.raises(IntegrityError):
            await storage.read(ROOT / "k")


@pytest.mark.parametrize("text", ["", "yes", "AAAA", "zz" * 16, "1B2M2Y8AsgTpgAmY7PhCfg==-3"])
async def test_invalid_md5_metadata(server: OCIServer, text: str) -> None:
    """
    Metadata named md5 that is not an MD5 does not count as a checksum.
    """
    async with opened(server, checksum="none") as driver:
        options = WriteOptions(metadata={"md5": text})
        upload = await driver.initiate_multipart_upload(ROOT / "k", options)
        part = await driver.upload_part(ROOT / "k", upload, 1, BytesBody(b"data"), options)
        await driver.complete_multipart_upload(ROOT / "k", upload, [part], options)
        found = await driver.stat(ROOT / "k", READ)

    assert (found.metadata, found.checksum) == ({"md5": text}, None)


# Writing.


@pytest.mark.parametrize("checksum", ["crc32c", "sha256", "md5", "none"])
async def test_checksums(server: OCIServer, checksum: str) -> None:
    """
    Each algorithm is sent in its own header, and OCI verifies it.
    """
    names = {"crc32c": "opc-content-crc32c", "sha256": "opc-content-sha256", "md5": "content-md5", "none": "none"}
    async with opened(server, checksum=checksum) as driver:
        await driver.put(ROOT / "k", BytesBody(b"data"), PLAIN)
        sent = server.requests[-1].headers
        found = await driver.stat(ROOT / "k", READ)

    assert [name for name in names.values() if name in sent] == ([names[checksum]] if checksum != "none" else [])
    algorithm = ChecksumAlgorithm(checksum) if checksum != "none" else ChecksumAlgorithm.MD5
    assert compute(algorithm, b"data") in found.checksums


async def test_parts_with_another_checksum(driver: OCIDriver) -> None:
    """
    Parts whose combined checksum differs are refused before the object exists.
    """
    upload = await driver.initiate_multipart_upload(ROOT / "k", PLAIN)
    part = await driver.upload_part(ROOT / "k", upload, 1, BytesBody(b"data"), PLAIN)

    with pytest.raises(IntegrityError):
        await driver.complete_multipart_upload(
            ROOT / "k", upload, [part], PLAIN, compute(ChecksumAlgorithm.CRC32C, b"meant")
        )
    with pytest.raises(NotFoundError):
        await driver.stat(ROOT / "k", READ)


async def test_parts_to_exclude(server: OCIServer, driver: OCIDriver) -> None:
    """
    Parts that do not belong to the object are excluded; a part that does not exist is an error.
    """
    upload = await driver.initiate_multipart_upload(ROOT / "k", PLAIN)
    parts = [await driver.upload_part(ROOT / "k", upload, n, BytesBody(b"%d" % n), PLAIN) for n in (1, 2, 3)]
    with pytest.raises(InvalidRequestError):
        await driver.complete_multipart_upload(ROOT / "k", upload, [*parts, Part(9, "none", 1)], PLAIN)
    await driver.complete_multipart_upload(ROOT / "k", upload, [parts[2], parts[0]], PLAIN)

    assert await read(driver, ROOT / "k") == b"13"
    page = await driver.list_multipart_uploads(ROOT, None)
    assert page.uploads == []


@pytest.mark.parametrize("key", ["a\nb", "a\rb", "a\0b"])
async def test_invalid_keys(server: OCIServer, driver: OCIDriver, key: str) -> None:
    """
    A key that OCI does not allow is refused before anything is sent.
    """
    uri = ROOT.with_key(key)
    for call in (
        driver.put(uri, BytesBody(b""), PLAIN),
        driver.initiate_multipart_upload(uri, PLAIN),
        copied(driver, ROOT / "k", uri, CopyOptions()),
        driver.rename(ROOT / "k", key),
    ):
        with pytest.raises(InvalidRequestError):
            await call
    assert server.requests == []


async def test_customer_key(server: OCIServer) -> None:
    """
    Objects encrypted with a customer-provided key are read, copied and uploaded with it, and cannot be read without it.
    """
    key = base64.b64encode(b"k" * 32).decode()
    async with opened(server, sse_customer_key=key) as driver:
        await driver.put(ROOT / "k", BytesBody(b"data"), PLAIN)
        await copied(driver, ROOT / "k", ROOT / "copy", CopyOptions())
        upload = await driver.initiate_multipart_upload(ROOT / "parts", PLAIN)
        part = await driver.upload_part(ROOT / "parts", upload, 1, BytesBody(b"data"), PLAIN)
        await driver.complete_multipart_upload(ROOT / "parts", upload, [part], PLAIN)
        for name in ("k", "copy", "parts"):
            assert await read(driver, ROOT / name) == b"data"
        assert key not in repr(driver._settings) + str(driver.describe())
    async with opened(server) as driver:
        for name in ("k", "copy", "parts"):
            with pytest.raises(StorageError):
                await read(driver, ROOT / name)


async def test_vault_key(server: OCIServer) -> None:
    """
    Writes name the vault key.
    """
    async with opened(server, sse_kms_key_id="ocid1.key.fake") as driver:
        await driver.put(ROOT / "k", BytesBody(b"data"), PLAIN)
        assert server.requests[-1].headers["opc-sse-kms-key-id"] == "ocid1.key.fake"
        await read(driver, ROOT / "k")
        assert "opc-sse-kms-key-id" not in server.requests[-1].headers


# Listing.


@pytest.mark.parametrize("delimiter", ["/", ":", "::", "\ud7ff", "\U0010ffff"])
@pytest.mark.parametrize("page_size", [1, 2, 1000])
async def test_levels(driver: OCIDriver, delimiter: str, page_size: int) -> None:
    """
    Any delimiter and any page size list each common prefix once, in order.
    """
    keys = ["a", f"b{delimiter}1", f"b{delimiter}2", f"b{delimiter}3", "c", f"d{delimiter}", f"{delimiter}e"]
    for key in keys:
        await driver.put(ROOT / key, BytesBody(b""), PLAIN)
    options = ListOptions(delimiter=delimiter, page_size=page_size)
    found, token = [], None
    for _ in range(20):
        page = await driver.list_page(ROOT, options, token)
        found += [(info.key, info.is_prefix) for info in page.objects]
        token = page.next_token
        if token is None:
            break

    levels = [("a", False), (f"b{delimiter}", True), ("c", False), (f"d{delimiter}", True), (delimiter, True)]
    assert found == sorted(levels)


async def test_listed_fields(driver: OCIDriver) -> None:
    """
    Entries have size, ETag, time, tier and MD5, which OCI returns only on request.
    """
    info = await driver.put(ROOT / "k", BytesBody(b"data"), WriteOptions(storage_class="InfrequentAccess"))
    (entry,) = (await driver.list_page(ROOT, ListOptions(), None)).objects

    assert (entry.size, entry.etag, entry.storage_class) == (4, info.etag, "InfrequentAccess")
    assert entry.checksum == compute(ChecksumAlgorithm.MD5, b"data")
    assert entry.last_modified is not None
    assert abs(entry.last_modified.timestamp() - time.time()) < 60


# Copies.


async def test_copy_is_waited_for(server: OCIServer, driver: OCIDriver) -> None:
    """
    The copy exists when the call returns, however long OCI takes.
    """
    server.store.copy_polls = 4
    await driver.put(ROOT / "a", BytesBody(b"data"), WriteOptions(content_type="text/x", metadata={"a": "1"}))
    info = await copied(driver, ROOT / "a", ROOT / "b", CopyOptions())
    found = await driver.stat(ROOT / "b", READ)

    assert (info.etag, info.size) == (found.etag, 4)
    assert (found.content_type, found.metadata) == ("text/x", {"a": "1"})
    assert count(server, "GET", "/workRequests/") == 5


async def test_copy_that_fails(server: OCIServer, driver: OCIDriver) -> None:
    """
    A copy that fails in the background raises the reason.
    """
    await driver.put(ROOT / "a", BytesBody(b"data"), PLAIN)
    for code, kind in (
        ("ObjectNotFound", NotFoundError),
        ("QuotaExceeded", StorageError),
        ("New", InvalidRequestError),
    ):
        server.store.copy_failures.append((code, "some words"))
        with pytest.raises(kind, match="some words") as failure:
            await copied(driver, ROOT / "a", ROOT / "b", CopyOptions())
        assert failure.value.code == code


async def test_copy_conditions(driver: OCIDriver) -> None:
    """
    Conditions are checked when the copy is made, which is after the reply.
    """
    first = await driver.put(ROOT / "a", BytesBody(b"data"), PLAIN)
    await driver.put(ROOT / "b", BytesBody(b"old"), PLAIN)

    with pytest.raises(AlreadyExistsError):
        await copied(driver, ROOT / "a", ROOT / "b", CopyOptions(if_none_match="*"))
    with pytest.raises(PreconditionFailedError):
        await copied(driver, ROOT / "a", ROOT / "b", CopyOptions(if_match=first.etag))
    with pytest.raises(PreconditionFailedError):
        await copied(driver, ROOT / "a", ROOT / "b", CopyOptions(source_if_match="another"))
    assert await read(driver, ROOT / "b") == b"old"


async def test_copy_is_cancelled(server: OCIServer, driver: OCIDriver) -> None:
    """
    Cancelling a copy cancels its work request at OCI.
    """
    server.store.copy_polls = 1000
    await driver.put(ROOT / "a", BytesBody(b"data"), PLAIN)
    task = asyncio.ensure_future(copied(driver, ROOT / "a", ROOT / "b", CopyOptions()))
    while not count(server, "GET", "/workRequests/"):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    (request,) = server.store.work_requests.values()
    assert request.status == "CANCELED"
    with pytest.raises(NotFoundError):
        await driver.stat(ROOT / "b", READ)


async def test_failed_poll_cancels_the_copy(server: OCIServer, driver: OCIDriver) -> None:
    """
    A copy that cannot be polled is cancelled, so that it does not race with another attempt.
    """
    server.store.copy_polls = 1000
    server.inject(Fault(method="GET", path="/workRequests/", after=1, times=1))
    await driver.put(ROOT / "a", BytesBody(b"data"), PLAIN)

    with pytest.raises(UnavailableError):
        await copied(driver, ROOT / "a", ROOT / "b", CopyOptions())
    (request,) = server.store.work_requests.values()
    assert request.status == "CANCELED"


async def test_copy_to_another_region(server: OCIServer) -> None:
    """
    The copy goes to the region in the target's URI.
    """
    async with OCIServer(user(), region="eu-frankfurt-1") as other:
        other.create_bucket("there")
        server.link(other)
        settings = {key: value for key, value in user().settings("").items() if key != "region"}
        target = parse_uri("oci://standin@eu-frankfurt-1/there/copy")
        source = parse_uri("oci://standin@us-phoenix-1/bucket/a")
        driver = open_driver(StorageConfig.build(source, {"endpoint_url": server.url, **settings}))
        try:
            await driver.put(source, BytesBody(b"data"), PLAIN)
            with pytest.raises(NotFoundError):
                # Both regions share one endpoint here, so the stat after the copy looks in the wrong one.
                await copied(driver, source, target, CopyOptions())
        finally:
            await driver.aclose()
        version = other.store.buckets["there"].current("copy")
        assert version is not None
        assert version.content.size == 4


# Operations of OCI alone.


async def test_rename(driver: OCIDriver) -> None:
    """
    An object gets another key in one step; an existing object can be protected.
    """
    await driver.put(ROOT / "a", BytesBody(b"data"), PLAIN)
    await driver.put(ROOT / "b", BytesBody(b"old"), PLAIN)
    with pytest.raises(AlreadyExistsError):
        await driver.rename(ROOT / "a", "b", if_none_match="*")
    await driver.rename(ROOT / "a", "b")

    assert await read(driver, ROOT / "b") == b"data"
    with pytest.raises(NotFoundError):
        await driver.rename(ROOT / "a", "c")


async def test_archived(server: OCIServer, driver: OCIDriver) -> None:
    """
    An archived object cannot be read until it is restored.
    """
    await driver.put(ROOT / "k", BytesBody(b"data"), WriteOptions(storage_class="Archive"))
    with pytest.raises(PermissionDeniedError) as failure:
        await driver.open_read(ROOT / "k", READ)
    assert failure.value.code == "NotRestored"
    with pytest.raises(ConfigurationError):
        await driver.restore(ROOT / "k", hours=241)
    await driver.restore(ROOT / "k", hours=1)

    assert await read(driver, ROOT / "k") == b"data"


async def test_preauthenticated_requests(server: OCIServer, driver: OCIDriver) -> None:
    """
    A URL reads or writes one object without credentials, until its request is deleted.
    """
    uri = ROOT / "a key/with ünd?"
    await driver.put(uri, BytesBody(b"data"), PLAIN)
    reading = await driver.sign("GET", uri, timedelta(hours=1))
    writing = await driver.sign("PUT", uri, timedelta(hours=1))
    async with aiohttp.ClientSession() as session:
        async with session.put(URL(writing, encoded=True), data=b"new") as reply:
            assert reply.status == 200
        async with session.get(URL(reading, encoded=True)) as reply:
            assert await reply.read() == b"new"
        found = {item.access: item async for item in driver.list_preauthenticated_requests(ROOT)}
        assert {item.key for item in found.values()} == {uri.key}
        await driver.delete_preauthenticated_request(ROOT, found["ObjectRead"].id)
        await driver.delete_preauthenticated_request(ROOT, found["ObjectRead"].id)
        async with session.get(URL(reading, encoded=True)) as reply:
            assert reply.status in (401, 404)


async def test_invalid_preauthenticated_requests(server: OCIServer, driver: OCIDriver) -> None:
    """
    OCI does not presign DELETE, nor URLs that have expired already.
    """
    for method, expires in (("DELETE", timedelta(hours=1)), ("GET", timedelta(0))):
        with pytest.raises(ConfigurationError):
            await driver.sign(method, ROOT / "k", expires)
    assert server.requests == []


async def test_request_ids(server: OCIServer, driver: OCIDriver) -> None:
    """
    An error has OCI's id of the request, or the id that it was sent with if the reply was lost.
    """
    with pytest.raises(NotFoundError) as missing:
        await driver.stat(ROOT / "k", READ)
    server.inject(Fault(status=None))
    with pytest.raises(UnavailableError) as lost:
        await driver.stat(ROOT / "k", READ)

    ids = [item.headers["opc-client-request-id"] for item in server.requests]
    assert len(set(ids)) == len(ids)
    assert missing.value.request_id not in (None, ids[0])
    assert lost.value.request_id == ids[1]


async def test_ranges(driver: OCIDriver) -> None:
    """
    A range has a checksum only if it covers the whole object.
    """
    await driver.put(ROOT / "k", BytesBody(b"0123456789" * MiB), PLAIN)
    part = await driver.open_read(ROOT / "k", ReadOptions(range=ByteRange(5, 8)))
    assert (await part.read(), part.info.size, part.info.checksum) == (b"567", 10 * MiB, None)
    await part.aclose()
    whole = await driver.open_read(ROOT / "k", ReadOptions(range=ByteRange(0)))
    assert whole.info.checksum is not None
    await whole.aclose()
