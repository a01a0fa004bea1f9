"""
Composed uploads: many parts, conditions, and what a failure leaves behind.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncstore import Storage, StorageConfig, UploadOptions, open_storage
from asyncstore.checksum import compute
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.gcs import GCSDriver
from asyncstore.drivers.gcs.components import is_composed
from asyncstore.drivers.gcs.names import HIDDEN
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PreconditionFailedError,
    UnavailableError,
)
from asyncstore.options import DeleteOptions, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import instantly
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.gcs import GCSServer
from asyncstore.types import ChecksumAlgorithm, Part
from asyncstore.uri import parse_uri
from tests.drivers.calls import finished
from tests.drivers.gcs.places import BUCKET, serving
from tests.servers.gcs import GCSEndpoint, fresh_bucket

URI = parse_uri("gs://bucket/some key")
READ = ReadOptions()
PLAIN = WriteOptions()
CREATE = WriteOptions(if_none_match="*")
UPLOAD = UploadOptions(if_none_match="*")
_REFUSAL = b"<?xml version='1.0'?><Error><Code>InvalidArgument</Code><Message>No.</Message></Error>"


async def hidden(driver: GCSDriver) -> list[str]:
    page = await driver.list_page(URI.with_key(HIDDEN), ListOptions(), None)
    return [info.key for info in page.objects]


async def started(driver: GCSDriver, count: int, options: WriteOptions = CREATE) -> tuple[str, list[Part], bytes]:
    """Start an upload of *count* small parts."""
    upload = await driver.initiate_multipart_upload(URI, options)
    pieces = [payload(10 + number, seed=number) for number in range(count)]
    sending = [
        finished(driver, driver.upload_part(URI, upload, number, BytesBody(piece), options))
        for number, piece in enumerate(pieces, 1)
    ]
    return upload, list(await asyncio.gather(*sending)), b"".join(pieces)


async def stored(driver: GCSDriver) -> bytes:
    body = await driver.open_read(URI, READ)
    return bytes(await body.read())


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 1025])
async def test_any_number_of_parts(count: int) -> None:
    """
    One request composes up to 32 objects; more take several levels. No part is left behind.
    """
    async with serving(multipart="compose") as (server, driver):
        upload, parts, data = await started(driver, count)

        info = await finished(
            driver,
            finished(
                driver,
                driver.complete_multipart_upload(URI, upload, parts, CREATE, compute(ChecksumAlgorithm.CRC32C, data)),
            ),
        )

        assert await stored(driver) == data
        assert info.checksum == compute(ChecksumAlgorithm.CRC32C, data)
        assert await hidden(driver) == []
        composed = [request for request in server.requests if request.path.partition("?")[0].endswith("/compose")]
        assert len(composed) == {1: 1, 31: 1, 32: 1, 33: 3, 64: 3, 1025: 33 + 2 + 1}[count]


async def test_endpoint_without_xml_uploads(fake_gcs: GCSEndpoint) -> None:
    """
    An endpoint without XML API multipart uploads gets composed ones; it is asked only once.
    """
    target = parse_uri(f"gs://{fresh_bucket(fake_gcs)}/some key")
    data = payload(11 * MiB)
    options = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)
    async with open_storage(target, endpoint_url=fake_gcs.url, anonymous=True) as storage:
        assert storage.describe()["multipart"] == "auto"
        assert [upload async for upload in storage.list_multipart_uploads(target)] == []
        assert storage.describe()["multipart"] == "compose"
        assert storage.describe()["narrowed"].startswith("XML API multipart uploads (")
        for number in range(2):
            await storage.put(target / str(number), data, options=options)
            assert await storage.read(target / str(number)) == data
        assert [info.key async for info in storage.list(target.with_key(""))] == ["some key/0", "some key/1"]


async def test_xml_uploads_that_are_insisted_on(fake_gcs: GCSEndpoint) -> None:
    """
    With ``multipart="xml"``, an endpoint without such uploads is an error that says what would work.
    """
    target = parse_uri(f"gs://{fresh_bucket(fake_gcs)}/key")
    async with open_storage(target, endpoint_url=fake_gcs.url, anonymous=True, multipart="xml") as storage:
        with pytest.raises(NotSupportedError, match="'auto' or 'compose'"):
            await storage.initiate_multipart_upload(target)
        with pytest.raises(NotSupportedError, match="'auto' or 'compose'"):
            _ = [upload async for upload in storage.list_multipart_uploads(target)]


@pytest.mark.parametrize("bucket", ["bucket", "missing"])
async def test_xml_error_is_not_missing_support(bucket: str) -> None:
    """
    An error of the XML API is raised as it is: nothing is composed instead.
    """
    async with serving() as (server, driver):
        fault = server.inject(Fault(method="POST", status=400, body=_REFUSAL)) if bucket == "bucket" else None
        with pytest.raises((InvalidRequestError, NotFoundError)):
            await driver.initiate_multipart_upload(parse_uri(f"gs://{bucket}/key"), PLAIN)
        assert len(server.requests) == 1
        assert fault is None or fault.met == 1


async def test_conditional_uploads_are_composed() -> None:
    """
    XML API multipart uploads take no conditions, so conditional uploads are composed, whatever the setting.
    """
    async with serving() as (server, driver):
        plain = await driver.initiate_multipart_upload(URI, PLAIN)
        create = await driver.initiate_multipart_upload(URI, CREATE)
        listed = (await driver.list_multipart_uploads(URI.with_key("some"), None)).uploads
        elsewhere = (await driver.list_multipart_uploads(URI.with_key("other"), None)).uploads

        assert (is_composed(plain), is_composed(create)) == (False, True)
        assert {upload.upload_id for upload in listed} == {plain, create}
        assert {upload.uri for upload in listed} == {URI}
        assert elsewhere == []
        assert all("x-goog-if-generation-match" not in request.headers for request in server.requests)


async def test_metadata_that_headers_cannot_carry() -> None:
    """
    Metadata beyond ASCII needs JSON, so an upload with it is composed.
    """
    options = WriteOptions(metadata={"name": "日本語"}, content_type="x/y", cache_control="no-store")
    async with serving() as (_, driver):
        upload, parts, _data = await started(driver, 2, options)
        await finished(driver, driver.complete_multipart_upload(URI, upload, parts, options))
        found = await driver.stat(URI, READ)

        assert is_composed(upload)
        assert (found.metadata, found.content_type, found.cache_control) == ({"name": "日本語"}, "x/y", "no-store")


async def test_storage_class_of_the_parts() -> None:
    """
    Parts have the storage class of the future object, since composing keeps the class of its sources.
    """
    options = WriteOptions(storage_class="NEARLINE", if_none_match="*")
    async with serving() as (_, driver):
        upload, parts, _data = await started(driver, 33, options)
        await finished(driver, driver.complete_multipart_upload(URI, upload, parts, options))

        assert (await driver.stat(URI, READ)).storage_class == "NEARLINE"


@pytest.mark.parametrize("etag", ["current", "*"])
async def test_replacing(etag: str) -> None:
    """
    ``if_match`` replaces the named version once; ``*`` replaces any version, but needs one.
    """
    async with serving() as (_, driver):
        missing, parts, _data = await started(driver, 2, WriteOptions(if_match="*"))
        with pytest.raises(PreconditionFailedError):
            await finished(driver, driver.complete_multipart_upload(URI, missing, parts, WriteOptions(if_match="*")))
        old = await driver.put(URI, BytesBody(b"old"), PLAIN)
        options = WriteOptions(if_match="*" if etag == "*" else old.etag)
        upload, parts, data = await started(driver, 2, options)
        again, again_parts, _data = await started(driver, 3, options)
        await finished(driver, driver.complete_multipart_upload(URI, upload, parts, options))
        if etag != "*":
            with pytest.raises(PreconditionFailedError) as failure:
                await finished(driver, driver.complete_multipart_upload(URI, again, again_parts, options))
            assert not isinstance(failure.value, AlreadyExistsError)

        assert await stored(driver) == data


async def test_failed_condition_keeps_the_upload() -> None:
    """
    A completion whose condition failed can be tried again once it holds.
    """
    async with serving() as (_, driver):
        await driver.put(URI, BytesBody(b"old"), PLAIN)
        upload, parts, data = await started(driver, 40)
        with pytest.raises(AlreadyExistsError):
            await finished(driver, driver.complete_multipart_upload(URI, upload, parts, CREATE))
        assert len((await driver.list_parts(URI, upload, None)).parts) == 40
        await driver.delete_batch([URI])

        await finished(driver, driver.complete_multipart_upload(URI, upload, parts, CREATE))

        assert await stored(driver) == data
        assert await hidden(driver) == []


@pytest.mark.parametrize("count", [2, 33])
async def test_lost_reply_to_the_last_request(count: int) -> None:
    """
    A completion whose reply was lost recognizes its own object, and cleans up.
    """
    async with serving() as (server, driver):
        upload, parts, data = await started(driver, count)
        whole = compute(ChecksumAlgorithm.CRC32C, data)
        server.inject(Fault(path=r"some%20key/compose\?", status=None, after_work=True))
        with pytest.raises(UnavailableError):
            await finished(driver, driver.complete_multipart_upload(URI, upload, parts, CREATE, whole))

        info = await finished(driver, driver.complete_multipart_upload(URI, upload, parts, CREATE, whole))

        assert info.etag == (await driver.stat(URI, READ)).etag
        assert await hidden(driver) == []


async def test_foreign_object_after_a_lost_reply() -> None:
    """
    After a lost reply, an object with other bytes is not taken for the upload's own.
    """
    async with serving() as (server, driver):
        upload, parts, data = await started(driver, 2)
        whole = compute(ChecksumAlgorithm.CRC32C, data)
        server.inject(Fault(path=r"some%20key/compose\?", status=None))
        with pytest.raises(UnavailableError):
            await finished(driver, driver.complete_multipart_upload(URI, upload, parts, CREATE, whole))
        await driver.put(URI, BytesBody(b"x" * len(data)), PLAIN)

        with pytest.raises(AlreadyExistsError):
            await finished(driver, driver.complete_multipart_upload(URI, upload, parts, CREATE, whole))


async def test_same_bytes_without_a_lost_reply() -> None:
    """
    Without a lost reply, an object with the same bytes still means that the condition failed.
    """
    async with serving() as (_, driver):
        upload, parts, data = await started(driver, 2)
        await driver.put(URI, BytesBody(data), PLAIN)

        with pytest.raises(AlreadyExistsError):
            await finished(
                driver,
                finished(
                    driver,
                    driver.complete_multipart_upload(
                        URI, upload, parts, CREATE, compute(ChecksumAlgorithm.CRC32C, data)
                    ),
                ),
            )


async def test_abort_leaves_nothing() -> None:
    """
    Aborting an upload that was partly composed leaves no object behind.
    """
    async with serving() as (server, driver):
        upload, parts, _data = await started(driver, 70)
        server.inject(Fault(path=r"some%20key/compose\?", status=403))
        with pytest.raises(Exception, match="403"):
            await finished(driver, driver.complete_multipart_upload(URI, upload, parts, CREATE))
        assert len(await hidden(driver)) == 1 + 70 + 3

        await driver.abort_multipart_upload(URI, upload)

        assert await hidden(driver) == []
        assert (await driver.list_multipart_uploads(URI.with_key(""), None)).uploads == []


async def test_part_that_outlives_the_abort() -> None:
    """
    A part that arrives after its upload was aborted is deleted again.
    """
    async with serving() as (server, driver):
        upload = await driver.initiate_multipart_upload(URI, CREATE)
        # Its check that the upload still exists is delayed until it does not.
        server.inject(Fault(method="GET", path="uploads%2F", status=503, delay=0.2))
        sending = asyncio.ensure_future(
            finished(driver, driver.upload_part(URI, upload, 1, BytesBody(b"data"), CREATE))
        )
        while server.requests[-1].method != "GET":
            await asyncio.sleep(0.01)
        assert len(await hidden(driver)) == 2
        await driver.delete(URI.with_key(f"{HIDDEN}uploads/{upload}"), DeleteOptions())
        with pytest.raises(UnavailableError):
            await sending
        # The retry that the engine makes after a passing fault.
        with pytest.raises(NotFoundError):
            await finished(driver, driver.upload_part(URI, upload, 1, BytesBody(b"data"), CREATE))

        assert await hidden(driver) == []


@pytest.mark.parametrize("after_work", [False, True])
async def test_each_request_of_a_completion_is_retried_alone(after_work: bool) -> None:
    """
    If a request of a completion fails once, or its reply is lost, only that request is retried.
    """
    steps = ["GET marker", "GET parts", "POST joined-0", "POST joined-1", "POST joined-2", "POST target"]
    for failing in range(len(steps)):
        async with serving(multipart="compose") as (server, driver):
            storage = Storage(driver, StorageConfig.build(URI, {}), sleep=instantly)
            upload, parts, data = await started(driver, 65)
            whole = compute(ChecksumAlgorithm.CRC32C, data)
            first = len(server.requests)
            server.inject(Fault(status=None if after_work else 503, after=failing, after_work=after_work))

            await storage.complete_multipart_upload(URI, upload, parts, options=UPLOAD, checksum=whole)

            assert await stored(driver) == data
            composed = [one for one in server.requests[first:] if "/compose" in one.path]
            assert len(composed) == 3 + 1 + (steps[failing].startswith("POST"))
            described = [one for one in server.requests[first:] if "alt=media" in one.path and "uploads" in one.path]
            assert len(described) == 1 + (failing == 0)


async def test_the_check_of_a_part_is_retried_alone() -> None:
    """
    A part is not sent again because the question about its upload failed.
    """
    async with serving() as (server, driver):
        storage = Storage(driver, StorageConfig.build(URI, {}), sleep=instantly)
        upload = await driver.initiate_multipart_upload(URI, CREATE)
        server.inject(Fault(method="GET", path="uploads%2F", times=2))

        part = await storage.upload_part(URI, upload, 1, b"data")

        assert (part.number, part.size) == (1, 4)
        assert [one.method for one in server.requests[1:]] == ["POST", "GET", "GET", "GET"]


async def test_upload_id_of_another_key() -> None:
    """
    An upload id is valid for one key only.
    """
    async with serving() as (_, driver):
        upload, parts, _data = await started(driver, 1)
        other = URI.with_key("other")

        for call in (
            finished(driver, driver.upload_part(other, upload, 1, BytesBody(b""), CREATE)),
            finished(driver, driver.complete_multipart_upload(other, upload, parts, CREATE)),
            driver.list_parts(other, upload, None),
            driver.list_parts(URI, "composed-nonsense", None),
        ):
            with pytest.raises(NotFoundError):
                await call
        await driver.abort_multipart_upload(other, upload)

        assert len((await driver.list_parts(URI, upload, None)).parts) == 1


async def test_wrong_checksums_are_refused() -> None:
    """
    Parts whose combined checksum differs from the object's are not composed, whether the checksums are ours or GCS's.
    """
    async with serving() as (_, driver):
        await driver.put(URI, BytesBody(b"old"), PLAIN)
        options = WriteOptions(if_match="*")
        upload, parts, _data = await started(driver, 2, options)
        wrong = compute(ChecksumAlgorithm.CRC32C, b"other")
        nameless = [Part(part.number, part.etag, part.size) for part in parts]
        for named in (parts, nameless):
            with pytest.raises(IntegrityError):
                await finished(driver, driver.complete_multipart_upload(URI, upload, named, options, wrong))
        with pytest.raises(InvalidRequestError):
            await finished(driver, driver.complete_multipart_upload(URI, upload, [], options))

        assert await stored(driver) == b"old"
        assert [part.checksum for part in (await driver.list_parts(URI, upload, None)).parts] == [
            part.checksum for part in parts
        ]


async def test_parts_that_cannot_be_deleted(caplog: pytest.LogCaptureFixture) -> None:
    """
    Parts that cannot be deleted do not fail the upload; a warning names it, and its parts can be deleted later.
    """
    async with serving() as (server, driver):
        upload, parts, data = await started(driver, 2)
        server.inject(Fault(path="/batch/", status=503, times=None))
        await finished(driver, driver.complete_multipart_upload(URI, upload, parts, CREATE))

        assert await stored(driver) == data
        assert upload in caplog.text
        assert [one.upload_id for one in (await driver.list_multipart_uploads(URI, None)).uploads] == [upload]


async def test_engine_cleans_up() -> None:
    """
    A conditional upload of a large object that fails at the end leaves no object, hidden or not.
    """
    options = UploadOptions(if_none_match="*", part_size=5 * MiB, multipart_threshold=5 * MiB)
    async with GCSServer(buckets=[BUCKET]) as server:
        settings: dict[str, Any] = {"endpoint_url": server.url, "anonymous": True, "initial_backoff": 0.001}
        async with open_storage("gs://bucket", **settings) as storage:
            await storage.put(storage.root / "key", b"old")
            with pytest.raises(AlreadyExistsError):
                await storage.put(storage.root / "key", payload(6 * MiB), options=options)
            await storage.put(storage.root / "new", payload(6 * MiB), options=options)

            assert await storage.read(storage.root / "new") == payload(6 * MiB)
            assert [upload async for upload in storage.list_multipart_uploads()] == []
        assert {name for name in server.world.bucket(BUCKET).names if name.startswith(HIDDEN)} == set()


@pytest.mark.parametrize("root", ["", "team/", "team"])
async def test_hidden_objects_are_below_the_root(root: str) -> None:
    """
    Credentials may allow writes below one prefix only. A storage with another root completes the upload too.
    """
    async with GCSServer(buckets=[BUCKET]) as server:
        here = open_storage(f"gs://{BUCKET}/{root}", endpoint_url=server.url, anonymous=True)
        above = open_storage(f"gs://{BUCKET}", endpoint_url=server.url, anonymous=True)
        async with here, above:
            target = parse_uri(f"gs://{BUCKET}/team/key")
            upload = await here.initiate_multipart_upload(target, options=UPLOAD)
            part = await here.upload_part(target, upload, 1, b"data", options=UPLOAD)
            names = set(server.world.bucket(BUCKET).names)
            listed = [found.upload_id async for found in here.list_multipart_uploads()]
            seen = [info.key async for info in above.list(above.root)]
            await above.complete_multipart_upload(target, upload, [part], options=UPLOAD)

        folder = f"team/{HIDDEN}" if root else HIDDEN
        assert {folder} == {name[: len(folder)] for name in names}
        assert ([upload], []) == (listed, seen)
        assert {"team/key"} == set(server.world.bucket(BUCKET).names)
