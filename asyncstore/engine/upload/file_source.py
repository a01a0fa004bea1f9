"""
A local file as the source of an upload.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from asyncstore._support.descriptors import hold, opening, release
from asyncstore._support.memory import page_aligned
from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.checksum import Hasher, compute
from asyncstore.driver.body import Body, BytesBody, BytesLike, FileRange
from asyncstore.engine.progress import HighWater
from asyncstore.errors import InvalidRequestError, SourceChangedError
from asyncstore.options import MiB
from asyncstore.types import Checksum, ChecksumAlgorithm

#: Bytes read from a file or a stream, or buffered for a file, at a time.
CHUNK = 1 * MiB

# Bytes that are hashed right after they were read, while they are in the processor's cache.
_HASHED = CHUNK // 4


# Bytes that one thread call hashes.
_HASH_TURN = 16 * MiB


class FileSource:
    """
    A local file whose parts are read concurrently, and which must not change.

    Leaving the block closes it.

    Attributes:
        path: The file.
        size: Bytes, when it was opened.
        identity: Changes with the file: path, device, inode, size, and the times of the
            last change of the bytes and of the inode, in nanoseconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.identity: tuple[str | int, ...] = ()
        self._fd = -1
        self._identity: tuple[int, ...] = ()
        self._in_memory = False

    @property
    def fd(self) -> int:
        """The number of the open file."""
        return self._fd

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def open(self, small: int = -1, algorithm: ChecksumAlgorithm | None = None) -> BytesBody | None:
        """
        Open the file; one of at most *small* bytes is read and closed in the same thread call.

        Returns the body of such a small file, with the checksum of *algorithm*; else ``None``.

        Raises:
            SourceChangedError: The file changed while it was read.
            InvalidRequestError: It is not a regular file, or the system reports no size for it.
        """
        with local_errors(self.path):
            return await opening(lambda: self._open(small, algorithm))

    def part(
        self,
        start: int,
        end: int,
        *,
        algorithm: ChecksumAlgorithm | None = None,
        water: HighWater | None = None,
    ) -> FilePart:
        """
        Return the bytes from *start* up to *end* as the body of a request.

        It holds up to :data:`CHUNK` bytes in memory.

        Args:
            algorithm: Computed while the bytes are read.
            water: Counts the bytes sent.
        """
        return FilePart(self, start, end, algorithm, water)

    def whole(self, *, algorithm: ChecksumAlgorithm | None = None, water: HighWater | None = None) -> FilePart:
        """
        Return the whole file as the body of one request.

        Before the last bytes are sent the file is checked for changes, so a file that
        changed is not published.
        """
        return FilePart(self, 0, self.size, algorithm, water, checked=True)

    async def checksum(
        self, start: int, end: int, algorithm: ChecksumAlgorithm, memory: memoryview | None = None
    ) -> Checksum:
        """
        Read the bytes from *start* up to *end* only for their checksum.

        Args:
            memory: Read into this, whose contents are overwritten.
        """
        hasher = Hasher(algorithm)
        memory = page_aligned(min(_HASHED, end - start)) if memory is None else memory
        for offset in range(start, end, _HASH_TURN):
            await in_thread(self._hash, memory, offset, min(offset + _HASH_TURN, end), hasher)
        return hasher.checksum()

    async def check(self) -> None:
        """
        Check that the file has not changed since it was opened; one that was read and closed is not looked at.

        Raises:
            SourceChangedError: It has.
        """
        if self._fd >= 0:
            await in_thread(self._check)

    def pread(self, size: int, offset: int) -> bytes:
        """
        Read exactly *size* bytes; runs in a thread.
        """
        with local_errors(self.path):
            data = os.pread(self._fd, size, offset)
            while len(data) < size:
                more = os.pread(self._fd, size - len(data), offset + len(data))
                if not more:
                    raise SourceChangedError(f"{self.path} became shorter while it was read")
                data += more
        return data

    def pread_into(self, buffer: memoryview, offset: int) -> None:
        """
        Fill *buffer* from *offset* on; runs in a thread.
        """
        with local_errors(self.path):
            done = 0
            while done < len(buffer):
                count = _read_into(self._fd, buffer[done:], offset + done)
                if not count:
                    raise SourceChangedError(f"{self.path} became shorter while it was read")
                done += count

    def read_cached(self, buffer: memoryview, offset: int) -> bool:
        """
        Fill *buffer* if the system has the bytes in memory; return whether it had. Never waits for the disk.
        """
        # On Linux: https://man7.org/linux/man-pages/man2/preadv2.2.html
        if not hasattr(os, "preadv") or not hasattr(os, "RWF_NOWAIT"):
            return False
        try:
            return os.preadv(self._fd, [buffer], offset, 0 if self._in_memory else os.RWF_NOWAIT) == len(buffer)
        except OSError:
            # Not in memory, or a file system that cannot tell. A real error comes again in the thread.
            return False

    def is_cached(self, start: int, size: int) -> bool:
        """
        Return whether the system has *size* bytes from *start* on in memory, as far as the first and the last one tell.
        """
        byte = memoryview(bytearray(1))
        return self.read_cached(byte, start) and self.read_cached(byte, start + size - 1)

    def _hash(self, memory: memoryview, start: int, end: int, hasher: Hasher) -> None:
        piece = min(_HASHED, len(memory))
        for offset in range(start, end, piece):
            part = memory[: min(piece, end - offset)]
            self.pread_into(part, offset)
            hasher.update(part)

    def _read_all(self) -> bytes:
        data = self.pread(self.size, 0)
        self._check()
        return data

    def _check(self) -> None:
        if identity(os.fstat(self._fd)) != self._identity:
            raise SourceChangedError(f"{self.path} changed while it was read")

    def _check_empty(self) -> None:
        # Files of /proc and /sys/kernel have content that the system makes when it is read, and the size 0:
        # https://man7.org/linux/man-pages/man2/stat.2.html
        if os.pread(self._fd, 1, 0):
            self._check()
            raise InvalidRequestError(
                f"{self.path} has more than the 0 bytes that the system says it has: open it and put() the stream"
            )

    def _open(self, small: int, algorithm: ChecksumAlgorithm | None) -> BytesBody | None:
        # Without O_NONBLOCK, opening a named pipe waits for a writer.
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            if self.path.is_socket():
                raise InvalidRequestError(
                    f"{self.path} is a socket: pass a file, or connect to it and put() what it sends"
                ) from None
            raise
        try:
            hold(fd)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InvalidRequestError(f"{self.path} is {what}: pass a file, or open it and put() the stream")
        self.size = status.st_size
        self._identity = identity(status)
        if not self.size:
            self._check_empty()
        if self.size <= small:
            data = self._read_all()
            self._close()
            return BytesBody(data, compute(algorithm, data) if algorithm else None)
        self.identity = (str(self.path.absolute()), *self._identity)
        self._in_memory = _is_in_memory(self._fd)
        return None

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            release(fd)


