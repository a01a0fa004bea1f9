"""
Bodies that are truncated, corrupted or stalled.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from asyncstore.driver.body import Body, BytesLike, ReadBody
from asyncstore.errors import UnavailableError
from asyncstore.testing.fault_rules import Rule, Send
from asyncstore.types import Checksum, ChecksumAlgorithm

#: Runs a step of a transfer through the rules.
Through = Callable[[Send], Awaitable[Any]]


async def _nothing() -> None:
    return None


class FaultyReadBody(ReadBody):
    """
    A received body whose chunks pass through the rules for ``"read"``.
    """

    def __init__(self, body: ReadBody, through: Through, alteration: Rule | None, closed: Callable[[], None]) -> None:
        self.info = body.info
        self.start = body.start
        self.end = body.end
        self.ignored_range = body.ignored_range
        self._body = body
        self._through = through
        self._alteration = alteration
        self._closed = closed
        self._is_open = True
        self._position = 0
        self._source: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        if self._source is None:
            self._source = aiter(self._body)
        while chunk := await self._through(self._next):
            yield chunk

    async def _next(self) -> bytes:
        assert self._source is not None
        limit = self._alteration.limit if self._alteration and self._alteration.alter == "truncate" else None
        if limit is not None and self._position >= limit:
            raise UnavailableError("injected fault: the connection broke in the middle of the body")
        chunk = await anext(self._source, b"")
        self.end = self._body.end
        if limit is not None:
            chunk = chunk[: limit - self._position]
        elif self._alteration is not None and self._position == 0:
            chunk = flipped(chunk)
        self._position += len(chunk)
        return chunk

    async def aclose(self) -> None:
        if self._is_open:
            self._is_open = False
            self._closed()
        if isinstance(self._source, AsyncGenerator):
            await self._source.aclose()
        await self._body.aclose()


class PlainReadBody(FaultyReadBody):
    """
    A received body without rules, which keeps the fast ``read`` of the driver's own body.
    """

    async def collect(self, chunks: list[bytes]) -> None:
        chunks.append(bytes(await self._through(self._body.read)))
        self.end = self._body.end


class FaultyBody(Body):
    """
    A body to send, which passes through the rules for ``"write"`` in the middle of every chunk.
    """

    def __init__(self, body: Body, through: Through) -> None:
        self.size = body.size
        self.replayable = body.replayable
        self._body = body
        self._through = through

    async def chunks(self) -> AsyncIterator[BytesLike]:
        async with aclosing(_generator(self._body)) as source:
            async for chunk in source:
                middle = len(chunk) // 2
                yield bytes(chunk[:middle])
                await self._through(_nothing)
                yield bytes(chunk[middle:])

    async def prepare(self, algorithm: ChecksumAlgorithm) -> None:
        await self._body.prepare(algorithm)

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        return self._body.checksum(algorithm)


class CorruptBody(Body):
    """
    A body to send with one bit flipped, after its checksum was computed.
    """

    def __init__(self, body: Body) -> None:
        self.size = body.size
        self.replayable = body.replayable
        self.data = None if body.data is None else flipped(body.data)
        self._body = body

    async def chunks(self) -> AsyncIterator[BytesLike]:
        first = True
        async with aclosing(_generator(self._body)) as source:
            async for chunk in source:
                yield flipped(chunk) if first else chunk
                first = False

    async def prepare(self, algorithm: ChecksumAlgorithm) -> None:
        await self._body.prepare(algorithm)

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        return self._body.checksum(algorithm)


def flipped(data: BytesLike) -> bytes:
    """
    Return *data* with one bit of its middle byte changed.
    """
    changed = bytearray(data)
    if changed:
        changed[len(changed) // 2] ^= 1
    return bytes(changed)


async def _generator(body: Body) -> AsyncGenerator[BytesLike, None]:
    async for chunk in body.chunks():
        yield chunk
