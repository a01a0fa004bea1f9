"""
Errors and odd replies of GCS, from a scripted server, and what the driver makes of them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncstore.driver import NotInBatchError
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.gcs import GCSDriver
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
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
from tests.drivers.calls import copied, finished
from tests.drivers.gcs.places import opened
from tests.servers.scripted import Answer, Exchange, Scripted, reply, saying, scripted

URI = parse_uri("gs://bucket/some key")
READ = ReadOptions()
NOTHING = json.dumps({"name": "some key", "generation": "7", "size": "0"}).encode()


@asynccontextmanager
async def driving(*answers: Answer, **settings: Any) -> AsyncIterator[tuple[GCSDriver, Scripted]]:
    async with scripted(*answers) as server, opened(server.url, **settings) as driver:
        yield driver, server


def json_error(status: int, reason: str, message: str = "Words.", **headers: str) -> Answer:
    detail = {"domain": "global", "reason": reason, "message": message}
    body = {"error": {"code": status, "message": message, "errors": [detail]}}
    return saying(reply(status, json.dumps(body).encode(), **headers))


def xml_error(status: int, code: str, **headers: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Words.</Message><Details>More.</Details></Error>"
    return saying(reply(status, body.encode(), **headers))


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [
        ("authError", 401, UnauthenticatedError),
        ("backendError", 503, UnavailableError),
        ("conditionNotMet", 412, PreconditionFailedError),
        ("conflict", 409, InvalidRequestError),
        ("forbidden", 403, PermissionDeniedError),
        ("insufficientPermissions", 403, PermissionDeniedError),
        ("internalError", 500, UnavailableError),
        ("invalid", 400, InvalidRequestError),
        ("notFound", 404, NotFoundError),
        ("quotaExceeded", 403, QuotaExceededError),
        ("rateLimitExceeded", 429, ThrottledError),
        ("rateLimitExceeded", 503, ThrottledError),
        ("required", 400, InvalidRequestError),
        ("somethingNew", 400, InvalidRequestError),
        ("somethingNew", 502, UnavailableError),
        ("somethingNew", 503, ThrottledError),
        ("userRateLimitExceeded", 403, ThrottledError),
    ],
)
async def test_reason(reason: str, status: int, kind: type[StorageError]) -> None:
    """
    Every reason of the JSON API has its class, and the error carries status, request id and wait.
    """
    answer = json_error(status, reason, x_guploader_uploadid="R1", Retry_After="3")
    async with driving(answer) as (driver, _):
        with pytest.raises(StorageError) as caught:
            await driver.stat(URI, READ)

    error = caught.value
    assert type(error) is kind
    assert (error.code, error.status, error.request_id, error.retry_after) == (reason, status, "R1", 3)
    assert error.message == "Words."


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDenied", 403, PermissionDeniedError),
        ("BadDigest", 400, IntegrityError),
        ("EntityTooSmall", 400, InvalidRequestError),
        ("ExpiredToken", 400, UnauthenticatedError),
        ("InternalError", 500, UnavailableError),
        ("InvalidRange", 416, RangeNotSatisfiableError),
        ("NoSuchBucket", 404, NotFoundError),
        ("NoSuchKey", 404, NotFoundError),
        ("PreconditionFailed", 412, PreconditionFailedError),
        ("ServiceUnavailable", 503, ThrottledError),
        ("SignatureDoesNotMatch", 403, UnauthenticatedError),
        ("SlowDown", 429, ThrottledError),
        ("SomethingNew", 400, InvalidRequestError),
        ("UserProjectMissing", 400, PermissionDeniedError),
    ],
)
async def test_code(code: str, status: int, kind: type[StorageError]) -> None:
    """
    Every code of the XML API has its class too.
    """
    async with driving(xml_error(status, code, x_guploader_uploadid="R1")) as (driver, _):
        with pytest.raises(StorageError) as caught:
            await driver.open_read(URI, READ)

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status, caught.value.request_id) == (code, status, "R1")
    assert caught.value.message == "Words. More."


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (304, b"", NotModifiedError),
        (400, b"", InvalidRequestError),
        (401, b"<html>who?</html>", UnauthenticatedError),
        (403, b"{broken", PermissionDeniedError),
        (404, b"Not Found", NotFoundError),
        (408, b"", UnavailableError),
        (429, b"{}", ThrottledError),
        (500, b'{"error": "odd"}', UnavailableError),
        (502, b"<!DOCTYPE x [<!ENTITY a 'b'>]><Error><Code>NoSuchKey</Code></Error>", UnavailableError),
        (400, b'{"error": {"message": "Provided CRC32C \\"x\\" does not match"}}', IntegrityError),
    ],
)
async def test_odd_bodies(status: int, body: bytes, kind: type[StorageError]) -> None:
    """
    A reply that a proxy wrote, or an empty one, is classified by its status.
    """
    async with driving(saying(reply(status, b"" if status == 304 else body))) as (driver, _):
        with pytest.raises(StorageError) as caught:
            await driver.stat(URI, READ)

    assert type(caught.value) is kind


async def test_secrets_in_replies_are_masked() -> None:
    """
    The provider's message is not repeated where it looks like a token.
    """
    async with driving(json_error(400, "invalid", "bad header Authorization: Bearer fake-token-1")) as (driver, _):
        with pytest.raises(InvalidRequestError) as caught:
            await driver.stat(URI, READ)

    assert "fake-token-1" not in str(caught.value)


async def test_create_only() -> None:
    """
    A failed condition of a create-only write means that the object exists.
    """
    async with driving(json_error(412, "conditionNotMet")) as (driver, _):
        with pytest.raises(AlreadyExistsError):
            await driver.put(URI, BytesBody(b"data"), WriteOptions(if_none_match="*"))
        with pytest.raises(PreconditionFailedError) as caught:
            await driver.put(URI, BytesBody(b"data"), WriteOptions(if_match="7"))

    assert type(caught.value) is PreconditionFailedError


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("No such object: bucket/some key", None),
        ("The specified bucket does not exist.", NotFoundError),
    ],
)
async def test_missing_object_or_bucket(message: str, kind: type[StorageError] | None) -> None:
    """
    Deleting a missing object succeeds; a missing bucket is an error.
    """
    async with driving(json_error(404, "notFound", message)) as (driver, _):
        if kind is None:
            await driver.delete(URI, DeleteOptions())
            with pytest.raises(PreconditionFailedError):
                await driver.delete(URI, DeleteOptions(if_match="7"))
        else:
            with pytest.raises(kind):
                await driver.delete(URI, DeleteOptions())


async def test_token_is_refreshed_once() -> None:
    """
    A request whose token is rejected is sent once more with a fresh one.
    """
    tokens = iter(["old", "new"])
    answers = [json_error(401, "authError"), saying(reply(200, NOTHING))]
    async with driving(*answers, token=lambda: next(tokens)) as (driver, server):
        await driver.stat(URI, READ)

    assert [one.headers["authorization"] for one in server.requests] == ["Bearer old", "Bearer new"]


async def test_token_that_cannot_be_refreshed() -> None:
    """
    A rejected token that cannot be refreshed is not sent again.
    """
    async with driving(json_error(401, "authError"), token="fake") as (driver, server):
        with pytest.raises(UnauthenticatedError):
            await driver.stat(URI, READ)

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ({"Content_Range": "bytes 0-4/9"}, ReadOptions(range=ByteRange(0, 4))),
        ({"Content_Range": "nonsense"}, ReadOptions(range=ByteRange(0, 4))),
    ],
)
async def test_wrong_partial_reply(headers: dict[str, str], options: ReadOptions) -> None:
    """
    A partial reply whose length or range is wrong is refused.
    """
    async with driving(saying(reply(206, b"data", **headers))) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.open_read(URI, options)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_goog_stored_content_encoding": "gzip"},
        {"x_goog_stored_content_encoding": "identity", "Content_Encoding": "gzip"},
    ],
    ids=["decompressed", "compressed"],
)
async def test_changed_compression(headers: dict[str, str]) -> None:
    """
    A reply that was compressed or decompressed on the way is refused: size and checksum are of other bytes.
    """
    async with driving(saying(reply(200, b"data", **headers))) as (driver, server):
        with pytest.raises(NotSupportedError, match="compression"):
            await driver.open_read(URI, READ)

    assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b'{"name": "x"}',
        b'{"generation": "1", "size": "many"}',
        b'{"generation": "", "size": "1"}',
        b'{"generation": null, "size": "1"}',
    ],
)
async def test_unreadable_objects(body: bytes) -> None:
    """
    A reply that is not an object resource is a fault of the server.
    """
    async with driving(saying(reply(200, body))) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.stat(URI, READ)


@pytest.mark.parametrize("body", [b'{"items": [{}]}', b'{"items": [7]}', b'{"items": [{"name": "x"}]}'])
async def test_unreadable_listings(body: bytes) -> None:
    """
    So is a listing whose entries are not object resources.
    """
    async with driving(saying(reply(200, body))) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.list_page(URI.with_key(""), ListOptions(), None)


async def test_copy_takes_several_calls() -> None:
    """
    A copy is continued until GCS says that it is done, each call with the token of the last reply.
    """
    unfinished = json.dumps({"done": False, "rewriteToken": "T/1"}).encode()
    done = json.dumps({"done": True, "resource": json.loads(NOTHING)}).encode()
    async with driving(*[saying(reply(200, body)) for body in (unfinished, unfinished, done)]) as (driver, server):
        info = await copied(driver, URI, URI.with_key("copy"), CopyOptions(if_none_match="*"))

    assert (info.uri.key, info.etag) == ("copy", "7")
    assert ["rewriteToken=T%2F1" in one.target for one in server.requests] == [False, True, True]
    assert all("ifGenerationMatch=0" in one.target for one in server.requests)


async def test_copy_without_done_or_token() -> None:
    """
    A reply that is neither done nor has a token to continue is an error, not an endless loop.
    """
    async with driving(saying(reply(200, b'{"done": false}'))) as (driver, _):
        with pytest.raises(UnavailableError):
            await copied(driver, URI, URI.with_key("copy"), CopyOptions())


def batch_reply(*parts: tuple[int, bytes]) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.body()
        text = b""
        for number, content in parts:
            text += b"--limit\r\nContent-Type: application/http\r\n"
            text += b"Content-ID: <response-item%d>\r\n\r\n%s\r\n" % (number, content)
        headers = {"Content_Type": "multipart/mixed; boundary=limit"}
        await exchange.send(reply(200, text + b"--limit--\r\n", **headers))

    return answer


async def test_batch_outcomes() -> None:
    """
    Each key has its own outcome, whatever the order of the parts in the reply.
    """
    slow = json.dumps({"error": {"code": 429, "message": "Slow.", "errors": [{"reason": "rateLimitExceeded"}]}})
    gone = json.dumps({"error": {"code": 404, "message": "No such object", "errors": [{"reason": "notFound"}]}})
    answer = batch_reply(
        (2, b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        (0, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (3, b"HTTP/1.1 429 Too Many\r\nRetry-After: 4\r\nContent-Type: x\r\n\r\n" + slow.encode()),
        (1, b"HTTP/1.1 404 Not Found\r\n\r\n" + gone.encode()),
    )
    async with driving(answer) as (driver, server):
        outcomes = await driver.delete_batch([URI.with_key(f"{n} ä/?") for n in range(4)])

    assert outcomes[:2] == [None, None]
    assert isinstance(outcomes[2], PermissionDeniedError)
    assert isinstance(outcomes[3], ThrottledError)
    assert outcomes[3].retry_after == 4
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_endpoint_without_batches(status: int) -> None:
    """
    An endpoint without batch requests is not mistaken for missing objects or a passing fault.
    """
    async with driving(saying(reply(status, b"<!doctype html><title>No</title>"))) as (driver, server):
        with pytest.raises(NotSupportedError, match="does not support batch requests"):
            await driver.delete_batch([URI])

    assert len(server.requests) == 1


async def test_batch_reply_without_a_key() -> None:
    """
    A key that the reply leaves out does not count as deleted.
    """
    async with driving(batch_reply((0, b"HTTP/1.1 204 No Content\r\n\r\n"))) as (driver, _):
        outcomes = await driver.delete_batch([URI, URI.with_key("other")])

    assert outcomes[0] is None
    assert isinstance(outcomes[1], NotInBatchError)


async def test_batch_with_invalid_names() -> None:
    """
    A name that GCS does not allow fails alone; the others are deleted.
    """
    async with driving(batch_reply((1, b"HTTP/1.1 204 No Content\r\n\r\n"))) as (driver, server):
        outcomes = await driver.delete_batch([URI.with_key("a\nb"), URI])
        assert await driver.delete_batch([URI.with_key("..")]) != [None]

    assert isinstance(outcomes[0], StorageError)
    assert outcomes[1] is None
    assert len(server.requests) == 1


async def test_completion_without_a_generation() -> None:
    """
    If the reply does not name the new generation, a stat finds it.
    """
    document = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
    async with driving(saying(reply(200, document)), saying(reply(200, NOTHING))) as (driver, server):
        info = await finished(driver, driver.complete_multipart_upload(URI, "id", [Part(1, "e", 0)], WriteOptions()))

    assert info.etag == "7"
    assert [one.method for one in server.requests] == ["POST", "GET"]


async def test_condition_only_at_completion() -> None:
    """
    An upload started without a condition cannot be completed with one: nothing is sent.
    """
    async with driving(saying(reply(200, b""))) as (driver, server):
        with pytest.raises(NotSupportedError):
            await finished(
                driver, driver.complete_multipart_upload(URI, "id", [Part(1, "e", 0)], WriteOptions(if_match="7"))
            )

    assert server.requests == []


@pytest.mark.parametrize("key", ["a\nb", "a\rb", ".", "..", ".well-known/acme-challenge/x"])
async def test_invalid_names(key: str) -> None:
    """
    Every verb refuses a name that GCS does not allow, before anything is sent.
    """
    uri = URI.with_key(key)
    async with driving(saying(reply(200, NOTHING))) as (driver, server):
        for call in (
            driver.stat(uri, READ),
            driver.open_read(uri, READ),
            driver.put(uri, BytesBody(b""), WriteOptions()),
            driver.delete(uri, DeleteOptions()),
            copied(driver, uri, URI, CopyOptions()),
            copied(driver, URI, uri, CopyOptions()),
            driver.initiate_multipart_upload(uri, WriteOptions()),
            driver.initiate_multipart_upload(uri, WriteOptions(if_none_match="*")),
        ):
            with pytest.raises(ValueError, match="GCS does not allow"):
                await call

    assert server.requests == []


@pytest.mark.parametrize("etag", ["abc", "0", "00000000000000000000000000000000", "CKih16GjycICEAE="])
async def test_foreign_etags_match_nothing(etag: str) -> None:
    """
    An ETag that is not a generation is sent as one that no object has, never as 0, which means "no object".
    """
    async with driving(saying(reply(200, NOTHING))) as (driver, server):
        await driver.delete(URI, DeleteOptions(if_match=etag))
        await driver.stat(URI, ReadOptions(if_match=etag))

    assert [f"ifGenerationMatch={2**63 - 1}" in one.target for one in server.requests] == [True, True]
