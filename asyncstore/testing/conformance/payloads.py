"""
Bytes to store, and the shapes in which callers hand them over.
"""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Final

from asyncstore.body import BytesLike
from asyncstore.protocols import DataLike


@cache
def payload(size: int, seed: int = 0) -> bytes:
    """
    Return *size* bytes that look like noise and are the same in every run.
    """
    # Long ones repeat a block whose length is a prime, so that no two parts are alike.
    block = random.Random(seed).randbytes(min(size, 65_521))  # noqa: S311 - not for secrets
    return (block * (size // max(1, len(block)) + 1))[:size]


def strided(data: bytes) -> memoryview:
    """
    Return a view of *data* whose bytes do not lie side by side in memory.
    """
    spread = bytearray(2 * len(data))
    spread[::2] = data
    return memoryview(spread)[::2]


def chunks(data: bytes, sizes: tuple[int, ...] = (65_536,)) -> Iterator[bytes]:
    """
    Yield *data* in pieces of *sizes*, over and over.
    """
    position = 0
    turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        yield data[position : position + size]
        position += size
        turn += 1


async def async_chunks(data: bytes, sizes: tuple[int, ...] = (65_536,)) -> AsyncIterator[bytes]:
    """
    Yield *data* in pieces of *sizes*, asynchronously.
    """
    for chunk in chunks(data, sizes):
        yield chunk


def _views(data: bytes) -> Iterator[BytesLike]:
    for number, chunk in enumerate(chunks(data, (100_000, 0, 7))):
        yield (chunk, bytearray(chunk), memoryview(chunk))[number % 3]


#: Every shape that :meth:`Storage.put` takes.
SHAPES: Final[dict[str, Callable[[bytes], DataLike]]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "strided-memoryview": strided,
    "file": io.BytesIO,
    "iterator": chunks,
    "async-iterator": async_chunks,
    "odd-chunks": lambda data: async_chunks(data, (1, 99_991, 3, 0, 131_071)),
    "mixed-chunks": _views,
}

#: Sizes round those where the engine takes another way, by the size of a part.
SIZES: Final[dict[str, Callable[[int], int]]] = {
    "empty": lambda _: 0,
    "one-byte": lambda _: 1,
    "part-less-one": lambda part: part - 1,
    "one-part": lambda part: part,
    "part-and-one": lambda part: part + 1,
    "two-parts-and-more": lambda part: 2 * part + 7,
}


class BrokenSourceError(Exception):
    """
    What the caller's own source raises in the middle.
    """


def breaking(data: bytes) -> Iterator[bytes]:
    """
    Yield *data*, then fail.
    """
    yield from chunks(data)
    raise BrokenSourceError


async def async_breaking(data: bytes) -> AsyncIterator[bytes]:
    """
    Yield *data* asynchronously, then fail.
    """
    for chunk in chunks(data):
        yield chunk
    raise BrokenSourceError


class BreakingFile(io.RawIOBase):
    """
    A file whose disk fails after *data*.
    """

    def __init__(self, data: bytes) -> None:
        self._chunks = breaking(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks)


BROKEN: Final[dict[str, Callable[[bytes], DataLike]]] = {
    "iterator": breaking,
    "async-iterator": async_breaking,
    "file": BreakingFile,
}
