"""
What is below one connection of the loop: its socket, and TLS if it has that.

Lets threads receive, while the transports of asyncio stand aside. This is the one
file that knows private names of asyncio; where one of them is missing there is no carrier.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any, Final, Self

from asyncstore.http.lines import Line, PlainLine, TLSLine

_PRIVATE: Final = ("_sslobj", "_incoming", "_outgoing", "_process_outgoing", "_transport", "_write_backlog")


class Carrier:
    """
    One connection, for threads to use; to be closed.

    Attributes:
        line: What a thread receives from, and nobody else meanwhile.
    """

    def __init__(self, app: asyncio.Transport, below: asyncio.Transport, tls: Any) -> None:
        self._app = app
        self._below = below
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        # Of our own: the loop lets nobody wait for a socket that a transport has.
        self._sock: socket.socket = below.get_extra_info("socket").dup()
        self._waiter: asyncio.Future[None] | None = None
        self.line: Line = PlainLine(self._sock) if tls is None else TLSLine(self._sock, tls._sslobj, tls._incoming)

    @classmethod
    def of(cls, transport: asyncio.BaseTransport | None) -> Self | None:
        """
        Return what carries *transport*, if it is of a kind that is known.
        """
        if not isinstance(transport, asyncio.Transport) or transport.is_closing():
            return None
        if transport.get_extra_info("sslcontext") is None:
            return cls(transport, transport, None) if hasattr(transport, "max_size") else None
        tls: Any = getattr(transport, "_ssl_protocol", None)
        if not all(hasattr(tls, name) for name in _PRIVATE) or tls._write_backlog or tls._transport is None:
            return None
        return cls(transport, tls._transport, tls) if isinstance(tls._sslobj, ssl.SSLObject) else None

    def stop_reading(self) -> None:
        """
        Let the loop read nothing.
        """
        # The upper one first: it decrypts no more, not even what it has been asked to.
        self._app.pause_reading()
        self._below.pause_reading()

    def go_on_reading(self) -> None:
        """
        Let the loop read again.
        """
        self._below.resume_reading()
        self._app.resume_reading()

    def answer(self) -> None:
        """
        Send what TLS itself has to say after reading.
        """
        if self._tls is not None and self._tls._outgoing.pending:
            self._tls._process_outgoing()

    def expect(self, count: int) -> None:
        """
        Be readable only when *count* bytes are there, or the end.
        """
        # A hint: where the system has no such thing, it is readable sooner.
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    async def readable(self, timeout: float) -> None:
        """
        Return when there is something to receive, after *timeout* seconds, or when woken.
        """
        self._loop.add_reader(self._sock, self.wake)
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout, self.wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._loop.remove_reader(self._sock)
            self._waiter = None

    def wake(self) -> None:
        """
        Let who waits look again.
        """
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """
        Let go of it; the transports keep their own hold on the connection.
        """
        self._sock.close()
