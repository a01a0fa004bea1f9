"""
Receives replies into memory that is there already.

asyncio's own way takes a new 256 KiB for each receive and cuts it down to what came,
which is two page faults for each small reply; and aiohttp's parser copies every byte of
a body. So connections get a protocol that brings its own buffer, one for all of them,
and whose owner can ask for the rest of a long body to be put where it is wanted.

This is the one file that knows private names of aiohttp. Where one of them is missing, or
the loop or the parser are not the usual ones, nothing is changed and :func:`receive`
says no; whoever asks then reads the body in the ordinary way.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
from aiohttp import http_parser
from aiohttp.client_proto import ResponseHandler

from asyncstore.body import BytesLike

#: Bytes received before they are handed on. Smaller is no faster, and more switches of threads.
SLOT: Final = 1024 * 1024

#: Slots that one body fills ahead of who takes them, the one being taken included.
_FULL: Final = 2

#: Slots that one body uses at most, with the one that is being filled.
SLOTS: Final = _FULL + 1

# A whole turn of the loop's receiving, as asyncio has it.
_SHARED: Final = 256 * 1024

_PRIVATE: Final = ("_drop_timeout", "force_close", "read_timeout", "set_response_params")


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
        new: Any = functools.partial(Receiver, loop, memoryview(bytearray(_SHARED)), Slots())
        connector._factory = new
    return possible


class Slots:
    """
    Memory for bodies, used again as long as any body is being received.

    Fresh memory costs a page fault for each 4 KiB.
    """

    def __init__(self) -> None:
        self.free: list[memoryview] = []
        self.bodies = 0

    def take(self) -> memoryview:
        """
        Return a slot that nobody uses.
        """
        return self.free.pop() if self.free else memoryview(bytearray(SLOT))

    def leave(self, slots: list[memoryview]) -> None:
        """
        Take back what a body used, now that it is over.
        """
        self.bodies -= 1
        self.free += slots
        if not self.bodies:
            self.free.clear()


class Receiver(ResponseHandler, asyncio.BufferedProtocol):
    """
    aiohttp's protocol of one connection, with a buffer of our own.

    What is received is parsed before anything else is, so one buffer does for all
    connections. A body that goes into slots never passes the parser, which is left in
    the middle of it; aiohttp makes a new one for every request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: memoryview, slots: Slots) -> None:
        super().__init__(loop)
        self._shared = shared
        self.slots = slots
        self.body: DirectBody | None = None
        self.passed = False

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared if self.body is None else self.body.room()

    def buffer_updated(self, nbytes: int) -> None:
        if self.body is not None:
            self.body.received(nbytes)
        elif not self.passed:
            self.data_received(self._shared[:nbytes])  # type: ignore[arg-type]
        elif self.transport is not None:
            # More than was announced: no reply to anything that we will ask.
            self.transport.abort()

    def set_response_params(self, **params: Any) -> None:
        self.passed = False
        super().set_response_params(**params)

    def close(self) -> None:
        if self.transport is not None and self.transport.get_write_buffer_size():
            # It belongs to a request that was given up. A transport that is closed still
            # sends it, and stays open for a server that does not read.
            self.transport.abort()
        super().close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.body is not None:
            self.body.fail(aiohttp.ClientPayloadError("the connection was lost"))
        if self.passed:
            # It would complain that it has not seen the end.
            self._parser = None
        super().connection_lost(exc)


def receive(response: aiohttp.ClientResponse, size: int) -> DirectBody | None:
    """
    Begin to receive the body of *response*, of which nothing was read yet, into slots.

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
    arrived = []
    while chunk := content.read_nowait():
        arrived.append(chunk)
    # All that was received is here now, and the parser holds back none of it.
    return DirectBody(receiver, content, arrived, size - content.total_bytes)


class DirectBody:
    """
    The rest of a body of known length, received straight into slots.

    A stall is noticed after one to one and a half time-outs, by one timer for all of it;
    time in which nobody takes what is there does not count.
    """

    def __init__(self, receiver: Receiver, content: aiohttp.StreamReader, arrived: list[bytes], remaining: int) -> None:
        self._receiver = receiver
        self._content = content
        self._remaining = remaining
        self._loop = asyncio.get_running_loop()
        self._slots = receiver.slots
        self._slots.bodies += 1
        self._ready: list[BytesLike] = list(arrived)
        self._full: list[memoryview] = []
        self._lent: list[memoryview] = []
        self._slot: memoryview | None = None
        self._filled = 0
        self._paused = False
        self._over = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._received = self._seen = 0
        self._timer: asyncio.TimerHandle | None = None
        if remaining:
            receiver.body = self
            receiver._drop_timeout()
            self._watch()

    def room(self) -> memoryview:
        """
        Return where the next bytes go.
        """
        if self._slot is None:
            self._slot = self._slots.take()
        return self._slot[self._filled : self._filled + self._remaining]

    def received(self, count: int) -> None:
        """
        Note that *count* bytes have come to where :meth:`room` said.
        """
        self._received += count
        self._filled += count
        self._remaining -= count
        if self._remaining and self._filled < SLOT:
            return
        self._pass_on()
        if not self._remaining:
            self._detach()
            # The connection goes back to the pool, or is closed if the server wants it so.
            self._content.feed_eof()
        elif len(self._full) + len(self._lent) >= _FULL:
            self._paused = True
            self._transport("pause_reading")
        self._wake()

    def fail(self, error: BaseException) -> None:
        """
        Raise *error* in the reader, after what has come before it.
        """
        self._detach()
        self._pass_on()
        self._error = error
        self._wake()

    async def take(self) -> Sequence[BytesLike]:
        """
        Return the next bytes, none at the end; what was returned before may be overwritten.
        """
        self._slots.free += self._lent
        self._lent = []
        self._resume()
        while not self._full and self._remaining and self._error is None:
            self._waiter = self._loop.create_future()
            await self._waiter
        ready, self._ready = self._ready, []
        self._lent, self._full = self._full, []
        if not ready and self._error is not None:
            raise self._error
        return ready

    def close(self) -> None:
        """
        Give the slots back; nothing comes any more.
        """
        if self._over:
            return
        self._over = True
        self._detach()
        self._slots.leave(self._full + self._lent + ([] if self._slot is None else [self._slot]))
        self._ready, self._full, self._lent, self._slot = [], [], [], None

    def _pass_on(self) -> None:
        if self._slot is not None and self._filled:
            self._ready.append(self._slot[: self._filled])
            self._full.append(self._slot)
            self._slot, self._filled = None, 0

    def _detach(self) -> None:
        if self._receiver.body is self:
            self._receiver.body = None
            self._receiver.passed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _resume(self) -> None:
        if self._paused and len(self._full) < _FULL:
            self._paused = False
            self._seen = -1
            self._transport("resume_reading")

    def _transport(self, action: str) -> None:
        # Not by the protocol's own methods, which would speak to the parser.
        if self._receiver.transport is not None:
            getattr(self._receiver.transport, action)()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _watch(self, quiet: int = 0) -> None:
        if timeout := self._receiver.read_timeout:
            self._timer = self._loop.call_later(timeout / 2, self._look, quiet)

    def _look(self, quiet: int) -> None:
        moved = self._paused or self._received != self._seen
        self._seen = self._received
        if moved:
            self._watch()
        elif quiet:
            self._receiver.force_close()
            self.fail(aiohttp.SocketTimeoutError("nothing came"))
        else:
            self._watch(quiet + 1)
