"""
An object as a file of text, or of what it was compressed from: read from the start to the end.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
from types import TracebackType
from typing import Any, AnyStr, Final, Generic, Self

from asyncstore._support.threads import in_thread
from asyncstore.engine.compression import Compression, decompressor
from asyncstore.engine.download.reader import ObjectReader
from asyncstore.options import KiB
from asyncstore.types import Metadata

# Bytes read from the object at a time.
_READ: Final = 256 * KiB


class DecodedReader(Generic[AnyStr]):
    """
    An object opened for reading as text, or decompressed; returned by ``storage.open()``.

    Has the methods of :class:`~asyncstore.engine.download.reader.ObjectReader` but those that change the position.

    Attributes:
        info: The object's metadata; its size is that of the stored bytes.
    """

    def __init__(
        self, source: ObjectReader, compression: Compression | None, decode: Callable[[bytes, bool], AnyStr], ends: Any
    ) -> None:
        self.info: Metadata = source.info
        self._source = source
        self._decompressor = None if compression is None else decompressor(compression)
        self._decode: Callable[[bytes, bool], AnyStr] = decode
        # Each a text that ends a line; the longest first.
        self._ends: tuple[AnyStr, ...] = ends
        self._empty: AnyStr = decode(b"", False)
        self._rest: AnyStr = self._empty
        # Where the rest begins in itself, so that a line does not copy what is after it.
        self._at = 0
        self._ended = False

    @property
    def name(self) -> str:
        """The URI of the object."""
        return self._source.name

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._source.closed

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``False``."""
        return False

    def writable(self) -> bool:
        """Return ``False``."""
        return False

    async def read(self, size: int | None = -1, /) -> AnyStr:
        """
        Return *size* bytes or characters; fewer only at the end. The rest if it is negative or ``None``.

        Raises:
            UnicodeDecodeError: The bytes are not text in this encoding.
            IntegrityError: They cannot be decompressed.
            SourceChangedError: The object was replaced since it was opened.
        """
        wanted = -1 if size is None else size
        pieces = []
        while wanted and await self._more():
            piece = self._rest[self._at :] if wanted < 0 else self._rest[self._at : self._at + wanted]
            self._at += len(piece)
            wanted -= len(piece) if wanted > 0 else 0
            pieces.append(piece)
        return self._empty.join(pieces)

    async def readline(self) -> AnyStr:
        """
        Return the next line with its end, empty at the end of the object.

        Raises:
            UnicodeDecodeError, IntegrityError, SourceChangedError: As :meth:`read`.
        """
        pieces = []
        while await self._more():
            stop, complete = self._line_end()
            pieces.append(self._rest[self._at : stop])
            self._at = stop
            if complete:
                break
        return self._empty.join(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyStr:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def seek(self, offset: int, whence: int = 0, /) -> int:
        """
        Refuse to seek: a place in the text is not known before it was decoded.
        """
        raise io.UnsupportedOperation(
            f"{self.name} is decoded from the start to the end: open it with mode 'rb' to seek"
        )

    async def close(self) -> None:
        """
        Close the object.
        """
        await self._source.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<DecodedReader of {self._source!r}>"

    async def _more(self) -> bool:
        """
        Return whether there is more, decoding the next chunk if the present one is used up.
        """
        while self._at >= len(self._rest) and not self._ended:
            data = await self._bytes()
            self._ended = not data
            self._rest, self._at = self._decode(data, self._ended), 0
        return self._at < len(self._rest)

    async def _bytes(self) -> bytes:
        if self._decompressor is None:
            return await self._source.read(_READ)
        while True:
            data = b""
            if self._decompressor.hungry and not (data := await self._source.read(_READ)):
                self._decompressor.finish()
                return b""
            if inflated := await in_thread(self._decompressor.step, data):
                return inflated

    def _line_end(self) -> tuple[int, bool]:
        """
        Return where the line that starts here ends in the rest, and whether it is complete.
        """
        found = [(at, len(end)) for end in self._ends if (at := self._rest.find(end, self._at)) >= 0]
        if not found:
            return len(self._rest), False
        # The first end; of two at the same place the longer one.
        at, length = min(found, key=lambda item: (item[0], -item[1]))
        return at + length, True


def binary(data: bytes, _: bool) -> bytes:
    """
    Leave bytes as they are.
    """
    return data


def text_decoder(encoding: str, errors: str, newline: str | None) -> Callable[[bytes, bool], str]:
    """
    Return a decoder that translates the ends of lines as :func:`open` does.

    Raises:
        LookupError: The encoding is unknown.
    """
    # Also without translation: it never ends a chunk between "\\r" and "\\n".
    decoder: Any = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder(encoding)(errors), translate=newline is None
    )
    decode: Callable[[bytes, bool], str] = decoder.decode
    return decode


def line_ends(newline: str | None) -> tuple[str, ...]:
    """
    Return what ends a line of text.
    """
    if newline == "":
        return "\r\n", "\n", "\r"
    return ("\n",) if newline is None else (newline,)
