"""
Objects as files with sidecars: the steps that run in one thread call. Everything here blocks.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from asyncstore.driver.conditions import check_read, check_write, resolve_range
from asyncstore.drivers.local.completion import Completion
from asyncstore.drivers.local.files import FileReadBody, NewFile, copy_bytes, etag_of, seal
from asyncstore.drivers.local.sidecar import Description, Sidecars
from asyncstore.drivers.local.tree import TEMPORARY, Tree
from asyncstore.drivers.local.uploads import Uploads, names_in
from asyncstore.errors import SourceChangedError, StorageError, UnavailableError
from asyncstore.options import CopyOptions, DeleteOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_JUNK: Final = timedelta(days=1)
_ATTEMPTS: Final = 100

#: The conditions of a write.
Conditions = WriteOptions | CopyOptions


class Store:
    """
    The objects below one root.
    """

    def __init__(self, root: str, *, sync: bool) -> None:
        self.tree = Tree(root, sync=sync)
        self.uploads = Uploads(self.tree)
        self.sidecars = Sidecars(self.tree)
        self._swept = False
        self._preparing = threading.Lock()

    def open(self, uri: ObjectURI, key: str, options: ReadOptions) -> FileReadBody:
        """
        Open an object; a small one is read at once.
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
        Return the metadata of an object.
        """
        descriptor, info = self.open_file(uri, key)
        os.close(descriptor)
        return info

    def publish(
        self, uri: ObjectURI, key: str, new: NewFile | Completion, description: Description, conditions: Conditions
    ) -> ObjectInfo:
        """
        Rename a temporary file to the object *key*, with its description, if the conditions hold.

        It gets the mode of the file that it replaces, or that of the umask.
        """
        self._sweep_once()
        status = seal(new.descriptor, mode=new.mode, sync=self.tree.sync)
        etag = etag_of(status)
        self.sidecars.write(key, etag, description)

        def check(found: os.stat_result | None) -> None:
            check_write(_etag(found), conditions.if_match, conditions.if_none_match)
            if found is not None and (kept := stat.S_IMODE(found.st_mode) & 0o777) != new.mode:
                # Never a set-user-id bit: the bytes are others.
                os.fchmod(new.descriptor, kept)

        try:
            replaced = self.tree.publish(
                new.directory,
                new.name,
                key,
                check,
                create_only=conditions.if_none_match is not None,
            )
        except BaseException:
            # Flushing the directory is the last step: if it fails, the object may exist already.
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
        Check the conditions early, before any data is written.
        """
        if conditions.if_match is not None or conditions.if_none_match is not None:
            check_write(_etag(self.tree.find(key)), conditions.if_match, conditions.if_none_match)

    def remove(self, key: str, options: DeleteOptions) -> None:
        """
        Delete an object and its sidecar.
        """
        removed = self.tree.remove(key, lambda found: check_write(_etag(found), options.if_match))
        if removed is not None:
            self.sidecars.remove(key, etag_of(removed))

    def open_file(self, uri: ObjectURI, key: str) -> tuple[int, Metadata]:
        """
        Open an object's file, and return it with the metadata of the version that was opened.
        """
        for _ in range(_ATTEMPTS):
            descriptor, status = self.tree.open(key)
            try:
                etag = etag_of(status)
                description = self.sidecars.read(key, etag)
                # Without a sidecar, either another program wrote the file, or the
                # object has been replaced since, along with its sidecar.
                if description is not None or _etag(self.tree.find(key)) == etag:
                    return descriptor, _metadata(uri, status, description or Description())
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise UnavailableError(f"the object {key!r} is replaced too often to be read")

    def _sweep_once(self) -> None:
        with self._preparing:
            if not self._swept:
                with self.tree.directory(TEMPORARY, make=True) as here:
                    _sweep(here, time.time() - _JUNK.total_seconds())
                self._sweep_sidecars()
                self._swept = True

    def _sweep_sidecars(self) -> None:
        # Stale sidecars of killed writers and of files that other programs removed, a few each time.
        for key, etag in self.sidecars.some(older_than=time.time() - _JUNK.total_seconds()):
            with suppress(OSError, StorageError):
                if _etag(self.tree.find(key)) != etag:
                    self.sidecars.remove(key, etag)


class SourceFile:
    """
    The source of a copy. Every method blocks; call :meth:`close` last.
    """

    info: Metadata

    def __init__(self, store: Store, uri: ObjectURI, key: str) -> None:
        self.descriptor = -1
        self._store = store
        self._uri = uri
        self._key = key

    def open(self, if_match: str | None) -> None:
        """
        Open the file, if the condition holds.
        """
        self.descriptor, self.info = self._store.open_file(self._uri, self._key)
        check_write(self.info.etag, if_match)

    def copy(self, target: int, start: int, size: int) -> int:
        """
        Copy up to *size* bytes from *start* to the same offset in *target*; return how many.
        """
        return copy_bytes(self.descriptor, target, start, size, start)

    def read(self, start: int, end: int) -> bytes:
        """
        Return up to 1 MiB of the bytes from *start* to *end*.
        """
        data = os.pread(self.descriptor, min(MiB, end - start), start)
        if not data:
            raise SourceChangedError(f"the file was truncated to {start} bytes while it was being copied")
        return data

    def check(self) -> None:
        """
        Raise :class:`SourceChangedError` if the file was modified since it was opened.
        """
        if etag_of(os.fstat(self.descriptor)) != self.info.etag:
            raise SourceChangedError("the file was modified while it was being copied")

    def close(self) -> None:
        """
        Close the file.
        """
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def info_of(uri: ObjectURI, status: os.stat_result) -> ObjectInfo:
    """
    Return the facts about an object that its file's status has.
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
