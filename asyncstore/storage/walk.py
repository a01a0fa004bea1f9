"""
Walking a directory: its files with the keys that they become, in the order of a listing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from asyncstore._support.os_errors import from_oserror, local_errors
from asyncstore._support.temporary import BOOKKEEPING, is_temporary
from asyncstore._support.threads import in_thread
from asyncstore.errors import InvalidRequestError, StorageError
from asyncstore.storage.safe_path import is_utf8
from asyncstore.storage.tree_options import PathFilter, Symlinks
from asyncstore.uri import ObjectURI

# Files per call to a thread.
_BATCH: Final = 256

_ALL: Final = PathFilter()

_LINKED_DIRECTORY: Final = "a symbolic link to a directory"


@dataclass(frozen=True, slots=True)
class TreeFile:
    """
    One file of a directory, or an empty directory.

    Attributes:
        path: Its path.
        key: Its path relative to the directory, with ``/`` between the segments, and at the end of an empty directory.
        size: Its bytes when it was found.
        modified: When it was modified, in seconds since the epoch.
        is_folder: Whether it is an empty directory.
    """

    path: Path
    key: str
    size: int
    modified: float
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class TreeProblem:
    """
    A file or object that is not transferred.

    Attributes:
        source: The file or object.
        error: The reason.
        expected: Whether it is left out by design, such as a link that leads out of the
            directory, or a device: a warning, not a failure.
    """

    source: Path | ObjectURI
    error: StorageError
    expected: bool = False


async def walk(
    root: Path, wanted: PathFilter = _ALL, *, symlinks: Symlinks = "inside", empty_folders: bool = False
) -> AsyncIterator[TreeFile | TreeProblem]:
    """
    Yield the files under *root* that are *wanted*, in byte order of their keys, as they are found.

    Directories are read one at a time, in a thread. Yielded as problems are the links that *symlinks* does not
    follow, devices and pipes, names that are not UTF-8, directories that cannot be read,
    temporary files of downloads, and the records of ``file://`` storages.

    Args:
        symlinks: As :attr:`TreeOptions.symlinks`.
        empty_folders: Also yield directories without entries.

    Raises:
        NotFoundError: *root* does not exist, or is not a directory.
    """
    with local_errors(root):
        found = _Walk(root, await in_thread(_opened, root), wanted, symlinks, empty_folders).entries()
    while batch := await in_thread(_take, found):
        for entry in batch:
            yield entry


def _opened(root: Path) -> Path:
    # Raises if it is not a directory or cannot be read.
    with os.scandir(root):
        return root.resolve()


def _take(found: Iterator[TreeFile | TreeProblem]) -> list[TreeFile | TreeProblem]:
    return list(islice(found, _BATCH))


class _Walk:
    def __init__(self, root: Path, real_root: Path, wanted: PathFilter, symlinks: Symlinks, folders: bool) -> None:
        self._root = root
        self._real_root = real_root
        self._wanted = wanted
        self._symlinks = symlinks
        self._follow = symlinks == "follow"
        self._folders = folders

    def entries(self) -> Iterator[TreeFile | TreeProblem]:
        # One directory per level is in memory at a time: those on the path to the current file.
        stack = [self._sorted(self._root, "")]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
            elif isinstance(step, TreeProblem | TreeFile):
                yield step
            else:
                entry, key = step
                if own := _own(entry):
                    if self._wanted.hidden:
                        yield _left_out(Path(entry.path), own)
                elif not entry.is_dir(follow_symlinks=self._follow):
                    yield from self._looked_at(entry, key)
                elif not self._wanted.enters(f"{key}/"):
                    continue
                elif entry.is_symlink() and self._contains(entry):
                    yield _problem(Path(entry.path), "a symbolic link to a directory that contains it")
                else:
                    stack.append(self._sorted(Path(entry.path), f"{key}/"))

    def _sorted(self, directory: Path, prefix: str) -> Iterator[tuple[os.DirEntry[str], str] | TreeFile | TreeProblem]:
        try:
            with os.scandir(directory) as found:
                entries = sorted(found, key=self._order)
        except OSError as exc:
            yield TreeProblem(directory, from_oserror(exc, directory), expected=False)
            return
        if not entries and prefix and self._folders and self._wanted(prefix):
            yield self._folder(directory, prefix)
        for entry in entries:
            yield entry, prefix + entry.name

    def _order(self, entry: os.DirEntry[str]) -> bytes:
        # The keys under a directory continue with a slash, and "-" sorts before it.
        name = os.fsencode(entry.name)
        return name + b"/" if entry.is_dir(follow_symlinks=self._follow) else name

    def _folder(self, path: Path, key: str) -> TreeFile | TreeProblem:
        if not is_utf8(key):
            return _not_utf8(path)
        try:
            return TreeFile(path, key, 0, path.stat().st_mtime, is_folder=True)
        except OSError as exc:
            return TreeProblem(path, from_oserror(exc, path))

    def _contains(self, link: os.DirEntry[str]) -> bool:
        # Compared by their numbers, so that two names of one directory are one.
        target = link.stat()
        return any(os.path.samestat(target, parent.stat()) for parent in _above(Path(link.path), self._root))

    def _looked_at(self, entry: os.DirEntry[str], key: str) -> Iterator[TreeFile | TreeProblem]:
        path = Path(entry.path)
        if not is_utf8(key):
            yield _not_utf8(path)
        elif self._wanted(key):
            try:
                yield self._refused(entry, path) or self._file(entry, path, key)
            except OSError as exc:
                dangling = entry.is_symlink() and self._symlinks != "follow"
                yield TreeProblem(path, from_oserror(exc, path), expected=dangling)
        elif entry.is_symlink() and self._wanted.enters(f"{key}/") and path.is_dir():
            # What is below it may be wanted, although the link is not.
            yield _left_out(path, _LINKED_DIRECTORY)

    def _refused(self, entry: os.DirEntry[str], path: Path) -> TreeProblem | None:
        """Return why a link is not followed; ``None`` if it is, or if *entry* is no link."""
        if self._follow or not entry.is_symlink():
            return None
        if self._symlinks == "error":
            return _problem(path, "a symbolic link")
        if self._symlinks == "skip":
            return _left_out(path, "a symbolic link")
        if not path.resolve(strict=True).is_relative_to(self._real_root):
            return _left_out(path, "a symbolic link that leads out of the directory")
        return None

    def _file(self, entry: os.DirEntry[str], path: Path, key: str) -> TreeFile | TreeProblem:
        status = entry.stat()
        if stat.S_ISREG(status.st_mode):
            return TreeFile(path, key, status.st_size, status.st_mtime)
        return _left_out(path, _LINKED_DIRECTORY if stat.S_ISDIR(status.st_mode) else "not a regular file")


def _above(path: Path, root: Path) -> Iterator[Path]:
    for parent in path.parents:
        yield parent
        if parent == root:
            return


def _own(entry: os.DirEntry[str]) -> str | None:
    """Return what *entry* is, if the library made it for itself."""
    if entry.name == BOOKKEEPING:
        return "where a file:// storage keeps its records"
    return "the temporary file of a download" if is_temporary(entry.name) else None


def _left_out(path: Path, what: str) -> TreeProblem:
    return TreeProblem(path, InvalidRequestError(f"{path} is {what}"), expected=True)


def _problem(path: Path, what: str) -> TreeProblem:
    return TreeProblem(path, InvalidRequestError(f"{path} is {what}"))


def _not_utf8(path: Path) -> TreeProblem:
    return TreeProblem(path, InvalidRequestError(f"the name {os.fsencode(path)!r} is not UTF-8, so it cannot be a key"))
