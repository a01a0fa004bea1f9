"""
Sends large bodies by the socket itself, past the transport of asyncio.

What a transport cannot send at once it copies, and what is left of the copy it moves each
time that some of it was sent. Here the socket is offered all there is: the kernel takes
up to some MiB at a time, and nothing is copied but by the kernel.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Self

from aiohttp.abc import AbstractStreamWriter

#: Bytes that the kernel is offered at a time. It takes them in a fraction of a
#: millisecond, for which the loop does nothing else.
TURN: Final = 1024 * 1024


class DirectSender:
    """
    The sending half of one connection without TLS; to be closed.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    def of(cls, writer: AbstractStreamWriter) -> Self | None:
        """
        Return a sender for the connection of *writer*, which has sent all that it was given.

        ``None`` if the connection has TLS, or if the loop lets nobody else have its sockets.
        """
        transport = writer.transport
        if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop) or transport is None:
            return None
        if transport.is_closing() or transport.get_write_buffer_size():
            return None
        sock = transport.get_extra_info("socket")
        if transport.get_extra_info("sslcontext") is not None or not hasattr(sock, "dup"):
            return None
        # Of our own: the loop lets nobody wait for a socket that a transport has.
        return cls(sock.dup())

    async def send(self, data: memoryview) -> int:
        """
        Send some of *data*, at least one byte; return how many.

        Raises:
            OSError: The connection broke.
        """
        try:
            count = self._sock.send(data[:TURN])
        except (BlockingIOError, InterruptedError):
            await self._writable()
            return 0
        if count == TURN:
            # There may be room for all of it: the others have their turn too.
            await asyncio.sleep(0)
        return count

    async def _writable(self) -> None:
        waiter = self._loop.create_future()
        # By its number: asyncio would make a text of the socket each time, for an error that it drops.
        number = self._sock.fileno()
        self._loop.add_writer(number, _wake, waiter)
        try:
            await waiter
        finally:
            self._loop.remove_writer(number)

    def close(self) -> None:
        """
        Let go of the socket; the transport keeps its own hold on the connection.
        """
        self._sock.close()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
