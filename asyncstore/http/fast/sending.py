"""
Sends large bodies directly to the socket, bypassing asyncio's transport.

A transport copies what it cannot send at once, and moves the rest of the copy after each send. Here
the kernel takes up to a few MiB at a time straight from the body.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Final, Self

from aiohttp.abc import AbstractStreamWriter

from asyncstore.driver.body import FileRange
from asyncstore.http.fast import private

#: Bytes offered to the kernel at a time. It takes them in a fraction of a millisecond, during
#: which the event loop is blocked.
TURN: Final = 1024 * 1024


class DirectSender:
    """
    Sends on one connection without TLS; close it afterwards.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    def of(cls, writer: AbstractStreamWriter) -> Self | None:
        """
        Return a sender for the connection of *writer*, which has sent everything it was given.

        ``None`` if the connection has TLS, or if the event loop does not share its sockets.
        """
        transport = writer.transport
        if transport is None or not private.enabled():
            return None
        if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
            return None
        if transport.is_closing() or transport.get_write_buffer_size():
            return None
        sock = transport.get_extra_info("socket")
        if transport.get_extra_info("sslcontext") is not None or not hasattr(sock, "dup"):
            return None
        # A duplicate: the loop does not allow writers on the socket of a transport.
        return cls(sock.dup())

    async def send(self, data: memoryview) -> int:
        """
        Send some of *data*; return how many bytes, 0 after waiting for room.

        Raises:
            OSError: The connection broke.
        """
        try:
            count = self._sock.send(data[:TURN])
        except (BlockingIOError, InterruptedError):
            await self.writable()
            return 0
        if count == TURN:
            # The socket may accept all of it, but other tasks need their turn.
            await asyncio.sleep(0)
        return count

    async def send_file(self, piece: FileRange, offset: int) -> int:
        """
        Send bytes of *piece*, starting at *offset*; return how many were sent, 0 if the socket is full.

        Raises:
            OSError: The connection broke, or the system cannot send this file, or cannot read it.
        """
        size = min(piece.size - offset, TURN)
        try:
            count = os.sendfile(self._sock.fileno(), piece.fd, piece.start + offset, size)
        except (BlockingIOError, InterruptedError):
            return 0
        if not count:
            raise OSError(errno.ENODATA, "the file ends")
        # The socket may accept more, but other tasks need their turn.
        await asyncio.sleep(0)
        return count

    async def writable(self) -> None:
        """
        Wait until there is room.
        """
        waiter = self._loop.create_future()
        # By number: asyncio would format the socket each time, for an error message that it discards.
        number = self._sock.fileno()
        self._loop.add_writer(number, _wake, waiter)
        try:
            await waiter
        finally:
            self._loop.remove_writer(number)

    def close(self) -> None:
        """
        Close the duplicate; the transport keeps the connection open.
        """
        self._sock.close()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
