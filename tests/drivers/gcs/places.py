"""
GCS servers and drivers for the tests of the driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from asyncstore.config import StorageConfig
from asyncstore.drivers.gcs import GCSDriver, open_driver
from asyncstore.testing.servers.gcs import GCSServer

BUCKET = "bucket"


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[GCSDriver]:
    """
    Yield a driver for the server at *url*, anonymous unless there is a token.
    """
    chosen = {"anonymous": True, **settings} if "token" not in settings else settings
    driver = open_driver(StorageConfig.build(f"gs://{BUCKET}", {"endpoint_url": url, **chosen}))
    try:
        yield driver
    finally:
        await driver.aclose()


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[GCSServer, GCSDriver]]:
    """
    Yield a new server with one bucket, and a driver for it.
    """
    async with GCSServer(buckets=[BUCKET]) as server, opened(server.url, **settings) as driver:
        yield server, driver


class Cut:
    """
    A proxy that breaks connections in the middle of bodies.

    Args:
        after: For each ``PUT`` with a body in turn, how many bytes go through before the
            connection is reset; later bodies go through whole.

    Attributes:
        sent: The bytes that went through, for each ``PUT`` with a body.
    """

    def __init__(self, port: int, after: Sequence[int]) -> None:
        self.sent: list[int] = []
        self._port = port
        self._after = list(after)
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.ensure_future(_pump(upstream_reader, writer))
        try:
            while await self._request(reader, upstream):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            upstream.transport.abort()
            writer.transport.abort()
            await back

    async def _request(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        size = int(lines.get(b"content-length", 0))
        upstream.write(head)
        cut = self._after.pop(0) if head.startswith(b"PUT ") and size and self._after else None
        if head.startswith(b"PUT ") and size:
            self.sent.append(0)
        left = size if cut is None else min(cut, size)
        while left:
            piece = await reader.read(min(left, 65536))
            upstream.write(piece)
            await upstream.drain()
            left -= len(piece)
            if head.startswith(b"PUT "):
                self.sent[-1] += len(piece)
        if cut is not None:
            # The bytes in flight have to arrive before the connection ends.
            upstream.write_eof()
            await asyncio.sleep(0.05)
        return cut is None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
