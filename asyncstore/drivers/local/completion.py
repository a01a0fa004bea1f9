"""
Joins the parts of a multipart upload into one file, copying as few bytes as possible.

The parts stay unchanged until the object is published, so a completion that fails
or is cancelled can be repeated.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from asyncstore.checksum import COMBINABLE, Hasher, combine
from asyncstore.driver.conditions import check_parts
from asyncstore.drivers.local.files import copy_bytes
from asyncstore.drivers.local.tree import Path, Tree
from asyncstore.drivers.local.uploads import Held, Uploads, no_upload
from asyncstore.errors import IntegrityError
from asyncstore.options import MiB
from asyncstore.types import Checksum, ChecksumAlgorithm, Part

_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP: Final = 64 * MiB


@dataclass(slots=True)
class _Move:
    """Bytes that still have to be copied to their final offset."""

    file: str
    start: int
    size: int
    offset: int


class Completion:
    """
    Joins the parts of one upload. Every method blocks; call :meth:`close` last.

    Attributes:
        directory: Directory of the joined file, below the root.
        name: Name of the joined file until it is published.
        descriptor: The joined file, open.
        size: Bytes of the object.
        mode: Mode that the umask leaves of a new file.
        published: Whether the joined file has become the object.
    """

    def __init__(self, tree: Tree, uploads: Uploads, upload_id: str) -> None:
        self.directory: Path = uploads.path(upload_id)
        self.name = ""
        self.descriptor = -1
        self.size = 0
        self.mode = 0
        self.published = False
        self._tree = tree
        self._uploads = uploads
        self._upload_id = upload_id
        self._gate = -1
        self._held: list[Held] = []
        self._moves: list[_Move] = []

    def open(self, parts: Sequence[Part]) -> None:
        """
        Choose the file that the parts are joined in, and the parts that have to be copied into it.

        Raises:
            NotFoundError: The upload does not exist any more.
            InvalidRequestError: A part is missing, named twice or has another ETag.
        """
        try:
            self._open(parts)
        except FileNotFoundError:
            raise no_upload(self._upload_id) from None

    def move(self) -> bool:
        """
        Copy the next bytes to their final offset; return whether there are more.
        """
        if not self._moves:
            return False
        move = self._moves[-1]
        with self._tree.directory(self.directory) as here:
            source = os.open(move.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            try:
                copied = copy_bytes(source, self.descriptor, move.start, min(move.size, _STEP), move.offset)
            finally:
                os.close(source)
        move.start += copied
        move.offset += copied
        move.size -= copied
        if move.size == 0:
            self._moves.pop()
        return bool(self._moves)

    def checksums(self, expected: Checksum | None) -> tuple[Checksum, ...]:
        """
        Return the checksums of the whole object: CRC32C, and the one that has to match *expected*.

        CRCs are combined from those of the parts; for other algorithms, or if a part
        lacks the CRC, the joined file is read.

        Raises:
            IntegrityError: The object does not match *expected*.
        """
        os.ftruncate(self.descriptor, self.size)
        algorithms = [ChecksumAlgorithm.CRC32C]
        # A checksum of part checksums says nothing about the bytes of the whole.
        if expected is not None and expected.parts is None and expected.algorithm not in algorithms:
            algorithms.append(expected.algorithm)
        found = tuple(self._combined(algorithm) or self._computed(algorithm) for algorithm in algorithms)
        for actual in found:
            same_kind = expected is not None and expected.parts is None and expected.algorithm == actual.algorithm
            if same_kind and expected != actual:
                message = "the joined parts do not match the checksum"
                raise IntegrityError(message, expected=str(expected), actual=str(actual))
        return found

    def close(self) -> None:
        """
        Close all files, and remove a joined file that was not published.
        """
        for descriptor in (self.descriptor, self._gate):
            if descriptor >= 0:
                os.close(descriptor)
        if self.name.startswith("own-") and not self.published:
            with suppress(OSError), self._tree.directory(self.directory) as here:
                os.unlink(self.name, dir_fd=here)
        self.descriptor = self._gate = -1

    def _open(self, parts: Sequence[Part]) -> None:
        with self._tree.directory(self.directory) as here:
            # Lock before the parts are read, so that no part is added in between.
            alone = self._lock(here)
            held = self._uploads.parts(self._upload_id)
            self._held = [held[number] for number in check_parts(parts, {n: item.part for n, item in held.items()})]
            sizes = [item.part.size for item in self._held]
            self.size = sum(sizes)
            offsets = list(accumulate([0, *sizes[:-1]]))
            base = self._base(held, offsets) if alone else None
            self.name = base or f"own-{secrets.token_hex(8)}"
            flags = _OPEN if base else _OPEN | os.O_CREAT | os.O_EXCL
            self.descriptor = os.open(self.name, flags, 0o600, dir_fd=here)
            self.mode = _mode_of_new_file(here)
        self._moves = [
            _Move(item.file, item.offset, item.part.size, offset)
            for item, offset in zip(self._held, offsets, strict=True)
            if item.file != base and item.part.size
        ]

    def _base(self, held: dict[int, Held], offsets: list[int]) -> str | None:
        """Return the file that can become the object without being rewritten, with the most bytes in place."""
        place = {item.part.number: offset for item, offset in zip(self._held, offsets, strict=True)}
        in_place: dict[str, int] = {}
        misplaced = set()
        for number, item in held.items():
            if item.file.startswith("data-"):
                in_place[item.file] = in_place.get(item.file, 0) + item.part.size
                # If publishing failed, other parts in that file, or parts at
                # another offset, would be lost.
                if place.get(number) != item.offset:
                    misplaced.add(item.file)
        return max((file for file in in_place if file not in misplaced), key=in_place.__getitem__, default=None)

    def _lock(self, here: int) -> bool:
        self._gate = os.open("gate", _OPEN | os.O_CREAT, 0o600, dir_fd=here)
        try:
            fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno != errno.EWOULDBLOCK:
                raise
            return False
        return True

    def _combined(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        if algorithm not in COMBINABLE:
            return None
        whole = Hasher(algorithm).checksum()
        for item in self._held:
            found = next((checksum for checksum in item.checksums if checksum.algorithm == algorithm), None)
            if found is None:
                return None
            whole = combine(whole, found, item.part.size)
        return whole

    def _computed(self, algorithm: ChecksumAlgorithm) -> Checksum:
        hasher = Hasher(algorithm)
        at = 0
        while data := os.pread(self.descriptor, 4 * MiB, at):
            hasher.update(data)
            at += len(data)
        return hasher.checksum()


def _mode_of_new_file(directory: int) -> int:
    # The umask cannot be read without changing it for all threads.
    name = f"new-{secrets.token_hex(8)}"
    descriptor = os.open(name, _OPEN | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=directory)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        os.unlink(name, dir_fd=directory)
