"""
How many sent bytes the peer has not acknowledged yet.
"""

from __future__ import annotations

import asyncio
import sys

if sys.platform == "linux":
    import fcntl
    import struct
    import termios


def unacknowledged(transport: asyncio.BaseTransport | None) -> int:
    """
    Return the bytes that the system holds for the peer of *transport*: not sent yet, or not acknowledged.

    What the peer's own system has acknowledged may still wait there to be read. Always 0 on systems other than Linux.
    """
    sock = None if transport is None else transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None:
        return 0
    try:
        # SIOCOUTQ has the same number: https://man7.org/linux/man-pages/man7/tcp.7.html
        count: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    except (OSError, ValueError):
        # The connection is closed.
        return 0
    return count
