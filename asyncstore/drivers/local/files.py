"""
Single files: versions of them, new ones that have no name yet, copies of bytes.

Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from contextlib import suppress
from typing import Final

from asyncstore.body import BytesLike
from asyncstore.drivers.local.tree import TEMPORARY, Tree
from asyncstore.errors import SourceChangedError
from asyncstore.options import MiB

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FAST_COPY: Final = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})


class NewFile:
    """
    A file in the making, which nobody else sees until it is published.

    It exists from :meth:`create` on, and whoever made it calls :meth:`discard`
    in the end, published or not.
    """

    def __init__(self, tree: Tree) -> None:
        self.name = secrets.token_hex(16)
        self.directory = TEMPORARY
        self.descriptor = -1
        self.published = False
        self._tree = tree

    def create(self) -> None:
        """
        Make the file, for its owner only.
        """
        with self._tree.directory(self.directory, make=True) as parent:
            self.descriptor = os.open(self.name, _NEW, 0o600, dir_fd=parent)

    def write(self, data: BytesLike) -> None:
        """
        Append all of *data*.
        """
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(self.descriptor, view) :]

    def discard(self) -> None:
        """
        Close the file, and remove it unless it is :attr:`published`.
        """
        if self.descriptor < 0:
            return
        os.close(self.descriptor)
        self.descriptor = -1
        if self.published:
            return
        with suppress(FileNotFoundError), self._tree.directory(self.directory) as parent:
            os.unlink(self.name, dir_fd=parent)


def seal(descriptor: int, *, mode: int, sync: bool) -> os.stat_result:
    """
    Make a finished file ready to be published: permissions, its own moment, on the disk.

    The moment is set by the clock of the process, not by the kernel's, which
    ticks every few milliseconds: so no two versions share one, and inode and
    moment together make an ETag.
    """
    os.fchmod(descriptor, mode)
    now = time.time_ns()
    os.utime(descriptor, ns=(now, now))
    if sync:
        os.fsync(descriptor)
    return os.fstat(descriptor)


def etag_of(status: os.stat_result) -> str:
    """
    Return the ETag of a file in this state.

    It is of what the file system says, so it changes too when another program
    writes to the file.
    """
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def is_object(status: os.stat_result) -> bool:
    """
    Whether this is a file that can be an object: no directory, device or pipe.
    """
    return stat.S_ISREG(status.st_mode)


def copy_bytes(source: int, target: int, start: int, size: int, offset: int) -> int:
    """
    Copy up to *size* bytes from *start* of one file to *offset* of another; return how many.

    The kernel copies, and shares the blocks where the file system can.

    Raises:
        SourceChangedError: There are none at *start*.
    """
    try:
        copied = os.copy_file_range(source, target, size, start, offset)
    except OSError as exc:
        if exc.errno not in _NO_FAST_COPY:
            raise
        data = os.pread(source, min(size, MiB), start)
        copied = os.pwrite(target, data, offset)
    if copied == 0:
        raise SourceChangedError(f"the file ends at byte {start} and was longer before")
    return copied
