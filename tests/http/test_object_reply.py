"""
Replies to reads are checked against the request.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from asyncstore.config import HTTPOptions
from asyncstore.driver.body import BytesBody
from asyncstore.errors import IntegrityError, RangeNotSatisfiableError, UnavailableError
from asyncstore.http import HTTPClient, Origin, ReplyBody, ServerClock, object_body
from asyncstore.http.header_values import parse_date
from asyncstore.http.object_reply import compare_stored, user_metadata
from asyncstore.http.reply import parse_retry_after
from asyncstore.options import ByteRange
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import parse_uri
from tests.servers.scripted import Exchange, reply, saying, scripted

URI = parse_uri("s3://bucket/key")
DATA = b"0123456789"
STORED = Checksum(ChecksumAlgorithm.CRC32C, b"\x00\x00\x00\x01")


def _describe(size: int, whole: bool) -> Metadata:
    return Metadata(uri=URI, size=size, checksum=STORED if whole else None)


def _checksum(headers: Mapping[str, str]) -> Checksum | None:
    return STORED if headers else None


async def _read(head: bytes, wanted: ByteRange | None, **options: bool) -> tuple[ReplyBody, bytes, int]:
    """Return the body, its bytes and the number of connections that stay open."""
    async with scripted(saying(head)) as server:
        client = HTTPClient(HTTPOptions())
        try:
            found = await client.send("GET", Origin.parse(server.url), "/key", {})
            body = object_body(found, wanted, _describe, _checksum, **options)
            return body, await body.read(), server.open
        finally:
            await client.aclose()


async def test_whole_object() -> None:
    """
    A 200 reply to a whole read is the object, with its stored checksum.
    """
    body, data, _ = await _read(reply(200, DATA), None)

    assert (DATA, 0, 10, 10, STORED) == (data, body.start, body.end, body.info.size, body.checksum)


async def test_range() -> None:
    """
    A 206 reply is the requested range, without the checksum of the whole object.
    """
    body, data, _ = await _read(reply(206, DATA[2:5], Content_Range="bytes 2-4/10"), ByteRange(2, 5))

    assert (b"234", 2, 5, 10, None) == (data, body.start, body.end, body.info.size, body.checksum)


@pytest.mark.parametrize(("full_range", "checksum"), [(False, None), (True, STORED)])
async def test_range_of_the_whole_object(full_range: bool, checksum: Checksum | None) -> None:
    """
    A 206 with all of the object has its checksum if the provider says so.
    """
    head = reply(206, DATA, Content_Range="bytes 0-9/10")
    body, data, _ = await _read(head, ByteRange(0), full_range=full_range)

    assert (DATA, checksum) == (data, body.checksum)


@pytest.mark.parametrize("wanted", [ByteRange(2, 5), ByteRange(-8, None), ByteRange(2, 99)])
async def test_whole_object_instead_of_a_range(wanted: ByteRange) -> None:
    """
    If a server ignores Range, the bytes outside the range are skipped.
    """
    body, data, _ = await _read(reply(200, DATA), wanted)

    assert data == DATA[wanted.start : wanted.end]
    assert body.info.size == 10


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (ByteRange(2, 5), "bytes 3-5/10"),
        (ByteRange(2, 5), "bytes 2-4/11x"),
        (ByteRange(2, 6), "bytes 2-4/10"),
        (ByteRange(-3, None), "bytes 0-2/10"),
        (None, "bytes 2-4/10"),
        (ByteRange(2, 5), "bytes 2-3/*"),
        (ByteRange(2, None), "bytes 2-4/*"),
        (ByteRange(2, 5), ""),
        (ByteRange(2, 5), "bytes 99999999999999999999999-4/10"),
    ],
)
async def test_other_range_than_requested(wanted: ByteRange | None, named: str) -> None:
    """
    A 206 reply with another range, or without one, is refused, also on the first request.
    """
    with pytest.raises(UnavailableError):
        await _read(reply(206, b"234", Content_Range=named), wanted)


async def test_length_that_differs_from_the_range() -> None:
    """
    A 206 reply whose length differs from its range is refused.
    """
    with pytest.raises(UnavailableError):
        await _read(reply(206, b"2345", Content_Range="bytes 2-4/10"), ByteRange(2, 5))


@pytest.mark.parametrize("head", [reply(206, b""), reply(206, b"", Content_Range="bytes 10-9/10")])
async def test_range_past_the_end(head: bytes) -> None:
    """
    A 206 reply to an unsatisfiable range is treated as 416.
    """
    with pytest.raises(RangeNotSatisfiableError):
        await _read(head, ByteRange(-5, None))


async def test_refused_reply_releases_its_connection() -> None:
    """
    A reply that is refused is closed.
    """
    async with scripted(saying(reply(206, b"234", Content_Range="bytes 3-5/10"))) as server:
        client = HTTPClient(HTTPOptions())
        found = await client.send("GET", Origin.parse(server.url), "/key", {})
        with pytest.raises(UnavailableError):
            object_body(found, ByteRange(2, 5), _describe, _checksum)

        assert found.response.closed
        await client.aclose()


async def test_stored_checksum_that_differs() -> None:
    """
    If the provider stored other bytes, the error contains both checksums.
    """
    async with scripted(saying(reply(200))) as server:
        client = HTTPClient(HTTPOptions())
        found = await client.send("PUT", Origin.parse(server.url), "/key", {})
        with pytest.raises(IntegrityError) as refused:
            compare_stored(BytesBody(DATA), [STORED], found)

        assert (str(STORED), 200) == (refused.value.actual, refused.value.status)
        await client.aclose()


def test_user_metadata() -> None:
    """
    Headers with the prefix are metadata, with lower-case keys and decoded values.
    """
    headers = {"ETag": "x", "X-Amz-Meta-Team": "lab", "x-amz-meta-": "empty"}

    assert {"team": "LAB", "": "EMPTY"} == user_metadata(headers, "x-amz-meta-", str.upper)
    assert {} == user_metadata({"ETag": "x"}, "x-amz-meta-")


async def test_range_with_status_200() -> None:
    """
    A 200 with a Content-Range is the range, as rclone serve s3 sends it; other bytes are refused.
    """
    body, data, _ = await _read(reply(200, DATA[2:5], Content_Range="bytes 2-4/10"), ByteRange(2, 5))

    assert (b"234", 2, 5, 10) == (data, body.start, body.end, body.info.size)
    with pytest.raises(UnavailableError):
        await _read(reply(200, DATA[2:5], Content_Range="bytes 3-5/10"), ByteRange(2, 5))


@pytest.mark.parametrize(
    "text", ["Mon, 01 Jan 99999 00:00:00 GMT", "Sun, 06 Nov 10000 08:49:37 GMT", "99999999999999999999"]
)
def test_dates_out_of_range(text: str) -> None:
    """
    A date that no datetime holds is ignored, as any other that is invalid.
    """
    assert parse_date(text) is None
    assert not ServerClock().learn({"Date": text})
    assert parse_retry_after(f"Mon, {text}") is None


_RANGE = b'HTTP/1.1 206 Partial Content\r\nETag: "e"\r\nContent-Range: bytes 2-4/10\r\n'
_CHUNKED = _RANGE + b"Transfer-Encoding: chunked\r\n\r\n"
_CLOSING = _RANGE + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize("collected", [True, False])
@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (_CHUNKED, b"3\r\n234\r\n0\r\n\r\n", b"234"),
        (_CHUNKED, b"1\r\n2\r\n2\r\n34\r\n0\r\n\r\n", b"234"),
        (_CLOSING, b"234", b"234"),
        (_CHUNKED, b"2\r\n23\r\n0\r\n\r\n", None),
        (_CHUNKED, b"3\r\n234\r\n", None),
        (_CHUNKED, b"3\r\n23", None),
        (_CHUNKED, b"4\r\n2345\r\n0\r\n\r\n", None),
        (_CHUNKED, b"3\r\n234\r\n1\r\n5\r\n0\r\n\r\n", None),
        (_CLOSING, b"23", None),
        (_CLOSING, b"2345", None),
    ],
)
async def test_range_without_a_length(head: bytes, body: bytes, expected: bytes | None, collected: bool) -> None:
    """
    A 206 without Content-Length has the bytes that its Content-Range names, no more and no fewer.
    """

    async def answer(exchange: Exchange) -> None:
        await exchange.send(head + body)
        exchange.writer.close()
        raise EOFError

    async with scripted(answer) as server:
        client = HTTPClient(HTTPOptions())
        found = object_body(
            await client.send("GET", Origin.parse(server.url), "/key", {}), ByteRange(2, 5), _describe, _checksum
        )
        try:
            data: bytes | None = await found.read() if collected else b"".join([chunk async for chunk in found])
        except UnavailableError:
            data = None
        await found.aclose()
        await client.aclose()

    assert expected == data
