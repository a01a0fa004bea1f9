"""
The bytes of an object, in the pieces in which they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# As much as is handed to a connection at once.
_CHUNK: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """
    Bytes that are not joined: an object made of parts shares them with its upload.
    """

    pieces: tuple[bytes | bytearray, ...]

    @property
    def size(self) -> int:
        """
        In bytes.
        """
        return sum(map(len, self.pieces))

    def read(self, start: int, stop: int) -> Iterator[memoryview]:
        """
        Yield the bytes from *start* up to, not including, *stop*, in pieces good for sending.
        """
        at = 0
        for piece in self.pieces:
            first, last = max(start - at, 0), min(stop - at, len(piece))
            view = memoryview(piece)
            for offset in range(first, last, _CHUNK):
                yield view[offset : min(offset + _CHUNK, last)]
            at += len(piece)
