"""
Trees: a local directory as keys, and keys as files that never leave a directory.

A key is the relative path of a file, with ``/`` between the segments, and nothing
else: nothing is encoded, normalized or cut off, so going there and back gives the
same tree.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from asyncstore.errors import AlreadyExistsError, InvalidRequestError, PermissionDeniedError, StorageError
from asyncstore.oserrors import from_oserror, local_errors
from asyncstore.threads import in_thread

# Files that one visit to a thread brings.
_BATCH: Final = 256

# The longest name that common file systems hold, in bytes.
_MAX_NAME: Final = 255

_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class TreeFile:
    """
    One file of a directory.

    Attributes:
        path: Where it is.
        key: Its path relative to the directory, with ``/`` between the segments.
        size: Bytes, when it was seen.
    """

    path: Path
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class TreeProblem:
    """
    What a walk met that is no file to transfer.

    Attributes:
        path: Where it is.
        error: Why not.
        expected: Whether it is left out by design (a link that leads out, a device)
            and deserves a warning; otherwise something that should have been
            transferred is missing.
    """

    path: Path
    error: StorageError
    expected: bool


async def walk(root: Path) -> AsyncIterator[TreeFile | TreeProblem]:
    """
    Yield the files under *root*, in byte order of their keys, as they are found.

    A directory is read when its turn comes, in a thread. Of the links, those to
    files inside *root* are followed; those to directories or out of it, and whatever
    is neither a file nor a directory, are yielded as problems. So are names that are
    no UTF-8 and directories that cannot be read.

    Raises:
        NotFoundError: There is no *root*, or it is no directory.
    """
    with local_errors(root):
        found = _walk(root, await in_thread(_opened, root))
    while batch := await in_thread(_take, found):
        for entry in batch:
            yield entry


def _opened(root: Path) -> Path:
    # Opening it tells whether it is a directory that can be read.
    with os.scandir(root):
        return root.resolve()


def _take(found: Iterator[TreeFile | TreeProblem]) -> list[TreeFile | TreeProblem]:
    return list(islice(found, _BATCH))


def _walk(root: Path, real_root: Path) -> Iterator[TreeFile | TreeProblem]:
    # The directories that wait for their turn; only one is listed at a time for each
    # level, so memory is that of the largest directories on one path.
    stack = [_sorted(root, "")]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, TreeProblem):
            yield step
        else:
            entry, key = step
            if entry.is_dir(follow_symlinks=False):
                stack.append(_sorted(Path(entry.path), f"{key}/"))
            else:
                yield _looked_at(entry, key, real_root)


def _sorted(directory: Path, prefix: str) -> Iterator[tuple[os.DirEntry[str], str] | TreeProblem]:
    try:
        with os.scandir(directory) as found:
            entries = sorted(found, key=_order)
    except OSError as exc:
        yield TreeProblem(directory, from_oserror(exc, directory), expected=False)
        return
    for entry in entries:
        yield entry, prefix + entry.name


def _order(entry: os.DirEntry[str]) -> bytes:
    # The keys under a directory go on with a slash, and "-" sorts before it.
    name = os.fsencode(entry.name)
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name


def _looked_at(entry: os.DirEntry[str], key: str, real_root: Path) -> TreeFile | TreeProblem:
    path = Path(entry.path)
    if not _is_utf8(key):
        error = InvalidRequestError(f"the name is not UTF-8, so it makes no key: {os.fsencode(path)!r}")
        return TreeProblem(path, error, expected=False)
    try:
        if entry.is_symlink() and not path.resolve(strict=True).is_relative_to(real_root):
            return _left_out(path, "a link that leads out of the directory")
        status = entry.stat()
    except OSError as exc:
        return TreeProblem(path, from_oserror(exc, path), expected=entry.is_symlink())
    if stat.S_ISREG(status.st_mode):
        return TreeFile(path, key, status.st_size)
    return _left_out(path, "a link to a directory" if stat.S_ISDIR(status.st_mode) else "no regular file")


def _left_out(path: Path, what: str) -> TreeProblem:
    return TreeProblem(path, InvalidRequestError(f"{path} is {what}"), expected=True)


def is_marker(key: str, size: int) -> bool:
    """
    Whether an object only stands for a folder, as the consoles of some providers make them.
    """
    return size == 0 and key.endswith("/")


def relative_parts(key: str) -> tuple[str, ...]:
    """
    Return the segments of the relative path that *key* names.

    Raises:
        InvalidRequestError: It names none that is safe everywhere below a directory: it is
            absolute or empty, has an empty segment, ``.``, ``..`` or NUL, starts
            with a drive letter, or has a segment longer than a file's name can be.
    """
    parts = tuple(key.split("/"))
    if problem := _problem(key, parts):
        raise InvalidRequestError(f"the key {key[:200]!r} makes no safe file name: {problem}")
    return parts


def _problem(key: str, parts: tuple[str, ...]) -> str | None:
    if not key:
        return "it is empty"
    if not _is_utf8(key):
        return "it is no UTF-8"
    if key.startswith("/"):
        return "it is absolute"
    if "\0" in key:
        return "it has a NUL"
    if _DRIVE.match(key):
        return "it starts with a drive letter"
    if "" in parts:
        return "it has an empty segment"
    if "." in parts or ".." in parts:
        return "it has a segment . or .."
    if any(len(part.encode()) > _MAX_NAME for part in parts if len(part) > _MAX_NAME // 4):
        return f"it has a segment longer than {_MAX_NAME} bytes"
    return None


class TargetTree:
    """
    Gives each key of one listing its file below *root*.

    Keys come in the order of the listing: those that start with the same text stand
    together, so that only a few have to be remembered.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # Files whose keys are the start of the last key: one may be where a later key needs a directory.
        self._open: list[str] = []
        # The directories down to the last file, which were looked at already.
        self._checked: tuple[str, ...] = ()
        # What was given out, where the file system takes "A" and "a" for one name.
        self._folded: set[str] | None = None
        self._looked = False

    async def place(self, key: str) -> Path:
        """
        Return the file for *key*; it may exist already.

        A link on the way is refused as it stands now: whoever can write to the
        directory meanwhile can put one there later.

        Raises:
            InvalidRequestError: *key* names no safe path, see :func:`relative_parts`; or a
                file is where it needs a directory.
            PermissionDeniedError: A link is on the way.
            AlreadyExistsError: Another key of the listing has that file.
        """
        parts = relative_parts(key)
        self._claim(key)
        if not self._looked or parts[:-1] != self._checked:
            with local_errors(self.root):
                await in_thread(self._look, parts)
        if self._folded is not None:
            self._claim_folded(key, self._folded)
        return self.root.joinpath(*parts)

    def _claim(self, key: str) -> None:
        while self._open and not key.startswith(self._open[-1]):
            self._open.pop()
        for earlier in self._open:
            if key == earlier:
                raise AlreadyExistsError(f"the listing has the key {key!r} twice")
            if key[len(earlier)] == "/":
                raise InvalidRequestError(f"the key {key!r} needs a directory where the key {earlier!r} is a file")
        self._open.append(key)

    def _claim_folded(self, key: str, given: set[str]) -> None:
        folded = unicodedata.normalize("NFC", key).casefold()
        if folded in given:
            raise AlreadyExistsError(f"another key is the file of {key!r} here, where case makes no difference")
        given.add(folded)

    def _look(self, parts: tuple[str, ...]) -> None:
        if not self._looked:
            self._looked = True
            self._folded = set() if _folds_case(self.root.resolve()) else None
        directory = self.root
        for part in parts[:-1]:
            directory = directory / part
            try:
                mode = directory.lstat().st_mode
            except FileNotFoundError:
                break
            if stat.S_ISLNK(mode):
                raise PermissionDeniedError(f"{directory} is a link, which may lead anywhere: nothing is written there")
            if not stat.S_ISDIR(mode):
                raise InvalidRequestError(f"{directory} is a file, and a directory is needed there")
        self._checked = parts[:-1]


def _folds_case(directory: Path) -> bool:
    for known in (directory, *directory.parents):
        other = known.name.swapcase()
        if other != known.name and known.exists():
            twin = known.with_name(other)
            return twin.exists() and twin.samefile(known)
    return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
