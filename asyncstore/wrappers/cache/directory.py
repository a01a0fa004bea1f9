"""
A cache in a directory that tasks and processes share.

Each entry is a file: the bytes of the reply, then a record in JSON with the checksum of each MiB, then a footer with
the checksum of the record. A file is complete before it has its name, and is never changed: whoever has opened it
reads it to the end, even if it is removed meanwhile. Its times of access and of modification are those at which it was
last used and last found to be current.

One file is locked while entries are added or removed; it has the sum of their sizes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
import time
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from asyncstore._support.temporary import is_temporary, temporary_name
from asyncstore._support.threads import in_thread
from asyncstore.checksum import compute
from asyncstore.driver import BytesLike, ReadBody
from asyncstore.errors import ConfigurationError, UnavailableError
from asyncstore.options import MiB
from asyncstore.types import ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI, parse_uri
from asyncstore.wrappers.cache.entry import Cache, Entry, Head, Recorder, Request, decoded, encoded
from asyncstore.wrappers.cache.memory import MemoryEntry

_BLOCK: Final = 1 * MiB
# Bytes of the record, its CRC32C, and the version of this format.
_FOOTER: Final = struct.Struct(">QI4s")
_FORMAT: Final = b"asc1"
_LOCK: Final = "lock"
# An eviction lists the directory: it makes room for some more entries, so that not each one needs it.
_ROOM: Final = 0.9
# Seconds after which a temporary file was left behind by a killed process: no reply takes a day.
_OLD: Final = 86_400


class DirectoryCache(Cache):
    """
    Entries in files; the one that was not used for the longest time goes first.

    Args:
        directory: Created with the first entry, for this user only.
        identity: The service, since buckets of several services can have one name.
        max_bytes: Most bytes of all files together, those of other processes included.
    """

    def __init__(self, directory: Path, identity: str, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._identity = identity
        self._ready = False

    def find(self, requests: Sequence[Request]) -> Entry | None:
        if not self._ready:
            _make_private(self.directory)
            self._ready = True
        for request in requests:
            path = self.path(request)
            if (entry := _opened(path, request)) is not None:
                with suppress(OSError):
                    os.utime(path, (time.time(), entry.checked))
                return entry
        return None

    def recorder(self, request: Request, head: Head) -> Recorder | None:
        return FileRecorder(self, request, head) if head.size <= self.max_bytes else None

    def mark(self, request: Request) -> None:
        with suppress(OSError):
            os.utime(self.path(request))

    def forget(self, uris: Iterable[str]) -> None:
        for uri in uris:
            folder = self.path(Request(uri)).parent
            if not folder.exists():
                continue
            try:
                with self.locked() as total:
                    for path in folder.iterdir():
                        total.size -= _removed(path)
                folder.rmdir()
            except OSError:
                # Not even the lock could be opened: nothing stale may stay for that.
                for path in folder.glob("*"):
                    _removed(path)

    def __str__(self) -> str:
        return f"{self.directory}, {self.max_bytes} bytes"

    def clear(self) -> None:
        """
        Leave the files to the other processes, and to the next ones.
        """

    def path(self, request: Request) -> Path:
        """
        Return the file of an entry; those of an object are in one folder.
        """
        folder = _digest(self._identity, request.uri)
        return self.directory / folder[:2] / folder[2:] / _digest(*request[1:])

    @contextmanager
    def locked(self) -> Iterator[Total]:
        """
        Lock the directory, and yield the sum of the sizes, which is stored at the end.
        """
        descriptor = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # Where files cannot be locked, the sum can be wrong until the next eviction counts again.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            text = os.pread(descriptor, 32, 0).strip(b"\0 ")
            total = Total(int(text) if text.isdigit() else self.count())
            yield total
            os.pwrite(descriptor, b"%-32d" % max(0, total.size), 0)
        finally:
            os.close(descriptor)

    def count(self) -> int:
        """
        Return the sum of the sizes of all files.
        """
        return sum(file.size for file in self._files())

    def evict(self) -> int:
        """
        Remove what was not used for the longest time, and return the sum of the sizes of the rest.
        """
        files = sorted(self._files())
        size = sum(file.size for file in files)
        # The newest one fits by itself.
        for file in files[:-1]:
            if size <= self.max_bytes * _ROOM:
                break
            size -= _removed(file.path)
            with suppress(OSError):
                file.path.parent.rmdir()
        return size

    def _files(self) -> Iterator[_File]:
        now = time.time()
        for path in self.directory.glob("??/*/*"):
            with suppress(OSError):
                status = path.stat()
                if not is_temporary(path.name):
                    yield _File(status.st_atime, status.st_size, path)
                elif status.st_mtime < now - _OLD:
                    path.unlink()


class Total:
    """
    The sum of the sizes of all files.
    """

    def __init__(self, size: int) -> None:
        self.size = size


class _File(NamedTuple):
    used: float
    size: int
    path: Path


class FileEntry(Entry):
    """
    A reply in a file, which is open.
    """

    def __init__(
        self, path: Path, descriptor: int, request: Request, head: Head, checked: float, checksums: Sequence[int]
    ) -> None:
        self.request = request
        self.head = head
        self.checked = checked
        self._path = path
        self._descriptor = descriptor
        # Also if the task that waits for the opening thread is cancelled, so that no caller gets the file.
        self._closed = weakref.finalize(self, os.close, descriptor)
        self._checksums = checksums

    @classmethod
    def open(cls, path: Path, request: Request) -> FileEntry | None:
        """
        Open the file at *path*; ``None`` if there is none. One whose record is damaged is removed.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            record, size = _record(descriptor, status.st_size)
            head = Head(decoded(record["info"], parse_uri(request.uri)), record["start"], record["end"])
            checksums = record["checksums"]
            if Request(*record["request"]) != request or head.size != size or len(checksums) != -(-size // _BLOCK):
                raise ValueError("the record is of another reply")
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            os.close(descriptor)
            _removed(path)
            return None
        return cls(path, descriptor, request, head, status.st_mtime, checksums)

    def body(self, uri: ObjectURI, start: int, end: int) -> ReadBody:
        info = replace(self.head.info, uri=uri)
        return FileReadBody(self, info, start, end)

    def close(self) -> None:
        self._closed()

    def read(self, start: int, end: int) -> bytes:
        """
        Return the bytes of the object from *start* up to *end*, or up to the end of the block of *start*.

        Raises:
            UnavailableError: The file is damaged; it is removed, so the next attempt asks the service.
        """
        number, offset = divmod(start - self.head.start, _BLOCK)
        size = min(_BLOCK, self.head.size - number * _BLOCK)
        try:
            block = os.pread(self._descriptor, size, number * _BLOCK)
        except OSError:
            block = b""
        if len(block) != size or _crc(block) != self._checksums[number]:
            _removed(self._path)
            raise UnavailableError("the file in the cache is damaged, and was removed")
        return block[offset : offset + end - start]


def _opened(path: Path, request: Request) -> Entry | None:
    """
    Open the file at *path*; a small one is read at once, so that reading its body needs no thread.
    """
    entry = FileEntry.open(path, request)
    if entry is None or not 0 < entry.head.size <= _BLOCK:
        return entry
    try:
        data = entry.read(entry.head.start, entry.head.end)
    except UnavailableError:
        return None
    finally:
        entry.close()
    return MemoryEntry(request, entry.head, data, entry.checked)


class FileReadBody(ReadBody):
    """
    The bytes of an entry, a block of a MiB at a time, each compared with its checksum.
    """

    def __init__(self, entry: FileEntry, info: Metadata, start: int, end: int) -> None:
        self.info = info
        self.start = start
        self.end = end
        self._entry = entry

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = self.start
        while at < self.end:
            chunk = await in_thread(self._entry.read, at, self.end)
            at += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        self._entry.close()


class FileRecorder(Recorder):
    """
    Writes a reply to a temporary file, which gets its name when it is complete.

    A disk that is full, or cannot be written, ends the recording and nothing else.
    """

    def __init__(self, cache: DirectoryCache, request: Request, head: Head) -> None:
        self._cache = cache
        self._request = request
        self._head = head
        self._path = cache.path(request)
        self._temporary = self._path.with_name(temporary_name(self._path.name))
        self._descriptor: int | None = None
        self._block = bytearray()
        self._checksums: list[int] = []
        self._failed = False

    def write(self, data: BytesLike) -> None:
        if self._failed:
            return
        try:
            self._write(memoryview(data))
        except OSError:
            self._failed = True
            self.discard()

    def commit(self) -> None:
        try:
            if not self._failed:
                self._commit()
        except OSError:
            self._failed = True
        finally:
            self.discard()

    def discard(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            _removed(self._temporary)

    def _write(self, data: memoryview) -> None:
        while data:
            room = _BLOCK - len(self._block)
            self._block += data[:room]
            data = data[room:]
            if len(self._block) == _BLOCK:
                self._flush()

    def _flush(self) -> None:
        if self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        self._checksums.append(_crc(self._block))
        _write_all(self._descriptor, self._block)
        self._block.clear()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._temporary, flags, 0o600)

    def _commit(self) -> None:
        if self._block:
            self._flush()
        elif self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        _write_all(self._descriptor, self._record())
        size = os.fstat(self._descriptor).st_size
        with self._cache.locked() as total:
            if not self.wanted or size > self._cache.max_bytes:
                return
            with suppress(OSError):
                total.size -= self._path.stat().st_size
            self._temporary.replace(self._path)
            total.size += size
            if total.size > self._cache.max_bytes:
                total.size = self._cache.evict()

    def _record(self) -> bytes:
        head = self._head
        record = {
            "request": self._request,
            "start": head.start,
            "end": head.end,
            "info": encoded(head.info),
            "checksums": self._checksums,
        }
        text = json.dumps(record).encode("utf-8")
        return text + _FOOTER.pack(len(text), _crc(text), _FORMAT)


def _make_private(directory: Path) -> None:
    """
    Create the directory of a cache, which only this user can read.

    Raises:
        ConfigurationError: It cannot be created or written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(f"the directory of the cache cannot be created: {directory}: {exc.strerror}") from exc
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"the directory of the cache cannot be written: {directory}")


def _record(descriptor: int, size: int) -> tuple[dict[str, Any], int]:
    length, checksum, form = _FOOTER.unpack(os.pread(descriptor, _FOOTER.size, size - _FOOTER.size))
    start = size - _FOOTER.size - length
    if form != _FORMAT or start < 0:
        raise ValueError("the file does not end in a record")
    text = os.pread(descriptor, length, start)
    if _crc(text) != checksum:
        raise ValueError("the record is damaged")
    record: dict[str, Any] = json.loads(text)
    return record, start


def _crc(data: Any) -> int:
    return int.from_bytes(compute(ChecksumAlgorithm.CRC32C, data).value, "big")


def _digest(*parts: object) -> str:
    text = "\0".join(map(repr, parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _write_all(descriptor: int, data: BytesLike) -> None:
    with memoryview(data) as view:
        at = 0
        while at < len(view):
            at += os.write(descriptor, view[at:])


def _removed(path: Path) -> int:
    """Remove a file, and return its size; 0 if it was gone."""
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size
