"""
Objects as files with their descriptions: what one turn in a thread does. Everything here blocks.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from asyncstore.conditions import check_read, check_write, resolve_range
from asyncstore.drivers.local.completion import Completion
from asyncstore.drivers.local.files import NewFile, etag_of, seal
from asyncstore.drivers.local.reader import FileReadBody
from asyncstore.drivers.local.sidecar import Description, Sidecars
from asyncstore.drivers.local.tree import TEMPORARY, Tree
from asyncstore.drivers.local.uploads import Uploads, names_in
from asyncstore.errors import NotFoundError, StorageError, UnavailableError
from asyncstore.options import CopyOptions, DeleteOptions, ReadOptions, WriteOptions
from asyncstore.types import Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_JUNK: Final = timedelta(days=1)
_ATTEMPTS: Final = 100

#: The conditions of a write.
Conditions = WriteOptions | CopyOptions


class Store:
    """
    The objects of one root.
    """

    def __init__(self, root: str, *, sync: bool) -> None:
        self.tree = Tree(root, sync=sync)
        self.uploads = Uploads(self.tree)
        self.sidecars = Sidecars(self.tree)
        self._mode: int | None = None
        self._preparing = threading.Lock()

    def open(self, uri: ObjectURI, key: str, options: ReadOptions) -> FileReadBody:
        """
        Open an object and read as much of it as comes at little cost.
        """
        descriptor, info = self.open_file(uri, key)
        try:
            check_read(info, options)
            start, end = resolve_range(options.range, info.size)
        except BaseException:
            os.close(descriptor)
            raise
        body = FileReadBody(descriptor, info, start, end)
        body.prefetch()
        return body

    def stat(self, uri: ObjectURI, key: str) -> Metadata:
        """
        Return all that is known of an object.
        """
        descriptor, info = self.open_file(uri, key)
        os.close(descriptor)
        return info

    def publish(
        self, uri: ObjectURI, key: str, new: NewFile | Completion, description: Description, conditions: Conditions
    ) -> ObjectInfo:
        """
        Make a file the object *key*, with its description, if the conditions hold.
        """
        status = seal(new.descriptor, mode=self._permissions(), sync=self.tree.sync)
        etag = etag_of(status)
        self.sidecars.write(key, etag, description)
        try:
            replaced = self.tree.publish(
                new.directory,
                new.name,
                key,
                lambda found: check_write(_etag(found), conditions.if_match, conditions.if_none_match),
                create_only=conditions.if_none_match is not None,
            )
        except BaseException:
            # The last step, flushing the directory, can fail when the object is there.
            with suppress(OSError, StorageError):
                if _etag(self.tree.find(key)) != etag:
                    self.sidecars.remove(key, etag)
            raise
        new.published = True
        if replaced is not None:
            self.sidecars.remove(key, etag_of(replaced))
        return replace(info_of(uri, status), checksum=description.checksums[0] if description.checksums else None)

    def check(self, key: str, conditions: Conditions) -> None:
        """
        Look whether the conditions hold by now, before any work is done for nothing.
        """
        if conditions.if_match is not None or conditions.if_none_match is not None:
            check_write(_etag(self.tree.find(key)), conditions.if_match, conditions.if_none_match)

    def remove(self, key: str, options: DeleteOptions) -> None:
        """
        Remove an object and its description.
        """
        removed = self.tree.remove(key, lambda found: check_write(_etag(found), options.if_match))
        if removed is not None:
            self.sidecars.remove(key, etag_of(removed))

    def open_file(self, uri: ObjectURI, key: str) -> tuple[int, Metadata]:
        """
        Open an object's file, with the description of the version that was opened.
        """
        for _ in range(_ATTEMPTS):
            descriptor, status = self.tree.open(key)
            try:
                etag = etag_of(status)
                description = self.sidecars.read(key, etag)
                # Without one it is the file of another program, or it has been
                # replaced since, and the description with it.
                if description is not None or _etag(self.tree.find(key)) == etag:
                    return descriptor, _metadata(uri, status, description or Description())
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise UnavailableError(f"{key!r} is replaced faster than it can be read")

    def _permissions(self) -> int:
        with self._preparing:
            if self._mode is None:
                self._mode = self._prepare()
            return self._mode

    def _sweep_sidecars(self) -> None:
        # A few each time: those of killed writers, and of files that others removed.
        for key, etag in self.sidecars.some(older_than=time.time() - _JUNK.total_seconds()):
            with suppress(OSError, StorageError):
                if _etag(self.tree.find(key)) != etag:
                    self.sidecars.remove(key, etag)

    def _prepare(self) -> int:
        with self.tree.directory(TEMPORARY, make=True) as here:
            _sweep(here, time.time() - _JUNK.total_seconds())
            self._sweep_sidecars()
            # The umask cannot be asked for without changing it for all threads.
            name = secrets.token_hex(16)
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=here)
            os.unlink(name, dir_fd=here)
            try:
                return stat.S_IMODE(os.fstat(descriptor).st_mode)
            finally:
                os.close(descriptor)


def info_of(uri: ObjectURI, status: os.stat_result) -> ObjectInfo:
    """
    Return what the state of its file says of an object.
    """
    moment = datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1_000_000, UTC)
    return ObjectInfo(uri=uri, size=status.st_size, etag=etag_of(status), last_modified=moment)


def _metadata(uri: ObjectURI, status: os.stat_result, description: Description) -> Metadata:
    info = info_of(uri, status)
    return Metadata(
        uri=uri,
        size=info.size,
        etag=info.etag,
        last_modified=info.last_modified,
        checksum=description.checksums[0] if description.checksums else None,
        checksums=description.checksums,
        content_type=description.content_type,
        content_encoding=description.content_encoding,
        content_language=description.content_language,
        content_disposition=description.content_disposition,
        cache_control=description.cache_control,
        metadata=description.metadata,
    )


def _etag(status: os.stat_result | None) -> str | None:
    return None if status is None else etag_of(status)


def _sweep(here: int, too_old: float) -> None:
    for name in names_in(here):
        with suppress(OSError):
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
            if status.st_mtime > too_old:
                continue
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(name, dir_fd=here)
            else:
                os.unlink(name, dir_fd=here)


def missing_root(root: str) -> NotFoundError:
    """
    Return the error for a root that nothing has been written to.
    """
    return NotFoundError(f"there is no directory {root}; the first write makes it", code="ENOENT")
