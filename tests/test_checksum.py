"""
Checksums match the standards, for whole data and chunks, and CRCs of chunks can be combined.
"""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstore.checksum import COMBINABLE, Hasher, combine, compute, load
from asyncstore.types import Checksum, ChecksumAlgorithm

ALGORITHMS = list(ChecksumAlgorithm)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (ChecksumAlgorithm.CRC32, "cbf43926"),
        (ChecksumAlgorithm.CRC32C, "e3069283"),
        (ChecksumAlgorithm.CRC64NVME, "ae8b14860a799888"),
        (ChecksumAlgorithm.MD5, "25f9e794323b453885f5181f1b624d0b"),
        (ChecksumAlgorithm.SHA1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        (ChecksumAlgorithm.SHA256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ],
)
def test_known_values(algorithm: ChecksumAlgorithm, expected: str) -> None:
    """Checksums of ``123456789`` are the published check values."""
    load()

    assert compute(algorithm, b"123456789").value.hex() == expected


@given(st.binary())
def test_same_as_the_standard_library(data: bytes) -> None:
    """Checksums equal those of the standard library, for any bytes and any type of buffer."""
    assert compute(ChecksumAlgorithm.CRC32, data).value == zlib.crc32(data).to_bytes(4, "big")
    for name in ("md5", "sha1", "sha256"):
        assert compute(ChecksumAlgorithm(name), bytearray(data)).value == hashlib.new(name, data).digest()
    for algorithm in ALGORITHMS:
        assert compute(algorithm, data) == compute(algorithm, memoryview(data))


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_chunks_make_the_whole(pieces: list[bytes]) -> None:
    """Chunks can be hashed one after the other, or their CRCs can be combined."""
    for algorithm in ALGORITHMS:
        hasher = Hasher(algorithm)
        for piece in pieces:
            hasher.update(piece)
        assert hasher.checksum() == compute(algorithm, b"".join(pieces))
    for algorithm in COMBINABLE:
        whole = compute(algorithm, b"")
        for piece in pieces:
            whole = combine(whole, compute(algorithm, piece), len(piece))
        assert whole == compute(algorithm, b"".join(pieces))


def test_what_cannot_be_combined() -> None:
    """Two algorithms, or one that is not a CRC, cannot be combined."""
    crc, md5 = compute(ChecksumAlgorithm.CRC32C, b""), compute(ChecksumAlgorithm.MD5, b"")

    with pytest.raises(ValueError, match="md5"):
        combine(md5, md5, 0)
    with pytest.raises(ValueError, match="md5"):
        combine(crc, md5, 0)


@given(st.sampled_from(ALGORITHMS), st.binary(max_size=32), st.none() | st.integers(1, 10_000))
def test_text_of_a_checksum_round_trips(algorithm: ChecksumAlgorithm, value: bytes, parts: int | None) -> None:
    """The text of a checksum parses back, including the number of parts."""
    checksum = Checksum(algorithm, value, parts)

    assert Checksum.from_base64(algorithm, checksum.base64()) == checksum
    assert str(checksum) == f"{algorithm.value}:{checksum.base64()}"


@pytest.mark.parametrize(
    "text", ["?", "abc", "AAAA-", "AAAA-x", "AAAA-1-2", "AA==AA", "é", "AAAA-٣", "A-" + "1" * 5000]
)
def test_text_that_is_not_a_checksum(text: str) -> None:
    """Other text is ignored, since providers put other values there too."""
    assert Checksum.from_base64(ChecksumAlgorithm.CRC32, text) is None


def test_digest_is_big_endian() -> None:
    """Digests are big-endian, as in the providers' headers."""
    assert compute(ChecksumAlgorithm.CRC32C, b"123456789").base64() == base64.b64encode(b"\xe3\x06\x92\x83").decode()
