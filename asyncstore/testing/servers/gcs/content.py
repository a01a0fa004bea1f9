"""
The bytes of an object, and their checksums, which are computed as they come in.
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

#: Bytes of a piece: small ones are gathered, so that neither memory nor time goes to each.
_PIECE_SIZE: Final = 256 * 1024


class Content:
    """
    Bytes that no longer change.

    They are kept as the pieces in which they came; objects made of others share theirs.

    Attributes:
        md5: ``None`` for what was put together on the server.
    """

    def __init__(self, pieces: Sequence[bytes], crc32c: Checksum, md5: bytes | None) -> None:
        self.pieces = tuple(pieces)
        self.crc32c = crc32c
        self.md5 = md5

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self.pieces)))

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
        Yield the bytes from *start* up to *stop*, without copying them.
        """
        index = bisect_right(self._ends, start)
        while start < stop:
            piece = self.pieces[index]
            begin = self._ends[index] - len(piece)
            end = min(stop, self._ends[index])
            whole = start == begin and end == self._ends[index]
            yield piece if whole else memoryview(piece)[start - begin : end - begin]
            start, index = end, index + 1

    def read(self) -> bytes:
        """
        Return all the bytes as one.
        """
        return b"".join(self.pieces)


class GrowingContent:
    """
    Bytes that are still coming in.
    """

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._gathered = bytearray()
        self._crc32c = Hasher(ChecksumAlgorithm.CRC32C)
        self._md5 = Hasher(ChecksumAlgorithm.MD5)

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """
        Add *data* at the end.
        """
        self.size += len(data)
        self._gathered += data
        if len(self._gathered) >= _PIECE_SIZE:
            self._settle()

    def finish(self) -> Content:
        """
        Return what came in; nothing may be added afterwards.
        """
        self._settle()
        return Content(self._pieces, self._crc32c.checksum(), self._md5.checksum().value)

    def _settle(self) -> None:
        if self._gathered:
            piece = bytes(self._gathered)
            self._gathered.clear()
            self._pieces.append(piece)
            self._crc32c.update(piece)
            self._md5.update(piece)


def joined(contents: Sequence[Content]) -> Content:
    """
    Return the bytes of *contents* one after the other, without copying them.
    """
    crc32c, _ = reduce(_combined, ((content.crc32c, content.size) for content in contents))
    return Content([piece for content in contents for piece in content.pieces], crc32c, None)


def of_bytes(data: bytes) -> Content:
    """
    Return *data* as content.
    """
    growing = GrowingContent()
    growing.add(data)
    return growing.finish()


def _combined(first: tuple[Checksum, int], second: tuple[Checksum, int]) -> tuple[Checksum, int]:
    return combine(first[0], second[0], second[1]), first[1] + second[1]
