"""
Interrupted multipart uploads, recorded on disk so that other processes can resume them.

Each target has one file, which the process that writes the target has locked. It holds no secrets: neither
credentials nor what is stored with the object, of which it has a digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from asyncstore._support.descriptors import hold, release
from asyncstore._support.temporary import LockedError, open_locked, remove_unlocked
from asyncstore.config import state_directory
from asyncstore.engine.upload.file_source import FileSource
from asyncstore.errors import ConfigurationError, InUseError, InvalidURIError
from asyncstore.options import UploadOptions
from asyncstore.uri import ObjectURI, parse_uri

# Seconds.
_OLD: Final = 86_400

_LARGEST: Final = 1024 * 1024

# They change nothing that is stored.
_OF_THE_TRANSFER: Final = ("max_concurrency", "multipart_threshold", "guess_content_type", "resume")


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """
    What the journal says of an upload.

    Attributes:
        uri: The object.
        endpoint: As the storage was configured.
        source: The file: its path, inode, size, and time of the last change in nanoseconds.
        options: A digest of what is stored with the object, and of the conditions.
        part_size: Bytes of each part but the last.
        checksum: Algorithm of the checksums of the parts.
        started: Unix time, of this machine, before the upload was initiated.
        upload_id: ``None`` until the provider's reply has told it.
    """

    uri: str
    endpoint: str
    source: tuple[str, int, int, int]
    options: str
    part_size: int
    checksum: str | None
    started: float
    upload_id: str | None = None

    @classmethod
    def of(cls, file: FileSource, uri: ObjectURI, endpoint: str, options: UploadOptions) -> UploadRecord:
        """
        Return the record of an upload that is about to be initiated.
        """
        path, _, inode, size, modified, _ = file.identity
        return cls(
            uri=str(uri),
            endpoint=endpoint,
            source=(str(path), int(inode), int(size), int(modified)),
            options=_digest(options),
            part_size=options.part_size,
            checksum=None if options.checksum is None else options.checksum.value,
            started=time.time(),
        )

    @classmethod
    def parse(cls, data: bytes) -> UploadRecord | None:
        """
        Parse a record; ``None`` if it is not one.
        """
        try:
            values = json.loads(data)
            values = {item.name: values[item.name] for item in fields(cls)}
            path, inode, size, modified = values["source"]
        except (ValueError, TypeError, KeyError):
            return None
        return cls(**{**values, "source": (path, inode, size, modified)})

    def is_for(self, other: UploadRecord) -> bool:
        """
        Return whether *other* would write the same, in the same parts.
        """
        return (self.source, self.options, self.part_size, self.checksum) == (
            other.source,
            other.options,
            other.part_size,
            other.checksum,
        )


class DiskJournal:
    """
    The journal of one storage.

    Args:
        directory: Where the files are; ``None`` is the user's, see :func:`~asyncstore.config.state_directory`.
        provider: Of the storage.
        endpoint: As the storage was configured, since buckets of several endpoints can have one name.
    """

    def __init__(self, directory: Path | None, provider: str, endpoint: str) -> None:
        self.endpoint = endpoint
        self._directory = directory
        self._provider = provider

    def entry(self, uri: ObjectURI) -> Entry:
        """
        Return the entry of an object, which is not open yet.
        """
        identity = f"{self._provider}\0{self.endpoint}\0{uri}"
        name = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return Entry(self._folder() / f"{name}.json", uri)

    def recorded(self, prefix: ObjectURI) -> list[ObjectURI]:
        """
        Return the objects below *prefix* that have an entry; runs in a thread.

        Files without a record, of processes that were killed while they wrote them, are removed after a day.
        """
        found = []
        for path in sorted(self._folder().glob("*")):
            with suppress(OSError, InvalidURIError):
                record = UploadRecord.parse(path.read_bytes()) if path.suffix == ".json" else None
                if record is not None and record.endpoint == self.endpoint:
                    found.append(parse_uri(record.uri))
                elif record is None and path.stat().st_mtime < time.time() - _OLD:
                    remove_unlocked(str(path))
        return [uri for uri in found if uri.with_key("") == prefix.with_key("") and uri.key.startswith(prefix.key)]

    def _folder(self) -> Path:
        return (self._directory or state_directory()) / "uploads"


class Entry:
    """
    The entry of one object. Its methods run in threads.

    Attributes:
        path: Its file.
        record: What it says; ``None`` if nothing is recorded.
        locked_elsewhere: Whether another process, or another task of this one, was found to write the object.
    """

    def __init__(self, path: Path, uri: ObjectURI) -> None:
        self.record: UploadRecord | None = None
        self.path = path
        self.locked_elsewhere = False
        self._new = path.with_suffix(".new")
        self._uri = uri
        self._fd = -1

    def open(self) -> None:
        """
        Lock the entry for this process, and make it if there is none.

        Raises:
            InUseError: Another process, or another task of this one, is writing the object.
            ConfigurationError: The journal's directory cannot be made, or files cannot be locked there.
        """
        _make(self.path.parent)
        try:
            fd = open_locked(str(self.path), os.O_CREAT)
        except LockedError as exc:
            try:
                raise self._in_use(exc.descriptor) from None
            finally:
                os.close(exc.descriptor)
        if fd is None:
            raise ConfigurationError(
                f"files in {self.path.parent} cannot be locked: set state_directory to another one, or resume=True"
            )
        self._adopt(fd)

    def open_existing(self) -> bool:
        """
        Lock the entry if it exists and is not locked; return whether it was locked.
        """
        try:
            fd = open_locked(str(self.path))
        except LockedError as exc:
            os.close(exc.descriptor)
            self.locked_elsewhere = True
            return False
        if fd is None:
            return False
        self._adopt(fd)
        return True

    def write(self, record: UploadRecord) -> None:
        """
        Replace the record, at once.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        os.close(os.open(self._new, flags, 0o600))
        fd = open_locked(str(self._new))
        if fd is None:
            raise ConfigurationError(f"{self._new} was removed while it was written")
        try:
            hold(fd)
        except OSError:
            os.close(fd)
            raise
        data = json.dumps({"pid": os.getpid(), **asdict(record)}, indent=1).encode() + b"\n"
        try:
            os.pwrite(fd, data, 0)
            self._new.replace(self.path)
        except BaseException:
            release(fd)
            raise
        self._fd, old = fd, self._fd
        release(old)
        self.record = record

    def remove(self) -> None:
        """
        Remove the entry.
        """
        for path in (self.path, self._new):
            path.unlink(missing_ok=True)
        self.record = None

    def close(self) -> None:
        """
        Unlock the entry; one without a record is removed.
        """
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if self.record is None:
                with suppress(OSError):
                    self.remove()
            release(fd)

    def _adopt(self, fd: int) -> None:
        try:
            hold(fd)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        self.record = UploadRecord.parse(os.pread(fd, _LARGEST, 0))

    def _in_use(self, fd: int) -> InUseError:
        try:
            pid = json.loads(os.pread(fd, _LARGEST, 0))["pid"]
        except (ValueError, KeyError, TypeError):
            whose = ""
        else:
            whose = ", in this process" if pid == os.getpid() else f", in process {pid}"
        return InUseError(f"another upload to this object is in progress{whose}", uri=str(self._uri))


def _make(folder: Path) -> None:
    try:
        # The parents may exist, or be made for others too.
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for directory in (folder.parent, folder):
            with suppress(FileExistsError):
                directory.mkdir(mode=0o700)
    except OSError as exc:
        raise ConfigurationError(
            f"the journal of uploads cannot be in {folder} ({exc.strerror}): set state_directory to another directory"
        ) from exc


def _digest(options: UploadOptions) -> str:
    values: dict[str, Any] = {key: value for key, value in asdict(options).items() if key not in _OF_THE_TRANSFER}
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
