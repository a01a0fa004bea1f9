"""
Replies of Azure, errors and malformed ones among them, from a scripted server.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest

from asyncstore.config import StorageConfig
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.azure import AzureDriver, open_driver
from asyncstore.drivers.azure.blocks import Block
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.options import (
    ByteRange,
    CopyOptions,
    DeleteOptions,
    ListOptions,
    MiB,
    ReadOptions,
    WriteOptions,
)
from asyncstore.uri import parse_uri
from tests.drivers.calls import copied
from tests.servers.azure import FakeCredential
from tests.servers.scripted import Answer, Exchange, Scripted, hang_up, reply, saying, scripted

ROOT = parse_uri("azure://container")
URI = ROOT / "some key"
READ = ReadOptions()
FAKE_SAS = "sv=2022-11-02&sp=rw&sig=fake-signature"
CREATED = saying(reply(201, ETag='"0x1"'))


@asynccontextmanager
async def driving(*answers: Answer, **settings: Any) -> AsyncIterator[tuple[AzureDriver, Scripted]]:
    async with scripted(*answers) as server:
        if not settings.keys() & {"sas_token", "credential", "anonymous"}:
            settings["account_key"] = "ZmFrZS1rZXk="
        where = {"endpoint_url": f"{server.url}/acct"}
        driver = open_driver(StorageConfig.build(ROOT, {**where, **settings}))
        try:
            yield driver, server
        finally:
            await driver.aclose()


def error(code: str, status: int, message: str = "Words.", **headers: str) -> Answer:
    body = (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>'
        f"<Message>{message}\nRequestId:R1\nTime:now</Message></Error>"
    )
    return saying(reply(status, body.encode(), **headers))


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccountIsDisabled", 403, PermissionDeniedError),
        ("AuthorizationFailure", 403, PermissionDeniedError),
        ("BlobAlreadyExists", 409, AlreadyExistsError),
        ("BlobArchived", 409, PermissionDeniedError),
        ("BlobNotFound", 404, NotFoundError),
        ("CannotVerifyCopySource", 404, NotFoundError),
        ("CannotVerifyCopySource", 500, UnavailableError),
        ("ConditionNotMet", 412, PreconditionFailedError),
        ("ContainerBeingDeleted", 409, UnavailableError),
        ("ContainerNotFound", 404, NotFoundError),
        ("Crc64Mismatch", 400, IntegrityError),
        ("InternalError", 500, UnavailableError),
        ("InvalidRange", 416, RangeNotSatisfiableError),
        ("LeaseIdMissing", 412, PreconditionFailedError),
        ("Md5Mismatch", 400, IntegrityError),
        ("OperationTimedOut", 500, UnavailableError),
        ("PublicAccessNotPermitted", 409, PermissionDeniedError),
        ("ServerBusy", 503, ThrottledError),
        ("SnapshotsPresent", 409, InvalidRequestError),
        ("SomethingNew", 400, InvalidRequestError),
        ("SomethingNew", 502, UnavailableError),
    ],
)
async def test_code(code: str, status: int, kind: type[StorageError]) -> None:
    """
    Each code has its class of error, which carries the facts of the reply.
    """
    async with driving(error(code, status, x_ms_request_id="R1", Retry_After="3")) as (driver, _):
        with pytest.raises(StorageError) as caught:
            await driver.open_read(URI, READ)

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status) == (code, status)
    assert caught.value.message == "Words."
    assert (caught.value.request_id, caught.value.retry_after) == ("R1", 3.0)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (304, {"x_ms_error_code": "ConditionNotMet"}, NotModifiedError),
        (403, {}, PermissionDeniedError),
        (404, {"x_ms_error_code": "BlobNotFound"}, NotFoundError),
        (409, {"x_ms_error_code": "BlobArchived"}, PermissionDeniedError),
        (412, {}, PreconditionFailedError),
        (429, {}, ThrottledError),
        (500, {}, UnavailableError),
        (503, {}, ThrottledError),
    ],
)
async def test_head_without_a_body(status: int, headers: dict[str, str], kind: type[StorageError]) -> None:
    """
    The reply to a HEAD has its code in a header; without one, the status decides.
    """
    async with driving(saying(reply(status, b"", **headers))) as (driver, _):
        with pytest.raises(kind) as caught:
            await driver.stat(URI, READ)

    assert type(caught.value) is kind


async def test_lease_does_not_mean_that_the_blob_exists() -> None:
    """
    A create-only write that a lease blocks fails differently from one that finds a blob.
    """
    async with driving(error("LeaseIdMissing", 412)) as (driver, _):
        with pytest.raises(PreconditionFailedError) as caught:
            await driver.put(URI, BytesBody(b"x"), WriteOptions(if_none_match="*"))

    assert not isinstance(caught.value, AlreadyExistsError)


async def test_signature_stays_out_of_errors_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    """
    A signature is sent, and never appears in a message or log, whatever fails.
    """
    caplog.set_level(logging.DEBUG)
    echo = error("InvalidUri", 400, "See http://127.0.0.1/acct/container/key?sv=1&amp;sig=fake-signature for more.")
    shown = []
    async with driving(echo, hang_up, sas_token=FAKE_SAS) as (driver, server):
        for _ in range(2):
            with pytest.raises(StorageError) as caught:
                await driver.open_read(URI, READ)
            shown.append(f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {caught.value.__dict__}")
        shown.append(f"{driver.describe()} {driver._wire.credentials!r}")
        sent = server.requests[0].target

    assert sent.endswith(f"?{FAKE_SAS}")
    assert "fake-signature" not in "".join(shown)
    assert "fake-signature" not in caplog.text


async def test_clock_is_learned() -> None:
    """
    After a refusal for clock skew, the request is sent again with the service's time, as are all later ones.
    """
    theirs = datetime.now(UTC) - timedelta(hours=2)
    refused = error("AuthenticationFailed", 403, Date=format_datetime(theirs, usegmt=True))
    async with driving(refused, CREATED) as (driver, server):
        await driver.put(URI, BytesBody(b"x"), WriteOptions())
        await driver.put(URI, BytesBody(b"x"), WriteOptions())
        dates = [parsedate_to_datetime(request.headers["x-ms-date"]) for request in server.requests]

    assert len(dates) == 3
    assert abs(dates[0] - theirs) > timedelta(hours=1)
    assert all(abs(date - theirs) < timedelta(minutes=1) for date in dates[1:])


async def test_wrong_key_is_not_retried() -> None:
    """
    If the clock is right and the key cannot be refreshed, one request is enough.
    """
    now = format_datetime(datetime.now(UTC), usegmt=True)
    async with driving(error("AuthenticationFailed", 403, Date=now)) as (driver, server):
        with pytest.raises(UnauthenticatedError):
            await driver.open_read(URI, READ)

    assert len(server.requests) == 1


async def test_refused_token_is_renewed() -> None:
    """
    A token that the service rejects is refreshed once.
    """
    credential = FakeCredential()
    refused = error("InvalidAuthenticationInfo", 401)
    async with driving(refused, CREATED, credential=credential) as (driver, server):
        await driver.put(URI, BytesBody(b"x"), WriteOptions())
        tokens = [request.headers["authorization"] for request in server.requests]

    assert credential.asked == 2
    assert len(set(tokens)) == 2
    assert all(token.startswith("Bearer ey") for token in tokens)


async def test_headers_of_a_write() -> None:
    """
    A write sends what the settings ask for.
    """
    settings = {"lease_id": "lease-1", "tags": {"project": "a b", "x": "1"}, "api_version": "2025-11-05"}
    async with driving(CREATED, **settings) as (driver, server):
        options = WriteOptions(metadata={"with-dash": "é"}, storage_class="Cool", content_type="text/x")
        await driver.put(URI, BytesBody(b"data"), options)
        sent = server.requests[0].headers

    assert sent["x-ms-lease-id"] == "lease-1"
    assert dict(parse_qsl(sent["x-ms-tags"])) == settings["tags"]
    assert sent["x-ms-version"] == "2025-11-05"
    assert sent["x-ms-access-tier"] == "Cool"
    assert sent["x-ms-blob-content-type"] == "text/x"
    assert sent["x-ms-meta-with_x002d_dash"] == "=?UTF-8?B?w6k=?="
    assert sent["x-ms-blob-type"] == "BlockBlob"


async def test_version_or_snapshot() -> None:
    """
    An id names a version, unless it starts with ``snapshot:``.
    """
    version = saying(reply(200, b"", ETag='"0x1"', x_ms_version_id="2026-01-01T00:00:00.0000000Z"))
    async with driving(version, saying(reply(200, b"", ETag='"0x1"')), anonymous=True) as (driver, server):
        found = await driver.stat(URI, ReadOptions(version_id="2026-01-01T00:00:00.0000000Z"))
        await driver.stat(URI, ReadOptions(version_id="snapshot:2026-01-01T00:00:00.0000000Z"))
        await driver.delete(URI, DeleteOptions(version_id="snapshot:2026-01-01T00:00:00.0000000Z"))
        queries = [dict(parse_qsl(urlsplit(request.target).query)) for request in server.requests]

    assert found.version_id == "2026-01-01T00:00:00.0000000Z"
    assert queries == [
        {"versionid": "2026-01-01T00:00:00.0000000Z"},
        {"snapshot": "2026-01-01T00:00:00.0000000Z"},
        {"snapshot": "2026-01-01T00:00:00.0000000Z"},
    ]


@pytest.mark.parametrize("header", [{}, {"Content_Range": "words"}, {"Content_Range": "bytes 0-7/9"}])
async def test_malformed_partial_reply(header: dict[str, str]) -> None:
    """
    A partial reply that does not name its range, or has another length, is an error.
    """
    async with driving(saying(reply(206, b"data", ETag='"0x1"', **header))) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.open_read(URI, ReadOptions(range=ByteRange(0, 4)))


async def test_whole_blob_instead_of_a_range() -> None:
    """
    If the reply is the whole blob, only the requested range is returned.
    """
    async with driving(saying(reply(200, b"0123456789", ETag='"0x1"'))) as (driver, _):
        body = await driver.open_read(URI, ReadOptions(range=ByteRange(2, 5)))
        assert await body.read() == b"234"
        await body.aclose()


async def test_end_of_a_blob_that_is_replaced() -> None:
    """
    If the blob is replaced between the two requests for its last bytes, the error can be retried.
    """
    head = saying(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: "0x1"\r\n\r\n')
    async with driving(head, error("ConditionNotMet", 412)) as (driver, server):
        with pytest.raises(UnavailableError):
            await driver.open_read(URI, ReadOptions(range=ByteRange(-3)))
        sent = server.requests[1].headers

    assert (sent["x-ms-range"], sent["if-match"]) == ("bytes=7-9", '"0x1"')


async def test_checksum_of_the_reply_differs() -> None:
    """
    A successful reply with another checksum than that of the bytes sent is an error.
    """
    async with driving(saying(reply(201, ETag='"0x1"', x_ms_content_crc64="AAAAAAAAAAA="))) as (driver, _):
        with pytest.raises(IntegrityError):
            await driver.put(URI, BytesBody(b"data"), WriteOptions())


def listing(content: str) -> Answer:
    return saying(reply(200, f"\ufeff<?xml version='1.0'?><EnumerationResults>{content}</EnumerationResults>".encode()))


async def test_encoded_names() -> None:
    """
    A name that XML cannot carry is encoded; any other is not.
    """
    page = listing(
        '<Blobs><Blob><Name Encoded="true">a%01b%2Fc</Name><Properties><Content-Length>3</Content-Length>'
        "<Etag>0x1</Etag><Last-Modified>Sun, 06 Nov 1994 08:49:37 GMT</Last-Modified></Properties></Blob>"
        "<Blob><Name>a%01b</Name><Properties/></Blob></Blobs><NextMarker>more</NextMarker>"
    )
    async with driving(page) as (driver, _):
        found = await driver.list_page(ROOT, ListOptions(), None)

    assert [info.key for info in found.objects] == ["a\x01b/c", "a%01b"]
    assert found.next_token == "more"
    assert found.objects[0].last_modified == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


async def test_directories_are_not_listed() -> None:
    """
    The directories of an account with a hierarchical namespace are left out.
    """
    page = listing(
        "<Blobs><Blob><Name>dir</Name><Properties><ResourceType>directory</ResourceType></Properties></Blob>"
        "<Blob><Name>dir/key</Name><Properties><ResourceType>file</ResourceType></Properties></Blob></Blobs>"
    )
    async with driving(page) as (driver, _):
        found = await driver.list_page(ROOT, ListOptions(), None)

    assert [info.key for info in found.objects] == ["dir/key"]


@pytest.mark.parametrize(
    "content", ["<Blobs><Blob><Properties/></Blob></Blobs>", "<Blobs><Blob><Name/></Blob></Blobs>"]
)
async def test_entry_without_a_name(content: str) -> None:
    """
    An invalid page is an error, not the end of the listing.
    """
    async with driving(listing(content)) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.list_page(ROOT, ListOptions(), None)


@pytest.mark.parametrize("body", [b"", b"words", b"<Other/>", b"<!DOCTYPE x><EnumerationResults/>", b"<Enum"])
async def test_invalid_listing(body: bytes) -> None:
    """
    Any other document is an error, and one with a document type is not parsed.
    """
    async with driving(saying(reply(200, body))) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.list_page(ROOT, ListOptions(), None)


@pytest.mark.parametrize(("api_version", "asked"), [("2025-11-05", None), ("2026-02-06", "b")])
async def test_start_after(api_version: str, asked: str | None) -> None:
    """
    An old API version lists from the beginning; either way, the result starts after the given name.
    """
    names = "".join(f"<Blob><Name>{name}</Name><Properties/></Blob>" for name in "abc")
    async with driving(listing(f"<Blobs>{names}</Blobs>"), api_version=api_version) as (driver, server):
        found = await driver.list_page(ROOT, ListOptions(start_after="b"), None)
        query = dict(parse_qsl(urlsplit(server.requests[0].target).query))

    assert [info.key for info in found.objects] == ["c"]
    assert query.get("startFrom") == asked


async def test_versions_and_snapshots_are_listed() -> None:
    """
    Versions, snapshots and current blobs are distinguished.
    """
    page = listing(
        "<Blobs><Blob><Name>k</Name><Snapshot>2026-01-01</Snapshot><Properties/></Blob>"
        "<Blob><Name>k</Name><VersionId>v1</VersionId><Properties/></Blob>"
        "<Blob><Name>k</Name><VersionId>v2</VersionId><IsCurrentVersion>true</IsCurrentVersion><Properties/></Blob>"
        "<Blob><Name>plain</Name><Properties/></Blob></Blobs>"
    )
    async with driving(page) as (driver, _):
        found = (await driver.list_versions_page(ROOT, ListOptions(), None)).objects

    assert [(info.version_id, info.is_current) for info in found] == [
        ("snapshot:2026-01-01", False),
        ("v1", False),
        ("v2", True),
        (None, True),
    ]


async def test_commit_after_another_writer() -> None:
    """
    If none of its blocks exist, the upload does not exist any more; if some do, a part is wrong.
    """
    missing = error("InvalidBlockList", 400)
    nothing = saying(reply(200, b"<BlockList><UncommittedBlocks/></BlockList>"))
    async with driving(CREATED, missing, nothing) as (driver, _):
        upload_id = await driver.initiate_multipart_upload(URI, WriteOptions())
        part = await driver.upload_part(URI, upload_id, 1, BytesBody(b"data"), WriteOptions())
        with pytest.raises(NotFoundError):
            await driver.complete_multipart_upload(URI, upload_id, [part], WriteOptions())

    block = f"<Block><Name>{Block(upload_id, 2).id()}</Name><Size>4</Size></Block>"
    some = saying(reply(200, f"<BlockList><UncommittedBlocks>{block}</UncommittedBlocks></BlockList>".encode()))
    async with driving(missing, some) as (driver, _):
        with pytest.raises(InvalidRequestError):
            await driver.complete_multipart_upload(URI, upload_id, [part], WriteOptions())


async def test_part_sent_twice_with_different_bytes() -> None:
    """
    Azure does not tell which of two blocks with one part number came last, so neither is listed.
    """
    async with driving(CREATED, anonymous=True) as (driver, _):
        upload_id = await driver.initiate_multipart_upload(URI, WriteOptions())
        sent = [
            await driver.upload_part(URI, upload_id, number, BytesBody(data), WriteOptions())
            for number, data in ((1, b"one"), (1, b"two"), (2, b"one"))
        ]
    blocks = "".join(f"<Block><Name>{part.etag}</Name><Size>3</Size></Block>" for part in sent)
    page = saying(reply(200, f"<BlockList><UncommittedBlocks>{blocks}</UncommittedBlocks></BlockList>".encode()))
    async with driving(page) as (driver, _):
        listed = await driver.list_parts(URI, upload_id, None)

    assert listed.parts == [sent[2]]


@pytest.mark.parametrize(
    "answer",
    [
        reply(202, b"words", Content_Type="text/plain"),
        reply(
            202, b"--b\r\nContent-ID: x\r\n\r\nHTTP/1.1 202 ok\r\n\r\n--b--", Content_Type="multipart/mixed; boundary=b"
        ),
    ],
)
async def test_malformed_batch(answer: bytes) -> None:
    """
    A malformed reply to a batch is an error.
    """
    async with driving(saying(answer)) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.delete_batch([URI])


async def test_batch_with_outcomes() -> None:
    """
    Each deletion has its own outcome, in the order of the request.
    """
    body = (
        b"--b\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\nHTTP/1.1 403 No\r\n"
        b"x-ms-error-code: BlobImmutableDueToPolicy\r\n\r\n\r\n"
        b"--b\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n\r\n"
        b"--b\r\nContent-Type: application/http\r\nContent-ID: 2\r\n\r\nHTTP/1.1 404 No\r\n"
        b"x-ms-error-code: BlobNotFound\r\n\r\n\r\n--b--"
    )
    answer = saying(reply(202, body, Content_Type="multipart/mixed; boundary=b"))
    keys = [ROOT / "a", ROOT / "b", ROOT / "c", ROOT / "left out", ROOT / "im\\possible"]
    async with driving(answer, sas_token=FAKE_SAS) as (driver, server):
        found = await driver.delete_batch(keys)
        sent = server.requests[0]

    assert [type(outcome).__name__ for outcome in found] == [
        "NoneType",
        "PermissionDeniedError",
        "NoneType",
        "NotInBatchError",
        "InvalidURIError",
    ]
    assert sent.target == f"/acct/container?comp=batch&restype=container&{FAKE_SAS}"


class Copying:
    """
    A service that makes one copy, whose status at each poll the test chooses.
    """

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.seen: list[tuple[str, str]] = []
        self.polled = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.body()
        path, _, query = exchange.target.partition("?")
        self.seen.append((exchange.method, query))
        if exchange.method == "HEAD" and path.endswith("/source"):
            size = 300 * MiB
            await exchange.send(f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "0x1"\r\n\r\n'.encode())
        elif exchange.method == "PUT" and "comp=copy" in query:
            self.statuses = ["aborted"]
            await exchange.send(reply(204))
        elif exchange.method == "PUT":
            await exchange.send(reply(202, x_ms_copy_id="C1", x_ms_copy_status="pending", ETag='"0x2"'))
        elif exchange.method == "HEAD":
            self.polled.set()
            status = self.statuses[0] if len(self.statuses) == 1 else self.statuses.pop(0)
            found = reply(200, x_ms_copy_id="C1", x_ms_copy_status=status, ETag='"0x3"')
            await exchange.send(found.replace(b"Content-Length: 0", b"Content-Length: %d" % (300 * MiB)))
        else:
            await exchange.send(reply(202))


async def test_asynchronous_copy_is_polled() -> None:
    """
    An asynchronous copy is polled until it is complete.
    """
    service = Copying("pending", "success")
    async with driving(service, async_copy=True) as (driver, _):
        info = await copied(driver, ROOT / "source", ROOT / "target", CopyOptions())

    assert (info.size, info.etag) == (300 * MiB, "0x3")
    assert [method for method, _ in service.seen] == ["HEAD", "PUT", "HEAD", "HEAD"]


@pytest.mark.parametrize("native", [False, True])
async def test_cancelled_copy_is_aborted(native: bool) -> None:
    """
    Cancelling aborts the copy and deletes the empty blob that it leaves.
    """
    service = Copying("pending")
    async with driving(service, async_copy=True) as (driver, server):
        if native:
            task = asyncio.ensure_future(copied(driver, ROOT / "source", ROOT / "target", CopyOptions()))
            await service.polled.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(copied, driver, ROOT / "source", ROOT / "target", CopyOptions())
                await service.polled.wait()
                group.cancel_scope.cancel()
        deletion = server.requests[-1]

    assert [entry for entry in service.seen if entry[0] != "HEAD"] == [
        ("PUT", ""),
        ("PUT", "comp=copy&copyid=C1"),
        ("DELETE", ""),
    ]
    assert deletion.headers["if-match"] == '"0x3"'


async def test_failed_copy() -> None:
    """
    A copy that the service gives up is an error, and the empty blob is deleted.
    """
    service = Copying("failed")
    async with driving(service, async_copy=True) as (driver, _):
        with pytest.raises(UnavailableError, match="failed"):
            await copied(driver, ROOT / "source", ROOT / "target", CopyOptions())

    assert service.seen[-1] == ("DELETE", "")


async def test_large_copies_of_the_service_are_opt_in() -> None:
    """
    Copies of more than 256 MiB are multipart uploads, unless ``async_copy`` leaves them to the service.
    """
    async with driving(CREATED) as (driver, _):
        assert driver.capabilities.max_copy_size == 256 * MiB
    async with driving(CREATED, async_copy=True) as (driver, _):
        assert driver.capabilities.max_copy_size == driver.capabilities.max_object_size


@pytest.mark.parametrize("changed", [{"ETag": '"0x2"'}, {"Content_Range": "bytes 7-9/11"}])
async def test_suffix_of_another_version(changed: dict[str, str]) -> None:
    """
    The last bytes are those of the version whose length was asked for, also where the condition is ignored.
    """
    head = saying(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: "0x1"\r\n\r\n')
    headers = {"ETag": '"0x1"', "Content_Range": "bytes 7-9/10", **changed}
    async with driving(head, saying(reply(206, b"end", **headers))) as (driver, _):
        with pytest.raises(UnavailableError, match="replaced between the two requests"):
            await driver.open_read(URI, ReadOptions(range=ByteRange(-3)))
