"""
Replies to GET and HEAD by RFC 9110, from both servers over sockets.
"""

from __future__ import annotations

import http.client
import os
import re
from collections.abc import Iterator, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.integrations.web import FRAMEWORKS, in_thread

DATA: Final = bytes(range(250)) * 4
SIZE: Final = len(DATA)
WRITTEN: Final = "Wed, 01 Jan 2020 00:00:00 GMT"
BEFORE: Final = "Tue, 31 Dec 2019 23:59:59 GMT"
AFTER: Final = "Wed, 01 Jan 2020 00:00:01 GMT"


class Got(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Server:
    """
    A server with the objects ``file.bin`` and ``empty``, both written at :data:`WRITTEN`.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Got:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=20)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                # A line of a table can repeat a header.
                for one in value.split("\n"):
                    connection.putheader(name, one)
            connection.endheaders()
            reply = connection.getresponse()
            return Got(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()


@pytest.fixture(scope="module", params=FRAMEWORKS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("objects")
    for name, data in {"file.bin": DATA, "empty": b"", 'dir/größe "1".txt': b"text"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1577836800, 1577836800))
    with in_thread(request.param, folder.as_uri()) as (host, port):
        yield Server(host, port)


@pytest.fixture(scope="module")
def etag(server: Server) -> str:
    return server.ask("HEAD", "/objects/file.bin", {}).headers["etag"]


WHOLE = (200, f"0-{SIZE - 1}")
NOT_MODIFIED = (304, None)
FAILED = (412, None)
PAST_END = (416, None)

# "=" stands for the object's ETag with its quotes, "W=" for the weak one. The second item is what is sent.
RANGES: Mapping[str, tuple[str, tuple[int, str | None]]] = {
    "first bytes": ("bytes=0-4", (206, "0-4")),
    "one byte": ("bytes=0-0", (206, "0-0")),
    "the last byte": ("bytes=999-999", (206, "999-999")),
    "from a byte on": ("bytes=990-", (206, "990-999")),
    "an end past the object": ("bytes=990-5000", (206, "990-999")),
    "an end past 64 bits": ("bytes=990-99999999999999999999999", (206, "990-999")),
    "all bytes": ("bytes=0-", (206, "0-999")),
    "a suffix": ("bytes=-5", (206, "995-999")),
    "a suffix longer than the object": ("bytes=-5000", (206, "0-999")),
    "a start at the end": ("bytes=1000-", PAST_END),
    "a start past the end": ("bytes=5000-6000", PAST_END),
    "a start past 64 bits": ("bytes=99999999999999999999999-", PAST_END),
    "a suffix of nothing": ("bytes=-0", PAST_END),
    "several, all past the end": ("bytes=1000-,2000-3000", PAST_END),
    "several, of which one exists": ("bytes=0-4,5000-", (206, "0-4")),
    "overlapping": ("bytes=0-100,50-200", (206, "0-200")),
    "adjacent, out of order": ("bytes=100-199,0-99", (206, "0-199")),
    "another unit": ("lines=0-4", WHOLE),
    "the unit in capitals": ("Bytes=0-4", (206, "0-4")),
    "no range": ("bytes=", WHOLE),
    "no numbers": ("bytes=-", WHOLE),
    "text": ("bytes=a-b", WHOLE),
    "an end before the start": ("bytes=5-4", WHOLE),
    "one of several malformed": ("bytes=0-4,x", WHOLE),
    "a negative start": ("bytes=-5-6", WHOLE),
    "empty elements of the list": ("bytes=,0-4, ,", (206, "0-4")),
    "white space between elements": ("bytes=0-4 ,\t5000-", (206, "0-4")),
    "too many": ("bytes=" + ",".join(f"{200 * n}-{200 * n}" for n in range(100)), WHOLE),
}


@pytest.mark.parametrize("name", RANGES)
def test_range(server: Server, name: str) -> None:
    """
    https://www.rfc-editor.org/rfc/rfc9110#section-14: bytes that exist are sent, and what is malformed is ignored.
    """
    header, (status, sent) = RANGES[name]

    got = server.ask("GET", "/objects/file.bin", {"Range": header})

    assert got.status == status
    check(got, sent)


CONDITIONS: Mapping[str, tuple[Mapping[str, str], tuple[int, str | None]]] = {
    "If-None-Match of this version": ({"If-None-Match": "="}, NOT_MODIFIED),
    "If-None-Match compares weakly": ({"If-None-Match": "W="}, NOT_MODIFIED),
    "If-None-Match of another version": ({"If-None-Match": '"other"'}, WHOLE),
    "If-None-Match of any version": ({"If-None-Match": "*"}, NOT_MODIFIED),
    "If-None-Match of a list": ({"If-None-Match": '"a, b", W/"c" , ='}, NOT_MODIFIED),
    "If-None-Match of a list without this one": ({"If-None-Match": '"a", W/"b"'}, WHOLE),
    "If-None-Match in two lines": ({"If-None-Match": '"a"\n='}, NOT_MODIFIED),
    "If-None-Match without quotes": ({"If-None-Match": "other"}, WHOLE),
    "If-None-Match before If-Modified-Since": ({"If-None-Match": '"a"', "If-Modified-Since": AFTER}, WHOLE),
    "If-None-Match of this version, modified since": (
        {"If-None-Match": "=", "If-Modified-Since": BEFORE},
        NOT_MODIFIED,
    ),
    "If-Modified-Since before": ({"If-Modified-Since": BEFORE}, WHOLE),
    "If-Modified-Since the same second": ({"If-Modified-Since": WRITTEN}, NOT_MODIFIED),
    "If-Modified-Since after": ({"If-Modified-Since": AFTER}, NOT_MODIFIED),
    "If-Modified-Since in the old form": ({"If-Modified-Since": "Wednesday, 01-Jan-20 00:00:00 GMT"}, NOT_MODIFIED),
    "If-Modified-Since of asctime": ({"If-Modified-Since": "Wed Jan  1 00:00:00 2020"}, NOT_MODIFIED),
    "If-Modified-Since that is no date": ({"If-Modified-Since": "yesterday"}, WHOLE),
    "If-Match of this version": ({"If-Match": "="}, WHOLE),
    "If-Match of any version": ({"If-Match": "*"}, WHOLE),
    "If-Match of another version": ({"If-Match": '"other"'}, FAILED),
    "If-Match compares strongly": ({"If-Match": "W="}, FAILED),
    "If-Match of a list": ({"If-Match": '"a", ='}, WHOLE),
    "If-Match without quotes": ({"If-Match": "other"}, FAILED),
    "If-Match before If-Unmodified-Since": ({"If-Match": "=", "If-Unmodified-Since": BEFORE}, WHOLE),
    "If-Match, then If-None-Match": ({"If-Match": "=", "If-None-Match": "="}, NOT_MODIFIED),
    "If-Match that fails before If-None-Match": ({"If-Match": '"a"', "If-None-Match": "="}, FAILED),
    "If-Unmodified-Since before": ({"If-Unmodified-Since": BEFORE}, FAILED),
    "If-Unmodified-Since the same second": ({"If-Unmodified-Since": WRITTEN}, WHOLE),
    "If-Unmodified-Since that is no date": ({"If-Unmodified-Since": "never"}, WHOLE),
    "If-Range of this version": ({"If-Range": "=", "Range": "bytes=0-4"}, (206, "0-4")),
    "If-Range of another version": ({"If-Range": '"other"', "Range": "bytes=0-4"}, WHOLE),
    "If-Range compares strongly": ({"If-Range": "W=", "Range": "bytes=0-4"}, WHOLE),
    "If-Range of the date": ({"If-Range": WRITTEN, "Range": "bytes=0-4"}, (206, "0-4")),
    "If-Range of an earlier date": ({"If-Range": BEFORE, "Range": "bytes=0-4"}, WHOLE),
    "If-Range of a later date": ({"If-Range": AFTER, "Range": "bytes=0-4"}, WHOLE),
    "If-Range that is neither": ({"If-Range": "other", "Range": "bytes=0-4"}, WHOLE),
    "If-Range without Range": ({"If-Range": '"other"'}, WHOLE),
    "If-Range of another version, past the end": ({"If-Range": '"other"', "Range": "bytes=5000-"}, WHOLE),
    "If-Range of this version, past the end": ({"If-Range": "=", "Range": "bytes=5000-"}, PAST_END),
    "If-Range of another version, several ranges": ({"If-Range": '"x"', "Range": "bytes=0-4,500-504"}, WHOLE),
    "conditions before ranges": ({"If-None-Match": "=", "Range": "bytes=5000-"}, NOT_MODIFIED),
    "a failed condition before ranges": ({"If-Match": '"other"', "Range": "bytes=0-4"}, FAILED),
    "If-Match with a range": ({"If-Match": "=", "Range": "bytes=-5"}, (206, "995-999")),
    "If-Match with a range past the end": ({"If-Match": "=", "Range": "bytes=1000-"}, PAST_END),
    "If-Unmodified-Since with a range": ({"If-Unmodified-Since": WRITTEN, "Range": "bytes=0-0"}, (206, "0-0")),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_condition(server: Server, etag: str, name: str, method: str) -> None:
    """
    https://www.rfc-editor.org/rfc/rfc9110#section-13, in its order; a HEAD ignores ranges.
    """
    headers, (status, sent) = CONDITIONS[name]
    headers = {
        name: re.sub(r"(W)?=", lambda found: f"W/{etag}" if found[1] else etag, value) if name != "Range" else value
        for name, value in headers.items()
    }

    got = server.ask(method, "/objects/file.bin", headers)

    if method == "GET":
        assert got.status == status
        check(got, sent)
    else:
        assert got.status == (200 if status in (206, 416) else status)
        assert got.body == b""
        assert "content-range" not in got.headers
    if got.status in (200, 206, 304, 412):
        assert got.headers["etag"] == etag
        assert got.headers["last-modified"] == WRITTEN


def check(got: Got, sent: str | None) -> None:
    """
    Check that the bytes *sent*, and no others, are in the reply, and that its headers say so.
    """
    if sent is None:
        assert DATA[:5] not in got.body
        if got.status == 304:
            assert got.body == b""
            assert "content-length" not in got.headers
        else:
            assert got.headers["content-type"] == "application/problem+json"
        if got.status == 416:
            assert got.headers["content-range"] == f"bytes */{SIZE}"
        return
    first, last = map(int, sent.split("-"))
    assert got.body == DATA[first : last + 1]
    assert got.headers["content-length"] == str(last + 1 - first)
    assert got.headers["accept-ranges"] == "bytes"
    assert got.headers.get("content-range") == (f"bytes {sent}/{SIZE}" if got.status == 206 else None)


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("bytes=0-4,500-504", ["0-4", "500-504"]),
        ("bytes=500-504, 0-4", ["500-504", "0-4"]),
        ("bytes=0-4,500-504,-5", ["0-4", "500-504", "995-999"]),
        ("bytes=0-4,500-504,1000-", ["0-4", "500-504"]),
        ("bytes=0-0,300-600,500-700", ["0-0", "300-700"]),
        ("bytes=0-0,800-,300-300,400-900", ["0-0", "300-999"]),
    ],
)
def test_several_ranges(server: Server, etag: str, header: str, sent: list[str]) -> None:
    """
    Each range is a part with its own headers: https://www.rfc-editor.org/rfc/rfc9110#section-14.6
    """
    got = server.ask("GET", "/objects/file.bin", {"Range": header})

    assert (got.status, got.headers["etag"]) == (206, etag)
    assert "content-range" not in got.headers
    assert got.headers["content-length"] == str(len(got.body))
    head = f"Content-Type: {got.headers['content-type']}\r\n\r\n".encode()
    parts = list(BytesParser(policy=HTTP).parsebytes(head + got.body).iter_parts())
    assert [part["content-range"] for part in parts] == [f"bytes {one}/{SIZE}" for one in sent]
    assert {part["content-type"] for part in parts} == {"application/octet-stream"}
    for one in sent:
        first, last = map(int, one.split("-"))
        assert f"bytes {one}/{SIZE}\r\n\r\n".encode() + DATA[first : last + 1] + b"\r\n--" in got.body


@pytest.mark.parametrize(
    ("header", "status"), [("bytes=0-", 416), ("bytes=0-4", 416), ("bytes=-5", 200), ("bytes=0-4,500-", 416)]
)
def test_range_of_an_empty_object(server: Server, header: str, status: int) -> None:
    """
    No byte exists; its last bytes are all of it.
    """
    got = server.ask("GET", "/objects/empty", {"Range": header})

    assert got.status == status
    assert got.headers.get("content-range") == ("bytes */0" if status == 416 else None)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_empty_object(server: Server, method: str) -> None:
    got = server.ask(method, "/objects/empty", {})

    assert (got.status, got.headers["content-length"], got.body) == (200, "0", b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}, {"If-None-Match": "*"}, {"Range": "bytes=0-4,9-"}])
def test_missing_object(server: Server, method: str, headers: Mapping[str, str]) -> None:
    """
    A 404, whatever the conditions: they are about what would be sent otherwise.
    """
    assert server.ask(method, "/objects/none", headers).status == 404


@pytest.mark.parametrize(
    "path", ["/objects/", "/objects/a/../b", "/objects/dir/%2e%2e/%2e%2e/etc/passwd", "/objects/%00"]
)
def test_names_that_are_none(server: Server, path: str) -> None:
    """
    Nothing outside of the root of the storage can be read.
    """
    assert server.ask("GET", path, {}).status in (400, 404)


def test_text_is_never_a_uri(server: Server) -> None:
    """
    A key that looks like a URI is a key below the root, so that clients cannot leave it.
    """
    assert server.ask("GET", "/objects/file:///etc/passwd", {}).status in (400, 404)


def test_name_of_a_file(server: Server) -> None:
    """
    Any characters, as RFC 6266 says, with a plain form for old clients.
    """
    got = server.ask("GET", "/objects/dir/gr%C3%B6%C3%9Fe%20%221%22.txt", {})

    assert got.headers["content-disposition"] == (
        "attachment; filename=\"gr__e _1_.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%221%22.txt"
    )
    assert got.headers["content-type"].startswith("text/plain")
    assert got.headers["x-content-type-options"] == "nosniff"
