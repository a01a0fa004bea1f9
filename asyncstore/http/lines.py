"""
Connections as threads read them: what comes is handed on by whoever received it.

The event loop only learns that something has come. To receive, decrypt, sum up and
write a large body is work of the system and of C, all of it without the interpreter's
lock, so several connections are served at the same time.
"""

from __future__ import annotations

import socket
import ssl
import threading
from abc import ABC, abstractmethod
from typing import Any, Final

from asyncstore.body import Sink

#: Bytes handed to a sink at a time. Fewer stay in a processor's own cache, and cost more turns
#: of the interpreter's lock.
PIECE: Final = 1024 * 1024

#: Bytes after which a thread comes back, so that progress is told and a cancellation heard.
TURN: Final = 4 * 1024 * 1024


class Line(ABC):
    """
    One connection, as a thread reads it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @abstractmethod
    def receive(self, room: memoryview) -> int:
        """
        Put what is there into *room*, and return how many bytes; 0 if the other end is closed.

        Raises:
            BlockingIOError: Nothing is there.
            OSError: The connection is broken.
        """


class PlainLine(Line):
    """
    A connection without TLS.
    """

    def receive(self, room: memoryview) -> int:
        return self.sock.recv_into(room)


class TLSLine(Line):
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
                count = self._tls.read(len(room) - filled, room[filled:])
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
    Memory of each thread, used again for every piece.
    """

    def __init__(self) -> None:
        self.plain = memoryview(bytearray(PIECE))
        self.encrypted = memoryview(bytearray(PIECE))


_memory = _Memory()


def drain(line: Line, sink: Sink, wanted: int) -> tuple[int, OSError | EOFError | None]:
    """
    Hand up to *wanted* bytes that have come to *sink*; runs in a thread.

    Returns how many they were, and what ended the connection: ``EOFError`` if its other
    end is closed, ``BlockingIOError`` if no more is there, ``None`` otherwise.
    """
    memory = _memory.plain
    done = 0
    while done < wanted:
        try:
            count = line.receive(memory[: wanted - done])
        except OSError as exc:
            return done, exc
        if not count:
            return done, EOFError()
        sink(memory[:count])
        done += count
    return done, None
