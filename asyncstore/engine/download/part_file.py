"""
The temporary file of a download: hidden, next to the target, renamed when complete.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from asyncstore._support.descriptors import hold, opening, release
from asyncstore._support.flush import flush
from asyncstore._support.os_errors import local_errors
from asyncstore._support.rename import rename_new
from asyncstore._support.temporary import (
    LockedError,
    can_lock,
    claim,
    open_locked,
    remove_abandoned,
    remove_unlocked,
    resumable_name,
    temporary_name,
)
from asyncstore._support.threads import Together, in_thread, wrote
from asyncstore.checksum import Hasher
from asyncstore.driver.body import BytesLike, Sink
from asyncstore.engine.download.directories import Directories
from asyncstore.engine.download.record import Origin, Record, writer_of
from asyncstore.engine.download.special_file import SpecialTarget, is_special
from asyncstore.engine.download.verify import compare
from asyncstore.engine.permanent import is_permanent
from asyncstore.errors import AlreadyExistsError, InUseError, InvalidRequestError, UnavailableError
from asyncstore.options import DownloadOptions, MiB
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata

_LOG: Final = logging.getLogger("asyncstore")

_READ_BACK = 1 * MiB

_CANNOT_ALLOCATE = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})


# Other downloads may remove a directory that they created between any two steps.
_ATTEMPTS = 100


class PartFile:
    """
    A temporary file that is renamed to the target when it is complete.

    Bytes may arrive in any order, at their offsets. Until :meth:`publish` they are in a
    hidden file in the same directory, readable by its owner only; leaving the block
    without publishing removes it, and directories that were created for it. The file
    gets the mode of the file that it replaces, or that of the umask.

    With *resume*, a large file has a name that another process finds, and a record of what it holds. It is kept if the
    block raises an error that another attempt may not meet, and taken up by that attempt; two attempts at the same
    time are impossible.

    Every method raises :class:`SpecialTarget` if the target is a pipe, socket or device.

    Args:
        directories: Where the file is not created before its bytes have arrived. Elsewhere it
            is created first, so that a directory that is not writable fails before any request.
        together: Writes small files that are complete at the same time, unless they wait for the disk.

    Attributes:
        record: What the file holds, if it can be resumed.
    """

    def __init__(
        self,
        target: Path,
        *,
        overwrite: bool,
        sync: bool,
        resume: bool = False,
        directories: Directories,
        together: Together | None = None,
    ) -> None:
        if not target.name:
            raise InvalidRequestError(f"{target} is a directory: pass the path of a file in it")
        self._target = target
        self._directory, self._name = os.path.split(target)
        self._path = ""
        self._mode = 0
        self._overwrite = overwrite
        self._sync = sync
        self._resume = resume
        self._directories = directories
        self._in_thread = in_thread if together is None or sync else together
        self._fd = -1
        self.record: Record | None = None

    async def __aenter__(self) -> Self:
        if self._overwrite and not self._resume and self._directory in self._directories:
            return self
        try:
            with local_errors(self._target):
                await opening(self._open)
        except BaseException:
            # Cancelled while the thread was creating it.
            await in_thread(self._discard)
            raise
        self._directories.add(self._directory)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            # Deleting a large file takes time. The thread is started and awaited
            # even if we are cancelled.
            await in_thread(self._discard if error is None or is_permanent(error) else self._leave)

    async def allocate(self, size: int) -> None:
        """
        Allocate *size* bytes on the disk now, to fail early.

        Raises:
            QuotaExceededError: The disk has less space.
        """
        with local_errors(self._target):
            await opening(lambda: self._allocate(size))

    async def begin(self, info: Metadata, start: int, end: int, options: DownloadOptions) -> None:
        """
        Allocate the bytes from *start* up to *end* of an object, and record them, so that another process can resume.

        Raises:
            InUseError: Another attempt has begun meanwhile.
            QuotaExceededError: The disk has less space.
        """
        with local_errors(self._target):
            await opening(lambda: self._begin(info, start, end, options))

    async def restart(self) -> None:
        """
        Drop what the file holds.
        """
        with local_errors(self._target):
            await opening(self._restart)

    def sink(self, offset: int, hasher: Hasher | None = None, part: int = 1) -> Sink:
        """
        Return a sink that writes consecutive bytes of *part* from *offset* on and updates *hasher*.

        Runs in a thread; raises what :func:`local_errors` does.
        """
        record = self.record

        def write(data: BytesLike) -> None:
            nonlocal offset
            if hasher is not None:
                hasher.update(data)
            started = time.perf_counter()
            with local_errors(self._target):
                write_all(self._fd, [data], offset)
            wrote(time.perf_counter() - started)
            offset += len(data)
            if record is not None:
                record.advance(part, len(data))

        return write

    async def publish(self, size: int) -> None:
        """
        Rename the file to the target after all its *size* bytes were written.

        Raises:
            AlreadyExistsError: The target exists and may not be replaced.
        """
        with local_errors(self._target):
            await in_thread(self._publish, size)

    async def put(self, chunks: list[BytesLike], expected: Checksum | None) -> None:
        """
        Create, write and rename a small file with one thread call.

        Raises:
            IntegrityError: The bytes do not have the checksum *expected*.
        """
        with local_errors(self._target):
            await opening(lambda: self._put(chunks, expected), self._in_thread)

    async def checksum(self, algorithm: ChecksumAlgorithm, size: int) -> Checksum:
        """
        Read the *size* bytes back for their checksum.
        """
        hasher = Hasher(algorithm)
        with local_errors(self._target):
            for offset in range(0, size, _READ_BACK):
                await in_thread(self._hash, hasher, min(_READ_BACK, size - offset), offset)
        return hasher.checksum()

    def _hash(self, hasher: Hasher, size: int, offset: int) -> None:
        hasher.update(os.pread(self._fd, size, offset))

    def _open(self, *, late: bool = False) -> None:
        if self._target.is_dir():
            raise InvalidRequestError(f"{self._target} is a directory: pass the path of a file in it")
        if not self._overwrite and os.path.lexists(self._target):
            remove_unlocked(self._resumable())
            raise AlreadyExistsError(f"{self._target} exists, and overwrite is off")
        self._replaced()
        if self._resume and not late:
            if self._take_up():
                remove_abandoned(self._directory)
                return
            if self._overwrite and self._directory in self._directories:
                return
        for attempt in range(_ATTEMPTS):
            try:
                self._directories.make(self._directory)
                self._create()
                remove_abandoned(self._directory)
            except FileNotFoundError:
                # A directory that is there and in which no file can be created, such as those in /proc.
                if attempt == _ATTEMPTS - 1 and os.path.isdir(self._directory):  # noqa: PTH112 - as below
                    raise
            else:
                return
        raise UnavailableError(f"the directories of {self._target} change too often to write to them")

    def _create(self) -> None:
        while self._fd < 0:
            path = os.path.join(self._directory, temporary_name(self._name))  # noqa: PTH118 - for each of many small files
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                # The mode shows the umask, which cannot be read without changing it for all threads.
                self._mode = stat.S_IMODE(os.fstat(fd).st_mode)
                os.fchmod(fd, 0o600)
                claimed = claim(fd)
                if claimed:
                    hold(fd)
                    self._path, self._fd = path, fd
            finally:
                if self._fd < 0:
                    os.close(fd)
                    with suppress(FileNotFoundError):
                        os.unlink(path)  # noqa: PTH108

    def _resumable(self) -> str:
        return os.path.join(self._directory, resumable_name(self._name))  # noqa: PTH118 - as above

    def _take_up(self) -> bool:
        """
        Open the file that an earlier attempt left, and return whether there is one.
        """
        path = self._resumable()
        fd = self._locked(path)
        if fd is None:
            return False
        try:
            # Anyone may write to some directories, and choose what this file holds.
            record = Record.read(fd) if os.fstat(fd).st_uid == os.geteuid() else None
            if record is not None:
                hold(fd)
                self._path, self._fd, self._mode, self.record = path, fd, record.origin.mode, record
            else:
                os.unlink(path)  # noqa: PTH108
        finally:
            if self._fd < 0:
                os.close(fd)
        return self.record is not None

    def _locked(self, path: str) -> int | None:
        try:
            return open_locked(path)
        except LockedError as exc:
            pid = writer_of(exc.descriptor)
            os.close(exc.descriptor)
            whose = "" if pid is None else f", in process {pid}" if pid != os.getpid() else ", in this process"
            raise InUseError(f"another download to {self._target} is in progress{whose}") from None

    def _begin(self, info: Metadata, start: int, end: int, options: DownloadOptions) -> None:
        self._allocate(end - start)
        if not can_lock(self._fd):
            return
        record = Record.create(self._fd, Origin.of(info, start, end, options, self._mode))
        path = self._resumable()
        while self.record is None:
            try:
                rename_new(self._path, path)
                self._path, self.record = path, record
            except FileExistsError:
                # Another attempt began after this one; if it is not in progress, it has ended since.
                if (other := self._locked(path)) is not None:
                    os.unlink(path)  # noqa: PTH108
                    os.close(other)

    def _restart(self) -> None:
        fd, self._fd, self.record = self._fd, -1, None
        # Unlocked only when it is gone.
        with suppress(FileNotFoundError):
            os.unlink(self._path)  # noqa: PTH108
        release(fd)
        self._create()

    def _create_late(self) -> None:
        self._replaced()
        try:
            self._create()
        except FileNotFoundError:
            # The directory has been removed since.
            self._open(late=True)

    def _replaced(self) -> os.stat_result | None:
        """Return the status of the file that is going to be replaced, if there is one."""
        try:
            status = os.lstat(self._target)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if is_special(self._target, status):
            raise SpecialTarget
        return status if stat.S_ISREG(status.st_mode) else None

    def _allocate(self, size: int) -> None:
        if self._fd < 0:
            self._create_late()
        _allocate(self._fd, size)
        if not self._resume:
            # Of a run that was to be resumed.
            remove_unlocked(self._resumable())

    def _put(self, chunks: list[BytesLike], expected: Checksum | None) -> None:
        if expected is not None:
            hasher = Hasher(expected.algorithm)
            for chunk in chunks:
                hasher.update(chunk)
            compare(expected, hasher.checksum())
        try:
            if self._fd < 0:
                self._create_late()
            write_all(self._fd, chunks, 0)
            self._rename()
        except BaseException:
            self._discard()
            raise

    def _publish(self, size: int) -> None:
        if self.record is not None and self._sync:
            # This takes long, and until the record is cut off, another process can go on from here.
            flush(self._fd)
        os.ftruncate(self._fd, size)
        self._rename()

    def _rename(self) -> None:
        replaced = self._replaced()
        # Never a set-user-id bit: the bytes are others.
        os.fchmod(self._fd, self._mode if replaced is None else stat.S_IMODE(replaced.st_mode) & 0o777)
        if self._sync:
            flush(self._fd)
        if self._overwrite:
            try:
                os.replace(self._path, self._target)  # noqa: PTH105 - as above
            except IsADirectoryError:
                raise InvalidRequestError(f"{self._target} is a directory: pass the path of a file in it") from None
        elif not rename_new(self._path, str(self._target)):
            _LOG.info("%s: this file system has no hard links, so its name existed before its bytes", self._target)
        fd, self._fd = self._fd, -1
        release(fd)
        self._directories.keep(self._directory)
        if self._sync:
            _sync_directory(self._directory)

    def _leave(self) -> None:
        """Keep the file for another attempt, if it holds anything."""
        if self.record is None or not self.record.total:
            self._discard()
            return
        # Without the latest counts, a little more is moved again.
        with suppress(OSError):
            self.record.flush()
        fd, self._fd = self._fd, -1
        release(fd)
        self._directories.keep(self._directory)

    def _discard(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            # Unlocked only when it is gone: another process would take it up.
            with suppress(FileNotFoundError):
                os.unlink(self._path)  # noqa: PTH108
            release(fd)
        self._directories.remove_made(self._directory)


def write_all(fd: int, chunks: list[BytesLike], offset: int) -> None:
    """
    Write all *chunks* at *offset*; runs in a thread.
    """
    views = [memoryview(chunk) for chunk in chunks]
    # IOV_MAX is 1024 on Linux and macOS.
    for first in range(0, len(views), 1024):
        group = views[first : first + 1024]
        while group:
            written = _write_some(fd, group, offset)
            offset += written
            while group and written >= len(group[0]):
                written -= len(group.pop(0))
            if group and written:
                group[0] = group[0][written:]


def _write_some(fd: int, group: list[memoryview], offset: int) -> int:
    # On macOS since version 11.
    return os.pwritev(fd, group, offset) if hasattr(os, "pwritev") else os.pwrite(fd, group[0], offset)


def _allocate(fd: int, size: int) -> None:
    # Not available on macOS.
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as exc:
        # Some file systems cannot allocate; then a full disk shows while writing.
        if exc.errno not in _CANNOT_ALLOCATE:
            raise


def _sync_directory(path: str) -> None:
    fd = os.open(path or os.curdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flush(fd)
    finally:
        os.close(fd)
