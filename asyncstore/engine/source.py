"""
A local file, as where the bytes of an upload come from.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from asyncstore.body import Body, BytesBody, BytesLike
from asyncstore.checksum import Hasher, compute
from asyncstore.engine.limits import Buffers
from asyncstore.engine.progress import HighWater
from asyncstore.errors import InvalidRequestError, SourceChangedError
from asyncstore.options import MiB
from asyncstore.oserrors import local_errors
from asyncstore.threads import in_thread
from asyncstore.types import Checksum, ChecksumAlgorithm

#: Bytes read from a file, or gathered for one, at a time.
CHUNK = 1 * MiB

# Bytes read at a time that are summed up before the next: so they still are in the processor's own cache.
_SUMMED = CHUNK // 2


class FileSource:
    """
    A local file that is read at several places at once, and must not change.

    Attributes:
        path: The file.
        size: Bytes, when it was opened.
        identity: What tells it from another file, and from itself after any change:
            path, device, inode, size, and the times of the last change of the bytes and
            of anything else, in nanoseconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.identity: tuple[str | int, ...] = ()
        self._fd = -1
        self._identity: tuple[int, ...] = ()

    async def __aenter__(self) -> Self:
        try:
            with local_errors(self.path):
                await in_thread(self._open)
        except BaseException:
            # Cancelled while the thread was opening it.
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def part(
        self,
        start: int,
        end: int,
        *,
        algorithm: ChecksumAlgorithm | None = None,
        water: HighWater | None = None,
        buffers: Buffers | None = None,
    ) -> FilePart:
        """
        Return the bytes from *start* up to *end* as the body of a request.

        Args:
            algorithm: Followed while the bytes are read.
            water: Told how far the sending is.
            buffers: Memory that the part may be held in, for a driver that needs its
                checksum before the first byte; whoever asks has reserved it.
        """
        return FilePart(self, start, end, algorithm, water, buffers)

    def whole(self, *, algorithm: ChecksumAlgorithm | None = None, water: HighWater | None = None) -> FilePart:
        """
        Return all of the file as the body of one request.

        That the file is the one that was opened is checked before the last bytes are
        sent, so of one that changed nothing is published.
        """
        return FilePart(self, 0, self.size, algorithm, water, None, checked=True)

    async def read(self) -> bytes:
        """
        Return the whole file, in memory.
        """
        return await in_thread(self._read_all)

    async def checksum(self, start: int, end: int, algorithm: ChecksumAlgorithm) -> Checksum:
        """
        Read the bytes from *start* up to *end*, for their checksum only.
        """
        hasher = Hasher(algorithm)
        for offset in range(start, end, CHUNK):
            await in_thread(self._hash, min(CHUNK, end - offset), offset, hasher)
        return hasher.checksum()

    async def check(self) -> None:
        """
        Make sure that the file is the one that was opened.

        Raises:
            SourceChangedError: It was written to meanwhile.
        """
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
                    raise SourceChangedError(f"{self.path} became shorter while it was being read")
                data += more
        return data

    def pread_into(self, buffer: memoryview, offset: int) -> None:
        """
        Fill *buffer* from *offset* on; runs in a thread.
        """
        with local_errors(self.path):
            done = 0
            while done < len(buffer):
                count = os.preadv(self._fd, [buffer[done:]], offset + done)
                if not count:
                    raise SourceChangedError(f"{self.path} became shorter while it was being read")
                done += count

    def _hash(self, size: int, offset: int, hasher: Hasher) -> None:
        hasher.update(self.pread(size, offset))

    def _read_all(self) -> bytes:
        data = self.pread(self.size, 0)
        self._check()
        return data

    def _check(self) -> None:
        if _identity(os.fstat(self._fd)) != self._identity:
            raise SourceChangedError(f"{self.path} changed while it was being read")

    def _open(self) -> None:
        # Without O_NONBLOCK the opening of a named pipe would wait for a writer.
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise InvalidRequestError(f"{self.path} is {what}: give a file, or open it and put() the stream")
        self.size = status.st_size
        self._identity = _identity(status)
        # The bytes can be changed and their time be set back; the other time cannot.
        self.identity = (str(self.path.absolute()), *self._identity, status.st_ctime_ns)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


async def read_small(path: Path, most: int, algorithm: ChecksumAlgorithm | None) -> BytesBody | None:
    """
    Return a file that has at most *most* bytes, by one visit to a thread; ``None`` if it has more.

    Args:
        algorithm: Of the checksum that is computed there as well.

    Raises:
        SourceChangedError: It was written to meanwhile.
    """
    with local_errors(path):
        return await in_thread(_read_small, path, most, algorithm)


def _read_small(path: Path, most: int, algorithm: ChecksumAlgorithm | None) -> BytesBody | None:
    file = FileSource(path)
    try:
        file._open()
        if file.size > most:
            return None
        data = file._read_all()
    finally:
        file._close()
    return BytesBody(data, compute(algorithm, data) if algorithm else None)


class FilePart(Body):
    """
    A range of a file: read as it is sent, or before if its checksum is wanted in front.
    """

    def __init__(
        self,
        source: FileSource,
        start: int,
        end: int,
        algorithm: ChecksumAlgorithm | None,
        water: HighWater | None,
        buffers: Buffers | None,
        *,
        checked: bool = False,
    ) -> None:
        self.size = end - start
        self._source = source
        self._start = start
        self._end = end
        self._algorithm = algorithm
        self._water = water
        self._buffers = buffers
        self._checked = checked
        self._checksum: Checksum | None = None
        self._held: memoryview | None = None

    async def prepare(self, algorithm: ChecksumAlgorithm) -> None:
        """
        Read the part: into memory if it may be held there, else just for its checksum.
        """
        if self.checksum(algorithm) is not None:
            return
        if self._buffers is not None:
            self._held = self._buffers.take(self.size)
            self._checksum = await in_thread(self._load, self._held, algorithm)
            return
        self._checksum = await self._source.checksum(self._start, self._end, algorithm)

    async def chunks(self) -> AsyncIterator[BytesLike]:
        sent = 0
        hasher = Hasher(self._algorithm) if self._algorithm and self._checksum is None else None
        # One chunk after the other in the same memory: fresh memory costs as much as the reading.
        memory = memoryview(bytearray(min(CHUNK, self.size) if self._held is None else 0))
        for offset in range(self._start, self._end, CHUNK):
            size = min(CHUNK, self._end - offset)
            if self._held is not None:
                yield self._held[sent : sent + size]
            else:
                await in_thread(self._read, memory[:size], offset, hasher)
                yield memory[:size]
            sent += size
            if self._water is not None:
                self._water.reached(sent)
        if hasher is not None:
            self._checksum = hasher.checksum()

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        found = self._checksum
        return found if found is not None and found.algorithm is algorithm else None

    def release(self) -> None:
        """
        Give the memory back, once nothing is sent any more.
        """
        if self._held is not None and self._buffers is not None:
            held, self._held = self._held, None
            self._buffers.give(held)

    def _load(self, buffer: memoryview, algorithm: ChecksumAlgorithm) -> Checksum:
        hasher = Hasher(algorithm)
        for at in range(0, len(buffer), _SUMMED):
            piece = buffer[at : at + _SUMMED]
            self._source.pread_into(piece, self._start + at)
            hasher.update(piece)
        return hasher.checksum()

    def _read(self, buffer: memoryview, offset: int, hasher: Hasher | None) -> None:
        self._source.pread_into(buffer, offset)
        if self._checked and offset + len(buffer) == self._end:
            self._source._check()
        if hasher is not None:
            hasher.update(buffer)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
