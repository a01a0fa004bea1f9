"""
The bytes of an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Bytes written to a connection at a time.
_CHUNK: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """
    Bytes in several pieces: an object made from parts shares them with its upload.
    """

    pieces: tuple[bytes | bytearray, ...]

    @property
    def size(self) -> int:
        """
        Size in bytes.
        """
        return sum(map(len, self.pieces))

    def read(self, start: int, stop: int) -> Iterator[memoryview]:
        """
        Yield the bytes from *start* up to *stop*, in chunks for sending.
        """
        at = 0
        for piece in self.pieces:
            first, last = max(start - at, 0), min(stop - at, len(piece))
            view = memoryview(piece)
            for offset in range(first, last, _CHUNK):
                yield view[offset : min(offset + _CHUNK, last)]
            at += len(piece)