class FilePart(Body):
    """
    A range of a file that is read while it is sent; twice if its checksum must be sent first.

    The second time the bytes are in the system's cache. Over a connection without TLS the system sends them from
    there, so that costs less than to hold a part in memory, and as many parts can be in flight as there are requests.
    """

    def __init__(
        self,
        source: FileSource,
        start: int,
        end: int,
        algorithm: ChecksumAlgorithm | None,
        water: HighWater | None,
        *,
        checked: bool = False,
    ) -> None:
        self.size = end - start
        self._source = source
        self._start = start
        self._end = end
        self._algorithm = algorithm
        self._water = water
        self._checked = checked
        self._checksum: Checksum | None = None
        # All chunks use the same memory: fresh memory costs as much as reading.
        self._memory: memoryview | None = None

    async def prepare(self, algorithm: ChecksumAlgorithm) -> None:
        """
        Read the part to compute its checksum.
        """
        if self.checksum(algorithm) is None:
            self._checksum = await self._source.checksum(self._start, self._end, algorithm, self._chunk())

    async def chunks(self) -> AsyncIterator[BytesLike]:
        async with aclosing(self._produce(with_ranges=False)) as pieces:
            async for piece in pieces:
                assert not isinstance(piece, FileRange)
                yield piece

    def pieces(self) -> AsyncIterator[BytesLike | FileRange]:
        return self._produce(with_ranges=True)

    async def _produce(self, *, with_ranges: bool) -> AsyncGenerator[BytesLike | FileRange, None]:
        sent = 0
        hasher = Hasher(self._algorithm) if self._algorithm and self._checksum is None else None
        # Taken away meanwhile: an earlier attempt may still be ending.
        memory, self._memory = self._chunk(), None
        for offset in range(self._start, self._end, CHUNK):
            size = min(CHUNK, self._end - offset)
            room = memory[:size]
            last = offset + size == self._end
            # Read a moment ago, for the checksum.
            known = self._checksum is not None and not (last and self._checked)
            # The first chunk goes with the head of the request.
            if known and with_ranges and sent and self._source.is_cached(offset, size):
                yield FileRange(self._source.fd, offset, size, partial(self._filled, room, offset))
            elif known:
                yield await self._filled(room, offset)
            else:
                await in_thread(self._read, room, offset, hasher)
                yield room
            sent += size
            if self._water is not None:
                self._water.reached(sent)
        self._memory = memory
        if hasher is not None:
            self._checksum = hasher.checksum()

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        found = self._checksum
        return found if found is not None and found.algorithm is algorithm else None

    async def _filled(self, room: memoryview, offset: int) -> memoryview:
        # A copy from the cache takes less time than a thread switch.
        if not self._source.read_cached(room, offset):
            await in_thread(self._read, room, offset, None)
        return room

    def _chunk(self) -> memoryview:
        if self._memory is None:
            self._memory = page_aligned(min(CHUNK, self.size))
        return self._memory

    def _read(self, buffer: memoryview, offset: int, hasher: Hasher | None) -> None:
        self._source.pread_into(buffer, offset)
        if self._checked and offset + len(buffer) == self._end:
            self._source._check()
        if hasher is not None:
            hasher.update(buffer)


def _read_into(fd: int, buffer: memoryview, offset: int) -> int:
    # On macOS since version 11.
    if hasattr(os, "preadv"):
        return os.preadv(fd, [buffer], offset)
    data = os.pread(fd, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)


def _is_in_memory(fd: int) -> bool:
    """
    Return whether a file is in a tmpfs, which does not support ``RWF_NOWAIT``.
    """
    # Only files of a tmpfs have seals: https://man7.org/linux/man-pages/man2/F_GET_SEALS.2const.html
    if not hasattr(fcntl, "F_GET_SEALS"):
        return False
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


def identity(status: os.stat_result) -> tuple[int, ...]:
    """
    Return what changes with a file: device, inode, size, and the times of the last change of bytes and of the inode.
    """
    # A program can set mtime back after a change, but not ctime.
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
