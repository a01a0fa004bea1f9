"""
The directory tree below the root: opens, publishes and removes files without following links.

Every step is relative to an open directory and refuses symbolic links, so neither a
key nor a link that an attacker creates leads out of the root. The path of the root
itself may contain links, since the caller chose it.

Everything here blocks and runs in a thread. A lock is held only within a single
call, so a thread that waits for a lock never waits for a free thread as well.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pathlib
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Final

from asyncstore._support.flush import flush
from asyncstore._support.rename import rename_new
from asyncstore.drivers.local.names import HIDDEN, places
from asyncstore.errors import InvalidRequestError, NotFoundError, PermissionDeniedError, UnavailableError

#: Temporary files of writes.
TEMPORARY: Final = (HIDDEN, "tmp")
_LOCKS: Final = (HIDDEN, "locks")
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Other processes may make and remove directories between any two steps.
_ATTEMPTS: Final = 100

Path = tuple[str, ...]


class Tree:
    """
    The files below *root*.

    Attributes:
        root: Absolute path of a directory, which the first write creates.
        sync: Flush directories to disk after a change.
        placeholders: Whether the file system turned out to have no way of creating a file
            with all of its bytes at once.
    """

    def __init__(self, root: str, *, sync: bool) -> None:
        self.root = root
        self.sync = sync
        self.placeholders = False

    @contextmanager
    def directory(self, path: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """
        Open a directory below the root, and close it.

        Raises:
            FileNotFoundError, NotADirectoryError: It does not exist, and *make* is
                not set or it cannot be created.
            PermissionDeniedError: The path contains a symbolic link.
        """
        here = self._open_root(make=make)
        try:
            for name in path:
                inner = self._enter(here, name, make=make)
                os.close(here)
                here = inner
            yield here
        finally:
            os.close(here)

    def open(self, key: str) -> tuple[int, os.stat_result]:
        """
        Open an object for reading.

        Raises:
            NotFoundError: It does not exist.
            PermissionDeniedError: It is a symbolic link, or its path contains one.
        """
        for path in places(key):
            status = self._status(path)
            if status is None or not stat.S_ISREG(status.st_mode):
                continue
            with suppress(FileNotFoundError), self.directory(path[:-1]) as parent:
                descriptor = os.open(path[-1], _FILE, dir_fd=parent)
                return descriptor, os.fstat(descriptor)
        raise NotFoundError(code="ENOENT")

    def find(self, key: str) -> os.stat_result | None:
        """
        Return the status of an object's file, if it exists.
        """
        found = self._find(key)
        return found and found[1]

    def publish(
        self, directory: Path, name: str, key: str, check: Callable[[os.stat_result | None], None], *, create_only: bool
    ) -> os.stat_result | None:
        """
        Rename the file *name* in *directory* to that of *key*, atomically; return the status of what it replaces.

        *check* gets the status of the current object, if any, and may raise. No other
        process that uses the same root can change the object between check and rename.

        Args:
            create_only: Do not replace even a file of a program that ignores the
                driver's locks.
        """
        for _ in range(_ATTEMPTS):
            try:
                with self._locked(key):
                    return self._publish(directory, name, key, check, create_only=create_only)
            except NotADirectoryError:
                self._make_way(key)
            except (FileNotFoundError, FileExistsError, IsADirectoryError):
                # A directory or file appeared or vanished in between: try again.
                continue
        raise UnavailableError(f"the directories of the object {key!r} change too often to write to them")

    def remove(self, key: str, check: Callable[[os.stat_result | None], None]) -> os.stat_result | None:
        """
        Remove an object, if it exists, and its parent directories that are then empty.
        """
        if self.find(key) is None:
            check(None)
            return None
        # Where no write has made the directory of locks, nothing is left behind either.
        with self._locked(key) if self._has_locks() else nullcontext():
            found = self._find(key)
            check(found and found[1])
            for path in places(key):
                status = self._status(path)
                if status is not None and stat.S_ISREG(status.st_mode):
                    with suppress(FileNotFoundError), self.directory(path[:-1]) as parent:
                        os.unlink(path[-1], dir_fd=parent)
        for path in places(key):
            self._remove_empty(path[:-1])
        return found and found[1]

    def _find(self, key: str) -> tuple[Path, os.stat_result] | None:
        for path in places(key):
            status = self._status(path)
            if status is not None and stat.S_ISREG(status.st_mode):
                return path, status
        return None

    def _publish(
        self, directory: Path, name: str, key: str, check: Callable[[os.stat_result | None], None], *, create_only: bool
    ) -> os.stat_result | None:
        found = self._find(key)
        check(found and found[1])
        target = found[0] if found else self._free_place(key)
        with self.directory(directory) as source, self.directory(target[:-1], make=True) as parent:
            if not create_only:
                os.rename(name, target[-1], src_dir_fd=source, dst_dir_fd=parent)
            elif not rename_new(name, target[-1], source_dir=source, target_dir=parent):
                self.placeholders = True
            if self.sync:
                flush(parent)
        return found and found[1]

    def _free_place(self, key: str) -> Path:
        usual, aside = places(key)
        status = self._status(usual)
        if status is None:
            return usual
        if stat.S_ISDIR(status.st_mode):
            return aside
        raise InvalidRequestError(f"{'/'.join(usual)!r} exists and is neither a file nor a directory")

    def _make_way(self, key: str) -> None:
        # An object has the path of a parent directory of the key: it moves aside, and keeps its ETag.
        segments = key.split("/")
        for count in range(1, len(segments)):
            outer = "/".join(segments[:count])
            usual, aside = places(outer)
            with self._locked(outer):
                status = self._status(usual)
                if status is not None and not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                    raise InvalidRequestError(
                        f"{outer!r} is neither a file nor a directory, and {key!r} needs a directory there"
                    )
                if status is not None and stat.S_ISREG(status.st_mode):
                    with self.directory(usual[:-1]) as parent, self.directory(aside[:-1], make=True) as other:
                        os.rename(usual[-1], aside[-1], src_dir_fd=parent, dst_dir_fd=other)

    def _remove_empty(self, path: Path) -> None:
        for depth in range(len(path), 0, -1):
            try:
                with self.directory(path[: depth - 1]) as parent:
                    os.rmdir(path[depth - 1], dir_fd=parent)
            except OSError:
                return

    def _status(self, path: Path) -> os.stat_result | None:
        try:
            with self.directory(path[:-1]) as parent:
                status = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(status.st_mode):
            raise _link_refused(path[-1])
        return status

    def _open_root(self, *, make: bool) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            try:
                return os.open(self.root, flags)
            except FileNotFoundError:
                if not make:
                    raise
            pathlib.Path(self.root).mkdir(parents=True, exist_ok=True)
            return os.open(self.root, flags)
        except (NotADirectoryError, FileExistsError):
            message = f"the root {self.root} of this storage is not a directory: it, or one above it, is a file"
            raise InvalidRequestError(message, code="ENOTDIR") from None

    def _enter(self, parent: int, name: str, *, make: bool) -> int:
        try:
            return os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
        except OSError as exc:
            if exc.errno in (errno.ENOTDIR, errno.ELOOP):
                _refuse_link(parent, name)
            raise
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            if self.sync:
                flush(parent)
        return self._enter(parent, name, make=False)

    def _has_locks(self) -> bool:
        try:
            with self.directory(_LOCKS):
                return True
        except FileNotFoundError:
            return False

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        # A fixed number of lock files that are never removed: a lock on a file that can
        # be removed is not safe. Keys that share a lock file wait for each other.
        name = digest(key)[:2]
        with self.directory(_LOCKS, make=True) as parent:
            descriptor = os.open(name, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=parent)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def digest(key: str) -> str:
    """
    Return a file name of fixed length, derived from *key*.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def _refuse_link(parent: int, name: str) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _link_refused(name)


def _link_refused(name: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{name!r} is a symbolic link, and links below the root are not followed", code="ELOOP"
    )
