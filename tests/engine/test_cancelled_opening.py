"""
A file whose opening is cancelled is closed, and one that was made by it is removed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from asyncstore.engine.sink import PartFile
from asyncstore.engine.source import FileSource


def part_file(folder: Path) -> PartFile:
    return PartFile(folder / "target", overwrite=True, sync=False)


def file_source(folder: Path) -> FileSource:
    return FileSource(folder / "source")


@pytest.mark.parametrize("opener", [part_file, file_source])
async def test_cancelled_opening_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opener: Callable[[Path], AbstractAsyncContextManager[Any]]
) -> None:
    """
    Cancelled while a thread opens the file, it is as if it had not been opened.
    """
    (tmp_path / "source").write_bytes(b"data")
    entered, leave = threading.Event(), threading.Event()
    opened: list[int] = []
    really = os.open

    def slowly(path: Any, *args: Any, **kwargs: Any) -> int:
        opened.append(really(path, *args, **kwargs))
        entered.set()
        leave.wait(5)
        return opened[-1]

    monkeypatch.setattr(os, "open", slowly)
    task = asyncio.ensure_future(opener(tmp_path).__aenter__())
    await asyncio.to_thread(entered.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    leave.set()
    with suppress(asyncio.CancelledError):
        await task

    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])
