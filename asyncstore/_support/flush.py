"""
Write whole records, and flush files to the disk.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import Final

# On macOS, fsync leaves the bytes in the cache of the drive, where a power cut loses them.
_FULL: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)


def write_whole(descriptor: int, data: bytes) -> None:
    """
    Append all of *data*; a nearly full disk takes less at a time.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def flush(descriptor: int) -> None:
    """
    Return once what was written to a file or directory survives a power cut; runs in a thread.
    """
    if _FULL is not None:
        # Not every file system supports it.
        with suppress(OSError):
            fcntl.fcntl(descriptor, _FULL)
            return
    os.fsync(descriptor)
