"""
The bytes of an object, with checksums that are computed as they are received.
"""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property, reduce
from itertools import accumulate
from typing import Final

from asyncstore.checksum import Hasher, combine
from asyncstore.types import Checksum, ChecksumAlgorithm

#: Bytes. Smaller chunks are collected into one, to save memory and time per chunk.
_CHUNK_SIZE: Final = 256 * 1024


class Content:
    """
    Immutable bytes, kept in chunks. Objects made from others share their chunks.

    Attributes:
        md5: ``None`` if the server composed the object from others.
    """

    def __init__(self, chunks: Sequence[bytes], crc32c: Checksum, md5: bytes | None) -> None:
        self.chunks = tuple(chunks)
        self.crc32c = crc32c
        self.md5 = md5

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self.chunks)))

    @cached_property
    def size(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def crc32c_text(self) -> str:
        return base64.b64encode(self.crc32c.value).decode()

    @property
    def md5_text(self) -> str | None:
        return None if self.md5 is None else base64.b64encode(self.md5).decode()

    def slices(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """
        Yield the bytes from *start* up to *stop*, without a copy.
        """
        index = bisect_right(self._ends, start)
        while start < stop:
            chunk = self.chunks[index]
            begin = self._ends[index] - len(chunk)
            end = min(stop, self._ends[index])
            whole = start == begin and end == self._ends[index]
            yield chunk if whole else memoryview(chunk)[start - begin : end - begin]
            start, index = end, index + 1

    def read(self) -> bytes:
        """
        Return all bytes in one object.
        """
        return b"".join(self.chunks)


class GrowingContent:
    """
    Bytes that are still being received.
    """

    def __init__(self) -> None:
        self.size = 0
        self._chunks: list[bytes] = []
        self._buffer = bytearray()
        self._crc32c = Hasher(ChecksumAlgorithm.CRC32C)
        self._md5 = Hasher(ChecksumAlgorithm.MD5)

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """
        Append *data*.
        """
        self.size += len(data)
        self._buffer += data
        if len(self._buffer) >= _CHUNK_SIZE:
            self._flush()

    def finish(self) -> Content:
        """
        Return the content. Nothing may be added afterwards.
        """
        self._flush()
        return Content(self._chunks, self._crc32c.checksum(), self._md5.checksum().value)

    def _flush(self) -> None:
        if self._buffer:
            chunk = bytes(self._buffer)
            self._buffer.clear()
            self._chunks.append(chunk)
            self._crc32c.update(chunk)
            self._md5.update(chunk)


def joined(contents: Sequence[Content]) -> Content:
    """
    Concatenate *contents*, without a copy.
    """
    crc32c, _ = reduce(_combined, ((content.crc32c, content.size) for content in contents))
    return Content([chunk for content in contents for chunk in content.chunks], crc32c, None)


def of_bytes(data: bytes) -> Content:
    """
    Return *data* as content.
    """
    growing = GrowingContent()
    growing.add(data)
    return growing.finish()


def _combined(first: tuple[Checksum, int], second: tuple[Checksum, int]) -> tuple[Checksum, int]:
    return combine(first[0], second[0], second[1]), first[1] + second[1]
