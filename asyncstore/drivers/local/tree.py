"""
The directories below the root: entered one by one, never through a link; objects put in place and removed.

Every step is relative to an open directory and refuses symbolic links, so no
key and no link that somebody plants leads out of the root. The root itself may
be reached through links: that is the choice of whoever opened it.

Everything here blocks and belongs in a thread. Locks are held within a single
call, so a thread that waits for one never waits for a thread to be had.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pathlib
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from asyncstore.drivers.local.names import HIDDEN, places
from asyncstore.errors import InvalidRequestError, NotFoundError, PermissionDeniedError, UnavailableError

#: Files in the making.
TEMPORARY: Final = (HIDDEN, "tmp")
_LOCKS: Final = (HIDDEN, "locks")
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINKS_HERE: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
# Other processes may make and remove directories between any two steps.
_ATTEMPTS: Final = 100

Path = tuple[str, ...]


class Tree:
    """
    The files below *root*.

    Attributes:
        root: Absolute path of a directory, which the first write makes.
        sync: Flush directories to the disk after a change.
    """

    def __init__(self, root: str, *, sync: bool) -> None:
        self.root = root
        self.sync = sync

    @contextmanager
    def directory(self, path: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """
        Open a directory below the root, and close it.

        Raises:
            FileNotFoundError, NotADirectoryError: There is none, and it was not
                to be made or cannot.
            PermissionDeniedError: There is a symbolic link on the way.
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
            NotFoundError: There is none.
            PermissionDeniedError: It is a symbolic link, or behind one.
        """
        for path in places(key):
            status = self._status(path)
            if status is None or not stat.S_ISREG(status.st_mode):
                continue
            with suppress(FileNotFoundError), self.directory(path[:-1]) as parent:
                descriptor = os.open(path[-1], _FILE, dir_fd=parent)
                return descriptor, os.fstat(descriptor)
        raise NotFoundError(f"there is no object {key!r}", code="ENOENT")

    def find(self, key: str) -> os.stat_result | None:
        """
        Return the state of an object's file, if there is one.
        """
        found = self._find(key)
        return found and found[1]

    def publish(
        self, directory: Path, name: str, key: str, check: Callable[[os.stat_result | None], None], *, create_only: bool
    ) -> os.stat_result | None:
        """
        Give the file *name* in *directory* the place of *key*, at once; return the state of what it replaces.

        *check* sees the object that is there and may raise. Between that and
        the end no other process that uses the same root can change it.

        Args:
            create_only: Not even a file of a program that knows nothing of our
                locks is replaced.
        """
        for _ in range(_ATTEMPTS):
            try:
                with self._locked(key):
                    return self._publish(directory, name, key, check, create_only=create_only)
            except NotADirectoryError:
                self._make_way(key)
            except (FileNotFoundError, FileExistsError, IsADirectoryError):
                # A directory or file came or went meanwhile: look again.
                continue
        raise UnavailableError(f"the directories of {key!r} change faster than they can be used")

    def remove(self, key: str, check: Callable[[os.stat_result | None], None]) -> os.stat_result | None:
        """
        Remove an object, if it is there, and its parents as far as that leaves them empty.
        """
        if self.find(key) is None:
            check(None)
            return None
        with self._locked(key):
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
            if not create_only or not _linked(source, name, parent, target[-1]):
                os.rename(name, target[-1], src_dir_fd=source, dst_dir_fd=parent)
            if self.sync:
                os.fsync(parent)
        return found and found[1]

    def _free_place(self, key: str) -> Path:
        usual, aside = places(key)
        status = self._status(usual)
        if status is None:
            return usual
        if stat.S_ISDIR(status.st_mode):
            return aside
        raise InvalidRequestError(f"{'/'.join(usual)!r} is neither a file nor a directory")

    def _make_way(self, key: str) -> None:
        # A parent of key is an object: it moves aside, and keeps its ETag.
        segments = key.split("/")
        for count in range(1, len(segments)):
            outer = "/".join(segments[:count])
            usual, aside = places(outer)
            with self._locked(outer):
                status = self._status(usual)
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
            return os.open(self.root, flags)
        except FileNotFoundError:
            if not make:
                raise
        pathlib.Path(self.root).mkdir(parents=True, exist_ok=True)
        return os.open(self.root, flags)

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
                os.fsync(parent)
        return self._enter(parent, name, make=False)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        # A fixed number of lock files, none of which is ever removed: that is
        # what makes a lock on a file safe. Keys that share one just take turns.
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
    Return a name of fixed length for what belongs to *key*.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def _linked(source: int, name: str, parent: int, target: str) -> bool:
    # A link, unlike a rename, fails where there is a file.
    try:
        os.link(name, target, src_dir_fd=source, dst_dir_fd=parent)
    except OSError as exc:
        if exc.errno not in _NO_LINKS_HERE:
            raise
        return False
    os.unlink(name, dir_fd=source)
    return True


def _refuse_link(parent: int, name: str) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _link_refused(name)


def _link_refused(name: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{name!r} is a symbolic link, and links below the root are not followed", code="ELOOP"
    )
