"""
The directories in which the downloads of one operation create files.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress

from asyncstore.errors import InvalidRequestError

# Directories to remember; beyond that, all are forgotten.
_MAX_DIRECTORIES = 1000


class Directories:
    """
    What the downloads of one operation know about directories.

    Those in which a file was just created need not be tried first by the next one. Those
    that were created for a file are removed again if it, and every other one, fails. Several threads may use it.
    """

    def __init__(self) -> None:
        # A directory and the note that it was made change together: another thread makes what was just removed.
        self._changing = threading.Lock()
        self._known: set[str] = set()
        self._made: set[str] = set()

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def add(self, path: str) -> None:
        """
        Add a directory in which a file was created.
        """
        if len(self._known) >= _MAX_DIRECTORIES:
            self._known.clear()
        self._known.add(path)

    def make(self, path: str) -> None:
        """
        Create a directory and its parents, if they do not exist.

        Raises:
            InvalidRequestError: One of them is a file.
        """
        missing = []
        while path and not _is_directory(path):
            missing.append(path)
            path = os.path.dirname(path)  # noqa: PTH120 - for each of many small files
        for directory in reversed(missing):
            with suppress(FileExistsError), self._changing:
                os.mkdir(directory)  # noqa: PTH102 - as above
                self._made.add(directory)

    def keep(self, path: str) -> None:
        """
        Keep a directory and its parents from now on: a file was published there.
        """
        while path in self._made:
            self._made.discard(path)
            path = os.path.dirname(path)  # noqa: PTH120 - as above

    def remove_made(self, path: str) -> None:
        """
        Remove a directory and its parents, as far as they were created for files and are empty.
        """
        with suppress(OSError), self._changing:
            while path in self._made:
                os.rmdir(path)  # noqa: PTH106 - as above
                self._made.discard(path)
                self._known.discard(path)
                path = os.path.dirname(path)  # noqa: PTH120 - as above


def _is_directory(path: str) -> bool:
    """
    Return whether *path* is a directory, by one look: others create and remove it meanwhile.

    Raises:
        InvalidRequestError: It is a file, or a link to what does not exist.
    """
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116 - as above
            return True
    except OSError:
        if not os.path.islink(path):  # noqa: PTH114 - as above
            return False
    raise InvalidRequestError(f"{path} is a file, and a directory is needed there", code="ENOTDIR")
