"""
Receives replies into a preallocated buffer, and large bodies in threads.

asyncio allocates 256 KiB for each receive and shrinks it to what arrived, which costs two page
faults for each small reply; and aiohttp's parser copies every byte of a body. So connections get a
protocol with a buffer that all of them share, and the rest of a large body can be received
directly from the socket.

If a private name is missing, or the event loop or the parser is not the usual one, nothing is
changed and :func:`receive` returns ``None``: the body is then read through aiohttp.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Final

import aiohttp
from aiohttp import http_parser
from aiohttp.client_proto import ResponseHandler

from asyncstore._support.memory import page_aligned
from asyncstore._support.threads import in_busy_thread
from asyncstore.driver.body import Sink, cut, write_to
from asyncstore.http.fast import private
from asyncstore.http.fast.asyncio_transport import RawConnection
from asyncstore.http.fast.socket_reader import TURN, drain
from asyncstore.http.fast.watched import PRIVATE, WatchedHandler

# The bytes that asyncio receives at a time.
_SHARED: Final = 256 * 1024

# Bytes to wait for before a thread is started, and for how many seconds.
_MIN_BATCH: Final = 1024 * 1024
_MAX_WAIT: Final = 0.25

# More than the part of an incomplete TLS record that can be buffered.
_HALF_DECRYPTED: Final = 32 * 1024


def install(connector: aiohttp.TCPConnector) -> type[WatchedHandler] | None:
    """
    Make the connections of *connector* receive as described above, if possible, and watch them.

    Returns the kind of protocol that they get; ``None`` if it is aiohttp's own.
    """
    loop = asyncio.get_running_loop()
    factory = getattr(connector, "_factory", None)
    known = isinstance(factory, functools.partial) and factory.func is ResponseHandler
    if not private.enabled() or not known or not all(hasattr(ResponseHandler, name) for name in PRIVATE):
        return None
    new: Any = functools.partial(WatchedHandler, loop)
    # The parser written in Python keeps references to its input, but the buffer is reused.
    if _takes_buffers(loop) and http_parser.HttpResponseParser is not http_parser.HttpResponseParserPy:
        new = functools.partial(Receiver, loop, page_aligned(_SHARED))
    connector._factory = new
    kind: type[WatchedHandler] = new.func
    return kind


def _takes_buffers(loop: asyncio.AbstractEventLoop) -> bool:
    # uvloop has its own buffers.
    return isinstance(loop, asyncio.SelectorEventLoop)


def is_watched(session: aiohttp.ClientSession) -> bool:
    """
    Return whether the connections of *session* are watched.
    """
    factory = getattr(session.connector, "_factory", None)
    return isinstance(factory, functools.partial) and factory.func in (Receiver, WatchedHandler)


class Receiver(WatchedHandler, asyncio.BufferedProtocol):
    """
    Receives into a shared buffer.

    Received bytes are parsed before the next receive, so all connections can share one buffer. A body
    that is received directly bypasses the parser, which stays in the middle of it; aiohttp makes
    a new parser for every request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: memoryview) -> None:
        super().__init__(loop)
        self._shared = shared
        self.body: DirectBody | None = None

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._shared[:nbytes])  # type: ignore[arg-type]

    def close(self) -> None:
        if self.transport is not None and (self.body is not None or self.transport.get_write_buffer_size()):
            # The request was abandoned. A closed transport still sends what it has buffered, and
            # stays open for a server that does not read; a TLS transport also sends a
            # shutdown, which must not happen while a thread reads.
            self.transport.abort()
        super().close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.body is not None:
            self.body.fail(aiohttp.ClientPayloadError("the connection was lost"))
        super().connection_lost(exc)


