"""
A file that is copied from: pinned to the version it had when it was opened.
"""

from __future__ import annotations

import os

from asyncstore.conditions import check_write
from asyncstore.drivers.local.files import copy_bytes, etag_of
from asyncstore.drivers.local.store import Store
from asyncstore.errors import SourceChangedError
from asyncstore.options import MiB
from asyncstore.types import Metadata
from asyncstore.uri import ObjectURI


class SourceFile:
    """
    The source of a copy. Every method blocks; :meth:`close` comes last.
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
        Copy up to *size* bytes from *start* to the same place in *target*; return how many.
        """
        return copy_bytes(self.descriptor, target, start, size, start)

    def read(self, start: int, end: int) -> bytes:
        """
        Return up to 1 MiB of the bytes from *start* to *end*.
        """
        data = os.pread(self.descriptor, min(MiB, end - start), start)
        if not data:
            raise SourceChangedError(f"the file ends at byte {start} and was longer before")
        return data

    def check(self) -> None:
        """
        Raise :class:`SourceChangedError` if the file was written to since it was opened.
        """
        if etag_of(os.fstat(self.descriptor)) != self.info.etag:
            raise SourceChangedError("the file was written to while it was copied")

    def close(self) -> None:
        """
        Close the file.
        """
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1
