"""
The body of a read, as it comes off the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import cached_property
from typing import Final

import aiohttp

from asyncstore.body import ReadBody, Sink
from asyncstore.errors import UnavailableError
from asyncstore.http.failures import FAILURES, translated
from asyncstore.http.receiving import DirectBody, receive
from asyncstore.http.reply import Reply
from asyncstore.http.session import LARGE_READ, SMALL_READ, read_by
from asyncstore.options import MiB
from asyncstore.types import Checksum, Metadata

# Shorter bodies come with a few receives, for which no thread is worth while.
DIRECT: Final = 1 * MiB


class ReplyBody(ReadBody):
    """
    The bytes *start* to *end* of an object, from the body of *reply*.

    Args:
        info: The metadata, or what reads them when they are asked for: who reads a small
            object into memory seldom does, and to read them takes longer than the rest.
        checksum: What :attr:`ReadBody.checksum` is, for a driver that knows it without the
            metadata; to be given with a function.
        skip: Bytes that come before *start*, where the reply has more than was
            asked for. What it has after *end* is not read.
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
    ) -> None:
        self._info = info
        self._checksum = checksum
        self.start = start
        self.end = end
        self._left = end - start
        self._skip = skip
        self._response = reply.response
        self._content = reply.response.content
        self._transport: asyncio.BaseTransport | None = None
        if end - start > SMALL_READ and (connection := reply.response.connection) is not None:
            self._transport = connection.transport
            read_by(self._transport, LARGE_READ)

    @cached_property
    def info(self) -> Metadata:  # type: ignore[override]  # it can be written to, which mypy does not know
        return self._info if isinstance(self._info, Metadata) else self._info()

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
        if self._left < DIRECT or self._left < self.end - self.start or self._skip:
            return None
        return receive(self._response, self._left)

    async def read(self) -> bytes:
        if self._left and not self._skip and self._content.is_eof():
            # All of a small object comes with the head of its reply.
            first = self._arrived()
        else:
            first = await self._next()
        if not self._left:
            return first
        chunks = [first]
        while chunk := await self._next():
            chunks.append(chunk)
        return b"".join(chunks)

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
            try:
                chunk = await self._content.readany()
            except FAILURES as exc:
                self._response.close()
                raise translated(exc) from None
            if not chunk:
                self._response.close()
                raise UnavailableError("the reply has fewer bytes than it announced")
            if self._skip or len(chunk) > self._left:
                chunk = self._cut(chunk)
            self._left -= len(chunk)
            if chunk:
                return chunk
        return b""

    def _cut(self, chunk: bytes) -> bytes:
        wanted = chunk[self._skip : self._skip + self._left]
        self._skip = max(0, self._skip - len(chunk))
        return wanted

    async def aclose(self) -> None:
        read_by(self._transport, SMALL_READ)
        # After the last byte the connection has gone back to the pool already.
        if self._left or not self._content.is_eof():
            self._left = 0
            self._response.close()
