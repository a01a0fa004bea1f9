"""
Bodies in memory.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from asyncstore.checksum import compute
from asyncstore.driver import body as module
from asyncstore.driver.body import BytesBody
from asyncstore.options import MiB
from asyncstore.types import Checksum, ChecksumAlgorithm

LARGE = bytes(MiB + 1)
DIGESTS = [ChecksumAlgorithm.MD5, ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """
    Whether each checksum was computed in the thread of the event loop.
    """
    own = threading.get_ident()
    here: list[bool] = []

    def note(algorithm: ChecksumAlgorithm, data: Any) -> Checksum:
        here.append(threading.get_ident() == own)
        return compute(algorithm, data)

    monkeypatch.setattr(module, "compute", note)
    return here


@pytest.mark.parametrize("algorithm", DIGESTS)
async def test_large_digests_are_computed_in_a_thread(threads: list[bool], algorithm: ChecksumAlgorithm) -> None:
    """
    Once, and never on the event loop, whoever asks for one first.
    """
    body = BytesBody(LARGE)

    assert body.checksum(algorithm) is None

    await body.prepare(algorithm)
    await body.prepare(algorithm)

    assert compute(algorithm, LARGE) == body.checksum(algorithm)
    assert [False] == threads


@pytest.mark.parametrize("algorithm", DIGESTS)
async def test_small_digests_are_computed_at_once(threads: list[bool], algorithm: ChecksumAlgorithm) -> None:
    body = BytesBody(b"data")
    await body.prepare(algorithm)

    assert compute(algorithm, b"data") == body.checksum(algorithm)
    assert [True] == threads


async def test_crcs_are_computed_at_once(threads: list[bool]) -> None:
    """
    They are about as fast as a thread switch; very large ones are not.
    """
    body = BytesBody(LARGE)

    assert compute(ChecksumAlgorithm.CRC32C, LARGE) == body.checksum(ChecksumAlgorithm.CRC32C)

    huge = BytesBody(bytes(16 * MiB + 1))
    await huge.prepare(ChecksumAlgorithm.CRC32C)

    assert huge.checksum(ChecksumAlgorithm.CRC32C) is not None
    assert [True, False] == threads
