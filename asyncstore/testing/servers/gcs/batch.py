"""
Batches, several requests in one: `batch requests <https://cloud.google.com/storage/docs/batch>`_.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from asyncstore.testing.servers.gcs.calls import Body, BytesBody, Call, Reply
from asyncstore.testing.servers.gcs.errors import ServiceError, invalid
from asyncstore.testing.servers.gcs.related import boundary_of

#: https://cloud.google.com/storage/docs/batch#overview
_MAX_CALLS: Final = 100
_PATH: Final = "/batch/storage/v1"

Answer = Callable[[str, str, str, Mapping[str, str], Body, str], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class _Inner:
    """
    One request of a batch.

    Attributes:
        content_id: Identifies its part of the reply.
    """

    content_id: str
    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def is_batch(call: Call) -> bool:
    """
    Return whether a request is a batch.
    """
    return call.path == _PATH and call.method == "POST"


async def answer_batch(call: Call, answer: Answer) -> Reply:
    """
    Answer each request of a batch in turn, with *answer*.
    """
    boundary = boundary_of(call.headers.get("content-type", ""))
    inner = [_parsed(part) for part in _parts(await call.read(), boundary)]
    if len(inner) > _MAX_CALLS:
        raise invalid(f"The batch request has more than {_MAX_CALLS} calls.")
    marker = f"batch_{uuid.uuid4().hex}"
    body = bytearray()
    for one in inner:
        reply = await _answered(call, one, answer)
        body += f"--{marker}\r\n".encode() + _rendered(one, reply) + b"\r\n"
    body += f"--{marker}--\r\n".encode()
    return Reply(200, {"Content-Type": f"multipart/mixed; boundary={marker}"}, bytes(body))


async def _answered(call: Call, one: _Inner, answer: Answer) -> Reply:
    target = urlsplit(one.target)
    # Requests inherit these headers from the batch unless they set their own.
    shared = {name: call.headers[name] for name in ("authorization", "x-goog-user-project") if name in call.headers}
    if target.path.startswith(("/upload/", "/download/", "/batch/")) or "alt=media" in target.query:
        return _refused(invalid("Media cannot be uploaded or downloaded in a batch."))
    return await answer(
        one.method, target.path, target.query, {**shared, **one.headers}, BytesBody(one.body), call.base_url
    )


def _parts(body: bytes, boundary: str) -> list[bytes]:
    delimiter = b"--" + boundary.encode()
    found = (b"\n" + body.replace(b"\r\n", b"\n")).split(b"\n" + delimiter)
    if len(found) < 2 or not found[-1].startswith(b"--"):
        raise invalid("Malformed multipart body.")
    return [part.removeprefix(b"\n") for part in found[1:-1]]


def _parsed(part: bytes) -> _Inner:
    # The part's own headers, then the request line and headers, then the body.
    outer, _, request = part.partition(b"\n\n")
    head, _, body = request.partition(b"\n\n")
    line, *rest = head.decode(errors="replace").strip("\n").split("\n")
    words = line.split()
    if len(words) < 2:
        raise invalid("A part of the batch is not an HTTP request.")
    content_id = _headers(outer.decode(errors="replace").split("\n")).get("content-id", "")
    return _Inner(content_id.strip("<>"), words[0].upper(), words[1], _headers(rest), body)


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _rendered(one: _Inner, reply: Reply) -> bytes:
    head = [
        "Content-Type: application/http",
        f"Content-ID: <response-{one.content_id}>",
        "",
        f"HTTP/1.1 {reply.status} {_phrase(reply.status)}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
        f"Content-Length: {len(reply.body)}",
        "",
        "",
    ]
    return "\r\n".join(head).encode() + reply.body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _refused(refusal: ServiceError) -> Reply:
    return Reply(refusal.status, {"Content-Type": "application/json; charset=UTF-8"}, refusal.as_json())
