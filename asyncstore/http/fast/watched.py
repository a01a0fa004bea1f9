"""
aiohttp's protocol of one connection, with the bounds that it lacks.

A reply's head has one timeout as a whole and a size, and a connection on which something arrives that nobody asked
for is not used again.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any, Final

from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from asyncstore.http.errors import SlowHeadError
from asyncstore.http.unacknowledged import unacknowledged

# The first status that is no 1xx.
_OK: Final = 200

# Bytes of the head of one reply, with all 1xx before it. Real ones have a few KiB.
_MAX_HEAD: Final = 1024 * 1024

#: Names of aiohttp's class that this one relies on.
PRIVATE: Final = (
    "_drop_timeout",
    "_on_read_timeout",
    "_reschedule_timeout",
    "force_close",
    "read_timeout",
    "set_response_params",
)


class WatchedHandler(ResponseHandler):
    """
    The protocol of one connection.

    Attributes:
        passed: Whether the rest of the body has been received by other means.
        unacknowledged: Bytes of the request's body that the peer had not acknowledged at the latest look; set by
            the sender of a large body.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.passed = False
        self.unacknowledged = 0
        self._answered = False
        self._head_bytes = 0
        # That of the request; aiohttp's own attribute is a property, which costs a call.
        self._timeout: float | None = None
        # When the request was sent, if it is.
        self._sent_at: float | None = None
        # Returns the events of the socket that the loop has not handled yet.
        self._arrived: Callable[[int], list[tuple[int, int]]] | None = None
        self._clock = loop.time
        # When bytes last arrived, while some are awaited.
        self._last_arrival: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Windows has no poll().
        if (sock := transport.get_extra_info("socket")) is not None and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock.fileno(), select.POLLIN)
            self._arrived = poll.poll

    def is_connected(self) -> bool:
        # Asked when the connection is taken from the pool. The peer may have closed it, or sent what nobody asked
        # for, and the loop not have noticed yet.
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        return self._arrived is None or not self._arrived(0)

    def _reschedule_timeout(self) -> None:
        # aiohttp sets and cancels a timer at each receive. One timer that checks, when it fires,
        # whether bytes arrived since times out at the same moment.
        timeout = self._timeout
        if not timeout:
            self._last_arrival = None
            return
        self._last_arrival = self._clock()
        if self._watch is not None and self._watch.when() > self._last_arrival + timeout:
            # Set for an earlier request with a longer timeout.
            self._watch.cancel()
            self._watch = None
        if self._watch is None:
            self._watch = self._loop.call_later(timeout, self._check)

    def start_timeout(self) -> None:
        self._reschedule_timeout()
        self._sent_at = self._last_arrival

    def _drop_timeout(self) -> None:
        self._last_arrival = None

    def _check(self) -> None:
        self._watch = None
        if self._last_arrival is None or not self._timeout:
            return
        left = self._last_arrival + self._timeout - self._clock()
        if left > 0:
            self._watch = self._loop.call_later(left, self._check)
        elif not self._answered and self._is_sending():
            # The system took the last bytes of the body a while ago, but the peer goes on taking them.
            self.start_timeout()
        elif self._head_bytes and not self._answered:
            self.set_exception(SlowHeadError())
        else:
            self._on_read_timeout()

    def _is_sending(self) -> bool:
        """
        Return whether the peer has acknowledged any bytes of the request since the last look.
        """
        before, self.unacknowledged = self.unacknowledged, unacknowledged(self.transport)
        return self.unacknowledged < before

    def _head_arrives(self, count: int) -> None:
        """
        Bound the head of a reply that is not complete yet: as a whole it has one timeout, and a size.

        aiohttp starts the timeout again with each byte, and stops it after each 1xx.
        """
        self._head_bytes += count
        if self.transport is None or self.exception() is not None:
            return
        self._last_arrival = self._sent_at
        if self._head_bytes > _MAX_HEAD:
            self.transport.abort()
            self.set_exception(HttpProcessingError(message="the head of the reply has no end"))

    def data_received(self, data: bytes) -> None:
        # After the head of the reply (not of a 1xx), its body may still be arriving.
        complete = self._answered and self._payload is not None and self._payload.is_eof()
        if not (complete or self.passed or self._parser is None):
            super().data_received(data)
            if not self._answered:
                self._head_arrives(len(data))
        elif data and self.transport is not None:
            # These bytes cannot be the reply to a later request, so the connection cannot be used again:
            # https://www.rfc-editor.org/rfc/rfc9112#section-9.2
            self.transport.abort()

    def set_response_params(self, **params: Any) -> None:
        self.passed = self._answered = False
        self._head_bytes, self._sent_at, self.unacknowledged = 0, None, 0
        self._timeout = params.get("read_timeout")
        super().set_response_params(**params)

    def feed_data(self, data: Any, *args: Any, **kwargs: Any) -> None:
        if self._answered:
            # A second reply. aiohttp would keep it for the next request if it came with the end of a body, since
            # that end returns the connection to the pool.
            if self.transport is not None:
                self.transport.abort()
            return
        self._answered = data[0].code >= _OK
        super().feed_data(data, *args, **kwargs)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self.passed:
            # The parser would report that the body is incomplete.
            self._parser = None
        super().connection_lost(exc)
