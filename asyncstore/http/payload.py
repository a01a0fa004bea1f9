"""
Sends a :class:`~asyncstore.body.Body` over aiohttp, and notices when nobody reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from asyncstore.body import Body, BytesLike
from asyncstore.errors import SourceChangedError, UnavailableError
from asyncstore.http.sending import DirectSender

#: Bytes handed to the transport at a time. What one call cannot send is copied
#: into the transport's buffer, so larger pieces cost memory and time.
PIECE: Final = 512 * 1024

#: Seconds that a failed or answered request waits for its body to be let go.
_SETTLE_TIMEOUT: Final = 5.0


class BodyPayload(Payload):
    """
    The body of one request.

    aiohttp watches for a server that stops sending, not for one that stops
    reading: this does, and it keeps the error of a source that failed, which
    aiohttp would report as a lost connection.

    Attributes:
        error: What the source raised, or that nobody read; not that the
            connection was lost.
        finished: Whether all of it was handed to the connection.
    """

    _autoclose = True

    def __init__(self, body: Body, stall_timeout: float) -> None:
        super().__init__(body, content_type="application/octet-stream")
        self._size = body.size
        self._body = body
        self._stall_timeout = stall_timeout
        self._task: asyncio.Task[Any] | None = None
        self.error: Exception | None = None
        self.finished = False

    @property
    def replayable(self) -> bool:
        """Whether the same request can be sent once more, for the auth middleware."""
        return self._body.replayable

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a body that is sent in chunks is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._task = asyncio.current_task()
        self.error, self.finished = None, False
        sending = _Sending(self, writer, self._stall_timeout)
        try:
            if self._body.data is not None:
                await sending.send(self._body.data)
            else:
                await self._write_chunks(sending)
            self.finished = True
        finally:
            sending.stop()

    async def _write_chunks(self, sending: _Sending) -> None:
        chunks = self._body.chunks()
        left = self._body.size
        try:
            while (chunk := await self._pull(chunks)) is not None:
                left -= _size(chunk)
                if left < 0:
                    break
                await sending.send(chunk)
        finally:
            if (aclose := getattr(chunks, "aclose", None)) is not None:
                await aclose()
        if left:
            self.error = SourceChangedError(f"the source has {'more' if left < 0 else 'fewer'} bytes than it had")
            raise self.error

    async def _pull(self, chunks: AsyncIterator[BytesLike]) -> BytesLike | None:
        try:
            return await anext(chunks, None)
        except Exception as exc:
            self.error = exc
            raise

    async def settle(self) -> None:
        """
        Return when nobody reads the body any more, stopping who still does.
        """
        task = self._task
        if task is None or task.done():
            return
        task.cancel()
        with anyio.move_on_after(_SETTLE_TIMEOUT, shield=True):
            await asyncio.wait([task])


def _size(chunk: BytesLike) -> int:
    return chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)


class _Sending:
    """
    Sends one body, and drops the connection if the server reads nothing of it for *timeout* seconds.

    One timer for the whole body, looked at once in each timeout: so a stall is
    noticed after one to two timeouts, and a transfer pays nothing for a chunk.
    """

    def __init__(self, payload: BodyPayload, writer: AbstractStreamWriter, timeout: float) -> None:
        self._payload = payload
        self._writer = writer
        self._transport = writer.transport
        self._timeout = timeout
        self._direct: DirectSender | None = None
        self._waiting = False
        self._steps = 0
        self._seen: tuple[int, int] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(timeout, self._look)
        if self._transport is not None:
            # drain() then waits for the last byte; see send(). The transport of TLS
            # takes no bytes at all for a full buffer if the limit is 0, and never
            # says that there is room again; what it holds is a copy anyway.
            encrypted = self._transport.get_extra_info("sslcontext") is not None
            self._transport.set_write_buffer_limits(high=1 if encrypted else 0, low=0)

    async def send(self, chunk: BytesLike) -> None:
        """
        Send *chunk*, and return when nothing looks at its memory any more.

        All of it has to be out before the next chunk is asked for, since that may
        overwrite this one, and a transport keeps a view of it.
        """
        left = memoryview(chunk).cast("B")
        self._waiting = True
        while left:
            if self._direct is not None:
                count = await self._direct.send(left)
            else:
                count = await self._send_piece(left[:PIECE])
                # The head of the request is out: what follows can go by the socket itself.
                if len(left) > PIECE:
                    self._direct = DirectSender.of(self._writer)
            left = left[count:]
            self._steps += count > 0
        self._waiting = False

    async def _send_piece(self, piece: memoryview) -> int:
        await self._writer.write(piece)
        await self._writer.drain()
        return len(piece)

    def _look(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        now = (self._steps, transport.get_write_buffer_size())
        if self._waiting and now == self._seen:
            self._payload.error = UnavailableError(f"the server read nothing for {self._timeout:g} s")
            transport.abort()
            return
        self._seen = now if self._waiting else None
        self._timer = self._loop.call_later(self._timeout, self._look)

    def stop(self) -> None:
        """
        Let go of the connection.
        """
        self._timer.cancel()
        if self._direct is not None:
            self._direct.close()
