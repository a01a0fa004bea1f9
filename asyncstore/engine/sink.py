"""
Where the bytes of a download go: a hidden file beside the target, until it is whole.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from asyncstore.body import BytesLike, Sink
from asyncstore.checksum import Hasher
from asyncstore.errors import AlreadyExistsError, InvalidRequestError
from asyncstore.options import MiB
from asyncstore.oserrors import local_errors
from asyncstore.threads import in_thread
from asyncstore.types import Checksum, ChecksumAlgorithm

# The longest name that common file systems hold, in bytes.
_MAX_NAME = 255

_READ_BACK = 1 * MiB

_CANNOT_ALLOCATE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})


class PartFile:
    """
    A file that gets its name when it is whole.

    Bytes may come in any order, at their offsets. Until :meth:`publish` they are
    in a file of another name in the same directory, readable by its owner only;
    leaving the block without publishing removes it.
    """

    def __init__(self, target: Path, *, overwrite: bool, sync: bool) -> None:
        self._target = target
        self._path = _temporary(target)
        self._overwrite = overwrite
        self._sync = sync
        self._fd = -1

    async def __aenter__(self) -> Self:
        try:
            with local_errors(self._target):
                await in_thread(self._open)
        except BaseException:
            # Cancelled while the thread was making it.
            await in_thread(self._discard)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            # Room on the disk is given back, which takes time for a large file. A
            # thread is begun, and waited for, whether or not we are cancelled.
            await in_thread(self._discard)

    async def allocate(self, size: int) -> None:
        """
        Claim room for *size* bytes now, rather than fail half-way.

        Raises:
            QuotaExceededError: The disk has less.
        """
        if size:
            with local_errors(self._target):
                await in_thread(_allocate, self._fd, size)

    def sink(self, offset: int, hasher: Hasher | None = None) -> Sink:
        """
        Return what writes consecutive bytes from *offset* on, in a thread, and follows them with *hasher*.

        It raises what :func:`local_errors` does.
        """

        def write(data: BytesLike) -> None:
            nonlocal offset
            if hasher is not None:
                hasher.update(data)
            with local_errors(self._target):
                write_all(self._fd, [data], offset)
            offset += len(data)

        return write

    async def publish(self, size: int) -> None:
        """
        Give the file its name, now that all its *size* bytes are there.

        Raises:
            AlreadyExistsError: A file has that name and may not be replaced.
        """
        with local_errors(self._target):
            await in_thread(self._publish, size)

    async def put(self, chunks: list[BytesLike], size: int) -> None:
        """
        Write a whole small file and give it its name, in one go.
        """
        with local_errors(self._target):
            await in_thread(self._put, chunks, size)

    async def checksum(self, algorithm: ChecksumAlgorithm, size: int) -> Checksum:
        """
        Read the file back for the checksum of its *size* bytes.
        """
        hasher = Hasher(algorithm)
        with local_errors(self._target):
            for offset in range(0, size, _READ_BACK):
                await in_thread(self._follow, hasher, min(_READ_BACK, size - offset), offset)
        return hasher.checksum()

    def _follow(self, hasher: Hasher, size: int, offset: int) -> None:
        hasher.update(os.pread(self._fd, size, offset))

    def _open(self) -> None:
        if self._target.is_dir():
            raise InvalidRequestError(f"{self._target} is a directory: name a file in it")
        if not self._overwrite and os.path.lexists(self._target):
            raise AlreadyExistsError(f"{self._target} exists and overwrite is off")
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _put(self, chunks: list[BytesLike], size: int) -> None:
        write_all(self._fd, chunks, 0)
        self._publish(size)

    def _publish(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        os.fchmod(self._fd, 0o666 & ~_UMASK)
        if self._sync:
            os.fsync(self._fd)
        if self._overwrite:
            self._path.replace(self._target)
        else:
            # A link, unlike a renaming, fails if the name is taken.
            os.link(self._path, self._target)
        self._discard()
        if self._sync:
            _sync_directory(self._target.parent)

    def _discard(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self._path.unlink(missing_ok=True)


def write_all(fd: int, chunks: list[BytesLike], offset: int) -> None:
    """
    Write *chunks* at *offset*, all of them; runs in a thread.
    """
    views = [memoryview(chunk) for chunk in chunks]
    # IOV_MAX is 1024 on Linux.
    for first in range(0, len(views), 1024):
        group = views[first : first + 1024]
        while group:
            written = os.pwritev(fd, group, offset)
            offset += written
            while group and written >= len(group[0]):
                written -= len(group.pop(0))
            if group and written:
                group[0] = group[0][written:]


def _allocate(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as exc:
        # Some file systems cannot; they say how much room there is as it is filled.
        if exc.errno not in _CANNOT_ALLOCATE:
            raise


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _temporary(target: Path) -> Path:
    # Of its own, so that two downloads to one target do not write into each other.
    suffix = f".{secrets.token_hex(6)}.part"
    if not target.name:
        raise InvalidRequestError(f"{target} is a directory: name a file in it")
    stem = os.fsencode(target.name)[: _MAX_NAME - len(suffix) - 1]
    return target.with_name(f".{os.fsdecode(stem)}{suffix}")


def _read_umask() -> int:
    # There is no way to read it but to set it, which is not safe among threads:
    # so once, when the module is loaded.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_UMASK = _read_umask()
