"""
Parts in order, and their combined checksum.
"""

from __future__ import annotations

import pytest

from asyncstore.checksum import combine_all, compute
from asyncstore.driver.parts import compare_parts, in_order
from asyncstore.errors import IntegrityError
from asyncstore.types import Checksum, ChecksumAlgorithm, Part

DATA = bytes(range(256)) * 7
CUTS = ((1, 0, 100), (2, 100, 1000), (3, 1000, len(DATA)))


def parts(algorithm: ChecksumAlgorithm | None) -> list[Part]:
    return [
        Part(number, "etag", end - start, None if algorithm is None else compute(algorithm, DATA[start:end]))
        for number, start, end in CUTS
    ]


def test_order() -> None:
    """
    Parts are put in order of their numbers.
    """
    assert [1, 2, 3] == [part.number for part in in_order(reversed(parts(None)))]


@pytest.mark.parametrize("algorithm", [ChecksumAlgorithm.CRC32, ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.CRC64NVME])
def test_parts_of_the_object(algorithm: ChecksumAlgorithm) -> None:
    """
    Parts in order have the checksum of the object; in another order they have not.
    """
    whole = compute(algorithm, DATA)

    compare_parts(parts(algorithm), whole)
    with pytest.raises(IntegrityError) as refused:
        compare_parts(parts(algorithm)[::-1], whole)

    assert str(whole) == refused.value.expected


@pytest.mark.parametrize(
    ("algorithm", "whole"),
    [
        (None, compute(ChecksumAlgorithm.CRC32C, b"other")),
        (ChecksumAlgorithm.CRC32C, None),
        (ChecksumAlgorithm.CRC32C, compute(ChecksumAlgorithm.CRC32, b"other")),
        (ChecksumAlgorithm.MD5, compute(ChecksumAlgorithm.MD5, b"other")),
    ],
)
def test_nothing_to_compare(algorithm: ChecksumAlgorithm | None, whole: Checksum | None) -> None:
    """
    Without checksums of one combinable algorithm on both sides nothing is concluded.
    """
    compare_parts(parts(algorithm), whole)


def test_combining_nothing() -> None:
    """
    No pieces, a piece without a checksum and pieces of two algorithms have no combined checksum.
    """
    one, other = compute(ChecksumAlgorithm.CRC32C, b"1"), compute(ChecksumAlgorithm.CRC32, b"2")

    assert combine_all([]) is None
    assert combine_all([(one, 1), (None, 1)]) is None
    assert combine_all([(one, 1), (other, 1)]) is None
