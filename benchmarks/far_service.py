"""
An S3 service that is far away: it answers late, and limits each connection, all of them, and the requests at a time.

It checks no signatures, keeps the sizes of what is written but not the bytes, and reads zeros. Any key
`zero-N` exists and has N bytes.
"""

import argparse
import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

PIECE: Final = 256 * 1024
_ZEROS: Final = memoryview(bytes(PIECE))
_HEAD_LIMIT: Final = 1024 * 1024

_UPLOAD = "<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>"
_COMPLETE = '<CompleteMultipartUploadResult><ETag>"e-1"</ETag></CompleteMultipartUploadResult>'
_REFUSAL = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """
    How far the service is, and what it allows.

    Attributes:
        delay: Seconds from a request to the first byte of its reply.
        rate: Bytes a second of each connection; 0 for no limit.
        cap: Bytes a second of all connections together; 0 for no limit.
        room: Requests at a time, beyond which it answers 503; 0 for no limit.
        retry_after: Seconds that a refusal asks the client to wait; 0 to leave that out.
    """

    delay: float = 0.0
    rate: float = 0.0
    cap: float = 0.0
    room: int = 0
    retry_after: int = 0


class Pace:
    """
    Slows a flow of bytes down to a rate.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due = time.monotonic()

    def owed(self, count: int) -> float:
        """
        Count *count* bytes, and return for how many seconds the flow has to stop now.
        """
        if not self._rate:
            return 0.0
        now = time.monotonic()
        # What was not used for a while is lost, as on a real line.
        self._due = max(self._due, now - 0.02) + count / self._rate
        return self._due - now


@dataclass(slots=True)
class Counts:
    """
    What the service saw since the last time it was asked.
    """

    requests: int = 0
    refused: int = 0
    peak: int = 0


@dataclass(slots=True)
class Request:
    """
    The head of a request, and its connection.
    """

    method: str
    key: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def length(self) -> int:
        """Bytes of its body."""
        return int(self.headers.get("content-length", "0"))


@dataclass(slots=True)
class Service:
    """
    The service; :meth:`connected` serves one connection.
    """

    distance: Distance
    counts: Counts = field(default_factory=Counts)
    objects: dict[str, int] = field(default_factory=dict)
    uploads: dict[str, dict[str, int]] = field(default_factory=dict)
    _in_flight: int = 0
    _link: Pace = field(init=False)

    def __post_init__(self) -> None:
        self._link = Pace(self.distance.cap)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """
        Serve the requests of one connection.
        """
        try:
            while (request := await _head(reader, writer)) is not None and await self._counted(request):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _counted(self, request: Request) -> bool:
        """
        Answer *request*; return whether its connection can be used again.
        """
        if request.key == "_counts":
            found, self.counts = self.counts, Counts()
            await self._answer(request, HTTPStatus.OK, json.dumps(asdict(found)))
            return True
        self._in_flight += 1
        self.counts.requests += 1
        self.counts.peak = max(self.counts.peak, self._in_flight)
        try:
            if self.distance.room and self._in_flight > self.distance.room:
                return await self._refuse(request)
            await self._serve(request)
        finally:
            self._in_flight -= 1
        return True

    async def _refuse(self, request: Request) -> bool:
        self.counts.refused += 1
        await asyncio.sleep(self.distance.delay)
        headers = {"Retry-After": str(self.distance.retry_after)} if self.distance.retry_after else {}
        await self._answer(request, HTTPStatus.SERVICE_UNAVAILABLE, _REFUSAL, headers)
        # The body of a refused request is thrown away: closing the connection could lose the answer.
        left = request.length
        while left and (chunk := await request.reader.read(min(left, PIECE))):
            left -= len(chunk)
        return not left

    async def _serve(self, request: Request) -> None:
        if request.headers.get("expect", "").lower() == "100-continue":
            await asyncio.sleep(self.distance.delay)
            request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.method == "PUT":
            await self._receive(request)
            return
        await asyncio.sleep(self.distance.delay)
        match request.method:
            case "POST" if "uploads" in request.query:
                upload = f"u{len(self.uploads)}"
                self.uploads[upload] = {}
                await self._answer(request, HTTPStatus.OK, _UPLOAD.format(upload))
            case "POST":
                await request.reader.readexactly(request.length)
                self.objects[request.key] = sum(self.uploads[request.query["uploadId"][0]].values())
                await self._answer(request, HTTPStatus.OK, _COMPLETE)
            case "DELETE":
                await self._answer(request, HTTPStatus.NO_CONTENT)
            case _:
                await self._send(request)

    async def _receive(self, request: Request) -> None:
        pace, left = Pace(self.distance.rate), request.length
        while left:
            chunk = await request.reader.read(min(left, PIECE))
            if not chunk:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(chunk)
            await self._pay(pace, len(chunk))
        await asyncio.sleep(self.distance.delay)
        if "uploadId" in request.query:
            self.uploads[request.query["uploadId"][0]][request.query["partNumber"][0]] = request.length
        else:
            self.objects[request.key] = request.length
        await self._answer(request, HTTPStatus.OK, headers={"ETag": '"e"'})

    async def _send(self, request: Request) -> None:
        zero = re.search(r"zero-(\d+)$", request.key)
        size = int(zero[1]) if zero else self.objects.get(request.key)
        if size is None:
            await self._answer(request, HTTPStatus.NOT_FOUND)
            return
        start, end, status = 0, size, HTTPStatus.OK
        headers = {"ETag": '"e"', "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT", "Accept-Ranges": "bytes"}
        if (wanted := request.headers.get("range")) is not None:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end, status = int(first), min(size, int(last) + 1 if last else size), HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        _write_head(request, status, end - start, headers)
        if request.method != "HEAD":
            pace = Pace(self.distance.rate)
            for position in range(start, end, PIECE):
                piece = min(PIECE, end - position)
                await self._pay(pace, piece)
                request.writer.write(_ZEROS[:piece])
                await request.writer.drain()

    async def _pay(self, pace: Pace, count: int) -> None:
        wait = max(pace.owed(count), self._link.owed(count))
        if wait > 0.002:
            await asyncio.sleep(wait)

    async def _answer(
        self, request: Request, status: HTTPStatus, text: str = "", headers: dict[str, str] | None = None
    ) -> None:
        _write_head(request, status, len(text), headers or {})
        request.writer.write(text.encode())
        await request.writer.drain()


async def _head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, target, _ = lines[0].split(" ")
    parts = urlsplit(target)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    key = parts.path.lstrip("/").partition("/")[2] or parts.path.lstrip("/")
    return Request(method, key, parse_qs(parts.query, keep_blank_values=True), headers, reader, writer)


def _write_head(request: Request, status: HTTPStatus, length: int, headers: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


async def serve(distance: Distance, port: int = 0, ready: Callable[[int], Awaitable[None] | None] = print) -> None:
    """
    Serve on *port*, or a free one that *ready* is called with, until cancelled.
    """
    service = Service(distance)
    server = await asyncio.start_server(service.connected, "127.0.0.1", port, limit=_HEAD_LIMIT, backlog=1024)
    async with server:
        ready(server.sockets[0].getsockname()[1])
        await server.serve_forever()


def main() -> None:
    """Serve until killed; print the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in (("delay", float), ("rate", float), ("cap", float), ("room", int), ("retry-after", int)):
        parser.add_argument(f"--{name}", type=kind, default=0)
    parser.add_argument("--port", type=int, default=0)
    args = vars(parser.parse_args())
    port = args.pop("port")
    asyncio.run(serve(Distance(**args), port, lambda found: print(found, flush=True)))


if __name__ == "__main__":
    main()
