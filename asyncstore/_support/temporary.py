"""
Temporary files next to their targets: their names, and removing those of killed processes.

Every process locks its temporary files while it writes them, and a lock ends with its
process. So a temporary file that nobody has locked was abandoned. That of a resumable
download has a name that follows from the target's, and is kept for a week.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from contextlib import suppress
from typing import Final

#: The directory in which a storage of local files keeps its records.
BOOKKEEPING: Final = ".asyncstore"

_NAME: Final = re.compile(r"\..*\.asyncstore-(resume-)?[0-9a-f]{12}\.part", re.DOTALL)

# Bytes of a target's name that are repeated: short enough for every file system.
_STEM: Final = 100

_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# Seconds after which a file is abandoned where files cannot be locked.
_OLD: Final = 86_400

# Seconds for which a file is kept to be resumed: as long as Azure keeps blocks that were not committed.
_KEPT: Final = 7 * 86_400

# Directories that this process has looked through; beyond that many, all are forgotten.
_MAX_SEEN: Final = 1000
_seen: set[str] = set()


def temporary_name(name: str) -> str:
    """
    Return a name for the temporary file of the target *name*, different each time.
    """
    stem = os.fsdecode(os.fsencode(name)[:_STEM])
    return f".{stem}.asyncstore-{secrets.token_hex(6)}.part"


def resumable_name(name: str) -> str:
    """
    Return the name of the temporary file with which a download to *name* is resumed.
    """
    encoded = os.fsencode(name)
    return f".{os.fsdecode(encoded[:_STEM])}.asyncstore-resume-{hashlib.sha256(encoded).hexdigest()[:12]}.part"


def is_temporary(name: str) -> bool:
    """
    Return whether *name* is that of a temporary file.
    """
    return _NAME.fullmatch(name) is not None


def claim(descriptor: int) -> bool:
    """
    Lock a new temporary file; ``False`` if another process took it for abandoned and removed it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # This file system has no locks; see remove_abandoned().
        return True
    return os.fstat(descriptor).st_nlink > 0


class LockedError(Exception):
    """
    Another open file has the lock.

    Attributes:
        descriptor: The file, which the caller closes.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.descriptor = descriptor


def open_locked(path: str, flags: int = 0) -> int | None:
    """
    Open and lock the file at *path*; ``None`` if there is none, or if files cannot be locked there.

    Args:
        flags: More flags of ``open(2)``, such as ``O_CREAT``.

    Raises:
        LockedError: Another process, or another task of this one, has the lock.
    """
    while True:
        try:
            descriptor = os.open(path, _FLAGS | flags, 0o600)
        except FileNotFoundError:
            return None
        keep = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last owner may have removed or renamed it meanwhile.
            keep = _is_at(descriptor, path)
        except BlockingIOError:
            keep = True
            raise LockedError(descriptor) from None
        except OSError:
            return None
        finally:
            if not keep:
                os.close(descriptor)
        if keep:
            return descriptor


def can_lock(descriptor: int) -> bool:
    """
    Return whether files can be locked where this one is, which nobody else has open.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_unlocked(path: str) -> None:
    """
    Remove the file at *path*, unless someone has locked it, and so is writing it.
    """
    try:
        descriptor = open_locked(path)
    except LockedError as exc:
        os.close(exc.descriptor)
        return
    except OSError:
        return
    if descriptor is not None:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)


def remove_abandoned(directory: str) -> None:
    """
    Remove the temporary files that killed processes left in *directory*, when this process first writes there.

    Those of resumable downloads are left for a week. A file that cannot be removed is left.
    """
    path = os.path.abspath(directory)  # noqa: PTH100 - links stay as they are
    if path in _seen:
        return
    if len(_seen) >= _MAX_SEEN:
        _seen.clear()
    _seen.add(path)
    with suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if (match := _NAME.fullmatch(entry.name)) is not None:
                with suppress(OSError):
                    _remove(entry.path, _KEPT if match.group(1) else 0)


def _remove(path: str, age: float) -> None:
    descriptor = os.open(path, _FLAGS)
    try:
        recent = age > 0 and os.fstat(descriptor).st_mtime > time.time() - age
        if not recent and _abandoned(descriptor):
            os.unlink(path)  # noqa: PTH108
    finally:
        os.close(descriptor)


def _abandoned(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return status.st_mtime < time.time() - _OLD
    return True
