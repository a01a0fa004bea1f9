"""
Checksums: computed chunk by chunk; CRCs of parts combined into that of the whole.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, Final

from asyncstore.types import Checksum, ChecksumAlgorithm

#: Algorithms for which the checksums of two adjacent pieces give that of both together.
COMBINABLE: Final = frozenset({ChecksumAlgorithm.CRC32, ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.CRC64NVME})

# Bytes of a digest.
_WIDTHS: Final = {ChecksumAlgorithm.CRC32: 4, ChecksumAlgorithm.CRC32C: 4, ChecksumAlgorithm.CRC64NVME: 8}


class Hasher:
    """
    A running checksum.
    """

    def __init__(self, algorithm: ChecksumAlgorithm) -> None:
        self.algorithm = algorithm
        self._crc = _crc_function(algorithm) if algorithm in COMBINABLE else None
        self._value = 0
        self._digest = None if self._crc else hashlib.new(algorithm.value, usedforsecurity=False)

    def update(self, data: Any) -> None:
        """
        Add *data*, any bytes-like object.
        """
        if self._crc is not None:
            self._value = self._crc(data, self._value)
        elif self._digest is not None:
            self._digest.update(data)

    def checksum(self) -> Checksum:
        """
        Return the checksum of all the data so far.
        """
        if self._digest is not None:
            return Checksum(self.algorithm, self._digest.digest())
        return Checksum(self.algorithm, self._value.to_bytes(_WIDTHS[self.algorithm], "big"))


def compute(algorithm: ChecksumAlgorithm, data: Any) -> Checksum:
    """
    Return the checksum of *data*.
    """
    # The fast paths of most writes and many small reads: hashing an enum member is slow.
    if algorithm is ChecksumAlgorithm.CRC32C:
        return Checksum(algorithm, _crc32c()(data, 0).to_bytes(4, "big"))
    if algorithm is ChecksumAlgorithm.CRC32:
        return Checksum(algorithm, zlib.crc32(data).to_bytes(4, "big"))
    if algorithm is ChecksumAlgorithm.MD5:
        return Checksum(algorithm, hashlib.md5(data, usedforsecurity=False).digest())
    hasher = Hasher(algorithm)
    hasher.update(data)
    return hasher.checksum()


def combine(first: Checksum, second: Checksum, second_size: int) -> Checksum:
    """
    Return the checksum of two adjacent pieces from the checksum of each.

    Args:
        second_size: Bytes of the second piece.

    Raises:
        ValueError: Their algorithms differ, or cannot be combined.
    """
    if first.algorithm != second.algorithm or first.algorithm not in COMBINABLE:
        raise ValueError(f"{first.algorithm} and {second.algorithm} cannot be combined")
    merged = _combine_function(first.algorithm)(
        int.from_bytes(first.value, "big"), int.from_bytes(second.value, "big"), second_size
    )
    return Checksum(first.algorithm, merged.to_bytes(_WIDTHS[first.algorithm], "big"))


def combine_all(pieces: Iterable[tuple[Checksum | None, int]]) -> Checksum | None:
    """
    Return the checksum of adjacent pieces from the checksum and the size in bytes of each.

    ``None`` without pieces, if one has no checksum, or if their checksums cannot be combined.
    """
    whole: Checksum | None = None
    for checksum, size in pieces:
        if checksum is None or checksum.algorithm not in COMBINABLE:
            return None
        if whole is not None and whole.algorithm is not checksum.algorithm:
            return None
        whole = checksum if whole is None else combine(whole, checksum, size)
    return whole


def composite_of(pieces: Iterable[Checksum | None]) -> Checksum | None:
    """
    Return the checksum of the checksums of adjacent pieces, as S3 computes it for multipart uploads.

    ``None`` without pieces, if one has no checksum, or if their algorithms differ.
    """
    known = list(pieces)
    if not known or (first := known[0]) is None:
        return None
    digests = [piece.value for piece in known if piece is not None and piece.algorithm is first.algorithm]
    if len(digests) < len(known):
        return None
    return replace(compute(first.algorithm, b"".join(digests)), parts=len(known))


def load() -> None:
    """
    Import the native code now (80 ms), so that the first checksum does not block the event loop.
    """
    _crc_function(ChecksumAlgorithm.CRC32C)


@cache
def _crc32c() -> Callable[[Any, int], int]:
    return _crc_function(ChecksumAlgorithm.CRC32C)


@cache
def _crc_function(algorithm: ChecksumAlgorithm) -> Callable[[Any, int], int]:
    if algorithm is ChecksumAlgorithm.CRC32:
        return zlib.crc32
    from awscrt import checksums

    function: Callable[[Any, int], int] = getattr(checksums, algorithm.value)
    return function


@cache
def _combine_function(algorithm: ChecksumAlgorithm) -> Callable[[int, int, int], int]:
    from awscrt import checksums

    function: Callable[[int, int, int], int] = getattr(checksums, f"combine_{algorithm.value}")
    return function
