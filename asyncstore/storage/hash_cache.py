"""
Checksums of local files that an earlier run has computed, by the identity of the files.

A file is taken for unchanged if its device, inode, size, time of modification and time of change are the same. The last
of them cannot be set by programs: editing a file and setting its times back changes it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.storage.content import hash_file
from asyncstore.types import Checksum, ChecksumAlgorithm

_LOG: Final = logging.getLogger("asyncstore")

# Nanoseconds: two changes within the resolution of a file system's clock, 2 s on FAT, have the same time. So a file
# that changed so shortly before it was read may have changed again; Git calls such files "racily clean".
_RESOLUTION: Final = 2_000_000_000

# Files that are remembered: about 100 MB. Those that were hashed first are forgotten.
_MOST: Final = 1_000_000

# Seconds to wait for another process that writes.
_BUSY: Final = 5.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sums_1 (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT, inode TEXT, algorithm TEXT, size INTEGER, modified INTEGER, changed INTEGER, digest BLOB,
    UNIQUE (device, inode, algorithm)
)
"""


class HashCache:
    """
    The checksums of local files, kept in the file ``hashes.sqlite3`` of *directory*.

    It is opened by the first file. If it cannot be read or written, files are hashed, and nothing is remembered.
    """

    def __init__(self, directory: Path, *, most: int = _MOST) -> None:
        self._path = directory / "hashes.sqlite3"
        self._most = most
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._usable = True

    async def checksum(self, path: Path, algorithm: ChecksumAlgorithm) -> Checksum:
        """
        Return the checksum of a local file: the one that is remembered, or one that is computed in a thread.

        Raises:
            StorageError: The file cannot be read.
        """
        with local_errors(path):
            return await in_thread(self._checksum, path, algorithm)

    async def close(self) -> None:
        """
        Close the file; may be called twice.
        """
        await in_thread(self._close)

    def _checksum(self, path: Path, algorithm: ChecksumAlgorithm) -> Checksum:
        before = path.stat()
        if (digest := self._find(before, algorithm)) is not None:
            return Checksum(algorithm, digest)
        started = time.time_ns()
        found = hash_file(path, algorithm)
        settled = started - max(before.st_ctime_ns, before.st_mtime_ns) >= _RESOLUTION
        if settled and _identity(path.stat()) == _identity(before):
            self._keep(before, found)
        return found

    def _find(self, status: os.stat_result, algorithm: ChecksumAlgorithm) -> bytes | None:
        device, inode, *rest = _identity(status)
        rows = self._execute(
            "SELECT digest FROM sums_1 WHERE device = ? AND inode = ? AND algorithm = ?"
            " AND size = ? AND modified = ? AND changed = ?",
            (device, inode, str(algorithm), *rest),
        )
        return bytes(rows[0][0]) if rows else None

    def _keep(self, status: os.stat_result, found: Checksum) -> None:
        device, inode, *rest = _identity(status)
        self._execute(
            "INSERT OR REPLACE INTO sums_1 (device, inode, algorithm, size, modified, changed, digest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (device, inode, str(found.algorithm), *rest, found.value),
        )
        self._execute("DELETE FROM sums_1 WHERE number <= (SELECT max(number) FROM sums_1) - ?", (self._most,))

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[tuple[bytes, ...]]:
        with self._lock:
            if not self._usable:
                return []
            try:
                if self._database is None:
                    self._database = self._open()
                return self._database.execute(statement, values).fetchall()
            except (sqlite3.Error, OSError) as exc:
                self._usable = False
                _LOG.warning("%s: checksums are not remembered: %s", self._path, exc)
                return []

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The names of no files are in it, but their checksums are: only the user reads it.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            # Without a flush for each row. A power failure loses the latest rows only.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_SCHEMA)
        except BaseException:
            database.close()
            raise
        return database

    def _close(self) -> None:
        with self._lock:
            self._usable = False
            database, self._database = self._database, None
            if database is not None:
                with suppress(sqlite3.Error):
                    database.close()


def _identity(status: os.stat_result) -> tuple[str, str, int, int, int]:
    # Numbers of inodes can be larger than the integers of SQLite.
    return str(status.st_dev), str(status.st_ino), status.st_size, status.st_mtime_ns, status.st_ctime_ns
