"""
Unusual replies and the errors that they become, on a scripted server.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from asyncstore.config import StorageConfig
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.oci import OCIDriver, open_driver
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionFailedError,
    QuotaExceededError,
    RangeNotSatisfiableError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.options import ByteRange, CopyOptions, DeleteOptions, ListOptions, ReadOptions, WriteOptions
from asyncstore.types import Part
from asyncstore.uri import parse_uri
from tests.drivers.calls import copied
from tests.servers.oci import user
from tests.servers.scripted import Answer, Scripted, hang_up, reply, saying, scripted

ROOT = parse_uri("oci://ns/bucket/")
URI = ROOT / "some key"
READ = ReadOptions()
PLAIN = WriteOptions()


@asynccontextmanager
async def driving(*answers: Answer, **settings: Any) -> AsyncIterator[tuple[OCIDriver, Scripted]]:
    async with scripted(*answers) as server:
        own = {} if "anonymous" in settings else user().settings("us-phoenix-1")
        driver = open_driver(StorageConfig.build(ROOT, {"endpoint_url": server.url, **own, **settings}))
        try:
            yield driver, server
        finally:
            await driver.aclose()


def error(code: str, status: int, **headers: str) -> Answer:
    return saying(reply(status, json.dumps({"code": code, "message": "Words."}).encode(), **headers))


def answer_json(value: Any, status: int = 200, **headers: str) -> Answer:
    return saying(reply(status, json.dumps(value).encode(), **headers))


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("BucketNotFound", 404, NotFoundError),
        ("ConcurrentObjectUpdate", 409, UnavailableError),
        ("IfMatchFailed", 412, PreconditionFailedError),
        ("InternalServerError", 500, UnavailableError),
        ("InvalidParameter", 400, InvalidRequestError),
        ("InvalidRange", 416, RangeNotSatisfiableError),
        ("LimitExceeded", 400, QuotaExceededError),
        ("NoEtagMatch", 412, PreconditionFailedError),
        ("NotAuthenticated", 401, UnauthenticatedError),
        ("NotAuthorizedOrNotFound", 404, NotFoundError),
        ("NotAuthorized", 403, PermissionDeniedError),
        ("NotRestored", 409, PermissionDeniedError),
        ("ObjectNotFound", 404, NotFoundError),
        ("QuotaExceeded", 400, QuotaExceededError),
        ("RelatedResourceNotAuthorizedOrNotFound", 400, NotFoundError),
        ("ServiceUnavailable", 503, UnavailableError),
        ("SomethingNew", 400, InvalidRequestError),
        ("SomethingNew", 502, UnavailableError),
        ("TooManyRequests", 429, ThrottledError),
        ("UnmatchedContentCRC32C", 400, IntegrityError),
        ("UnmatchedContentMD5", 400, IntegrityError),
    ],
)
async def test_code(code: str, status: int, kind: type[StorageError]) -> None:
    """
    Each code becomes its class of error, with the facts of the reply.
    """
    answer = error(code, status, opc_request_id="R1", Retry_After="3")
    async with driving(answer) as (driver, _):
        with pytest.raises(StorageError) as caught:
            await driver.open_read(URI, READ)

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status, caught.value.provider) == (code, status, "oci")
    assert (caught.value.request_id, caught.value.retry_after) == ("R1", 3.0)
    assert caught.value.message == "Words."


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (304, NotModifiedError),
        (401, UnauthenticatedError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (412, PreconditionFailedError),
        (429, ThrottledError),
        (503, ThrottledError),
    ],
)
async def test_status_of_a_head(status: int, kind: type[StorageError]) -> None:
    """
    The reply to a HEAD has no code, so its status decides.
    """
    async with driving(saying(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n".encode())) as (driver, _):
        with pytest.raises(StorageError) as caught:
            await driver.stat(URI, READ)

    assert type(caught.value) is kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"code": 7, "message": []}', b"\xff"])
async def test_error_of_a_proxy(body: bytes) -> None:
    """
    An error without a body of OCI is named by its status, and has the id that the request was sent with.
    """
    async with driving(saying(reply(502, body))) as (driver, server):
        with pytest.raises(UnavailableError) as caught:
            await driver.open_read(URI, READ)

    assert (caught.value.code, caught.value.status) == (None, 502)
    assert caught.value.request_id == server.requests[0].headers["opc-client-request-id"]


async def test_create_only() -> None:
    """
    A failed condition of a create-only write means that the object exists.
    """
    async with driving(error("IfNoneMatchFailed", 412)) as (driver, server):
        with pytest.raises(AlreadyExistsError):
            await driver.put(URI, BytesBody(b"data"), WriteOptions(if_none_match="*"))

    assert server.requests[0].headers["if-none-match"] == "*"


@pytest.mark.parametrize("op", ["put", "delete", "complete"])
async def test_if_match_without_an_object(op: str) -> None:
    """
    A condition on an object that does not exist fails, although OCI answers 404.
    """
    async with driving(error("ObjectNotFound", 404)) as (driver, _):
        with pytest.raises(PreconditionFailedError):
            if op == "put":
                await driver.put(URI, BytesBody(b""), WriteOptions(if_match="e"))
            elif op == "delete":
                await driver.delete(URI, DeleteOptions(if_match="e"))
            else:
                options = WriteOptions(if_match="e")
                await driver.complete_multipart_upload(URI, "U", [Part(1, "p", 1)], options)


async def test_delete_of_a_missing_object() -> None:
    """
    Deleting an object that does not exist succeeds; a missing bucket is an error.
    """
    async with driving(error("ObjectNotFound", 404), error("BucketNotFound", 404)) as (driver, _):
        await driver.delete(URI, DeleteOptions())
        with pytest.raises(NotFoundError):
            await driver.delete(URI, DeleteOptions())


async def test_checksum_mismatch() -> None:
    """
    A write fails if the reply has another checksum than the bytes that were sent.
    """
    answer = saying(reply(200, ETag="e", opc_content_crc32c="AAAAAA=="))
    async with driving(answer) as (driver, _):
        with pytest.raises(IntegrityError):
            await driver.put(URI, BytesBody(b"data"), PLAIN)
        with pytest.raises(IntegrityError):
            await driver.upload_part(URI, "U", 1, BytesBody(b"data"), PLAIN)


async def test_checksum_mismatch_of_a_multipart_upload() -> None:
    """
    OCI's checksum of the whole object is compared with ours.
    """
    from asyncstore.checksum import compute
    from asyncstore.types import ChecksumAlgorithm

    answer = saying(reply(200, ETag="e", opc_content_crc32c="AAAAAA=="))
    async with driving(answer) as (driver, _):
        with pytest.raises(IntegrityError):
            whole = compute(ChecksumAlgorithm.CRC32C, b"data")
            await driver.complete_multipart_upload(URI, "U", [Part(1, "p", 4)], PLAIN, whole)


@pytest.mark.parametrize(
    "answer",
    [
        reply(206, b"data"),
        reply(206, b"data", Content_Range="bytes 0-4/9"),
        reply(206, b"data", Content_Range="items 0-3/9"),
    ],
)
async def test_invalid_partial_reply(answer: bytes) -> None:
    """
    A partial reply is refused if it does not say which bytes it carries.
    """
    async with driving(saying(answer)) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.open_read(URI, ReadOptions(range=ByteRange(0, 4)))


async def test_whole_object_instead_of_a_range() -> None:
    """
    A reply with the whole object is cut to the requested range.
    """
    async with driving(saying(reply(200, b"0123456789", ETag="e"))) as (driver, _):
        body = await driver.open_read(URI, ReadOptions(range=ByteRange(2, 5)))
        assert await body.read() == b"234"
        await body.aclose()


@pytest.mark.parametrize(
    "page",
    [
        {},
        [],
        {"objects": [{"name": "some"}]},
        {"objects": [{"name": 1, "size": 1}]},
        {"objects": [{"name": "k", "size": 1, "timeModified": "yesterday"}]},
        {"objects": [], "prefixes": [1]},
        {"objects": None},
    ],
)
async def test_malformed_page(page: Any) -> None:
    """
    A malformed page is an error that can be retried, not a crash.
    """
    async with driving(answer_json(page)) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.list_page(ROOT, ListOptions(), None)


@pytest.mark.parametrize(
    "answer", [answer_json({}), answer_json([]), saying(reply(200, b"<html>")), answer_json({"uploadId": 3})]
)
async def test_malformed_documents(answer: Answer) -> None:
    """
    A reply with another document than expected is an error.
    """
    async with driving(answer) as (driver, _):
        for call in (
            driver.initiate_multipart_upload(URI, PLAIN),
            driver.sign("GET", URI, timedelta(hours=1)),
            copied(driver, URI, ROOT / "copy", CopyOptions()),
        ):
            with pytest.raises(UnavailableError):
                await call


@pytest.mark.parametrize("value", [[{}], [3], {"a": 1}])
async def test_malformed_lists(value: Any) -> None:
    """
    A list with other entries than expected is an error.
    """
    async with driving(answer_json(value)) as (driver, _):
        for call in (driver.list_parts(URI, "U", None), driver.list_multipart_uploads(ROOT, None)):
            with pytest.raises(UnavailableError):
                await call


async def test_malformed_namespace() -> None:
    """
    A namespace that is not text is an error.
    """
    root = parse_uri("oci:///bucket/")
    async with driving(answer_json({"data": "ns"})) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.stat(root / "k", READ)


async def test_batch() -> None:
    """
    Each key of a batch has its own outcome; a key that does not exist counts as deleted.
    """
    failed = [
        {"objectName": "a", "statusCode": 404, "errorMessage": "not there"},
        {"objectName": "b", "statusCode": 429, "errorMessage": "slowly"},
    ]
    async with driving(answer_json({"deleted": [{"objectName": "c"}], "failed": failed})) as (driver, server):
        outcomes = await driver.delete_batch([ROOT / key for key in "abc"])

    assert [type(outcome) for outcome in outcomes] == [type(None), ThrottledError, type(None)]
    assert server.requests[0].target == "/n/ns/b/bucket/actions/batchDeleteObjects"


async def test_lists_of_uploads() -> None:
    """
    OCI lists the uploads of the whole bucket; those outside the prefix are left out of each page.
    """
    uploads = [{"object": key, "uploadId": "U", "timeCreated": "2026-01-02T03:04:05.678Z"} for key in ("a/1", "b/1")]
    async with driving(answer_json(uploads, opc_next_page="token"), answer_json([])) as (driver, server):
        first = await driver.list_multipart_uploads(ROOT / "b/", None)
        second = await driver.list_multipart_uploads(ROOT / "b/", first.next_token)

    assert [upload.uri.key for upload in first.uploads] == ["b/1"]
    assert first.uploads[0].initiated is not None
    assert first.uploads[0].initiated.year == 2026
    assert (second.uploads, second.next_token) == ([], None)
    assert server.requests[1].target.endswith("page=token")


async def test_abort_of_a_missing_upload() -> None:
    """
    Aborting an upload that does not exist succeeds; a missing bucket is an error.
    """
    async with driving(error("UploadNotFound", 404), error("BucketNotFound", 404)) as (driver, _):
        await driver.abort_multipart_upload(URI, "U")
        with pytest.raises(NotFoundError):
            await driver.abort_multipart_upload(URI, "U")


async def test_copy_cancelled_by_someone_else() -> None:
    """
    A copy that someone else cancelled fails and is not retried.
    """
    async with driving(saying(reply(202, opc_work_request_id="W")), answer_json({"status": "CANCELED"})) as (driver, _):
        with pytest.raises(UnavailableError) as caught:
            await copied(driver, URI, ROOT / "copy", CopyOptions())
    assert not caught.value.retryable


async def test_lost_reply() -> None:
    """
    The error of a lost reply has the id that the request was sent with.
    """
    async with driving(hang_up) as (driver, server):
        with pytest.raises(UnavailableError) as caught:
            await driver.stat(URI, READ)
    assert caught.value.request_id == server.requests[0].headers["opc-client-request-id"]


async def test_errors_have_no_signature() -> None:
    """
    Neither the message nor the traceback of an error has the signature.
    """
    async with driving(saying(b"nonsense\r\n\r\n")) as (driver, server):
        with pytest.raises(UnavailableError) as caught:
            await driver.stat(URI, READ)
        signature = server.requests[0].headers["authorization"].partition('signature="')[2][:20]
    assert signature not in repr(caught.value) + "".join(traceback.format_exception(caught.value))


async def test_anonymous_is_not_signed() -> None:
    """
    Anonymous requests are not signed, not even those with documents.
    """
    async with driving(answer_json({"uploadId": "U"}), anonymous=True) as (driver, server):
        await driver.initiate_multipart_upload(URI, PLAIN)
    assert "authorization" not in server.requests[0].headers
    assert server.requests[0].headers["content-type"] == "application/json"
