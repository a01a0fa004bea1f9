"""
Flushed bytes are on the disk, not in the cache of the drive.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from asyncstore._support import flush

F_FULLFSYNC = 51


@pytest.mark.parametrize(
    ("code", "refused", "calls"),
    [
        (None, False, ["fsync"]),
        (F_FULLFSYNC, False, ["F_FULLFSYNC"]),
        (F_FULLFSYNC, True, ["F_FULLFSYNC", "fsync"]),
    ],
)
def test_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, refused: bool, calls: list[str]
) -> None:
    """macOS flushes the drive too, except where the file system cannot; other systems call fsync."""
    made: list[str] = []

    def control(descriptor: int, command: int) -> int:
        made.append({F_FULLFSYNC: "F_FULLFSYNC"}[command])
        if refused:
            raise OSError(errno.ENOTSUP, "Operation not supported")
        return 0

    monkeypatch.setattr(flush, "_FULL", code)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda _: made.append("fsync"))
    with (tmp_path / "file").open("wb") as file:
        flush.flush(file.fileno())

    assert made == calls
