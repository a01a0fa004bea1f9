"""
Multipart uploads on disk, laid out so that bytes are usually written only once.

``.asyncstore/uploads/<id>`` contains one upload:

* ``upload.json``: key, start time, headers and metadata of the object;
* ``data-<stride>``: parts at the offset that they have in the object if all
  parts before them have *stride* bytes. The stride is the size of the largest
  part so far. In a regular upload all parts, except perhaps the last, are then at
  their final offset, whatever their order, and completing is a rename;
* ``slot-<n>``: part *n* has its slot in a data file;
* ``own-<token>``: a part in a separate file, because its slot is taken (it is
  uploaded again, and the old one stays valid until the new one is complete);
* ``part-<n>.json``: where the bytes of part *n* are, once it is complete;
* ``gate``: a lock, shared by writers of parts in slots, exclusive for a completion.
  So a part that is still being written never ends up in the published object.

Everything here blocks and runs in a thread.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from asyncstore._support.flush import flush, write_whole
from asyncstore.drivers.local.names import HIDDEN
from asyncstore.drivers.local.sidecar import Description, read_json
from asyncstore.drivers.local.tree import TEMPORARY, Path, Tree
from asyncstore.errors import NotFoundError
from asyncstore.types import Checksum, ChecksumAlgorithm, Part

_UPLOADS: Final = (HIDDEN, "uploads")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_RECORD: Final = re.compile(r"part-([0-9]+)\.json")
_DATA: Final = re.compile(r"data-([0-9]+)")
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Held:
    """
    A complete part, and where its bytes are.
    """

    part: Part
    checksums: tuple[Checksum, ...]
    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Started:
    """
    An unfinished upload, as it was started.
    """

    key: str
    upload_id: str
    initiated: datetime
    description: Description


class Uploads:
    """
    The unfinished uploads of a tree.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def path(self, upload_id: str) -> Path:
        """
        Return the directory of an upload.

        Raises:
            NotFoundError: *upload_id* is not a valid id.
        """
        if not _ID.fullmatch(upload_id):
            raise no_upload(upload_id)
        return (*_UPLOADS, upload_id)

    def start(self, key: str, upload_id: str, description: Description) -> None:
        """
        Start an upload with an id that the caller has chosen.
        """
        record = {"key": key, "initiated": time.time(), "description": description.to_json()}
        with self._tree.directory(self.path(upload_id), make=True) as here:
            write_json(here, "upload.json", record)

    def started(self, key: str | None, upload_id: str) -> Started:
        """
        Return an unfinished upload.

        Raises:
            NotFoundError: It does not exist, or is not an upload to *key*.
        """
        try:
            with self._tree.directory(self.path(upload_id)) as here:
                record = read_json(here, "upload.json")
        except FileNotFoundError:
            raise no_upload(upload_id) from None
        if key not in (None, record["key"]):
            raise no_upload(upload_id)
        return Started(
            record["key"],
            upload_id,
            datetime.fromtimestamp(record["initiated"], UTC),
            Description.from_json(record["description"]),
        )

    def all(self) -> Iterator[Started]:
        """
        Yield the unfinished uploads, in any order.
        """
        try:
            with self._tree.directory(_UPLOADS) as here:
                names = names_in(here)
        except FileNotFoundError:
            return
        for name in names:
            with suppress(NotFoundError, ValueError, KeyError):
                yield self.started(None, name)

    def parts(self, upload_id: str) -> dict[int, Held]:
        """
        Return the complete parts by number.
        """
        held = {}
        with self._tree.directory(self.path(upload_id)) as here:
            for name in names_in(here):
                if match := _RECORD.fullmatch(name):
                    number = int(match.group(1))
                    held[number] = _held(number, read_json(here, name))
        return held

    def drop(self, upload_id: str) -> None:
        """
        Remove an upload and its parts, if it exists.
        """
        if not _ID.fullmatch(upload_id):
            return
        gone = secrets.token_hex(16)
        # Rename it first, so that it disappears at once, also for a part that is being
        # written. Leftovers are removed with other stale temporary files.
        with (
            suppress(FileNotFoundError),
            self._tree.directory(_UPLOADS) as here,
            self._tree.directory(TEMPORARY, make=True) as junk,
        ):
            os.rename(upload_id, gone, src_dir_fd=here, dst_dir_fd=junk)
            shutil.rmtree(gone, ignore_errors=True, dir_fd=junk)


