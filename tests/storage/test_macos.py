"""
Calls that only Linux has are not required.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from asyncstore import DownloadOptions, MiB, UploadOptions, open_storage
from tests.servers.gcs import GCSEndpoint, fresh_bucket

LINUX_ONLY: list[tuple[ModuleType, str]] = [
    (os, "copy_file_range"),
    (os, "fdatasync"),
    (os, "posix_fallocate"),
    # macOS has these two since version 11.
    (os, "preadv"),
    (os, "pwritev"),
    (socket, "SO_RCVLOWAT"),
]
DATA = os.urandom(9 * MiB + 1)
UPLOAD = UploadOptions(part_size=5 * MiB)
DOWNLOAD = DownloadOptions(part_size=5 * MiB)


@pytest.fixture
def take_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Remove the calls; a fixture that starts a server may need them before."""

    def take_away() -> None:
        for module, name in LINUX_ONLY:
            monkeypatch.delattr(module, name)

    return take_away


async def test_files(tmp_path: Path, take_away: Callable[[], None]) -> None:
    """Uploads, copies and downloads of the file driver work without them."""
    (tmp_path / "source").write_bytes(DATA)
    take_away()
    async with open_storage(f"file://{tmp_path}/store") as storage:
        await storage.upload(tmp_path / "source", storage.root / "a", options=UPLOAD)
        await storage.copy(storage.root / "a", storage.root / "b")
        await storage.download(storage.root / "b", tmp_path / "target", options=DOWNLOAD)

    assert (tmp_path / "target").read_bytes() == DATA


async def test_http(gcs_endpoint: GCSEndpoint, tmp_path: Path, take_away: Callable[[], None]) -> None:
    """Uploads and downloads over HTTP work without them."""
    bucket = fresh_bucket(gcs_endpoint)
    (tmp_path / "source").write_bytes(DATA)
    take_away()
    async with open_storage(f"gs://{bucket}", endpoint_url=gcs_endpoint.url, anonymous=True) as storage:
        await storage.upload(tmp_path / "source", storage.root / "a", options=UPLOAD)
        await storage.download(storage.root / "a", tmp_path / "target", options=DOWNLOAD)

    assert (tmp_path / "target").read_bytes() == DATA
