"""
Unusual replies of S3 and how the driver handles them, on a scripted server.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncstore.config import StorageConfig
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.s3 import S3Driver, open_driver
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
from tests.drivers.calls import copied
from tests.servers.scripted import Answer, Exchange, Scripted, reply, saying, scripted

URI = parse_uri("s3://bucket/some key")
READ = ReadOptions()


@asynccontextmanager
async def driving(*answers: Answer, **settings: Any) -> AsyncIterator[tuple[S3Driver, Scripted]]:
    async with scripted(*answers) as server:
        keys = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret", "region": "us-east-1"}
        config = StorageConfig.build("s3://bucket", {"endpoint_url": server.url, **keys, **settings})
        driver = open_driver(config)
        try:
            yield driver, server
        finally:
            await driver.aclose()


def error(code: str, status: int, extra: str = "", **headers: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Words.</Message>{extra}</Error>"
    return saying(reply(status, body.encode(), **headers))


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDenied", 403, PermissionDeniedError),
        ("BadDigest", 400, IntegrityError),
        ("ConditionalRequestConflict", 409, UnavailableError),
        ("EntityTooSmall", 400, InvalidRequestError),
        ("ExpiredToken", 400, UnauthenticatedError),
        ("InternalError", 500, UnavailableError),
        ("InvalidDigest", 400, IntegrityError),
        ("InvalidRange", 416, RangeNotSatisfiableError),
        ("NoSuchBucket", 404, NotFoundError),
        ("NoSuchKey", 404, NotFoundError),
        ("NoSuchVersion", 404, NotFoundError),
        ("PreconditionFailed", 412, PreconditionFailedError),
        ("QuotaExceeded", 403, QuotaExceededError),
        ("RequestTimeout", 400, UnavailableError),
        ("ServiceUnavailable", 503, ThrottledError),
        ("SignatureDoesNotMatch", 403, UnauthenticatedError),
        ("SlowDown", 503, ThrottledError),
        ("SomethingNew", 400, InvalidRequestError),
        ("SomethingNew", 502, UnavailableError),
        ("XAmzContentChecksumMismatch", 400, IntegrityError),
    ],
)
async def test_code(code: str, status: int, kind: type[StorageError]) -> None:
    """
    Each error code has its class, with the status, request id, message and retry delay of the reply.
    """
    answer = error(code, status, x_amz_request_id="R1", Retry_After="3")
    async with driving(answer) as (driver, _):
        with pytest.raises(StorageError) as caught:
            await driver.open_read(URI, READ)

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status) == (code, status)
    assert (caught.value.request_id, caught.value.retry_after) == ("R1", 3.0)
    assert caught.value.message == "Words."


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (304, NotModifiedError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (412, PreconditionFailedError),
        (500, UnavailableError),
        (503, ThrottledError),
    ],
)
async def test_status_of_a_head(status: int, kind: type[StorageError]) -> None:
    """
    A reply to HEAD has no code, so its status decides.
    """
    async with driving(saying(reply(status))) as (driver, _):
        with pytest.raises(kind):
            await driver.stat(URI, READ)


@pytest.mark.parametrize("body", [b"<html>no</html>", b"{}", b"", b"<Error", b"\xff\xfe<\0E\0"])
async def test_error_body_not_from_s3(body: bytes) -> None:
    """
    An error page from a proxy is mapped by its status.
    """
    async with driving(saying(reply(502, body))) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.open_read(URI, READ)


async def test_entities_are_refused() -> None:
    """
    A listing that defines XML entities is refused.
    """
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult><Name>&a;</Name></ListBucketResult>'
    async with driving(saying(reply(200, bomb))) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.list_page(URI.with_key(""), ListOptions(), None)


async def test_error_inside_a_successful_copy() -> None:
    """
    A copy that answers 200 with an error in the body fails, also after leading white space.
    """
    body = b" \n  <Error><Code>InternalError</Code><Message>Alas</Message></Error>"
    async with driving(saying(reply(200, body))) as (driver, _):
        with pytest.raises(UnavailableError) as caught:
            await copied(driver, URI, URI.with_key("other"), CopyOptions())

    assert caught.value.code == "InternalError"


async def test_copy_looks_up_the_size() -> None:
    """
    A copy sends its source and condition, and looks up the size of the new version.
    """
    done = saying(reply(200, b'<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>', x_amz_version_id="V 2"))

    async def head(exchange: Exchange) -> None:
        version = b"x-amz-version-id: V 2"
        await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 77\r\nETag: "e"\r\n%s\r\n\r\n' % version)

    async with driving(done, head) as (driver, server):
        info = await copied(driver, URI, URI.with_key("other"), CopyOptions(source_if_match="old"))

        assert server.requests[0].headers["x-amz-copy-source"] == "/bucket/some%20key"
        assert server.requests[0].headers["x-amz-copy-source-if-match"] == '"old"'
        assert server.requests[1].target == "/bucket/other?versionId=V%202"
    assert (info.size, info.etag) == (77, "e")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<Error><Code>InternalError</Code></Error>", UnavailableError),
        (b"<Error><Code>PreconditionFailed</Code></Error>", AlreadyExistsError),
        (b"<Error><Code>InvalidPart</Code></Error>", InvalidRequestError),
        (b"", UnavailableError),
    ],
)
async def test_error_inside_a_successful_completion(body: bytes, kind: type[StorageError]) -> None:
    """
    CompleteMultipartUpload can also answer 200 with an error in the body.
    """
    options = WriteOptions(if_none_match="*")
    async with driving(saying(reply(200, b"   \n" + body))) as (driver, _):
        with pytest.raises(kind):
            await driver.complete_multipart_upload(URI, "U", [Part(1, "e", 5)], options)


async def test_space_before_a_completion() -> None:
    """
    White space that keeps the connection alive may precede the document.
    """
    body = (
        b'   \n<?xml version="1.0"?>\n<CompleteMultipartUploadResult><ETag>"e-1"</ETag></CompleteMultipartUploadResult>'
    )
    async with driving(saying(reply(200, body))) as (driver, server):
        info = await driver.complete_multipart_upload(URI, "U", [Part(2, "b", 5), Part(1, "a", 5)], WriteOptions())

        assert server.requests[0].target == "/bucket/some%20key?uploadId=U"
    assert (info.etag, info.size) == ("e-1", 10)


@pytest.mark.parametrize(("status", "code"), [(412, "PreconditionFailed"), (404, "NoSuchKey")])
async def test_condition_of_a_put(status: int, code: str) -> None:
    """
    If-Match fails if the object is another one or does not exist.
    """
    async with driving(error(code, status)) as (driver, _):
        with pytest.raises(PreconditionFailedError):
            await driver.put(URI, BytesBody(b"x"), WriteOptions(if_match="e"))


async def test_create_only() -> None:
    """
    A create-only put that finds an object raises AlreadyExistsError.
    """
    async with driving(error("PreconditionFailed", 412)) as (driver, server):
        with pytest.raises(AlreadyExistsError):
            await driver.put(URI, BytesBody(b"x"), WriteOptions(if_none_match="*"))

        assert server.requests[0].headers["if-none-match"] == "*"


@pytest.mark.parametrize(
    "answer",
    [
        error("AuthorizationHeaderMalformed", 400, "<Region>eu-west-9</Region>"),
        error("PermanentRedirect", 301, x_amz_bucket_region="eu-west-9"),
        saying(reply(400, x_amz_bucket_region="eu-west-9")),
    ],
)
async def test_region_is_learned(answer: Answer) -> None:
    """
    If a reply names another region, later requests are signed for it.
    """
    async with driving(answer, saying(reply(200, b"x"))) as (driver, server):
        assert await (await driver.open_read(URI, READ)).read() == b"x"
        await (await driver.open_read(URI, READ)).aclose()

        regions = [one.headers["authorization"].split("/")[2] for one in server.requests]
        assert regions == ["us-east-1", "eu-west-9", "eu-west-9"]


@pytest.mark.parametrize("region", ["us-east-1", "evil.example/x", "../x", ""])
async def test_invalid_region_is_not_learned(region: str) -> None:
    """
    An invalid region, or the current one, changes nothing, and the error is raised.
    """
    answer = error("PermanentRedirect", 301, f"<Region>{region}</Region>", Location="http://elsewhere.example/")
    async with driving(answer) as (driver, server):
        with pytest.raises(InvalidRequestError):
            await driver.open_read(URI, READ)

        assert len(server.requests) == 1


async def test_clock_is_learned() -> None:
    """
    Clock skew is learned from the Date of a rejection, and the request is sent again once.
    """
    late = error("RequestTimeTooSkewed", 403, Date="Sat, 01 Jan 2050 00:00:00 GMT")
    async with driving(late, saying(reply(200, b"x"))) as (driver, server):
        await (await driver.open_read(URI, READ)).aclose()

        stamps = [one.headers["x-amz-date"][:6] for one in server.requests]
    assert stamps[1] == "205001"
    assert driver.describe()["clock offset"].startswith("+")


async def test_expired_keys_are_refreshed() -> None:
    """
    Keys are refreshed when S3 says that they have expired.
    """
    keys = iter(["AKIAOLD", "AKIANEW"])
    settings = {"access_key_id": lambda: next(keys)}
    async with driving(error("ExpiredToken", 400), saying(reply(200, b"x")), **settings) as (driver, server):
        await (await driver.open_read(URI, READ)).aclose()

        used = [re.search(r"Credential=(\w+)", one.headers["authorization"]) for one in server.requests]
    assert [match and match[1] for match in used] == ["AKIAOLD", "AKIANEW"]


async def test_range_ignored_by_the_server() -> None:
    """
    If the server sends the whole object, the read returns only the requested range.
    """
    async with driving(saying(reply(200, b"0123456789"))) as (driver, _):
        body = await driver.open_read(URI, ReadOptions(range=ByteRange(3, 6)))
        assert (body.start, body.end, body.info.size) == (3, 6, 10)
        assert await body.read() == b"345"
        await body.aclose()


@pytest.mark.parametrize("content_range", ["", "bytes 3-9/10", "bytes */10", "lines 0-1/2"])
async def test_invalid_content_range(content_range: str) -> None:
    """
    A 206 with a missing, invalid or wrong Content-Range is refused.
    """
    async with driving(saying(reply(206, b"345", Content_Range=content_range))) as (driver, _):
        with pytest.raises(UnavailableError):
            await driver.open_read(URI, ReadOptions(range=ByteRange(3, 6)))


async def test_checksum_of_a_range_is_not_of_the_object() -> None:
    """
    A checksum sent with a range may be that of a part, and is not used as the object's.
    """
    partial = reply(206, b"345", Content_Range="bytes 3-5/10", x_amz_checksum_crc32c="yZRlqg==")
    async with driving(saying(partial)) as (driver, _):
        body = await driver.open_read(URI, ReadOptions(range=ByteRange(3, 6)))
        assert body.info.checksums == []
        await body.aclose()


async def test_stored_checksum_that_differs() -> None:
    """
    If the server reports another checksum than that of the bytes sent, the write fails.
    """
    answer = saying(reply(200, x_amz_checksum_crc64nvme="AAAAAAAAAAA="))
    async with driving(answer, checksum="none") as (driver, _):
        with pytest.raises(IntegrityError):
            await driver.put(URI, BytesBody(b"data"), WriteOptions())


@pytest.mark.parametrize(("code", "status"), [("MethodNotAllowed", 405), ("NotImplemented", 501)])
async def test_endpoint_without_batches(code: str, status: int) -> None:
    """
    An S3-compatible service without DeleteObjects is reported at once, without a retry.
    """
    async with driving(error(code, status)) as (driver, server):
        with pytest.raises(NotSupportedError):
            await driver.delete_batch([URI])

    assert len(server.requests) == 1


async def test_batch() -> None:
    """
    Each key has its own outcome; keys that XML cannot contain are deleted one by one.
    """
    body = b"<DeleteResult><Error><Key>b\n</Key><Code>AccessDenied</Code><Message>No</Message></Error></DeleteResult>"
    async with driving(saying(reply(200, body)), saying(reply(204))) as (driver, server):
        keys = ["a&<b>", "b\r", "c\x01d"]
        outcomes = await driver.delete_batch([URI.with_key(key) for key in keys])

        assert [one.method for one in server.requests] == ["POST", "DELETE"]
        assert "content-md5" in server.requests[0].headers
        assert server.requests[1].target == "/bucket/c%01d"
    assert [type(outcome) for outcome in outcomes] == [type(None), PermissionDeniedError, type(None)]


async def test_delete_of_a_missing_object() -> None:
    """
    Deleting a missing key succeeds; a missing bucket is an error.
    """
    async with driving(error("NoSuchKey", 404), error("NoSuchBucket", 404)) as (driver, _):
        await driver.delete(URI, DeleteOptions())
        with pytest.raises(NotFoundError):
            await driver.delete(URI, DeleteOptions())


async def test_reading_a_delete_marker() -> None:
    """
    Reading a delete marker by its version answers 405, which is NotFoundError.
    """
    answer = error("MethodNotAllowed", 405, x_amz_delete_marker="true")
    async with driving(answer) as (driver, _):
        with pytest.raises(NotFoundError):
            await driver.open_read(URI, ReadOptions(version_id="V"))


async def test_page() -> None:
    """
    Objects and prefixes are decoded and merged in byte order.
    """
    body = (
        b"<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><EncodingType>url</EncodingType>"
        b"<Contents><Key>a+b%2B</Key><Size>7</Size><ETag>&quot;e&quot;</ETag>"
        b"<LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
        b"<Contents><Key>z%0A</Key><Size>0</Size></Contents>"
        b"<CommonPrefixes><Prefix>m/</Prefix></CommonPrefixes>"
        b"<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;</NextContinuationToken></ListBucketResult>"
    )
    async with driving(saying(reply(200, body))) as (driver, server):
        options = ListOptions(delimiter="/", start_after="A ä", page_size=5000)
        page = await driver.list_page(URI.with_key("p/"), options, None)

        assert server.requests[0].target == (
            "/bucket?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=p%2F&start-after=A%20%C3%A4"
        )
    assert [info.key for info in page.objects] == ["a b+", "m/", "z\n"]
    assert [info.is_prefix for info in page.objects] == [False, True, False]
    assert (page.objects[0].size, page.objects[0].etag) == (7, "e")
    assert page.next_token == "t&"


async def test_versions_in_their_order() -> None:
    """
    Versions and delete markers keep their places, and the next page starts after the last one.
    """
    body = (
        b"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        b"<NextKeyMarker>a+b</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>"
        b"<DeleteMarker><Key>a+b</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest></DeleteMarker>"
        b"<Version><Key>a+b</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest><Size>2</Size></Version>"
        b"<Version><Key>a+b</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest><Size>1</Size></Version>"
        b"</ListVersionsResult>"
    )
    async with driving(saying(reply(200, body)), saying(reply(200, b"<ListVersionsResult/>"))) as (driver, server):
        page = await driver.list_versions_page(URI, ListOptions(), None)
        last = await driver.list_versions_page(URI, ListOptions(), page.next_token)

        assert [(info.key, info.version_id, info.is_deleted) for info in page.objects] == [
            ("a b", "v3", True),
            ("a b", "v2", False),
            ("a b", "v1", False),
        ]
        assert [info.is_current for info in page.objects] == [True, False, False]
        assert "key-marker=a%20b" in server.requests[1].target
        assert "version-id-marker=v1" in server.requests[1].target
        assert (last.objects, last.next_token) == ([], None)


async def test_versions_after_a_common_prefix() -> None:
    """
    A page that ends with a common prefix is continued by key, without a version id.
    """
    body = (
        b"<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a/</NextKeyMarker>"
        b"<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes></ListVersionsResult>"
    )
    async with driving(saying(reply(200, body)), saying(reply(200, b"<ListVersionsResult/>"))) as (driver, server):
        page = await driver.list_versions_page(URI, ListOptions(delimiter="/"), None)
        await driver.list_versions_page(URI, ListOptions(delimiter="/"), page.next_token)

        assert [info.is_prefix for info in page.objects] == [True]
        assert "key-marker=a%2F" in server.requests[1].target
        assert "version-id-marker" not in server.requests[1].target


async def test_version_without_a_key() -> None:
    """
    A version without a key is a server error that can be retried.
    """
    body = b"<ListVersionsResult><Version><Size>1</Size></Version></ListVersionsResult>"
    async with driving(saying(reply(200, body))) as (driver, _):
        with pytest.raises(UnavailableError, match="version"):
            await driver.list_versions_page(URI, ListOptions(), None)


async def test_tag_that_xml_cannot_contain() -> None:
    """
    Such a tag is refused before any request.
    """
    async with driving() as (driver, server):
        with pytest.raises(InvalidRequestError):
            await driver.set_tags(URI, {"key": "\x00"})
        assert server.requests == []
