"""
Where the bytes of a download go: a hidden file beside the target, until it is whole.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from asyncstore.body import BytesLike, Sink
from asyncstore.checksum import Hasher
from asyncstore.engine.verify import compare
from asyncstore.errors import AlreadyExistsError, InvalidRequestError
from asyncstore.options import MiB
from asyncstore.oserrors import local_errors
from asyncstore.threads import in_thread
from asyncstore.types import Checksum, ChecksumAlgorithm

# The longest name that common file systems hold, in bytes.
_MAX_NAME = 255

_READ_BACK = 1 * MiB

# Directories; more are looked at again.
_REMEMBERED = 1000

_CANNOT_ALLOCATE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})


class Directories:
    """
    Where files were made a moment ago, so that one more can be: the next one is not tried beforehand.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def add(self, path: str) -> None:
        """
        Note that a file was made in *path*.
        """
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known.add(path)


class PartFile:
    """
    A file that gets its name when it is whole.

    Bytes may come in any order, at their offsets. Until :meth:`publish` they are
    in a file of another name in the same directory, readable by its owner only;
    leaving the block without publishing removes it.

    Args:
        directories: Where the file needs not be made before its bytes are here. Elsewhere
            it is at once, so that a place which cannot be written is known before any request.
    """

    def __init__(self, target: Path, *, overwrite: bool, sync: bool, directories: Directories) -> None:
        if not target.name:
            raise InvalidRequestError(f"{target} is a directory: name a file in it")
        self._target = target
        self._directory, self._name = os.path.split(target)
        self._path = ""
        self._overwrite = overwrite
        self._sync = sync
        self._directories = directories
        self._fd = -1

    async def __aenter__(self) -> Self:
        if self._overwrite and self._directory in self._directories:
            return self
        try:
            with local_errors(self._target):
                await in_thread(self._open)
        except BaseException:
            # Cancelled while the thread was making it.
            await in_thread(self._discard)
            raise
        self._directories.add(self._directory)
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
        with local_errors(self._target):
            await in_thread(self._allocate, size)

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

    async def put(self, chunks: list[BytesLike], expected: Checksum | None) -> None:
        """
        Make, write and name a whole small file, in one visit to a thread.

        Raises:
            IntegrityError: The bytes do not have the checksum *expected*.
        """
        with local_errors(self._target):
            await in_thread(self._put, chunks, expected)

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
        self._make()

    def _make(self) -> None:
        self._path = _temporary(self._directory, self._name)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _make_late(self) -> None:
        try:
            self._make()
        except FileNotFoundError:
            # The directory is gone since.
            self._open()

    def _allocate(self, size: int) -> None:
        if self._fd < 0:
            self._make_late()
        _allocate(self._fd, size)

    def _put(self, chunks: list[BytesLike], expected: Checksum | None) -> None:
        if expected is not None:
            hasher = Hasher(expected.algorithm)
            for chunk in chunks:
                hasher.update(chunk)
            compare(expected, hasher.checksum())
        try:
            if self._fd < 0:
                self._make_late()
            write_all(self._fd, chunks, 0)
            self._give_name()
        except BaseException:
            self._discard()
            raise

    def _publish(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self._give_name()

    def _give_name(self) -> None:
        os.fchmod(self._fd, 0o666 & ~_UMASK)
        if self._sync:
            os.fsync(self._fd)
        if self._overwrite:
            try:
                os.replace(self._path, self._target)  # noqa: PTH105 - as above
            except IsADirectoryError:
                raise InvalidRequestError(f"{self._target} is a directory: name a file in it") from None
        else:
            # A link, unlike a renaming, fails if the name is taken.
            os.link(self._path, self._target)
            os.unlink(self._path)  # noqa: PTH108
        fd, self._fd = self._fd, -1
        os.close(fd)
        if self._sync:
            _sync_directory(self._directory)

    def _discard(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(self._path)  # noqa: PTH108


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


def _sync_directory(path: str) -> None:
    fd = os.open(path or os.curdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _temporary(directory: str, name: str) -> str:
    # Of its own, so that two downloads to one target do not write into each other.
    suffix = f".{secrets.token_hex(6)}.part"
    stem = os.fsencode(name)[: _MAX_NAME - len(suffix) - 1]
    return os.path.join(directory, f".{os.fsdecode(stem)}{suffix}")  # noqa: PTH118 - for each of many small files


def _read_umask() -> int:
    # There is no way to read it but to set it, which is not safe among threads:
    # so once, when the module is loaded.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_UMASK = _read_umask()
