"""
Access to the socket and the TLS object below an asyncio transport, so that threads can receive.

If a private name of asyncio is missing, :meth:`RawConnection.of` returns ``None``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any, Final, Self

from asyncstore.http.fast.socket_reader import PlainReader, SocketReader, TLSReader

_PRIVATE: Final = ("_sslobj", "_incoming", "_outgoing", "_process_outgoing", "_transport", "_write_backlog")


class RawConnection:
    """
    One connection whose transports are paused while a thread receives; close it afterwards.

    Attributes:
        reader: Receives; used by one thread at a time.
    """

    def __init__(self, app: asyncio.Transport, below: asyncio.Transport, tls: Any) -> None:
        self._app = app
        self._below = below
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        # A duplicate: the loop does not allow readers on the socket of a transport.
        self._sock: socket.socket = below.get_extra_info("socket").dup()
        self._waiter: asyncio.Future[None] | None = None
        self.reader: SocketReader = (
            PlainReader(self._sock) if tls is None else TLSReader(self._sock, tls._sslobj, tls._incoming)
        )

    @classmethod
    def of(cls, transport: asyncio.BaseTransport | None) -> Self | None:
        """
        Return access to *transport*; ``None`` if it is not of a known kind.
        """
        if not isinstance(transport, asyncio.Transport) or transport.is_closing():
            return None
        if transport.get_extra_info("sslcontext") is None:
            return cls(transport, transport, None) if hasattr(transport, "max_size") else None
        tls: Any = getattr(transport, "_ssl_protocol", None)
        if not all(hasattr(tls, name) for name in _PRIVATE) or tls._write_backlog or tls._transport is None:
            return None
        # A proxy that is reached over TLS has another TLS layer below this one.
        nested = tls._transport.get_extra_info("sslcontext") is not None
        return None if nested or not isinstance(tls._sslobj, ssl.SSLObject) else cls(transport, tls._transport, tls)

    def pause_reading(self) -> None:
        """
        Stop the event loop from reading.
        """
        # The TLS transport first, so that it stops decrypting at once.
        self._app.pause_reading()
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """
        Let the event loop read again.
        """
        self._below.resume_reading()
        self._app.resume_reading()

    def flush_tls(self) -> None:
        """
        Send what TLS itself has to send after reading, such as a key update.
        """
        if self._tls is not None and self._tls._outgoing.pending:
            self._tls._process_outgoing()

    def has_surplus(self) -> bool:
        """
        Return whether bytes have arrived beyond those that were received, or the peer has closed.
        """
        if self._tls is not None:
            # What is still encrypted may belong to TLS itself.
            return bool(self._tls._sslobj.pending() or self._tls._incoming.pending)
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        return True

    def wait_for(self, count: int) -> None:
        """
        Become readable only when *count* bytes or the end have arrived.
        """
        # A hint: on systems without it the socket becomes readable sooner.
        with suppress(OSError, AttributeError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    async def readable(self, timeout: float) -> None:
        """
        Return when bytes can be received, after *timeout* seconds, or when woken.
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
        Wake the task in :meth:`readable`.
        """
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """
        Close the duplicate; the transports keep the connection open.
        """
        self._sock.close()
