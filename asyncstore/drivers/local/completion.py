"""
Parts into one file, moving as few bytes as can be.

The parts are left as they are until the object is published, so that completing
can fail, or be cancelled, and be asked for again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from asyncstore.checksum import COMBINABLE, Hasher, combine
from asyncstore.drivers.local.files import copy_bytes
from asyncstore.drivers.local.tree import Path, Tree
from asyncstore.drivers.local.uploads import Held, Uploads, no_upload
from asyncstore.errors import IntegrityError, InvalidRequestError
from asyncstore.options import MiB
from asyncstore.types import Checksum, ChecksumAlgorithm, Part

_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP: Final = 64 * MiB


@dataclass(slots=True)
class _Move:
    """Bytes that are still to be copied to where they belong."""

    file: str
    start: int
    size: int
    offset: int


class Completion:
    """
    The joining of an upload's parts. Every method blocks; :meth:`close` comes last.

    Attributes:
        directory: Where the joined file is, below the root.
        name: Its name, until it is published.
        descriptor: The joined file.
        size: Bytes of the object.
        published: Whether that file is an object by now.
    """

    def __init__(self, tree: Tree, uploads: Uploads, upload_id: str) -> None:
        self.directory: Path = uploads.path(upload_id)
        self.name = ""
        self.descriptor = -1
        self.size = 0
        self.published = False
        self._tree = tree
        self._uploads = uploads
        self._upload_id = upload_id
        self._gate = -1
        self._held: list[Held] = []
        self._moves: list[_Move] = []

    def open(self, parts: Sequence[Part]) -> None:
        """
        Choose the file to join the parts in, and what has to be copied into it.

        Raises:
            NotFoundError: The upload is gone.
            InvalidRequestError: A part is missing, twice there or not as given.
        """
        try:
            self._open(parts)
        except FileNotFoundError:
            raise no_upload(self._upload_id) from None

    def move(self) -> bool:
        """
        Copy the next bytes to where they belong; whether there are more to come.
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

    def checksums(self, given: Checksum | None) -> tuple[Checksum, ...]:
        """
        Return those of the whole object: CRC32C, and that of *given*, which it has to match.

        CRCs are combined from those of the parts; for another algorithm, or one
        that the parts do not have, the joined file is read.

        Raises:
            IntegrityError: The object is not what *given* says.
        """
        os.ftruncate(self.descriptor, self.size)
        algorithms = [ChecksumAlgorithm.CRC32C]
        # A checksum of part checksums says nothing about the bytes of the whole.
        if given is not None and given.parts is None and given.algorithm not in algorithms:
            algorithms.append(given.algorithm)
        found = tuple(self._combined(algorithm) or self._computed(algorithm) for algorithm in algorithms)
        for actual in found:
            if given is not None and given.parts is None and given.algorithm == actual.algorithm and given != actual:
                raise IntegrityError("the parts make another object", expected=str(given), actual=str(actual))
        return found

    def close(self) -> None:
        """
        Let go of all that is open, and of a joined file that was not published.
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
            # Before the parts are looked at: none must come to be in between.
            alone = self._alone(here)
            held = self._uploads.parts(self._upload_id)
            self._held = _chosen(held, parts)
            sizes = [item.part.size for item in self._held]
            self.size = sum(sizes)
            offsets = list(accumulate([0, *sizes[:-1]]))
            base = self._base(held, offsets) if alone else None
            self.name = base or f"own-{secrets.token_hex(8)}"
            flags = _OPEN if base else _OPEN | os.O_CREAT | os.O_EXCL
            self.descriptor = os.open(self.name, flags, 0o600, dir_fd=here)
        self._moves = [
            _Move(item.file, item.offset, item.part.size, offset)
            for item, offset in zip(self._held, offsets, strict=True)
            if item.file != base and item.part.size
        ]

    def _base(self, held: dict[int, Held], offsets: list[int]) -> str | None:
        """Return the file that can become the object as it is; it has the most bytes in place."""
        place = {item.part.number: offset for item, offset in zip(self._held, offsets, strict=True)}
        in_place: dict[str, int] = {}
        misplaced = set()
        for number, item in held.items():
            if item.file.startswith("data-"):
                in_place[item.file] = in_place.get(item.file, 0) + item.part.size
                # Another part in that file, or one elsewhere in it, would be
                # lost if publishing failed after all.
                if place.get(number) != item.offset:
                    misplaced.add(item.file)
        return max((file for file in in_place if file not in misplaced), key=in_place.__getitem__, default=None)

    def _alone(self, here: int) -> bool:
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


def _chosen(held: dict[int, Held], parts: Sequence[Part]) -> list[Held]:
    numbers = sorted(part.number for part in parts)
    if not numbers:
        raise InvalidRequestError("an upload is made of at least one part", code="MalformedXML")
    if len(set(numbers)) < len(numbers):
        raise InvalidRequestError("a part is named twice", code="InvalidPartOrder")
    for part in parts:
        if part.number not in held or held[part.number].part.etag != part.etag.strip('"'):
            raise InvalidRequestError(f"part {part.number} is not there with that ETag", code="InvalidPart")
    return [held[number] for number in numbers]
