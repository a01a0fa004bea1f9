"""
Uploads by parts: where the bytes go, so that they are written once.

``.asyncstore/uploads/<id>`` holds an upload:

* ``upload.json``: its key, when it began, what is to be stored with the object;
* ``data-<stride>``: parts at the offset that they have in the object if all
  parts before them have *stride* bytes. The stride is the size of the largest
  part so far, so of a regular upload all parts but perhaps the last are where
  they belong, in whatever order they come, and completing is a rename;
* ``slot-<n>``: part *n* was given its place there;
* ``own-<token>``: a part on its own, because its place was given already (it is
  sent again, and the old one is good until the new one is whole);
* ``part-<n>.json``: where the bytes of part *n* are, once they are whole;
* ``gate``: locked by whoever writes a part into a place, and by whoever
  completes, for themselves alone. A part that is still being written then
  never ends up in the published object.

Everything here blocks and belongs in a thread.
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

from asyncstore.drivers.local.names import HIDDEN
from asyncstore.drivers.local.sidecar import Description
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
    A part that is whole, and where its bytes are.
    """

    part: Part
    checksums: tuple[Checksum, ...]
    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Started:
    """
    What is known of an upload since its start.
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
        Return where an upload is kept.

        Raises:
            NotFoundError: This is no id of ours.
        """
        if not _ID.fullmatch(upload_id):
            raise no_upload(upload_id)
        return (*_UPLOADS, upload_id)

    def start(self, key: str, upload_id: str, description: Description) -> None:
        """
        Make an upload with an id that the caller has chosen.
        """
        record = {"key": key, "initiated": time.time(), "description": description.to_json()}
        with self._tree.directory(self.path(upload_id), make=True) as here:
            write_json(here, "upload.json", record)

    def started(self, key: str | None, upload_id: str) -> Started:
        """
        Return an unfinished upload, of *key* if one is given.

        Raises:
            NotFoundError: There is none.
        """
        try:
            with self._tree.directory(self.path(upload_id)) as here:
                record = _read_json(here, "upload.json")
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
        Return the parts that are whole, by number.
        """
        held = {}
        with self._tree.directory(self.path(upload_id)) as here:
            for name in names_in(here):
                if match := _RECORD.fullmatch(name):
                    number = int(match.group(1))
                    held[number] = _held(number, _read_json(here, name))
        return held

    def drop(self, upload_id: str) -> None:
        """
        Remove an upload and its parts; one that is gone already is no error.
        """
        if not _ID.fullmatch(upload_id):
            return
        gone = secrets.token_hex(16)
        # Renamed first, so that it is gone at once, also for a part that is
        # being written: what that leaves is junk, which is swept some day.
        with (
            suppress(FileNotFoundError),
            self._tree.directory(_UPLOADS) as here,
            self._tree.directory(TEMPORARY, make=True) as junk,
        ):
            os.rename(upload_id, gone, src_dir_fd=here, dst_dir_fd=junk)
            shutil.rmtree(gone, ignore_errors=True, dir_fd=junk)


class PartFile:
    """
    The bytes of one part on their way in. *upload* is its key and id. Whoever opened it calls :meth:`close` in the end.
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
        Choose a place for the part.

        Raises:
            NotFoundError: There is no such upload.
        """
        self._uploads.started(*self._upload)
        with self._there() as here:
            if not self._take_slot(here):
                self.file, self.offset = f"own-{secrets.token_hex(8)}", 0
            self.descriptor = os.open(self.file, _OPEN, 0o600, dir_fd=here)

    def write(self, data: Any) -> None:
        """
        Append *data*; never past the size that was announced, where another part may be.
        """
        view = memoryview(data).cast("B")[: self.size - self.written]
        while view:
            count = os.pwrite(self.descriptor, view, self.offset + self.written)
            self.written += count
            view = view[count:]

    def finish(self, checksums: tuple[Checksum, ...], reported: Checksum) -> Part:
        """
        Make the part count, in place of an earlier one of that number.

        Raises:
            NotFoundError: The upload was completed or aborted meanwhile.
        """
        if self._tree.sync:
            os.fdatasync(self.descriptor)
        part = Part(self._number, secrets.token_hex(16), self.size, reported)
        record = {
            "etag": part.etag,
            "size": part.size,
            "file": self.file,
            "offset": self.offset,
            "reported": reported.algorithm.value,
            "checksums": {item.algorithm.value: item.base64() for item in checksums},
        }
        with self._there() as here:
            os.stat("upload.json", dir_fd=here)
            write_json(here, f"part-{self._number}.json", record)
        self._whole = True
        return part

    def close(self) -> None:
        """
        Give the place back, unless the part is whole.
        """
        if not self._whole and self.file:
            with suppress(OSError), self._tree.directory(self._path) as here:
                os.unlink(self.file if self.file.startswith("own-") else f"slot-{self._number}", dir_fd=here)
        for descriptor in (self.descriptor, self._gate):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._gate = -1

    @contextmanager
    def _there(self) -> Iterator[int]:
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
    Write a record all at once.
    """
    new = f"new-{secrets.token_hex(8)}"
    descriptor = os.open(new, _OPEN | os.O_EXCL, 0o600, dir_fd=directory)
    try:
        os.write(descriptor, json.dumps(record).encode())
    finally:
        os.close(descriptor)
    os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)


def names_in(directory: int) -> list[str]:
    """
    Return the names in an open directory.
    """
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def no_upload(upload_id: str) -> NotFoundError:
    """
    Return the error for an upload that is not there.
    """
    return NotFoundError(f"there is no upload {upload_id!r}", code="NoSuchUpload")


def _read_json(directory: int, name: str) -> dict[str, Any]:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        record: dict[str, Any] = json.load(file)
    return record


def _held(number: int, record: dict[str, Any]) -> Held:
    checksums = tuple(
        item
        for name, text in record["checksums"].items()
        if (item := Checksum.from_base64(ChecksumAlgorithm(name), text)) is not None
    )
    reported = next((item for item in checksums if item.algorithm == record["reported"]), None)
    return Held(Part(number, record["etag"], record["size"], reported), checksums, record["file"], record["offset"])
