"""
What a partial file holds: recorded behind its bytes, so that another process can resume the download.

The record is written before the first byte, and cut off when the file is complete. After it, each part
has a counter of its bytes, so that a process that is killed leaves counters that are too low, never too high.
The system may write the counters to the disk before the bytes: after a power failure, only a checksum of
the whole object can tell whether the bytes are there.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final

from asyncstore.engine.download.verify import strong_etag
from asyncstore.engine.plan import Span, spans
from asyncstore.options import DownloadOptions, KiB
from asyncstore.types import Metadata
from asyncstore.uri import ObjectURI

# Bytes of a part after which its counter is written.
_GRAIN: Final = 256 * KiB

_COUNTER: Final = struct.Struct("<Q")

# The process that writes the file, bytes of the object, bytes of the header, checksum of the header, magic number.
_FOOTER: Final = struct.Struct("<QQQI8s")
_MAGIC: Final = b"asyncst1"


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where the bytes of a partial file come from, and how they are divided.

    Attributes:
        uri: The object.
        wanted: The range that was asked for.
        etag: Of the object.
        version_id: Of the object.
        start: Its first byte in the file.
        end: The byte after its last one in the file.
        part_size: Bytes of each part but the last.
        mode: Permissions of a new file, by the umask.
        boot: The time between two starts of the system in which it was written; empty if unknown.
    """

    uri: str
    wanted: tuple[int, int | None] | None
    etag: str | None
    version_id: str | None
    start: int
    end: int
    part_size: int
    mode: int
    boot: str

    @classmethod
    def of(cls, info: Metadata, start: int, end: int, options: DownloadOptions, mode: int) -> Origin:
        """
        Return the origin of the bytes from *start* up to *end* of the version in *info*.
        """
        return cls(
            uri=str(info.uri),
            wanted=_range(options),
            etag=strong_etag(info),
            version_id=info.version_id,
            start=start,
            end=end,
            part_size=options.part_size or end - start,
            mode=mode,
            boot=boot(),
        )

    @property
    def size(self) -> int:
        """Bytes of the complete file."""
        return self.end - self.start

    def spans(self) -> Iterator[Span]:
        """
        Yield the parts.
        """
        return spans(self.start, self.end, self.part_size)

    def answers(self, source: ObjectURI, options: DownloadOptions) -> bool:
        """
        Return whether a download of *source* with *options* wants these bytes, unless the object was replaced.
        """
        return (self.uri, self.wanted) == (str(source), _range(options))

    def is_of(self, info: Metadata) -> bool:
        """
        Return whether the bytes are of the version in *info*.
        """
        same = (self.etag, self.version_id) == (strong_etag(info), info.version_id)
        return same and self.end <= info.size and (self.wanted is not None or self.end == info.size)


def identifiable(info: Metadata) -> bool:
    """
    Return whether another process can tell this version of an object from others.
    """
    return strong_etag(info) is not None or info.version_id is not None


class Record:
    """
    The record of a partial file, which this process has open and locked. Its methods run in threads.

    Attributes:
        origin: Where the bytes come from.
    """

    def __init__(self, fd: int, origin: Origin, table: int, counts: list[int]) -> None:
        self.origin = origin
        self._fd = fd
        self._table = table
        self._counts = counts
        self._written = [*counts]

    @classmethod
    def create(cls, fd: int, origin: Origin) -> Record:
        """
        Write the record of a new file behind the place of its bytes.
        """
        header = json.dumps(asdict(origin)).encode()
        # Aligned, so that a counter never crosses a page: a process cannot be killed within one.
        header += b" " * (-(origin.size + len(header)) % _COUNTER.size)
        counts = [0 for _ in origin.spans()]
        footer = _FOOTER.pack(os.getpid(), origin.size, len(header), zlib.crc32(header), _MAGIC)
        _write(fd, header + bytes(_COUNTER.size * len(counts)) + footer, origin.size)
        return cls(fd, origin, origin.size + len(header), counts)

    @classmethod
    def read(cls, fd: int) -> Record | None:
        """
        Read the record of a file and make this process its writer; ``None`` if it has no valid record.
        """
        found = _footer(fd)
        if found is None:
            return None
        _, size, length, checksum, _ = found
        header = os.pread(fd, length, size)
        if zlib.crc32(header) != checksum:
            return None
        origin = _origin(header)
        parts = list(origin.spans())
        table = os.pread(fd, _COUNTER.size * len(parts), size + length)
        end = size + length + len(table)
        if os.fstat(fd).st_size != end + _FOOTER.size or len(table) != _COUNTER.size * len(parts):
            return None
        counts = [count for (count,) in _COUNTER.iter_unpack(table)]
        if any(count > part.size for count, part in zip(counts, parts, strict=True)):
            return None
        _write(fd, _COUNTER.pack(os.getpid()), end)
        return cls(fd, origin, size + length, counts)

    @property
    def total(self) -> int:
        """Bytes that the file has."""
        return sum(self._counts)

    def count(self, part: int) -> int:
        """
        Return how many bytes of *part*, counted from 1, the file has.
        """
        return self._counts[part - 1]

    def advance(self, part: int, size: int) -> None:
        """
        Add *size* bytes that were written to *part*.
        """
        self._counts[part - 1] += size
        if self._counts[part - 1] - self._written[part - 1] >= _GRAIN:
            self._note(part - 1)

    def flush(self) -> None:
        """
        Write all counters that have changed.
        """
        for index, count in enumerate(self._counts):
            if count != self._written[index]:
                self._note(index)

    def _note(self, index: int) -> None:
        _write(self._fd, _COUNTER.pack(self._counts[index]), self._table + _COUNTER.size * index)
        self._written[index] = self._counts[index]


def writer_of(fd: int) -> int | None:
    """
    Return the id of the process that writes the file, if its record tells.
    """
    found = _footer(fd)
    return None if found is None else found[0]


@cache
def boot() -> str:
    """
    Return an id of the time since the system was started; empty where it has none.
    """
    try:
        # https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _footer(fd: int) -> tuple[int, int, int, int, bytes] | None:
    end = os.fstat(fd).st_size - _FOOTER.size
    if end < 0:
        return None
    pid, size, length, checksum, magic = _FOOTER.unpack(os.pread(fd, _FOOTER.size, end))
    return (pid, size, length, checksum, magic) if magic == _MAGIC and size + length <= end else None


def _origin(header: bytes) -> Origin:
    values = json.loads(header)
    wanted = values.pop("wanted")
    return Origin(wanted=None if wanted is None else (wanted[0], wanted[1]), **values)


def _range(options: DownloadOptions) -> tuple[int, int | None] | None:
    return None if options.range is None else (options.range.start, options.range.end)


def _write(fd: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
