"""
An object written as text, or compressed.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from types import TracebackType
from typing import Any, AnyStr, Final, Generic, Self

from asyncstore._support.threads import in_thread
from asyncstore.engine.compression import Compression, compressor
from asyncstore.engine.upload.writer import ObjectWriter
from asyncstore.options import KiB
from asyncstore.types import WriteResult

# Compressing more bytes than this (2 ms) is worth a thread.
_INLINE: Final = 64 * KiB


class EncodedWriter(Generic[AnyStr]):
    """
    An object opened for writing as text, or to be compressed; returned by ``storage.open()``.

    It appears when the file is closed, completely or not at all, as with
    :class:`~asyncstore.engine.upload.writer.ObjectWriter`.
    """

    def __init__(self, target: ObjectWriter, compression: Compression | None, encode: Callable[[AnyStr], Any]) -> None:
        self._target = target
        self._compressor = None if compression is None else compressor(compression)
        self._encode: Callable[[AnyStr], Any] = encode

    @property
    def info(self) -> WriteResult | None:
        """The object that was written; ``None`` until the file is closed."""
        return self._target.info

    @property
    def name(self) -> str:
        """The URI of the object."""
        return self._target.name

    @property
    def closed(self) -> bool:
        """Whether it was closed or aborted."""
        return self._target.closed

    def readable(self) -> bool:
        """Return ``False``."""
        return False

    def seekable(self) -> bool:
        """Return ``False``."""
        return False

    def writable(self) -> bool:
        """Return ``True``."""
        return True

    async def write(self, data: AnyStr, /) -> int:
        """
        Write all of *data* and return its length, in characters or bytes.

        Raises:
            UnicodeEncodeError: The text cannot be encoded; nothing of it is written.
            StorageError: The upload has failed, or an earlier write was interrupted.
        """
        encoded = self._encode(data)
        if self._compressor is None:
            await self._target.write(encoded)
            return len(data)
        try:
            if len(encoded) > _INLINE:
                compressed = await in_thread(self._compressor.compress, encoded)
            else:
                compressed = self._compressor.compress(encoded)
            await self._target.write(compressed)
        except BaseException:
            self._target.interrupted = True
            raise
        return len(data)

    async def close(self) -> WriteResult:
        """
        Publish the object and return it; may be called twice.

        Raises:
            StorageError: The upload failed, a condition did not hold, or a write was interrupted. Nothing is published.
        """
        if not self.closed and self._compressor is not None:
            try:
                await self._target.write(self._compressor.flush())
            except BaseException:
                await self.abort()
                raise
        return await self._target.close()

    async def abort(self) -> None:
        """
        Close the file and publish nothing. Does nothing after :meth:`close`.
        """
        await self._target.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            await self.abort()
        elif not self.closed:
            await self.close()

    def __repr__(self) -> str:
        return f"<EncodedWriter of {self._target!r}>"


def text_encoder(encoding: str, errors: str, newline: str | None) -> Callable[[str], bytes]:
    """
    Return an encoder that ends lines with *newline*; it leaves their ends unchanged if that is ``None`` or empty.

    Raises:
        LookupError: The encoding is unknown.
    """
    encoder = codecs.getincrementalencoder(encoding)(errors)
    if newline in (None, "", "\n"):
        return encoder.encode
    return lambda text: encoder.encode(text.replace("\n", newline or "\n"))
