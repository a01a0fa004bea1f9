"""
Renames a file to a name that must not exist yet, on every file system.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

_UNABLE: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})

# The call, its flag, and the directory that stands for the current one.
# https://man7.org/linux/man-pages/man2/rename.2.html and renamex_np(2) of macOS.
_CALLS: Final = {"linux": ("renameat2", 1, -100), "darwin": ("renameatx_np", 4, -2)}


def rename_new(source: str, target: str, *, source_dir: int | None = None, target_dir: int | None = None) -> bool:
    """
    Rename *source* to *target*, unless that exists.

    Where the file system has neither hard links nor an exclusive rename, an empty file
    holds the name until the rename replaces it: still only one of several creators
    succeeds, but another program may see that empty file.

    Returns:
        Whether *target* had its bytes from the first moment on.

    Raises:
        FileExistsError: *target* exists.
    """
    try:
        # Unlike a rename, a link fails if the target exists.
        os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
    except OSError as exc:
        # Among them exFAT, FAT, and many FUSE, SMB and 9p mounts.
        if exc.errno not in _UNABLE:
            raise
    else:
        os.unlink(source, dir_fd=source_dir)
        return True
    if _renamed(source, target, source_dir, target_dir):
        return True
    _over_placeholder(source, target, source_dir, target_dir)
    return False


def _renamed(source: str, target: str, source_dir: int | None, target_dir: int | None) -> bool:
    rename = _exclusive_rename()
    if rename is None:
        return False
    number = rename(source, target, source_dir, target_dir)
    if number in _UNABLE:
        return False
    if number:
        raise OSError(number, os.strerror(number), target)
    return True


def _over_placeholder(source: str, target: str, source_dir: int | None, target_dir: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(target, flags, 0o600, dir_fd=target_dir))
    try:
        os.replace(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
    except BaseException:
        os.unlink(target, dir_fd=target_dir)
        raise


@cache
def _exclusive_rename() -> Callable[[str, str, int | None, int | None], int] | None:
    name, flag, here = _CALLS.get(sys.platform, ("", 0, 0))
    call: Any = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if call is None:
        return None

    def rename(source: str, target: str, source_dir: int | None, target_dir: int | None) -> int:
        failed = call(
            here if source_dir is None else source_dir,
            os.fsencode(source),
            here if target_dir is None else target_dir,
            os.fsencode(target),
            ctypes.c_uint(flag),
        )
        return ctypes.get_errno() if failed else 0

    return rename
