"""
Files where a sync needs directories, and directories where it needs files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.errors import InvalidRequestError, StorageError
from asyncstore.storage.safe_path import relative_parts


class Obstacle(NamedTuple):
    """
    What is in the way.

    Attributes:
        path: Where it is.
        is_folder: Whether it is a directory, where a file is needed.
    """

    path: Path
    is_folder: bool

    def error(self) -> InvalidRequestError:
        """
        Return the error of an item that cannot be transferred because of it.
        """
        what = "directory, and the source has a file" if self.is_folder else "file, and the source has a directory"
        return InvalidRequestError(
            f"{self.path} is a {what} there: remove it, or let the sync delete what the source lacks"
        )


class Way:
    """
    Finds what is in the way of new names below *root*; ``None`` has files and directories of one name.

    Names come in the order of a listing: those of one directory are together.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        # The last directory that did not exist.
        self._absent: tuple[str, ...] | None = None

    async def of(self, name: str, *, is_folder: bool) -> Obstacle | None:
        """
        Return the file that stands where *name* needs a directory, or the directory where it needs a file.

        Symbolic links are none of both.
        """
        if self._root is None:
            return None
        try:
            parts = relative_parts(name.removesuffix("/"))
        except StorageError:
            # Whoever makes the path of it says why it is none.
            return None
        if self._absent is not None and parts[: len(self._absent)] == self._absent:
            return None
        with local_errors(self._root):
            return await in_thread(self._look, self._root, parts, is_folder)

    def _look(self, root: Path, parts: tuple[str, ...], is_folder: bool) -> Obstacle | None:
        path = root
        for number, part in enumerate(parts, 1):
            path = path / part
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                if number < len(parts):
                    self._absent = parts[:number]
                return None
            if stat.S_ISLNK(mode):
                return None
            needs_folder = is_folder or number < len(parts)
            if stat.S_ISDIR(mode) != needs_folder:
                return Obstacle(path, is_folder=not needs_folder)
        return None


async def clear(path: Path) -> None:
    """
    Remove *path*, which was in the way, if nothing but empty directories is left of it.

    Raises:
        InvalidRequestError: A file is left.
    """
    with local_errors(path):
        left = await in_thread(_clear, path)
    if left is not None:
        raise InvalidRequestError(f"{path} is in the way, and cannot be deleted: the options leave out {left}")


def _clear(path: Path) -> Path | None:
    if not os.path.lexists(path):
        return None
    if path.is_symlink() or not path.is_dir():
        return path
    for folder, names, files in os.walk(path, topdown=False):
        linked = [name for name in names if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        if files or linked:
            return Path(folder, (files or linked)[0])
        Path(folder).rmdir()
    return None
