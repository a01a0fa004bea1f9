"""
Compression works in steps, with any pieces, and notices what is broken.
"""

import gzip
from typing import Any

import pytest

from asyncstore.engine import compression
from asyncstore.engine.compression import Compression, Decompressor, compressor, decompressor
from asyncstore.errors import ConfigurationError, IntegrityError
from asyncstore.options import MiB
from asyncstore.storage import Storage
from tests.build import KEY, patterned

DATA = patterned(100_000)


@pytest.fixture(params=["gzip", "zstd"])
def kind(request: pytest.FixtureRequest) -> Compression:
    kind: Compression = request.param
    try:
        decompressor(kind)
    except ConfigurationError as exc:
        pytest.skip(str(exc))
    return kind


def compressed(kind: Compression, data: bytes) -> bytes:
    made = compressor(kind)
    return made.compress(data) + made.flush()


def decompressed(found: Decompressor, data: bytes, size: int) -> bytes:
    pieces = []
    for start in range(0, len(data), size):
        pieces.append(found.step(data[start : start + size]))
        while not found.hungry:
            pieces.append(found.step(b""))
    found.finish()
    assert max(map(len, pieces), default=0) <= MiB
    return b"".join(pieces)


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_parts_in_pieces(kind: Compression, size: int) -> None:
    """
    Several members or frames, an empty one too, whatever pieces they arrive in.
    """
    data = compressed(kind, b"one") + compressed(kind, b"") + compressed(kind, DATA)

    assert b"one" + DATA == decompressed(decompressor(kind), data, size)
    assert b"" == decompressed(decompressor(kind), b"", size)


def test_a_little_may_stand_for_much(kind: Compression) -> None:
    """
    It is decompressed in steps.
    """
    assert bytes(20 * MiB) == decompressed(decompressor(kind), compressed(kind, bytes(20 * MiB)), MiB)


def test_gzip_of_other_tools() -> None:
    """
    Zeros after the last member are padding.
    """
    data = gzip.compress(b"one") + gzip.compress(DATA) + bytes(100)

    assert b"one" + DATA == decompressed(decompressor("gzip"), data, 1000)
    assert DATA == gzip.decompress(compressed("gzip", DATA))


async def test_a_file_of_either(storage: Storage, kind: Compression) -> None:
    async with storage.open(KEY, "wb", compression=kind) as file:
        await file.write(DATA)
        await file.write(DATA)
    async with storage.open(KEY, "rb", compression=kind) as back:
        assert DATA + DATA == await back.read()
    stored = await storage.read(KEY)

    assert DATA + DATA == decompressed(decompressor(kind), stored, 1000)


@pytest.mark.parametrize("broken", ["other", "truncated"])
async def test_what_is_broken(storage: Storage, kind: Compression, broken: str) -> None:
    data = b"plain text, which is longer than a header" if broken == "other" else compressed(kind, DATA)[:-20]
    await storage.put(KEY, data)
    async with storage.open(KEY, "rb", compression=kind) as file:
        with pytest.raises(IntegrityError, match="cannot be decompressed" if broken == "other" else "ended before"):
            await file.read()


async def test_what_is_not_installed(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error says what to install, before anything is sent.
    """

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(compression, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r"pip install backports\.zstd"):
        storage.open(KEY, "wb", compression="zstd")
    with pytest.raises(ValueError, match="compression takes"):
        storage.open(KEY, "wb", compression="lz4")  # type: ignore[call-overload]
