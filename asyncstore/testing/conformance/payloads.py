"""
Bytes to store, and the types of sources that callers pass.
"""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Final

from asyncstore.driver.body import BytesLike
from asyncstore.protocols import DataLike


@cache
def payload(size: int, seed: int = 0) -> bytes:
    """
    Return *size* pseudo-random bytes, the same in every run.
    """
    # Long payloads repeat a block of prime length, so that no two parts are equal.
    block = random.Random(seed).randbytes(min(size, 65_521))  # noqa: S311 - not for secrets
    return (block * (size // max(1, len(block)) + 1))[:size]


def strided(data: bytes) -> memoryview:
    """
    Return a view of *data* that is not contiguous in memory.
    """
    spread = bytearray(2 * len(data))
    spread[::2] = data
    return memoryview(spread)[::2]


def chunks(data: bytes, sizes: tuple[int, ...] = (65_536,)) -> Iterator[bytes]:
    """
    Yield *data* in chunks, cycling through *sizes*.
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
    Yield *data* asynchronously in chunks, cycling through *sizes*.
    """
    for chunk in chunks(data, sizes):
        yield chunk


def _views(data: bytes) -> Iterator[BytesLike]:
    for number, chunk in enumerate(chunks(data, (100_000, 0, 7))):
        yield (chunk, bytearray(chunk), memoryview(chunk))[number % 3]


#: Every type of source that :meth:`Storage.put` accepts.
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

#: Sizes around those at which the engine changes its strategy, given the part size.
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
    The error that a caller's source raises in the middle.
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
    A file whose reads fail after *data*.
    """

    def __init__(self, data: bytes) -> None:
        self._chunks = breaking(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks)


#: Sources that fail after all of their bytes.
BROKEN: Final[dict[str, Callable[[bytes], DataLike]]] = {
    "iterator": breaking,
    "async-iterator": async_breaking,
    "file": BreakingFile,
}
