"""
Open pipes, sockets and terminals: the event loop waits for their bytes, so that the wait can be cancelled.
"""

from __future__ import annotations

import asyncio
import io
import os
import select
import socket
import ssl
import stat
from collections.abc import AsyncGenerator
from typing import Any

from asyncstore._support.descriptors import opening
from asyncstore._support.threads import in_patient_thread
from asyncstore.driver.body import BytesLike


def raw_pipe(file: Any) -> io.RawIOBase | None:
    """
    Return what reads the descriptor of *file* if it is a pipe, socket or terminal, else ``None``.

    Only of the classes of the standard library: what decompresses or decrypts may hold bytes that its descriptor does
    not show.
    """
    raw = file.raw if type(file) is io.BufferedReader else file
    if not (type(raw) is io.FileIO or (type(raw) is socket.SocketIO and _is_plain(raw))) or raw.closed:
        return None
    mode = os.fstat(raw.fileno()).st_mode
    return raw if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode) else None


def _is_plain(raw: socket.SocketIO) -> bool:
    connection = getattr(raw, "_sock", None)
    # A socket with a timeout ends the wait itself.
    return (
        isinstance(connection, socket.socket)
        and not isinstance(connection, ssl.SSLSocket)
        and connection.gettimeout() is None
    )


async def pipe_chunks(file: Any, raw: io.RawIOBase, size: int) -> AsyncGenerator[BytesLike, None]:
    """
    Yield the bytes of *file* as they arrive, up to *size* at a time; *raw* is from :func:`raw_pipe`.
    """
    if file is not raw:
        while held := await in_patient_thread(_take_held, file, raw, size):
            yield held
    # A descriptor of its own: the caller may close the file meanwhile, or watch it in the same loop. In a list, so that
    # it is closed if this is cancelled while the thread makes it.
    own: list[int] = []
    try:
        await opening(lambda: own.append(os.dup(raw.fileno())))
        ended = False
        while not ended:
            await _readable(own[0])
            chunk, ended = await in_patient_thread(_arrived, raw, size)
            if chunk:
                yield chunk
    finally:
        for fd in own:
            os.close(fd)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    try:
        loop.add_reader(fd, _set, ready)
    except OSError:
        # A device that is always ready, such as /dev/null: epoll and kqueue refuse it with different errors.
        return
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _take_held(file: io.BufferedReader, raw: Any, size: int) -> bytes:
    """
    Return bytes that *file* has received already, for example while the caller read a line.
    """
    # No method says how many there are, and peek() blocks if there are none. It reads by this one.
    raw.readinto = _nothing_yet
    try:
        return file.read1(size)
    finally:
        del raw.readinto


def _nothing_yet(_: Any) -> None:
    return None


def _arrived(raw: Any, size: int) -> tuple[bytearray, bool]:
    """
    Return the bytes that have arrived, and whether they are the last; runs in a thread when there are some.
    """
    chunk = bytearray(size)
    length = 0
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    with memoryview(chunk) as view:
        while True:
            count = raw.readinto(view[length:])
            length += count or 0
            # None: another process has read them.
            if not count or length == size or not poll.poll(0):
                break
    del chunk[length:]
    return chunk, count == 0
