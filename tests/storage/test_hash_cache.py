"""
A local file is hashed once, and again only after it has changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from asyncstore import ChecksumAlgorithm, open_storage, sync_tree
from asyncstore.checksum import compute
from asyncstore.storage.content import hash_file
from asyncstore.storage.hash_cache import HashCache
from asyncstore.types import Checksum

CRC = ChecksumAlgorithm.CRC32C


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, in turn."""
    names: list[str] = []

    def noted(path: Path, algorithm: ChecksumAlgorithm) -> Checksum:
        names.append(path.name)
        return hash_file(path, algorithm)

    monkeypatch.setattr("asyncstore.storage.hash_cache.hash_file", noted)
    return names


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files of a test be older than they are."""
    monkeypatch.setattr("asyncstore.storage.hash_cache._RESOLUTION", -10_000_000_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    return path


async def checksum(file: Path, **options: Any) -> Checksum:
    cache = HashCache(file.parent / "state", **options)
    try:
        return await cache.checksum(file, CRC)
    finally:
        await cache.close()


@pytest.mark.usefixtures("later")
async def test_hashed_once(file: Path, hashed: list[str]) -> None:
    """Another process finds what the first one has hashed, for each algorithm, and nobody else can read it."""
    for _ in range(3):
        assert await checksum(file) == compute(CRC, b"data")
    cache = HashCache(file.parent / "state")
    assert await cache.checksum(file, ChecksumAlgorithm.MD5) == compute(ChecksumAlgorithm.MD5, b"data")
    await cache.close()

    assert hashed == ["file", "file"]
    assert (file.parent / "state/hashes.sqlite3").stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("later")
async def test_edits_are_seen(file: Path, hashed: list[str]) -> None:
    """Also one that keeps the size and sets the times back, and another file in its place."""
    await checksum(file)
    before = file.stat()
    file.write_bytes(b"DATA")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await checksum(file) == compute(CRC, b"DATA")
    other = file.with_name("other")
    other.write_bytes(b"dada")
    other.replace(file)

    assert await checksum(file) == compute(CRC, b"dada")
    assert hashed == ["file"] * 3


async def test_files_that_have_just_changed_are_not_remembered(file: Path, hashed: list[str]) -> None:
    """They may change again within the resolution of the clock."""
    os.utime(file, (1, 1))
    await checksum(file)
    await checksum(file)

    assert hashed == ["file", "file"]


@pytest.mark.usefixtures("later")
async def test_the_cache_is_bounded(tmp_path: Path, hashed: list[str]) -> None:
    """The files that were hashed first are forgotten."""
    files = [tmp_path / str(number) for number in range(4)]
    for path in files:
        path.write_bytes(b"x")
        await checksum(path, most=3)
    await checksum(files[3])
    await checksum(files[0])

    assert hashed == ["0", "1", "2", "3", "0"]


@pytest.mark.usefixtures("later")
async def test_a_cache_that_cannot_be_read_is_done_without(
    file: Path, hashed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Files are hashed, and a warning says why."""
    (file.parent / "state").mkdir()
    (file.parent / "state/hashes.sqlite3").write_bytes(b"no database" * 100)

    assert await checksum(file) == compute(CRC, b"data")
    assert "checksums are not remembered" in caplog.text


@pytest.mark.usefixtures("later")
async def test_a_sync_by_checksum(tmp_path: Path, hashed: list[str]) -> None:
    """The second run reads no local file, and an altered one is still found."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(b"data")
    options: dict[str, Any] = {"compare": "checksum", "hash_cache": True}
    async with open_storage("memory://hash-cache", state_directory=tmp_path / "state") as storage:
        assert (await sync_tree(source, storage, **options)).transferred.done == 2
        for _ in range(2):
            assert (await sync_tree(source, storage, **options)).transferred.done == 0
        assert sorted(hashed) == ["a", "b"]
        status = (source / "a").stat()
        (source / "a").write_bytes(b"DATA")
        os.utime(source / "a", ns=(status.st_atime_ns, status.st_mtime_ns))

        assert (await sync_tree(source, storage, **options)).transferred.done == 1
        assert await storage.read("a") == b"DATA"
