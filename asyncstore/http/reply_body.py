"""
The body of a read, streamed as it arrives.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import cached_property
from typing import Final

import aiohttp

from asyncstore.driver.body import ReadBody, Sink
from asyncstore.errors import UNREADABLE, RangeNotSatisfiableError, UnavailableError, unreadable
from asyncstore.http.errors import FAILURES, translated
from asyncstore.http.fast.private import set_read_size
from asyncstore.http.fast.receiving import DirectBody, receive
from asyncstore.http.reply import Reply
from asyncstore.http.session import LARGE_READ, SMALL_READ
from asyncstore.options import MiB
from asyncstore.types import UNKNOWN, Checksum, Metadata

# Shorter bodies take only a few receives, which are not worth a thread.
DIRECT: Final = 1 * MiB


class ReplyBody(ReadBody):
    """
    The bytes *start* to *end* of an object, from the body of *reply*.

    Args:
        info: The metadata, or a function that reads it on demand: reading the metadata of a
            small object takes longer than the rest, and few callers use it.
        checksum: The value of :attr:`ReadBody.checksum`, if *info* is a function.
        skip: Bytes to drop before *start*, if the reply has more than was requested.
            Bytes after *end* are not read.
        open_ended: The body ends where the reply does, at *end* at the latest.
        unframed: The reply does not say its length: it must end where the body does, which is then known not
            to be cut, nor the beginning of something else.
        ignored_range: See :class:`~asyncstore.driver.body.ReadBody`.
    """

    def __init__(
        self,
        reply: Reply,
        info: Metadata | Callable[[], Metadata],
        start: int,
        end: int,
        *,
        checksum: Checksum | None = None,
        skip: int = 0,
        open_ended: bool = False,
        unframed: bool = False,
        ignored_range: bool = False,
    ) -> None:
        self._info = info
        self._checksum = checksum
        self.start = start
        self.end = end
        self.ignored_range = ignored_range
        self._left = self._most = sys.maxsize if end == UNKNOWN else end - start
        self._skip = skip
        self._open_ended = open_ended
        self._unframed = unframed
        self._response = reply.response
        self._content = reply.response.content
        self._transport: asyncio.BaseTransport | None = None
        if self._left > SMALL_READ and (connection := reply.response.connection) is not None:
            self._transport = connection.transport
            set_read_size(self._transport, LARGE_READ)

    @cached_property
    def info(self) -> Metadata:  # type: ignore[override]  # it can be written to, which mypy does not know
        if isinstance(self._info, Metadata):
            return self._info
        try:
            return self._info()
        except UNREADABLE as exc:
            raise unreadable(exc) from exc

    @property
    def checksum(self) -> Checksum | None:
        return super().checksum if isinstance(self._info, Metadata) else self._checksum

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._next():
            yield chunk

    async def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        direct = self._direct()
        if direct is None:
            async with aclosing(super().into(sink, size)) as counts:
                async for count in counts:
                    yield count
            return
        try:
            while size and (count := await direct.pour(sink, size)):
                self._left -= count
                size -= count
                yield count
        except aiohttp.ClientError as exc:
            raise translated(exc) from None
        finally:
            direct.close()
            if self._left:
                self._response.close()

    def _direct(self) -> DirectBody | None:
        if self._left < DIRECT or self._left < self._most or self._skip or self._open_ended:
            return None
        return receive(self._response, self._left)

    async def collect(self, chunks: list[bytes]) -> None:
        if self._left and not self._skip and not self._unframed and self._content.is_eof():
            # A small object arrives together with the head of its reply.
            chunks.append(self._arrived())
        while self._left and (chunk := await self._next()):
            chunks.append(chunk)

    def _arrived(self) -> bytes:
        try:
            data = self._content.read_nowait()
        except FAILURES as exc:
            raise translated(exc) from None
        data = data[: self._left] if len(data) > self._left else data
        self._left -= len(data)
        return data

    async def _next(self) -> bytes:
        while self._left:
            chunk = await self._receive()
            if not chunk and self._open_ended:
                self._finish()
                break
            if not chunk:
                self._response.close()
                raise UnavailableError("the reply ended before the announced number of bytes")
            if self._unframed and len(chunk) >= self._left and (len(chunk) > self._left or await self._receive()):
                self._response.close()
                raise UnavailableError("the reply has more bytes than its Content-Range")
            if self._skip or len(chunk) > self._left:
                chunk = self._cut(chunk)
            self._left -= len(chunk)
            if chunk:
                return chunk
        return b""

    async def _receive(self) -> bytes:
        try:
            return await self._content.readany()
        except FAILURES as exc:
            self._response.close()
            raise translated(exc) from None

    def _finish(self) -> None:
        self._response.close()
        if self._skip:
            raise RangeNotSatisfiableError("the object ends before the requested range")
        self.end = self.start + self._most - self._left
        self._left = 0

    def _cut(self, chunk: bytes) -> bytes:
        wanted = chunk[self._skip : self._skip + self._left]
        self._skip = max(0, self._skip - len(chunk))
        return wanted

    async def aclose(self) -> None:
        if self._transport is not None:
            set_read_size(self._transport, SMALL_READ)
        # After the last byte the connection is already back in the pool.
        if self._left or not self._content.is_eof():
            self._left = 0
            self._response.close()
