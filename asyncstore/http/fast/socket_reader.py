"""
Receives in threads, and passes the bytes on in the same thread.

The event loop only learns that bytes have arrived. Receiving, decrypting, checksumming and writing a
large body is work of the system and of C code that releases the interpreter's lock, so
several connections make progress at the same time.
"""

from __future__ import annotations

import socket
import ssl
import threading
from abc import ABC, abstractmethod
from typing import Any, Final

from asyncstore._support.memory import page_aligned
from asyncstore.driver.body import MemorySink, Sink

#: Bytes passed to a sink at a time. Fewer would fit a processor's cache, but take the interpreter's
#: lock more often.
PIECE: Final = 1024 * 1024

#: Bytes after which a thread returns, to report progress and notice cancellation.
TURN: Final = 4 * 1024 * 1024


class SocketReader(ABC):
    """
    One connection, read by threads.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @abstractmethod
    def receive(self, room: memoryview) -> int:
        """
        Receive into *room* and return how many bytes; 0 if the peer closed the connection.

        Raises:
            BlockingIOError: No bytes have arrived.
            OSError: The connection broke.
        """


class PlainReader(SocketReader):
    """
    A connection without TLS.
    """

    def receive(self, room: memoryview) -> int:
        return self.sock.recv_into(room)


class TLSReader(SocketReader):
    """
    A connection with TLS.
    """

    def __init__(self, sock: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO) -> None:
        super().__init__(sock)
        self._tls: Any = tls
        self._incoming = incoming

    def receive(self, room: memoryview) -> int:
        filled = 0
        while filled < len(room):
            try:
                # Released, since the frames of an error, which a thread may keep until its next work, refer to it.
                with room[filled:] as rest:
                    count = self._tls.read(len(rest), rest)
            except ssl.SSLWantReadError:
                if not self._fetch(wait=not filled):
                    break
                continue
            if not count:
                break
            filled += count
        return filled

    def _fetch(self, *, wait: bool) -> bool:
        memory = _memory.encrypted
        try:
            count = self.sock.recv_into(memory)
        except BlockingIOError:
            if wait:
                raise
            return False
        if count:
            self._incoming.write(memory[:count])
        return count > 0


class _Memory(threading.local):
    """
    Buffers of each thread, reused for every piece.
    """

    def __init__(self) -> None:
        self.plain = page_aligned(PIECE)
        self.encrypted = page_aligned(PIECE)


_memory = _Memory()


def drain(reader: SocketReader, sink: Sink, wanted: int) -> tuple[int, OSError | EOFError | None]:
    """
    Pass up to *wanted* bytes that have arrived to *sink*; runs in a thread.

    The memory of a :class:`~asyncstore.driver.body.MemorySink` is received into, without a copy.

    Returns how many, and why it stopped: ``EOFError`` if the peer closed the connection,
    ``BlockingIOError`` if no more have arrived, ``None`` otherwise.
    """
    own = sink if isinstance(sink, MemorySink) else None
    done = 0
    while done < wanted:
        # In pieces in any case: the checksum of bytes that are still in a processor's cache takes less time.
        size = min(PIECE, wanted - done)
        with _memory.plain[:size] if own is None else own.room(size) as room:
            try:
                count = reader.receive(room)
            except OSError as exc:
                return done, exc
            if not count:
                return done, EOFError()
            if own is None:
                sink(room[:count])
            else:
                own.received(count)
        done += count
    return done, None
