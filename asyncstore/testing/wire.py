"""
A TCP connection with control over what is read and how it is closed.

asyncio's streams read ahead and decide themselves how a connection ends. A proxy
that injects faults must leave bytes unread, choose between FIN and RST, and notice
without reading that the peer has closed, so this module uses the socket directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from typing import NoReturn

READ_SIZE = 64 * 1024

_FLUSH_TIMEOUT = 1.0
_FLUSH_INTERVAL = 0.001
# macOS: the number of bytes that were sent but not acknowledged.
_SO_NWRITE = 0x1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """
    A connected socket. One task can read while another writes.

    Cancelling a read loses no bytes: the next read returns them.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._unread = bytearray()

    @classmethod
    async def connect(cls, host: str, port: int) -> Wire:
        """
        Open a connection over IPv4.

        Raises:
            OSError: The connection failed, for example because nothing listens on *port*.
        """
        connecting = socket.socket()
        try:
            connecting.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connecting, (host, port))
            return cls(connecting)
        except BaseException:
            connecting.close()
            raise

    async def read(self, at_most: int) -> bytes:
        """Return up to *at_most* bytes, or none if the peer has finished writing."""
        if not self._unread:
            await self._fill()
        taken = bytes(self._unread[:at_most])
        del self._unread[:at_most]
        return taken

    async def read_until(self, mark: bytes, *, limit: int) -> bytes:
        """
        Return the bytes up to and including *mark*.

        Raises:
            EOFError: The peer finished writing before *mark*.
            ConnectionError: The peer sent *limit* bytes without *mark*.
        """
        while (found := self._unread.find(mark)) < 0:
            if len(self._unread) > limit:
                raise ConnectionError(f"no {mark!r} in {limit} bytes")
            if not await self._fill():
                raise EOFError(f"the stream ended before {mark!r}")
        return await self.read(found + len(mark))

    async def at_end(self) -> bool:
        """Wait for more bytes, and return whether the peer has finished writing instead."""
        return not self._unread and not await self._fill()

    async def wait_gone(self) -> None:
        """
        Wait until the peer has finished writing, without reading.

        Unread bytes hide the end of the stream: while there are any, this never returns.
        """
        while not self._unread:
            await readable(self._socket)
            with contextlib.suppress(BlockingIOError):
                if not self._socket.recv(1, socket.MSG_PEEK):
                    return
                break
        await forever()

    async def send(self, data: bytes) -> None:
        """Return when the kernel has accepted all of *data*."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def flush(self) -> None:
        """Return when the peer's kernel has acknowledged everything, or after one second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_TIMEOUT):
                while self._unacknowledged():  # noqa: ASYNC110 - the kernel signals no event
                    await asyncio.sleep(_FLUSH_INTERVAL)

    def finish(self) -> None:
        """Send FIN; reading is still possible."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST; bytes that the kernel has not delivered are lost."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        """Close the socket; can be called twice."""
        self._socket.close()

    async def _fill(self) -> bool:
        while True:
            with contextlib.suppress(BlockingIOError):
                received = self._socket.recv(READ_SIZE)
                self._unread += received
                return bool(received)
            # Wait, then receive without an await, so that a cancelled read has
            # received nothing.
            await readable(self._socket)

    def _unacknowledged(self) -> int:
        if sys.platform == "darwin":
            return self._socket.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
        (count,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4))
        return int(count)


async def readable(waited_for: socket.socket) -> None:
    """Wait until reading or accepting does not block."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(waited_for, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(waited_for)


async def forever() -> NoReturn:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
