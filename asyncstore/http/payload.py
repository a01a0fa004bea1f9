"""
Sends a :class:`~asyncstore.driver.body.Body` over aiohttp, and detects a server that stops reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import anyio
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from asyncstore.driver.body import Body, BytesLike, FileRange
from asyncstore.errors import SourceChangedError, UnavailableError
from asyncstore.http.fast.sending import DirectSender
from asyncstore.http.fast.watched import WatchedHandler
from asyncstore.http.unacknowledged import unacknowledged

_T = TypeVar("_T")

#: Bytes passed to the transport at a time. The transport copies what it cannot send at once, so
#: larger pieces cost memory and time.
PIECE: Final = 512 * 1024

#: Seconds that a failed or answered request waits for the task that reads its body to stop.
_SETTLE_TIMEOUT: Final = 5.0


class BodyPayload(Payload):
    """
    The body of one request.

    aiohttp detects a server that stops sending, but not one that stops reading. This does, and
    it keeps the error of a source that failed, which aiohttp would report as a lost connection.

    Attributes:
        error: What the source raised, or that the server stopped reading; not that
            the connection was lost.
        finished: Whether all bytes were passed to the connection.
        on_finish: Called then.
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
        self.on_finish: Callable[[], None] | None = None

    @property
    def replayable(self) -> bool:
        """Whether the request can be sent again, for the auth middleware."""
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
            if self.on_finish is not None:
                self.on_finish()
        finally:
            sending.stop()

    async def _write_chunks(self, sending: _Sending) -> None:
        pieces = self._body.pieces()
        left = self._body.size
        try:
            while (piece := await self._reading(anext(pieces, None))) is not None:
                left -= _size(piece)
                if left < 0:
                    break
                if isinstance(piece, FileRange):
                    await self._write_range(sending, piece)
                else:
                    await sending.send(piece)
        finally:
            if (aclose := getattr(pieces, "aclose", None)) is not None:
                await aclose()
        if left:
            self.error = SourceChangedError(f"the source has {'more' if left < 0 else 'fewer'} bytes than before")
            raise self.error

    async def _write_range(self, sending: _Sending, piece: FileRange) -> None:
        sent = await sending.send_file(piece)
        if sent < piece.size:
            await sending.send(memoryview(await self._reading(piece.read()))[sent:])

    async def _reading(self, source: Awaitable[_T]) -> _T:
        try:
            return await source
        except Exception as exc:
            self.error = exc
            raise

    async def settle(self) -> None:
        """
        Stop the task that still reads the body, and return when it has.
        """
        task = self._task
        if task is None or task.done():
            return
        task.cancel()
        with anyio.move_on_after(_SETTLE_TIMEOUT, shield=True):
            await asyncio.wait([task])


def _size(piece: BytesLike | FileRange) -> int:
    if isinstance(piece, FileRange):
        return piece.size
    return piece.nbytes if isinstance(piece, memoryview) else len(piece)


class _Sending:
    """
    Sends one body, and aborts the connection if the server takes nothing of it for *timeout* seconds.

    The system may take nothing more for longer than that while the server reads slowly: what counts is what the
    server acknowledges. One timer for the whole body checks once per timeout, so a stall is detected after one to
    two timeouts, and a chunk costs nothing.
    """

    def __init__(self, payload: BodyPayload, writer: AbstractStreamWriter, timeout: float) -> None:
        self._payload = payload
        self._writer = writer
        self._transport = writer.transport
        self._timeout = timeout
        self._direct: DirectSender | None = None
        self._waiting = False
        self._steps = 0
        self._seen: tuple[int, ...] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(timeout, self._check)
        if self._transport is not None:
            # drain() then waits for the last byte; see send(). With a limit of 0 the TLS transport
            # counts an empty buffer as full and never resumes; it holds a copy anyway.
            encrypted = self._transport.get_extra_info("sslcontext") is not None
            self._transport.set_write_buffer_limits(high=1 if encrypted else 0, low=0)

    async def send(self, chunk: BytesLike) -> None:
        """
        Send *chunk*, and return when its memory can be reused.

        All of it must be sent before the next chunk is requested, since that may overwrite this
        one, and a transport keeps a view of it.
        """
        left = memoryview(chunk).cast("B")
        self._waiting = True
        while left:
            if self._direct is not None:
                count = await self._direct.send(left)
            else:
                count = await self._send_piece(left[:PIECE])
                # The head of the request is sent: the rest can bypass the transport.
                if len(left) > PIECE:
                    self._direct = DirectSender.of(self._writer)
            left = left[count:]
            self._steps += count > 0
        self._waiting = False

    async def send_file(self, piece: FileRange) -> int:
        """
        Send *piece* from the file, and return how many bytes: fewer than it has if that is not possible.
        """
        if self._direct is None and self._steps:
            self._direct = DirectSender.of(self._writer)
        direct, sent = self._direct, 0
        if direct is None:
            return sent
        try:
            while sent < piece.size:
                count = await direct.send_file(piece, sent)
                if not count:
                    self._waiting = True
                    await direct.writable()
                    self._waiting = False
                sent += count
                self._steps += count > 0
        except ConnectionError:
            raise
        except OSError:
            # Whether it was the file or the connection shows when the rest is read and sent.
            pass
        return sent

    async def _send_piece(self, piece: memoryview) -> int:
        await self._writer.write(piece)
        await self._writer.drain()
        return len(piece)

    def _check(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        now = (self._steps, transport.get_write_buffer_size(), unacknowledged(transport))
        if self._waiting and now == self._seen:
            self._payload.error = UnavailableError(f"the server read nothing of the body for {self._timeout:g} s")
            transport.abort()
            return
        self._seen = now if self._waiting else None
        self._timer = self._loop.call_later(self._timeout, self._check)

    def stop(self) -> None:
        """
        Stop watching the connection: from now on the reply is waited for.
        """
        self._timer.cancel()
        receiver = None if self._transport is None else self._transport.get_protocol()
        if isinstance(receiver, WatchedHandler):
            receiver.unacknowledged = unacknowledged(self._transport)
        if self._direct is not None:
            self._direct.close()