class PartFile:
    """
    Writes one part. *upload* is its key and id. Call :meth:`close` last, also after a failure.
    """

    def __init__(self, tree: Tree, uploads: Uploads, upload: tuple[str, str], number: int, size: int) -> None:
        self.size = size
        self.written = 0
        self.file = ""
        self.offset = 0
        self.descriptor = -1
        self._number = number
        self._gate = -1
        self._whole = False
        self._tree = tree
        self._uploads = uploads
        self._upload = upload
        self._path = uploads.path(upload[1])

    def open(self) -> None:
        """
        Choose the file and offset of the part.

        Raises:
            NotFoundError: The upload does not exist.
        """
        self._uploads.started(*self._upload)
        with self._directory() as here:
            if not self._take_slot(here):
                self.file, self.offset = f"own-{secrets.token_hex(8)}", 0
            self.descriptor = os.open(self.file, _OPEN, 0o600, dir_fd=here)

    def write(self, data: Any) -> None:
        """
        Append *data*, but never past the announced size, where another part may be.
        """
        view = memoryview(data).cast("B")[: self.size - self.written]
        while view:
            count = os.pwrite(self.descriptor, view, self.offset + self.written)
            self.written += count
            view = view[count:]

    def finish(self, checksums: tuple[Checksum, ...], reported: Checksum) -> Part:
        """
        Record the part as complete; it replaces an earlier part with that number.

        Raises:
            NotFoundError: The upload has been completed or aborted.
        """
        if self._tree.sync:
            # macOS has no fdatasync.
            getattr(os, "fdatasync", flush)(self.descriptor)
        part = Part(self._number, secrets.token_hex(16), self.size, reported)
        record = {
            "etag": part.etag,
            "size": part.size,
            "file": self.file,
            "offset": self.offset,
            "reported": reported.algorithm.value,
            "checksums": {item.algorithm.value: item.base64() for item in checksums},
        }
        with self._directory() as here:
            os.stat("upload.json", dir_fd=here)
            write_json(here, f"part-{self._number}.json", record)
        self._whole = True
        return part

    def close(self) -> None:
        """
        Close the file, and free the slot unless the part is complete.
        """
        if not self._whole and self.file:
            with suppress(OSError), self._tree.directory(self._path) as here:
                os.unlink(self.file if self.file.startswith("own-") else f"slot-{self._number}", dir_fd=here)
        for descriptor in (self.descriptor, self._gate):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._gate = -1

    @contextmanager
    def _directory(self) -> Iterator[int]:
        try:
            with self._tree.directory(self._path) as here:
                yield here
        except FileNotFoundError:
            raise no_upload(self._upload[1]) from None

    def _take_slot(self, here: int) -> bool:
        self._gate = os.open("gate", _OPEN, 0o600, dir_fd=here)
        try:
            fcntl.flock(self._gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
            os.close(os.open(f"slot-{self._number}", _OPEN | os.O_EXCL, 0o600, dir_fd=here))
        except (BlockingIOError, FileExistsError):
            return False
        strides = (int(match.group(1)) for name in names_in(here) if (match := _DATA.fullmatch(name)))
        stride = max([self.size, 1, *strides])
        self.file, self.offset = f"data-{stride}", (self._number - 1) * stride
        return True


def write_json(directory: int, name: str, record: dict[str, Any]) -> None:
    """
    Write a JSON file atomically.
    """
    new = f"new-{secrets.token_hex(8)}"
    descriptor = os.open(new, _OPEN | os.O_EXCL, 0o600, dir_fd=directory)
    try:
        write_whole(descriptor, json.dumps(record).encode())
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(new, dir_fd=directory)
        raise
    finally:
        os.close(descriptor)


def names_in(directory: int) -> list[str]:
    """
    Return the names in an open directory.
    """
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def no_upload(upload_id: str) -> NotFoundError:
    """
    Return the error for an upload that does not exist.
    """
    return NotFoundError(f"the multipart upload {upload_id!r} does not exist", code="NoSuchUpload")


def _held(number: int, record: dict[str, Any]) -> Held:
    checksums = tuple(
        item
        for name, text in record["checksums"].items()
        if (item := Checksum.from_base64(ChecksumAlgorithm(name), text)) is not None
    )
    reported = next((item for item in checksums if item.algorithm == record["reported"]), None)
    return Held(Part(number, record["etag"], record["size"], reported), checksums, record["file"], record["offset"])
