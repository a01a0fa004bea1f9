"""
Replies with one or more things wrong, chosen by a seeded generator.

Whatever is changed, the bytes of an object stay honest: a reply that has other bytes than it should says so, by
its range, its length, its ETag or its checksum.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.deviations.good_replies import Asked, Content, Said

#: Values of headers and of fields of documents that no reader expects.
VALUES: Final = (
    "",
    " ",
    "0",
    "-1",
    "1e400",
    "9" * 25,
    "9" * 5000,
    "nan",
    "null",
    "[]",
    "{}",
    "true",
    "\u00e9",
    "\u00ff\u0080",
    "%FF",
    "%ZZ",
    "a" * 3000,
    'W/"weak"',
    '"',
    '""',
    "=?utf-8?q?=ff?=",
    "=?x?b?!?=",
    "=?idna?q?a?=",
    "bytes 0-4/*",
    "bytes 5-4/3",
    "bytes */0",
    "Mon, 99 Foo 99999 99:99:99 GMT",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2023-01-02T03:04:05",
    "text/html; charset=x-unknown",
    "http://[",
    "//",
    "multipart/mixed; boundary=\u00e9",
    "gzip",
    "COMPOSITE",
)

#: Bodies that are no document any service sends.
BODIES: Final = (
    b"",
    b" ",
    b"\x00\xff",
    b"<html>Welcome</html>",
    b"<",
    b"<a",
    b"<a/>",
    b"{",
    b"[]",
    b"{}",
    b"null",
    b"5",
    b'"x"',
    b"[[]]",
    b"[null]",
    b"<a>" * 20_000,
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    "<a>\u00e9</a>".encode("utf-16"),
    b"<Error><Code>NoSuchKey</Code></Error>",
    b"<Error><Code>\xc3\xa9</Code><Message/></Error>",
    b'{"error": 5}',
    b'{"error": {"errors": [5]}}',
    b'{"code": 5, "message": []}',
    b'{"message": {}, "errors": [[], 5, {"code": []}]}',
    b"\xef\xbb\xbf<a/>",
    b'{"size": 1e400}',
    b"1" * 5000,
    b"--b\r\n\r\n--b--",
    b"--b\r\nContent-ID: \xff\r\n\r\nHTTP/1.1 999 X\r\n\r\n--b--",
)

STATUSES: Final = (
    200,
    201,
    202,
    203,
    204,
    206,
    207,
    226,
    300,
    301,
    302,
    304,
    307,
    308,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    410,
    411,
    412,
    416,
    422,
    429,
    451,
    500,
    501,
    502,
    503,
    504,
    507,
    599,
    999,
)

_TEXT: Final = re.compile(rb"(?<=>)[^<>]+(?=<)|(?<=: )(?:\"[^\"]*\"|\d+|true|false)")


@dataclass
class Sending:
    """
    How a reply is put on the wire.

    Attributes:
        before: Sent before the reply.
        head: The head, if it is not made from the reply.
        framing: ``length``, ``chunked``, or ``close`` for neither.
        cut: Bytes of the body after which the connection is closed.
        surplus: Sent after the reply, although nothing was requested.
        late: Whether the surplus comes a moment later.
    """

    before: bytes = b""
    head: bytes | None = None
    framing: str = "length"
    cut: int | None = None
    surplus: bytes = b""
    late: bool = False
    notes: list[str] = field(default_factory=list)


Change = Callable[[Random, Asked, Said, Sending, Content], None]


def deviate(rng: Random, asked: Asked, said: Said, content: Content) -> Sending:
    """
    Change *said* in up to three ways, and return how to send it.
    """
    sending = Sending()
    is_object = said.status in (200, 206) and "Last-Modified" in said.headers and asked.method in ("GET", "HEAD")
    changes = OBJECT_CHANGES if is_object else CHANGES
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        change = rng.choice(changes)
        sending.notes.append(change.__name__)
        change(rng, asked, said, sending, content)
    return sending


def other_status(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    said.status = rng.choice(STATUSES)


def refusal(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    said.status = rng.choice([status for status in STATUSES if status >= 300])
    said.body = rng.choice(BODIES)
    said.headers.pop("Content-Range", None)
    said.headers.pop("Content-Length", None)
    if rng.random() < 0.3:
        said.headers["Retry-After"] = rng.choice(
            ("0", "9" * 9, "9" * 400, "-1", "soon", "Mon, 02 Jan 2023 03:04:05 GMT")
        )


def success_of_another_kind(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    said.status = rng.choice((201, 202, 203, 204, 207, 226))


def other_body(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    said.body = rng.choice(BODIES)


def shorter_body(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    said.body = said.body[: rng.randrange(len(said.body) + 1)]


def other_field(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    places = list(_TEXT.finditer(said.body))
    if places:
        place = rng.choice(places)
        text = rng.choice(VALUES).encode()
        if place[0].startswith(b'"') or rng.random() < 0.3:
            text = b'"' + text.replace(b"\\", b"").replace(b'"', b"") + b'"' if b"<" not in said.body else text
        said.body = said.body[: place.start()] + text + said.body[place.end() :]


def other_bytes_in_document(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    body = bytearray(said.body)
    for _ in range(rng.randrange(1, 4)):
        if body:
            body[rng.randrange(len(body))] = rng.randrange(256)
    said.body = bytes(body)


def endless_listing(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    token = rng.choice(("t", "", "\u00e9"))
    more = (
        f"<NextContinuationToken>{token}</NextContinuationToken><NextKeyMarker>{token}</NextKeyMarker>"
        f"<NextUploadIdMarker>u</NextUploadIdMarker><NextPartNumberMarker>{token}</NextPartNumberMarker>"
    )
    text = said.body.replace(b"<IsTruncated>false</IsTruncated>", f"<IsTruncated>true</IsTruncated>{more}".encode())
    text = text.replace(b"<NextMarker />", f"<NextMarker>{token}</NextMarker>".encode())
    if text.startswith((b'{"items"', b'{"objects"')):
        text = text[:-1] + f', "nextPageToken": "{token}", "nextStartWith": "{token}"}}'.encode()
    said.body = text
    said.headers["opc-next-page"] = token.encode().decode("latin-1")
    said.headers["Link"] = '<http://127.0.0.1/next>; rel="next"'


def missing_header(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    if said.headers:
        del said.headers[rng.choice(list(said.headers))]


def other_header(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    names = (*said.headers, "Date", "x-amz-meta-a", "x-ms-meta-_x0", "x-goog-meta-a", "opc-meta-a", "x-ratelimit-reset")
    said.headers[rng.choice(names)] = rng.choice(VALUES)


def odd_metadata(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    names = (
        "Last-Modified",
        "Content-Type",
        "Cache-Control",
        "x-amz-meta-a",
        "x-ms-meta-_xd800_",
        "x-goog-meta-a",
        "opc-meta-a",
        "opc-meta-md5",
        "x-amz-version-id",
        "x-amz-storage-class",
        "version-id",
        "x-ms-creation-time",
        "Date",
        "x-goog-stored-content-encoding",
    )
    said.headers[rng.choice(names)] = rng.choice(VALUES)


def cut_short(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    sending.cut = rng.randrange(len(said.body)) if said.body else None
    sending.surplus, sending.late = b"", False


def chunked(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    sending.framing = "chunked"


def closing(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    sending.framing = "close"
    sending.surplus, sending.late = b"", False


def surplus(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    if sending.cut is not None or sending.framing == "close" or sending.head is not None:
        # It would be part of the body, or itself the reply.
        return
    sending.surplus = rng.choice(
        (b"x", b'HTTP/1.1 200 OK\r\nETag: "1"\r\nLast-Modified: x\r\nContent-Length: 5\r\n\r\nother')
    )
    sending.late = rng.random() < 0.5


def informational(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    one = rng.choice((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"))
    sending.before = one * rng.choice((1, 2, 50))


def no_http(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    # After an empty head a surplus would be the reply.
    sending.surplus, sending.late = b"", False
    sending.head = rng.choice(
        (
            b"",
            b"\x16\x03\x01",
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/9.9 200 OK\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200\r\nA\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 400 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nA: " + b"a" * 40_000 + b"\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        )
    )


def corrupted(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    # Only what has a checksum of the same bytes in its head, and is read to its end: whoever wants a part stops there.
    if (
        "range" not in asked.headers
        and said.status == 200
        and asked.method == "GET"
        and said.body
        and _has_checksum(said, content)
    ):
        at = rng.randrange(len(said.body))
        said.body = said.body[:at] + bytes([said.body[at] ^ 1]) + said.body[at + 1 :]


def _has_checksum(said: Said, content: Content) -> bool:
    return any(
        content.crc in said.headers.get(name, "")
        for name in ("x-amz-checksum-crc32c", "x-goog-hash", "opc-content-crc32c")
    )


def other_range(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    size = len(content.data)
    start = rng.randrange(size)
    end = rng.randrange(start, size) + 1
    said.status = rng.choice((206, 206, 200)) if "range" in asked.headers else 206
    said.body = content.data[start:end]
    said.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    said.headers.pop("Content-Length", None)


def range_without_its_place(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    other_range(rng, asked, said, sending, content)
    said.status = 206
    said.headers["Content-Range"] = rng.choice(
        ("", "bytes */10", "items 0-1/2", "bytes 0-", "bytes 9-1/10", "bytes -1-5/10")
    )


def whole_for_a_range(rng: Random, asked: Asked, said: Said, sending: Sending, content: Content) -> None:
    said.status, said.body = 200, content.data
    said.headers.pop("Content-Range", None)
    said.headers.pop("Content-Length", None)


CHANGES: Final[tuple[Change, ...]] = (
    other_status,
    refusal,
    other_body,
    shorter_body,
    other_field,
    other_field,
    other_field,
    other_bytes_in_document,
    endless_listing,
    missing_header,
    other_header,
    odd_metadata,
    cut_short,
    chunked,
    closing,
    surplus,
    informational,
    no_http,
)

OBJECT_CHANGES: Final[tuple[Change, ...]] = (
    refusal,
    success_of_another_kind,
    odd_metadata,
    odd_metadata,
    cut_short,
    cut_short,
    chunked,
    closing,
    surplus,
    informational,
    no_http,
    corrupted,
    other_range,
    other_range,
    range_without_its_place,
    whole_for_a_range,
)
