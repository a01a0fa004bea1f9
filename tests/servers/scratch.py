"""
A folder for a server's data, in memory if there is room.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

_PREFIX = "asyncstore-tests-"
_ALIVE = ".alive"
_ROOM_WANTED = 2 * 1024**3
_SETTLED = 60.0


class Scratch:
    """
    A folder that `remove` removes, or a later run if this one is killed.

    The owner holds a lock on a file in it for as long as it lives; a folder without
    a held lock is abandoned.
    """

    def __init__(self) -> None:
        parent = _parent()
        _sweep(parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._alive: IO[str] = (self.path / _ALIVE).open("w")
        fcntl.flock(self._alive, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the folder and its contents. May be called twice."""
        self._alive.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _parent() -> Path:
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free >= _ROOM_WANTED:
        return memory
    return Path(tempfile.gettempdir())


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        # Already gone, or owned by another user.
        with contextlib.suppress(OSError):
            # The owner of a newer one may not have locked it yet.
            if time.time() - folder.stat().st_mtime > _SETTLED and _abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    with (folder / _ALIVE).open("r+") as alive:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
