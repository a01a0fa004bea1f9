"""
Small files of a bulk upload, read before their turn: one thread call reads several of them.

To switch to a thread and back takes longer than to read a file that the system has in memory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from asyncstore._support.threads import in_thread
from asyncstore.checksum import compute
from asyncstore.driver.body import BytesBody
from asyncstore.engine.budget import Budget
from asyncstore.engine.task_pool import each
from asyncstore.engine.upload.file_source import identity
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import ObjectURI

# Files that one thread call reads, at first and at most.
_FEW: Final = 2
_MOST: Final = 16

#: A file and where it is to be written.
Pair = tuple[Path, ObjectURI]


class ReadAhead:
    """
    The bytes of small files that are about to be sent.

    Files are read ahead only while the budget has room, and are dropped when another transfer needs it. A file that was
    not read ahead, or was dropped, is read when it is sent.

    Args:
        small: Bytes of the largest file that is read.
        algorithm: Of the checksums that are computed.
        most: Files that may be read by one thread call.
    """

    def __init__(self, budget: Budget, small: int, algorithm: ChecksumAlgorithm | None, most: int) -> None:
        self._budget = budget
        self._small = small
        self._algorithm = algorithm
        self._most = min(_MOST, most)
        self._count = min(_FEW, self._most)
        self._bodies: dict[Path, BytesBody] = {}
        budget.on_shortage.append(self._give_up)

    def take(self, source: Path) -> BytesBody | None:
        """
        Return the bytes of *source* if they were read; the caller releases as many of the budget.
        """
        return self._bodies.pop(source, None)

    def close(self) -> None:
        """
        Release the bytes that were not taken.
        """
        self._budget.on_shortage.remove(self._give_up)
        self._give_up()

    async def over(self, pairs: Iterable[Pair] | AsyncIterable[Pair]) -> AsyncGenerator[Pair, None]:
        """
        Yield *pairs* in their order, each after its file was read if it is small.
        """
        end: Exception | None = None
        async with aclosing(each(pairs)) as source:
            while end is None:
                batch: list[Pair] = []
                try:
                    while len(batch) < self._count:
                        batch.append(await anext(source))
                except Exception as exc:  # noqa: BLE001 - raised after what was drawn before it
                    end = exc
                if len(batch) > 1:
                    await self._read(batch)
                for pair in batch:
                    yield pair
        if not isinstance(end, StopAsyncIteration):
            raise end

    async def _read(self, pairs: Sequence[Pair]) -> None:
        paths: list[Path] = []
        # Each file once, if it is to be written to several targets.
        for source in dict.fromkeys(source for source, _ in pairs):
            if source not in self._bodies:
                if not self._budget.take(self._small):
                    break
                paths.append(source)
        bodies: list[BytesBody | None] = []
        try:
            if paths:
                bodies = await in_thread(_read_small, paths, self._small, self._algorithm)
        finally:
            self._budget.release(self._small * len(paths) - sum(body.size for body in bodies if body is not None))
        self._bodies.update((path, body) for path, body in zip(paths, bodies, strict=True) if body is not None)
        self._count = min(self._most, 2 * self._count if None not in bodies else _FEW)

    def _give_up(self) -> None:
        size = sum(body.size for body in self._bodies.values())
        self._bodies.clear()
        if size:
            self._budget.release(size)


def _read_small(paths: Sequence[Path], small: int, algorithm: ChecksumAlgorithm | None) -> list[BytesBody | None]:
    return [_read(path, small, algorithm) for path in paths]


def _read(path: Path, small: int, algorithm: ChecksumAlgorithm | None) -> BytesBody | None:
    """
    Return the bytes of *path*; ``None`` if it is not a small regular file, cannot be read, or changes meanwhile.

    The upload then opens it itself, and tells what is wrong.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        # ValueError: a NUL in the path.
        return None
    try:
        status = os.fstat(fd)
        # The system makes the content of some files with the size 0.
        if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= small:
            return None
        data = os.pread(fd, status.st_size, 0)
        if len(data) < status.st_size or identity(os.fstat(fd)) != identity(status):
            return None
    except OSError:
        return None
    finally:
        os.close(fd)
    return BytesBody(data, compute(algorithm, data) if algorithm else None)
