"""
Standard input and output, without blocking the event loop where possible.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncIterator
from typing import Final

import anyio

from asyncstore._support.threads import in_thread
from asyncstore.options import MiB
from asyncstore.protocols import ReadStream

_CHUNK: Final = 1 * MiB


async def read_input() -> AsyncIterator[bytes]:
    """
    Yield the bytes of standard input as they arrive.
    """
    fd = sys.stdin.fileno()
    # The loop waits for a pipe, since a thread that does cannot be interrupted.
    waits = stat.S_ISFIFO(os.fstat(fd).st_mode) or stat.S_ISSOCK(os.fstat(fd).st_mode) or os.isatty(fd)
    while True:
        if waits:
            await anyio.wait_readable(fd)
        chunk = await in_thread(os.read, fd, _CHUNK)
        if not chunk:
            return
        yield chunk


async def write_output(stream: ReadStream) -> None:
    """
    Write *stream* to standard output.
    """
    sys.stdout.flush()
    async for chunk in stream:
        await in_thread(_write, chunk)


def _write(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
