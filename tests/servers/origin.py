"""
A small server behind the fault proxy, and a client that shows every byte.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

BODY = bytes(range(256)) * 400


class Origin:
    """
    Stores what is put, and serves `BODY`: sized, chunked, or until the connection closes.

    Attributes:
        stored: Bodies of puts, by path.
        cut_off: Bytes received of each put that was cut off.
    """

    def __init__(self) -> None:
        self.port = 0
        self.stored: dict[str, bytes] = {}
        self.cut_off: list[int] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/refuse":
            return web.Response(status=403, text="no")
        if request.method == "PUT":
            return await self._put(request)
        if request.path == "/empty":
            return web.Response(status=204)
        if request.path in ("/chunked", "/until-close"):
            return await self._stream(request)
        return web.Response(body=BODY)

    async def _put(self, request: web.Request) -> web.Response:
        received = bytearray()
        try:
            async for data in request.content.iter_any():
                received += data
        except OSError:
            self.cut_off.append(len(received))
            raise
        self.stored[request.path] = bytes(received)
        return web.Response(text=request.headers["Host"])

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        if request.path == "/chunked":
            reply.enable_chunked_encoding()
        else:
            reply.force_close()
        await reply.prepare(request)
        for start in range(0, len(BODY), 10_000):
            await reply.write(BODY[start : start + 10_000])
        return reply


@asynccontextmanager
async def running_origin() -> AsyncIterator[Origin]:
    origin = Origin()

    async def accept_expectation(request: web.Request) -> web.Response | None:
        if request.path == "/refuse":
            return web.Response(status=403, text="no")
        assert request.transport
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return web.Response(status=403, text="no") if request.path == "/invite-and-refuse" else None

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", origin.handle, expect_handler=accept_expectation)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    origin.port = runner.addresses[0][1]
    try:
        yield origin
    finally:
        await runner.cleanup()


class RawClient:
    """A connection that sends and shows the bytes unchanged."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, method: str, target: str, *extra: str, body: bytes | None = None) -> None:
        length = [] if body is None else [f"Content-Length: {len(body)}"]
        lines = [f"{method} {target} HTTP/1.1", "Host: origin.example:81", *length, *extra, "", ""]
        self.writer.write("\r\n".join(lines).encode() + (body or b""))
        await self.writer.drain()

    async def head(self) -> tuple[int, str]:
        """Return the status of the next reply, and its head."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return int(raw.split()[1]), raw

    async def sized_reply(self) -> tuple[int, bytes]:
        """Return the status and body of a reply with a Content-Length."""
        status, head = await self.head()
        lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        length = int(lengths[0].partition(":")[2]) if lengths else 0
        return status, await self.reader.readexactly(length)

    async def rest(self) -> tuple[bytes, bool]:
        """Return the remaining bytes, and whether the connection ended with RST instead of FIN."""
        received = bytearray()
        try:
            while data := await self.reader.read(65536):
                received += data
        except ConnectionResetError:
            return bytes(received), True
        return bytes(received), False


@asynccontextmanager
async def raw_client(port: int, *, receive_buffer: int | None = None) -> AsyncIterator[RawClient]:
    """Connect; with a small *receive_buffer*, unread bytes stay with the sender."""
    connecting = socket.socket()
    connecting.setblocking(False)
    if receive_buffer is not None:
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(connecting, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connecting, limit=receive_buffer or 2**16)
    try:
        yield RawClient(reader, writer)
    finally:
        # Not awaited: that would raise the error that the test has already seen again.
        writer.transport.abort()
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds; fail after five seconds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
