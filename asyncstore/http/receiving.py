"""
Receives replies into memory that is there already, and large bodies in threads.

asyncio's own way takes a new 256 KiB for each receive and cuts it down to what came,
which is two page faults for each small reply; and aiohttp's parser copies every byte of
a body. So connections get a protocol that brings its own buffer, one for all of them,
and whose owner can take the rest of a long body off the connection itself.

This is the one file that knows private names of aiohttp, as carrier.py does of asyncio.
Where one of them is missing, or the loop or the parser are not the usual ones, nothing is
changed and :func:`receive` says no; whoever asks then reads the body in the ordinary way.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Final

import aiohttp
from aiohttp import http_parser
from aiohttp.client_proto import ResponseHandler

from asyncstore.body import Sink, cut, hand
from asyncstore.http.carrier import Carrier
from asyncstore.http.lines import TURN, drain
from asyncstore.threads import in_busy_thread

# A whole turn of the loop's receiving, as asyncio has it.
_SHARED: Final = 256 * 1024

#: Bytes that are waited for before a thread is sent for them, and for how many seconds.
_WORTHWHILE: Final = 1024 * 1024
_PATIENCE: Final = 0.25

# More than what can be left of a record of TLS of which the rest is still to come.
_HALF_DECRYPTED: Final = 32 * 1024

_PRIVATE: Final = (
    "_drop_timeout",
    "_on_read_timeout",
    "_reschedule_timeout",
    "force_close",
    "read_timeout",
    "set_response_params",
)


def install(connector: aiohttp.TCPConnector) -> bool:
    """
    Make the connections of *connector* receive as described above, if that is possible.
    """
    loop = asyncio.get_running_loop()
    factory = getattr(connector, "_factory", None)
    possible = (
        # uvloop has buffers of its own, and gains nothing.
        isinstance(loop, asyncio.SelectorEventLoop)
        and isinstance(factory, functools.partial)
        and factory.func is ResponseHandler
        and all(hasattr(ResponseHandler, name) for name in _PRIVATE)
        # The parser in Python keeps what it is given, and the buffer is used again.
        and http_parser.HttpResponseParser is not http_parser.HttpResponseParserPy
    )
    if possible:
        new: Any = functools.partial(Receiver, loop, memoryview(bytearray(_SHARED)))
        connector._factory = new
    return possible


class Receiver(ResponseHandler, asyncio.BufferedProtocol):
    """
    aiohttp's protocol of one connection, with a buffer of our own.

    What is received is parsed before anything else is, so one buffer does for all
    connections. A body that is drained never passes the parser, which is left in
    the middle of it; aiohttp makes a new one for every request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: memoryview) -> None:
        super().__init__(loop)
        self._shared = shared
        self.body: DirectBody | None = None
        self.passed = False
        self._clock = loop.time
        # When something was last heard, while something is waited for.
        self._heard: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    def _reschedule_timeout(self) -> None:
        # aiohttp's own sets and cancels a timer at each receive. One timer that looks, when it
        # is time, whether there was anything ends at the same moment.
        timeout = self.read_timeout
        if not timeout:
            self._heard = None
            return
        self._heard = self._clock()
        if self._watch is not None and self._watch.when() > self._heard + timeout:
            # That of a request before this one, which was given more patience.
            self._watch.cancel()
            self._watch = None
        if self._watch is None:
            self._watch = self._loop.call_later(timeout, self._look)

    def _drop_timeout(self) -> None:
        self._heard = None

    def _look(self) -> None:
        self._watch = None
        if self._heard is None or not self.read_timeout:
            return
        left = self._heard + self.read_timeout - self._clock()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
        else:
            self._on_read_timeout()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared

    def buffer_updated(self, nbytes: int) -> None:
        if not self.passed:
            self.data_received(self._shared[:nbytes])  # type: ignore[arg-type]
        elif self.transport is not None:
            # More than was announced: no reply to anything that we will ask.
            self.transport.abort()

    def set_response_params(self, **params: Any) -> None:
        self.passed = False
        super().set_response_params(**params)

    def close(self) -> None:
        if self.transport is not None and (self.body is not None or self.transport.get_write_buffer_size()):
            # It belongs to a request that was given up. A transport that is closed still
            # sends what is left, and stays open for a server that does not read; and one
            # with TLS says good-bye, for which no thread may be reading.
            self.transport.abort()
        super().close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self.body is not None:
            self.body.fail(aiohttp.ClientPayloadError("the connection was lost"))
        if self.passed:
            # It would complain that it has not seen the end.
            self._parser = None
        super().connection_lost(exc)


