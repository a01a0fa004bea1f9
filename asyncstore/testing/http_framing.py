"""
Finds where an HTTP/1.1 message starts and ends, without changing a byte of it.

Signatures cover headers as they were sent, so the proxy forwards messages unchanged; this
module only finds their boundaries, and separates payload from framing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from asyncstore.testing.wire import READ_SIZE, Wire

_MAX_HEAD = 256 * 1024
_MAX_LINE = 8 * 1024
_NOT_MODIFIED = 304
_NO_CONTENT = 204


@dataclass(frozen=True, slots=True)
class Head:
    """
    A request or status line, and the headers after it.

    Attributes:
        raw: The bytes as received, including the empty line at the end.
        start: Method, target and version, or version, status and reason.
    """

    raw: bytes
    start: tuple[str, str, str]
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """Return the first header called *name*, ignoring case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def has(self, name: str, token: str) -> bool:
        """Return whether the comma-separated header *name* contains *token*."""
        return token in {part.strip().lower() for part in (self.get(name) or "").split(",")}

    @property
    def expects_continue(self) -> bool:
        return self.has("Expect", "100-continue")


class Piece(NamedTuple):
    """Some bytes of a body as sent: payload, or the framing around it."""

    data: bytes
    is_payload: bool


class Body(Protocol):
    """The body of a message, in pieces."""

    async def piece(self) -> Piece | None:
        """
        Return the next piece, or None after the last one.

        Raises:
            EOFError: The stream ended before the body.
        """
        ...


async def read_head(wire: Wire) -> Head | None:
    """
    Return the head of the next message, or None if the stream ends instead.

    Raises:
        EOFError: The stream ended within the head.
        ConnectionError: The message is not HTTP/1.
    """
    if await wire.at_end():
        return None
    raw = await wire.read_until(b"\r\n\r\n", limit=_MAX_HEAD)
    first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    start = first.split(" ", 2)
    if len(start) == 2:
        start.append("")  # The reason of a status line is optional.
    if len(start) != 3 or "HTTP/1." not in first:
        raise ConnectionError(f"not an HTTP/1 request or status line: {first!r}")
    pairs = (line.partition(":") for line in lines)
    return Head(raw, (start[0], start[1], start[2]), tuple((name, value.strip()) for name, _, value in pairs))


def request_body(wire: Wire, head: Head) -> Body:
    """Return the body that follows a request's head."""
    if head.has("Transfer-Encoding", "chunked"):
        return _Chunked(wire)
    return _Sized(wire, int(head.get("Content-Length") or 0))


def reply_body(wire: Wire, head: Head, method: str) -> Body:
    """Return the body that follows the head of a reply to *method*."""
    if method == "HEAD" or status_of(head) in (_NO_CONTENT, _NOT_MODIFIED):
        return _Sized(wire, 0)
    if head.has("Transfer-Encoding", "chunked"):
        return _Chunked(wire)
    length = head.get("Content-Length")
    return _UntilClose(wire) if length is None else _Sized(wire, int(length))


def status_of(reply: Head) -> int:
    """Return the status of a reply."""
    return int(reply.start[1])


def keeps_alive(request: Head, reply: Head, body: Body) -> bool:
    """Return whether the connection can carry another request after this reply."""
    asked_to_close = request.has("Connection", "close") or reply.has("Connection", "close")
    modern = request.start[2] == reply.start[0] == "HTTP/1.1"
    return modern and not asked_to_close and not isinstance(body, _UntilClose)


class _Sized:
    def __init__(self, wire: Wire, length: int) -> None:
        self._wire = wire
        self._left = length

    async def piece(self) -> Piece | None:
        if not self._left:
            return None
        data = await self._wire.read(min(self._left, READ_SIZE))
        if not data:
            raise EOFError(f"the body ended {self._left} bytes early")
        self._left -= len(data)
        return Piece(data, is_payload=True)


class _UntilClose:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def piece(self) -> Piece | None:
        data = await self._wire.read(READ_SIZE)
        return Piece(data, is_payload=True) if data else None


class _Chunked:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._chunk: _Sized | None = None
        self._ended = False

    async def piece(self) -> Piece | None:
        if self._ended:
            return None
        if self._chunk is None:
            return await self._chunk_line()
        if (piece := await self._chunk.piece()) is not None:
            return piece
        self._chunk = None
        return Piece(await self._line(), is_payload=False)

    async def _chunk_line(self) -> Piece:
        line = await self._line()
        size = int(line.partition(b";")[0], 16)
        if size:
            self._chunk = _Sized(self._wire, size)
            return Piece(line, is_payload=False)
        self._ended = True
        return Piece(line + await self._trailers(), is_payload=False)

    async def _trailers(self) -> bytes:
        trailers = line = await self._line()
        while line != b"\r\n":
            line = await self._line()
            trailers += line
        return trailers

    async def _line(self) -> bytes:
        return await self._wire.read_until(b"\r\n", limit=_MAX_LINE)
