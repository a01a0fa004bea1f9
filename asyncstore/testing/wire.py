"""
One TCP connection, read and ended exactly as told.

asyncio's streams read ahead and decide themselves how a connection ends. A proxy
that injects faults must leave bytes unread, choose between FIN and RST, and notice
that the peer is gone without reading anything; so this works on the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from typing import NoReturn

READ_SIZE = 64 * 1024

_FLUSH_TIMEOUT = 1.0
_FLUSH_INTERVAL = 0.001
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """
    A connected socket. One task may read it while another writes.

    Cancelling a read loses nothing: what was not returned is still there.
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
            OSError: Nothing listens there.
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
        """Return some bytes, or none when the peer has finished writing."""
        if not self._unread:
            await self._fill()
        taken = bytes(self._unread[:at_most])
        del self._unread[:at_most]
        return taken

    async def read_until(self, mark: bytes, *, limit: int) -> bytes:
        """
        Return all up to and including *mark*.

        Raises:
            EOFError: The peer finished writing first.
            ConnectionError: It sent *limit* bytes without the mark.
        """
        while (found := self._unread.find(mark)) < 0:
            if len(self._unread) > limit:
                raise ConnectionError(f"no {mark!r} in {limit} bytes")
            if not await self._fill():
                raise EOFError(f"the stream ended before {mark!r}")
        return await self.read(found + len(mark))

    async def at_end(self) -> bool:
        """Wait for more, and return whether the peer has finished writing instead."""
        return not self._unread and not await self._fill()

    async def wait_gone(self) -> None:
        """
        Return when the peer has finished writing; read nothing.

        Bytes that nobody reads hide what comes after them: while there are any,
        this waits for ever.
        """
        while not self._unread:
            await readable(self._socket)
            with contextlib.suppress(BlockingIOError):
                if not self._socket.recv(1, socket.MSG_PEEK):
                    return
                break
        await forever()

    async def send(self, data: bytes) -> None:
        """Return when the kernel has taken all of *data*."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def flush(self) -> None:
        """Return when the peer's kernel has all that was sent, or after a second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_TIMEOUT):
                while self._unacknowledged():  # noqa: ASYNC110  # The kernel has no event for it.
                    await asyncio.sleep(_FLUSH_INTERVAL)

    def finish(self) -> None:
        """Send FIN; reading goes on."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST; what the kernel has not delivered is lost."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        """Close; may be called twice."""
        self._socket.close()

    async def _fill(self) -> bool:
        while True:
            with contextlib.suppress(BlockingIOError):
                received = self._socket.recv(READ_SIZE)
                self._unread += received
                return bool(received)
            # Waiting and taking are two steps, with no await in the second, so
            # that a cancelled read cannot have taken anything.
            await readable(self._socket)

    def _unacknowledged(self) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4))
        return int(count)


async def readable(waited_for: socket.socket) -> None:
    """Return when reading, or accepting, would not block."""
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
