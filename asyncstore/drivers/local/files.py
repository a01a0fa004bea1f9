"""
Single files: temporary files, reads that detect changes, ETags, copies of bytes.

Everything here but reading a body blocks and runs in a thread.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Final

from asyncstore._support.flush import flush
from asyncstore._support.threads import in_thread
from asyncstore.driver.body import BytesLike, MemorySink, ReadBody, Sink
from asyncstore.drivers.local.tree import TEMPORARY, Tree
from asyncstore.errors import SourceChangedError
from asyncstore.options import KiB, MiB
from asyncstore.types import Metadata

#: Up to this size, one thread call opens and reads or writes a file.
AT_ONCE: Final = 256 * KiB

_CHUNK: Final = 512 * KiB
# Bytes read by one thread call into the caller's memory: it cannot be cancelled before it returns.
_TURN: Final = 4 * MiB
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FAST_COPY: Final = frozenset(
    {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
)


class NewFile:
    """
    The temporary file of a write, invisible until it is published.

    :meth:`create` makes it. Its owner must call :meth:`discard` in the end, published
    or not.
    """

    def __init__(self, tree: Tree) -> None:
        self.name = secrets.token_hex(16)
        self.directory = TEMPORARY
        self.descriptor = -1
        self.mode = 0
        self.published = False
        self._tree = tree

    def create(self) -> None:
        """
        Create the file, readable only by the user; :attr:`mode` is what the umask leaves of its mode.
        """
        with self._tree.directory(self.directory, make=True) as parent:
            # The umask cannot be read without changing it for all threads.
            self.descriptor = os.open(self.name, _NEW, 0o666, dir_fd=parent)
            self.mode = stat.S_IMODE(os.fstat(self.descriptor).st_mode)
            os.fchmod(self.descriptor, 0o600)

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


class FileReadBody(ReadBody):
    """
    Bytes *start* to *end* of an open file.

    If the file is replaced during the read, the old bytes are read. If another
    program changes it in place, the read raises :class:`SourceChangedError`, at the
    latest at the end.
    """

    def __init__(self, descriptor: int, info: Metadata, start: int, end: int) -> None:
        self.info = info
        self.start = start
        self.end = end
        self._at = start
        # Closes the descriptor, with a warning, even if aclose() is never called.
        self._file = io.FileIO(descriptor, "r")
        self._first = b""

    def prefetch(self) -> None:
        """
        Read a small range at once and close the file; called in the thread that opened it.
        """
        if self.end - self.start > AT_ONCE:
            return
        with self._file:
            while self._at < self.end:
                self._first += self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        if self._first:
            first, self._first = self._first, b""
            yield first
        while self._at < self.end and not self._file.closed:
            yield await in_thread(self._read)

    async def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        if self._first or not isinstance(sink, MemorySink):
            async with aclosing(super().into(sink, size)) as counts:
                async for count in counts:
                    yield count
            return
        while (wanted := min(size, self.end - self._at, _TURN)) and not self._file.closed:
            count = await in_thread(self._read_into, sink, wanted)
            size -= count
            yield count

    def _read_into(self, sink: MemorySink, size: int) -> int:
        self._file.seek(self._at)
        with sink.room(size) as room:
            count = self._file.readinto(room)
        sink.received(count)
        self._advance(count)
        return count

    def _read(self) -> bytes:
        data = os.pread(self._file.fileno(), min(_CHUNK, self.end - self._at), self._at)
        self._advance(len(data))
        return data

    def _advance(self, count: int) -> None:
        self._at += count
        if not count and self._at < self.end:
            raise SourceChangedError(
                f"the file was truncated from {self.info.size} to {self._at} bytes while it was being read"
            )
        if self._at == self.end and etag_of(os.fstat(self._file.fileno())) != self.info.etag:
            raise SourceChangedError("the file was modified while it was being read")

    async def aclose(self) -> None:
        self._first = b""
        if not self._file.closed:
            await in_thread(self._file.close)


def seal(descriptor: int, *, mode: int, sync: bool) -> os.stat_result:
    """
    Prepare a complete file for publishing: set permissions and modification time, and flush it to disk.

    The modification time comes from the clock of the process, since the kernel's
    advances only every few milliseconds. So no two versions have the same time, and
    inode and time together make an ETag.
    """
    os.fchmod(descriptor, mode)
    now = time.time_ns()
    os.utime(descriptor, ns=(now, now))
    if sync:
        flush(descriptor)
    return os.fstat(descriptor)


def etag_of(status: os.stat_result) -> str:
    """
    Return the ETag of a file with this status.

    It is derived from the file system's data, so it also changes when another program
    writes to the file.
    """
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def is_object(status: os.stat_result) -> bool:
    """
    Return whether this is a regular file, which can be an object.
    """
    return stat.S_ISREG(status.st_mode)


def copy_bytes(source: int, target: int, start: int, size: int, offset: int) -> int:
    """
    Copy up to *size* bytes from *start* of one file to *offset* of another; return how many.

    The kernel copies, and shares blocks if the file system supports it.

    Raises:
        SourceChangedError: The source ends before *start*.
    """
    try:
        copied = os.copy_file_range(source, target, size, start, offset)
    except (OSError, AttributeError) as exc:
        # macOS does not have the call, and not every file system supports it.
        if getattr(exc, "errno", errno.ENOSYS) not in _NO_FAST_COPY:
            raise
        data = os.pread(source, min(size, MiB), start)
        copied = os.pwrite(target, data, offset)
    if copied == 0:
        raise SourceChangedError(f"the file was truncated to {start} bytes while it was being read")
    return copied
