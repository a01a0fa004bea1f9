"""
Reading a file piece by piece, as it was when it was opened.
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from asyncstore.body import ReadBody
from asyncstore.drivers.local.files import etag_of
from asyncstore.errors import SourceChangedError
from asyncstore.options import KiB, MiB
from asyncstore.threads import in_thread
from asyncstore.types import Metadata

_CHUNK: Final = 1 * MiB
# Up to this size, opening and reading are one turn in a thread.
_AT_ONCE: Final = 256 * KiB


class FileReadBody(ReadBody):
    """
    Bytes *start* to *end* of an open file.

    A file that is replaced meanwhile goes on giving its old bytes. One that is
    changed in place, by a program that does not know of us, raises
    :class:`SourceChangedError` at the end at the latest.
    """

    def __init__(self, descriptor: int, info: Metadata, start: int, end: int) -> None:
        self.info = info
        self.start = start
        self.end = end
        self._at = start
        # Closes the descriptor even if it is forgotten, with a warning.
        self._file = io.FileIO(descriptor, "r")
        self._first = b""

    def prefetch(self) -> None:
        """
        Read a small range at once, and close the file; for the thread that has opened it.
        """
        if self.end - self.start > _AT_ONCE:
            return
        with self._file:
            while self._at < self.end:
                self._first += self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        if self._first:
            first, self._first = self._first, b""
            yield first
        while self._at < self.end and not self._file.closed:
            yield await in_thread(self._read)

    def _read(self) -> bytes:
        descriptor = self._file.fileno()
        data = os.pread(descriptor, min(_CHUNK, self.end - self._at), self._at)
        self._at += len(data)
        if not data and self._at < self.end:
            raise SourceChangedError(f"the file ends at byte {self._at} and had {self.info.size} before")
        if self._at == self.end and etag_of(os.fstat(descriptor)) != self.info.etag:
            raise SourceChangedError("the file was written to while it was read")
        return data

    async def aclose(self) -> None:
        self._first = b""
        if not self._file.closed:
            await in_thread(self._file.close)
