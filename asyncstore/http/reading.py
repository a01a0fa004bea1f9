"""
The body of a read, as it comes off the connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from asyncstore.body import ReadBody
from asyncstore.errors import UnavailableError
from asyncstore.http.failures import FAILURES, translated
from asyncstore.http.reply import Reply
from asyncstore.types import Metadata


class ReplyBody(ReadBody):
    """
    The bytes *start* to *end* of an object, from the body of *reply*.
    """

    def __init__(self, reply: Reply, info: Metadata, start: int, end: int) -> None:
        self.info = info
        self.start = start
        self.end = end
        self._left = end - start
        self._response = reply.response
        self._content = reply.response.content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._next():
            yield chunk

    async def read(self) -> bytes:
        first = await self._next()
        if not self._left:
            return first
        chunks = [first]
        while chunk := await self._next():
            chunks.append(chunk)
        return b"".join(chunks)

    async def _next(self) -> bytes:
        if not self._left:
            return b""
        try:
            chunk = await self._content.readany()
        except FAILURES as exc:
            self._response.close()
            raise translated(exc) from None
        self._left -= len(chunk)
        if not chunk or self._left < 0:
            self._response.close()
            raise UnavailableError(f"the reply has {'more' if self._left < 0 else 'fewer'} bytes than it announced")
        return chunk

    async def aclose(self) -> None:
        self._left = 0
        # After the last byte the connection has gone back to the pool already.
        self._response.close()
