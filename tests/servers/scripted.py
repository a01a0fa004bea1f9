"""
A server that answers each request with the bytes that the test chooses, and counts requests.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Exchange:
    """One request as received, and the connection for the reply."""

    method: str
    target: str
    headers: dict[str, str]
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    async def body(self) -> bytes:
        return await self.reader.readexactly(int(self.headers.get("content-length", 0)))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


Answer = Callable[[Exchange], Awaitable[None]]


@dataclass
class Scripted:
    """
    A running server and the requests that it received.

    Attributes:
        answers: One for each request in turn; the last one is reused.
        requests: Requests received.
        connections: Number of connections opened.
        open: Number of connections open now.
    """

    answers: list[Answer]
    url: str = ""
    requests: list[Exchange] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._one(head.decode("latin-1"), reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _one(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        exchange = Exchange(method, target, headers, reader, writer)
        number = len(self.requests)
        self.requests.append(exchange)
        await self.answers[min(number, len(self.answers) - 1)](exchange)

    async def settled(self) -> int:
        """Return the number of open connections, after half a second at most for them to close."""
        for _ in range(50):
            await asyncio.sleep(0.01)
            if not self.open:
                break
        return self.open


def saying(data: bytes) -> Answer:
    """Read the body of the request, then send *data*."""

    async def answer(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(data)

    return answer


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a complete reply; underscores in header names become dashes."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


async def hang_up(exchange: Exchange) -> None:
    """Read the request and close the connection without a reply."""
    await exchange.body()
    exchange.writer.close()
    raise EOFError


async def wait(exchange: Exchange) -> None:
    """Read the head and two bytes of the body, and do not reply."""
    await exchange.reader.read(1)
    await exchange.reader.read(1)
    await asyncio.sleep(30 if "content-length" in exchange.headers else 0)
    raise EOFError


@asynccontextmanager
async def scripted(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Start a server on loopback."""
    server = Scripted(list(answers))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=256 * 1024, ssl=tls)
    scheme = "http" if tls is None else "https"
    server.url = f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
