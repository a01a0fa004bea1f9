"""
Uploads that are composed: many parts, conditions, and what is left when they fail.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncstore import UploadOptions, open_storage
from asyncstore.body import BytesBody
from asyncstore.checksum import compute
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
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.gcs import GCSServer
from asyncstore.types import ChecksumAlgorithm, Part
from asyncstore.uri import parse_uri
from tests.drivers.gcs_places import BUCKET, serving
from tests.servers.gcs import GCSEndpoint, fresh_bucket

URI = parse_uri("gs://bucket/some key")
READ = ReadOptions()
PLAIN = WriteOptions()
CREATE = WriteOptions(if_none_match="*")
_REFUSAL = b"<?xml version='1.0'?><Error><Code>InvalidArgument</Code><Message>No.</Message></Error>"


async def hidden(driver: GCSDriver) -> list[str]:
    page = await driver.list_page(URI.with_key(HIDDEN), ListOptions(), None)
    return [info.key for info in page.objects]


async def begun(driver: GCSDriver, count: int, options: WriteOptions = CREATE) -> tuple[str, list[Part], bytes]:
    """Start an upload of *count* small parts."""
    upload = await driver.initiate_multipart_upload(URI, options)
    pieces = [payload(10 + number, seed=number) for number in range(count)]
    sending = [
        driver.upload_part(URI, upload, number, BytesBody(piece), options) for number, piece in enumerate(pieces, 1)
    ]
    return upload, list(await asyncio.gather(*sending)), b"".join(pieces)


async def stored(driver: GCSDriver) -> bytes:
    body = await driver.open_read(URI, READ)
    return bytes(await body.read())


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 1025])
async def test_any_number_of_parts(count: int) -> None:
    """
    32 objects are composed by one request; more by several levels of them. Nothing is left.
    """
    async with serving(multipart="compose") as (server, driver):
        upload, parts, data = await begun(driver, count)

        info = await driver.complete_multipart_upload(
            URI, upload, parts, CREATE, compute(ChecksumAlgorithm.CRC32C, data)
        )

        assert await stored(driver) == data
        assert info.checksum == compute(ChecksumAlgorithm.CRC32C, data)
        assert await hidden(driver) == []
        composed = [request for request in server.requests if request.path.partition("?")[0].endswith("/compose")]
        assert len(composed) == {1: 1, 31: 1, 32: 1, 33: 3, 64: 3, 1025: 33 + 2 + 1}[count]


async def test_where_there_is_nothing_else(fake_gcs: GCSEndpoint) -> None:
    """
    An endpoint without the multipart uploads of the XML API gets composed ones, after being asked once.
    """
    target = parse_uri(f"gs://{fresh_bucket(fake_gcs)}/some key")
    data = payload(11 * MiB)
    options = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)
    async with open_storage(target, endpoint_url=fake_gcs.url, anonymous=True) as storage:
        assert [upload async for upload in storage.list_multipart_uploads(target)] == []
        for number in range(2):
            await storage.put(target / str(number), data, options=options)
            assert await storage.read(target / str(number)) == data
        assert [info.key async for info in storage.list(target.with_key(""))] == ["some key/0", "some key/1"]


async def test_nothing_else_is_wanted(fake_gcs: GCSEndpoint) -> None:
    """
    Where the uploads of the XML API are asked for by name, their absence is said, and what would do.
    """
    target = parse_uri(f"gs://{fresh_bucket(fake_gcs)}/key")
    async with open_storage(target, endpoint_url=fake_gcs.url, anonymous=True, multipart="xml") as storage:
        with pytest.raises(NotSupportedError, match="'auto' or 'compose'"):
            await storage.initiate_multipart_upload(target)
        with pytest.raises(NotSupportedError, match="'auto' or 'compose'"):
            _ = [upload async for upload in storage.list_multipart_uploads(target)]


@pytest.mark.parametrize("bucket", ["bucket", "nobody-s"])
async def test_refusals_of_the_xml_api_are_no_absence(bucket: str) -> None:
    """
    An endpoint that has it and refuses an upload is believed: nothing is composed instead.
    """
    async with serving() as (server, driver):
        fault = server.inject(Fault(method="POST", status=400, body=_REFUSAL)) if bucket == "bucket" else None
        with pytest.raises((InvalidRequestError, NotFoundError)):
            await driver.initiate_multipart_upload(parse_uri(f"gs://{bucket}/key"), PLAIN)
        assert len(server.requests) == 1
        assert fault is None or fault.met == 1


async def test_condition_makes_it_composed() -> None:
    """
    The uploads of the XML API take no conditions, so these are composed, whatever is set.
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
    Metadata beyond ASCII goes by JSON, and so does an upload that has it.
    """
    options = WriteOptions(metadata={"name": "日本語"}, content_type="x/y", cache_control="no-store")
    async with serving() as (_, driver):
        upload, parts, _data = await begun(driver, 2, options)
        await driver.complete_multipart_upload(URI, upload, parts, options)
        found = await driver.stat(URI, READ)

        assert is_composed(upload)
        assert (found.metadata, found.content_type, found.cache_control) == ({"name": "日本語"}, "x/y", "no-store")


async def test_storage_class_is_that_of_the_beginning() -> None:
    """
    Parts are of the class that the object is to have: what is composed is of theirs.
    """
    options = WriteOptions(storage_class="NEARLINE", if_none_match="*")
    async with serving() as (_, driver):
        upload, parts, _data = await begun(driver, 33, options)
        await driver.complete_multipart_upload(URI, upload, parts, options)

        assert (await driver.stat(URI, READ)).storage_class == "NEARLINE"


@pytest.mark.parametrize("etag", ["current", "*"])
async def test_replacing(etag: str) -> None:
    """
    The version that is named is replaced, once; with ``*`` whichever there is, but not none.
    """
    async with serving() as (_, driver):
        missing, parts, _data = await begun(driver, 2, WriteOptions(if_match="*"))
        with pytest.raises(PreconditionFailedError):
            await driver.complete_multipart_upload(URI, missing, parts, WriteOptions(if_match="*"))
        old = await driver.put(URI, BytesBody(b"old"), PLAIN)
        options = WriteOptions(if_match="*" if etag == "*" else old.etag)
        upload, parts, data = await begun(driver, 2, options)
        again, again_parts, _data = await begun(driver, 3, options)
        await driver.complete_multipart_upload(URI, upload, parts, options)
        if etag != "*":
            with pytest.raises(PreconditionFailedError) as failure:
                await driver.complete_multipart_upload(URI, again, again_parts, options)
            assert not isinstance(failure.value, AlreadyExistsError)

        assert await stored(driver) == data


async def test_failed_condition_keeps_the_upload() -> None:
    """
    A completion that is refused can be tried again when the condition holds.
    """
    async with serving() as (_, driver):
        await driver.put(URI, BytesBody(b"old"), PLAIN)
        upload, parts, data = await begun(driver, 40)
        with pytest.raises(AlreadyExistsError):
            await driver.complete_multipart_upload(URI, upload, parts, CREATE)
        assert len((await driver.list_parts(URI, upload, None)).parts) == 40
        await driver.delete_batch([URI])

        await driver.complete_multipart_upload(URI, upload, parts, CREATE)

        assert await stored(driver) == data
        assert await hidden(driver) == []


@pytest.mark.parametrize("count", [2, 33])
async def test_lost_reply_to_the_last_request(count: int) -> None:
    """
    A completion whose reply was lost finds its own object, and cleans up.
    """
    async with serving() as (server, driver):
        upload, parts, data = await begun(driver, count)
        whole = compute(ChecksumAlgorithm.CRC32C, data)
        server.inject(Fault(path=r"some%20key/compose\?", status=None, after_work=True))
        with pytest.raises(UnavailableError):
            await driver.complete_multipart_upload(URI, upload, parts, CREATE, whole)

        info = await driver.complete_multipart_upload(URI, upload, parts, CREATE, whole)

        assert info.etag == (await driver.stat(URI, READ)).etag
        assert await hidden(driver) == []


async def test_object_of_others_is_not_taken_for_ours() -> None:
    """
    After a lost reply, an object with other bytes is somebody else's.
    """
    async with serving() as (server, driver):
        upload, parts, data = await begun(driver, 2)
        whole = compute(ChecksumAlgorithm.CRC32C, data)
        server.inject(Fault(path=r"some%20key/compose\?", status=None))
        with pytest.raises(UnavailableError):
            await driver.complete_multipart_upload(URI, upload, parts, CREATE, whole)
        await driver.put(URI, BytesBody(b"x" * len(data)), PLAIN)

        with pytest.raises(AlreadyExistsError):
            await driver.complete_multipart_upload(URI, upload, parts, CREATE, whole)


async def test_same_bytes_of_others_are_not_ours_without_doubt() -> None:
    """
    Where no reply was lost, an object with the very same bytes is somebody else's all the same.
    """
    async with serving() as (_, driver):
        upload, parts, data = await begun(driver, 2)
        await driver.put(URI, BytesBody(data), PLAIN)

        with pytest.raises(AlreadyExistsError):
            await driver.complete_multipart_upload(URI, upload, parts, CREATE, compute(ChecksumAlgorithm.CRC32C, data))


async def test_abort_leaves_nothing() -> None:
    """
    An upload that is aborted after some of it was put together leaves no object behind.
    """
    async with serving() as (server, driver):
        upload, parts, _data = await begun(driver, 70)
        server.inject(Fault(path=r"some%20key/compose\?", status=403))
        with pytest.raises(Exception, match="403"):
            await driver.complete_multipart_upload(URI, upload, parts, CREATE)
        assert len(await hidden(driver)) == 1 + 70 + 3

        await driver.abort_multipart_upload(URI, upload)

        assert await hidden(driver) == []
        assert (await driver.list_multipart_uploads(URI.with_key(""), None)).uploads == []


async def test_part_that_outlives_the_abort() -> None:
    """
    A part whose bytes arrive when its upload has been aborted takes itself away again.
    """
    async with serving() as (server, driver):
        upload = await driver.initiate_multipart_upload(URI, CREATE)
        # Its question whether the upload is still there waits until it is not.
        server.inject(Fault(method="GET", path="uploads%2F", status=503, delay=0.2))
        sending = asyncio.ensure_future(driver.upload_part(URI, upload, 1, BytesBody(b"data"), CREATE))
        while server.requests[-1].method != "GET":
            await asyncio.sleep(0.01)
        assert len(await hidden(driver)) == 2
        await driver.delete(URI.with_key(f"{HIDDEN}uploads/{upload}"), DeleteOptions())
        with pytest.raises(UnavailableError):
            await sending
        # As the engine does after a passing fault.
        with pytest.raises(NotFoundError):
            await driver.upload_part(URI, upload, 1, BytesBody(b"data"), CREATE)

        assert await hidden(driver) == []


async def test_other_key_has_other_uploads() -> None:
    """
    An id is good for one key only.
    """
    async with serving() as (_, driver):
        upload, parts, _data = await begun(driver, 1)
        other = URI.with_key("other")

        for call in (
            driver.upload_part(other, upload, 1, BytesBody(b""), CREATE),
            driver.complete_multipart_upload(other, upload, parts, CREATE),
            driver.list_parts(other, upload, None),
            driver.list_parts(URI, "composed-nonsense", None),
        ):
            with pytest.raises(NotFoundError):
                await call
        await driver.abort_multipart_upload(other, upload)

        assert len((await driver.list_parts(URI, upload, None)).parts) == 1


async def test_wrong_sums_are_refused() -> None:
    """
    Parts that do not make the object that was meant are not composed, by whatever sums: ours or GCS's.
    """
    async with serving() as (_, driver):
        await driver.put(URI, BytesBody(b"old"), PLAIN)
        options = WriteOptions(if_match="*")
        upload, parts, _data = await begun(driver, 2, options)
        wrong = compute(ChecksumAlgorithm.CRC32C, b"other")
        nameless = [Part(part.number, part.etag, part.size) for part in parts]
        for named in (parts, nameless):
            with pytest.raises(IntegrityError):
                await driver.complete_multipart_upload(URI, upload, named, options, wrong)
        with pytest.raises(InvalidRequestError):
            await driver.complete_multipart_upload(URI, upload, [], options)

        assert await stored(driver) == b"old"
        assert [part.checksum for part in (await driver.list_parts(URI, upload, None)).parts] == [
            part.checksum for part in parts
        ]


async def test_parts_that_cannot_be_deleted(caplog: pytest.LogCaptureFixture) -> None:
    """
    An object that is there is no failure, whatever becomes of its parts; they can be found and deleted later.
    """
    async with serving() as (server, driver):
        upload, parts, data = await begun(driver, 2)
        server.inject(Fault(path="/batch/", status=503, times=None))
        await driver.complete_multipart_upload(URI, upload, parts, CREATE)

        assert await stored(driver) == data
        assert upload in caplog.text
        assert [one.upload_id for one in (await driver.list_multipart_uploads(URI, None)).uploads] == [upload]


async def test_engine_cleans_up() -> None:
    """
    A conditional upload of a large object that fails in the end leaves nothing, hidden or not.
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