def receive(response: aiohttp.ClientResponse, size: int) -> DirectBody | None:
    """
    Start to receive the body of *response* directly; nothing was read from it yet.

    Returns ``None``, and changes nothing, if that is not possible or the body is not known to have *size*
    bytes. The result must be closed; before the end that closes the connection.
    """
    connection, content = response.connection, response.content
    receiver = None if connection is None else connection.protocol
    if not isinstance(receiver, Receiver) or receiver.body is not None or content.exception() is not None:
        return None
    if "Transfer-Encoding" in response.headers or response.headers.get("Content-Length") != str(size):
        return None
    raw = None if receiver.transport is None else RawConnection.of(receiver.transport)
    if raw is None:
        return None
    arrived = []
    while chunk := content.read_nowait():
        arrived.append(chunk)
    # All bytes received so far are in here: the parser buffers nothing.
    return DirectBody(receiver, content, raw, arrived, size - content.total_bytes)


class DirectBody:
    """
    The rest of a body of known length, passed to a sink as it arrives.
    """

    def __init__(
        self,
        receiver: Receiver,
        content: aiohttp.StreamReader,
        raw: RawConnection,
        arrived: list[bytes],
        remaining: int,
    ) -> None:
        self._receiver = receiver
        self._content = content
        self._raw = raw
        self._arrived = arrived
        self._remaining = remaining
        self._loop = asyncio.get_running_loop()
        self._error: BaseException | None = None
        # Bytes that are decrypted already are available without another receive.
        self._more = True
        self._closed = False
        if remaining:
            receiver.body = self
            receiver._drop_timeout()
            raw.pause_reading()

    async def pour(self, sink: Sink, size: int) -> int:
        """
        Pass the next bytes, up to *size*, to *sink*; return how many, 0 at the end.

        Raises:
            aiohttp.ClientError: The connection broke, or timed out.
        """
        if self._arrived:
            arrived = cut(self._arrived, size)
            self._arrived = []
            return await in_busy_thread(write_to, arrived, sink)
        stalled = 0.0
        while self._remaining and self._error is None:
            if not self._more:
                stalled += await self._wait()
            count = await self._turn(sink, size)
            if count:
                return count
            if stalled > (self._receiver.read_timeout or float("inf")):
                self._note(aiohttp.SocketTimeoutError("no bytes arrived in time"))
        if self._error is not None:
            raise self._error
        return 0

    async def _turn(self, sink: Sink, size: int) -> int:
        count, ended = await in_busy_thread(drain, self._raw.reader, sink, min(self._remaining, size, TURN))
        self._remaining -= count
        self._more = ended is None
        if isinstance(ended, EOFError):
            self._note(aiohttp.ClientPayloadError("the connection was lost"))
        elif ended is not None and not isinstance(ended, BlockingIOError):
            self._note(aiohttp.ClientOSError(ended.errno, ended.strerror))
        if self._error is None:
            self._raw.flush_tls()
        if not self._remaining:
            self._end()
        return count

    async def _wait(self) -> float:
        """
        Wait for bytes; return the seconds that passed.
        """
        self._raw.wait_for(max(1, min(_MIN_BATCH, self._remaining - _HALF_DECRYPTED)))
        began = self._loop.time()
        await self._raw.readable(_MAX_WAIT)
        return self._loop.time() - began

    def fail(self, error: BaseException) -> None:
        """
        Make the reader raise *error*.
        """
        self._note(error)
        self._receiver.body = None
        self._raw.wake()

    def _note(self, error: BaseException) -> None:
        # The first error is the cause of later ones.
        self._error = self._error or error

    def close(self) -> None:
        """
        Release the connection; before the end of the body it is closed, since it cannot be reused.
        """
        if self._closed:
            return
        self._closed = True
        if self._remaining:
            self._receiver.close()
        self._raw.close()

    def _end(self) -> None:
        self._receiver.body = None
        self._receiver.passed = True
        if self._error is None and self._raw.has_surplus() and self._receiver.transport is not None:
            self._receiver.transport.abort()
        elif self._error is None:
            self._raw.wait_for(1)
            self._raw.resume_reading()
        # The connection returns to the pool, or is closed if the server requested that.
        self._content.feed_eof()