def receive(response: aiohttp.ClientResponse, size: int) -> DirectBody | None:
    """
    Begin to take the body of *response*, of which nothing was read yet, off its connection.

    ``None`` if that cannot be done, or if the body is not known to have *size* bytes; then
    nothing was done. What is returned has to be closed, which before the end costs the
    connection.
    """
    connection, content = response.connection, response.content
    receiver = None if connection is None else connection.protocol
    if not isinstance(receiver, Receiver) or receiver.body is not None or content.exception() is not None:
        return None
    if "Transfer-Encoding" in response.headers or response.headers.get("Content-Length") != str(size):
        return None
    carrier = None if receiver.transport is None else Carrier.of(receiver.transport)
    if carrier is None:
        return None
    arrived = []
    while chunk := content.read_nowait():
        arrived.append(chunk)
    # All that was received is here now, and the parser holds back none of it.
    return DirectBody(receiver, content, carrier, arrived, size - content.total_bytes)


class DirectBody:
    """
    The rest of a body of known length, handed to a sink as it comes.
    """

    def __init__(
        self,
        receiver: Receiver,
        content: aiohttp.StreamReader,
        carrier: Carrier,
        arrived: list[bytes],
        remaining: int,
    ) -> None:
        self._receiver = receiver
        self._content = content
        self._carrier = carrier
        self._arrived = arrived
        self._remaining = remaining
        self._loop = asyncio.get_running_loop()
        self._error: BaseException | None = None
        # What was decrypted already is there without anything coming.
        self._more = True
        self._closed = False
        if remaining:
            receiver.body = self
            receiver._drop_timeout()
            carrier.stop_reading()

    async def pour(self, sink: Sink, size: int) -> int:
        """
        Hand up to *size* bytes that have come, or come next, to *sink*; return how many, 0 at the end.

        Raises:
            aiohttp.ClientError: The connection broke, or nothing came for too long.
        """
        if self._arrived:
            arrived = cut(self._arrived, size)
            self._arrived = []
            return await in_busy_thread(hand, arrived, sink)
        stalled = 0.0
        while self._remaining and self._error is None:
            if not self._more:
                stalled += await self._wait()
            count = await self._turn(sink, size)
            if count:
                return count
            if stalled > (self._receiver.read_timeout or float("inf")):
                self._note(aiohttp.SocketTimeoutError("nothing came"))
        if self._error is not None:
            raise self._error
        return 0

    async def _turn(self, sink: Sink, size: int) -> int:
        count, ended = await in_busy_thread(drain, self._carrier.line, sink, min(self._remaining, size, TURN))
        self._remaining -= count
        self._more = ended is None
        if isinstance(ended, EOFError):
            self._note(aiohttp.ClientPayloadError("the connection was lost"))
        elif ended is not None and not isinstance(ended, BlockingIOError):
            self._note(aiohttp.ClientOSError(ended.errno, ended.strerror))
        if self._error is None:
            self._carrier.answer()
        if not self._remaining:
            self._end()
        return count

    async def _wait(self) -> float:
        """
        Return when something has come, and for how many seconds nothing did.
        """
        self._carrier.expect(max(1, min(_WORTHWHILE, self._remaining - _HALF_DECRYPTED)))
        began = self._loop.time()
        await self._carrier.readable(_PATIENCE)
        return self._loop.time() - began

    def fail(self, error: BaseException) -> None:
        """
        Raise *error* in the reader.
        """
        self._note(error)
        self._receiver.body = None
        self._carrier.wake()

    def _note(self, error: BaseException) -> None:
        # The first one is the cause of the others.
        self._error = self._error or error

    def close(self) -> None:
        """
        Let go of the connection, which before the end of the body is of no use any more.
        """
        if self._closed:
            return
        self._closed = True
        if self._remaining:
            self._receiver.close()
        self._carrier.close()

    def _end(self) -> None:
        self._receiver.body = None
        self._receiver.passed = True
        if self._error is None:
            self._carrier.expect(1)
            self._carrier.go_on_reading()
        # The connection goes back to the pool, or is closed if the server wants it so.
        self._content.feed_eof()
