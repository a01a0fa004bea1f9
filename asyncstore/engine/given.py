"""
Bytes that a caller gives: in memory, from an open file, or as a stream of chunks.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, cast

from asyncstore.body import BytesLike
from asyncstore.engine.pool import iterating
from asyncstore.engine.source import CHUNK
from asyncstore.protocols import DataLike
from asyncstore.threads import in_patient_thread

_NOTHING = memoryview(b"")


class StreamSource:
    """
    A stream of unknown length, gathered into pieces of the size that is asked for.
    """

    def __init__(self, chunks: AsyncGenerator[BytesLike, None]) -> None:
        self._chunks = chunks
        self._rest = _NOTHING

    async def take(self, size: int) -> bytearray:
        """
        Return the next *size* bytes; fewer, or none, at the end of the stream.
        """
        piece = bytearray()
        while len(piece) < size and not await self.at_end():
            count = min(size - len(piece), len(self._rest))
            piece += self._rest[:count]
            # Not even an empty view is kept: its owner could not use the buffer again.
            self._rest = self._rest[count:] if count < len(self._rest) else _NOTHING
        return piece

    async def at_end(self) -> bool:
        """
        Return whether there are no more bytes.
        """
        if self._rest:
            return False
        async for chunk in self._chunks:
            self._rest = flat(chunk)
            if self._rest:
                return False
        return True

    async def aclose(self) -> None:
        """
        Close the generator that the chunks come from.
        """
        await self._chunks.aclose()


def in_memory(data: DataLike) -> BytesLike | None:
    """
    Return *data* if it is bytes already, as one flat row of bytes.
    """
    if isinstance(data, bytes | bytearray):
        return data
    return flat(cast("BytesLike", data)) if isinstance(data, memoryview) else None


def flat(data: BytesLike) -> memoryview:
    """
    Return *data* as one row of bytes, without a copy if it lies in one piece.
    """
    view = memoryview(data)
    if not view.nbytes:
        return _NOTHING
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def as_chunks(data: DataLike) -> AsyncGenerator[BytesLike, None]:
    """
    Return the chunks of an open file, or of a plain or asynchronous iterable.

    A generator that they come from is closed with the one that is returned.

    Raises:
        TypeError: *data* is none of them.
    """
    if isinstance(data, str | Path):
        raise TypeError(f"data is bytes, a binary file or an iterable of bytes, not {data!r}; use upload() for a path")
    if isinstance(data, io.TextIOBase):
        raise TypeError("data is bytes, and this file gives text: open it in binary mode")
    if isinstance(data, AsyncIterable):
        return _from_async(data)
    if isinstance(data, io.IOBase) or hasattr(data, "read"):
        return _from_file(cast("BinaryIO", data))
    if isinstance(data, Iterable):
        return _from_iterable(cast("Iterable[BytesLike]", data))
    raise TypeError(f"data is bytes, a binary file or an iterable of bytes, not {type(data).__name__}")


async def _from_async(data: AsyncIterable[BytesLike]) -> AsyncGenerator[BytesLike, None]:
    async with iterating(data) as chunks:
        async for chunk in chunks:
            yield _bytes(chunk)


async def _from_iterable(data: Iterable[BytesLike]) -> AsyncGenerator[BytesLike, None]:
    for chunk in data:
        yield _bytes(chunk)


async def _from_file(data: BinaryIO) -> AsyncGenerator[BytesLike, None]:
    while True:
        chunk = _bytes(await in_patient_thread(data.read, CHUNK))
        if not chunk:
            return
        yield chunk


def _bytes(chunk: Any) -> BytesLike:
    if isinstance(chunk, bytes | bytearray | memoryview):
        return chunk
    raise TypeError(f"the stream gave {type(chunk).__name__}, not bytes: open files in binary mode")
