"""
Compression in steps of bounded size.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any, Final, Literal, Protocol

from asyncstore.errors import ConfigurationError, IntegrityError
from asyncstore.options import MiB

#: Formats that are compressed and decompressed when asked.
Compression = Literal["gzip", "zstd"]

# The most bytes that one step of decompression returns: a few bytes can stand for very many.
_STEP: Final = 1 * MiB

# zlib's window size for the format of gzip: https://docs.python.org/3/library/zlib.html#zlib.decompressobj
_GZIP: Final = 16 + zlib.MAX_WBITS

# Of Python since 3.14, and for earlier ones.
_ZSTD: Final = ("compression.zstd", "backports.zstd")


class Decompressor(Protocol):
    """
    Decompresses one object.
    """

    @property
    def hungry(self) -> bool:
        """Whether the next step needs more input."""
        ...

    def step(self, data: bytes) -> bytes:
        """
        Take *data*, and return the next bytes: at most 1 MiB, none if more input is needed.

        Raises:
            IntegrityError: It is not of this format, or its checksum is wrong.
        """
        ...

    def finish(self) -> None:
        """
        Check that the input ended where the format says.

        Raises:
            IntegrityError: It ended early.
        """
        ...


class Compressor(Protocol):
    """
    Compresses one object.
    """

    def compress(self, data: bytes, /) -> bytes:
        """Take *data*, and return what is compressed so far, maybe nothing."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


def decompressor(compression: Compression) -> Decompressor:
    """
    Return what decompresses one object.

    Raises:
        ConfigurationError: It is not installed.
    """
    return Gunzip() if compression == "gzip" else Unzstd(_zstd())


def compressor(compression: Compression) -> Compressor:
    """
    Return what compresses one object, always in the same way: equal data gives equal objects.

    Raises:
        ConfigurationError: It is not installed.
    """
    # Without a time in its header.
    made: Compressor = zlib.compressobj(wbits=_GZIP) if compression == "gzip" else _zstd().ZstdCompressor()
    return made


def _zstd() -> Any:
    for name in _ZSTD:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise ConfigurationError("compression='zstd' needs Python 3.14 or a package: pip install backports.zstd")


class Gunzip:
    """
    Decompresses gzip, also several members one after the other, in steps of bounded size.
    """

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._waiting = b""
        self._begun = False

    @property
    def hungry(self) -> bool:
        """Whether the next step needs more input."""
        return not self._waiting

    def step(self, data: bytes) -> bytes:
        """
        Take *data*, and return the next bytes.
        """
        data = self._waiting + data
        if self._member.eof:
            # Some tools pad the last member with zeros: https://www.gnu.org/software/gzip/manual/gzip.html#Tapes
            data = data.lstrip(b"\0")
            if data:
                self._member = zlib.decompressobj(_GZIP)
        if not data:
            self._waiting = b""
            return b""
        self._begun = True
        try:
            inflated = self._member.decompress(data, _STEP)
        except zlib.error as exc:
            raise IntegrityError(f"it cannot be decompressed as gzip: {exc}") from exc
        self._waiting = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return inflated

    def finish(self) -> None:
        """
        Check that the input ended where a member ends.
        """
        if self._begun and not self._member.eof:
            raise IntegrityError("the gzip data ended before its end marker: the object was truncated")


class Unzstd:
    """
    Decompresses Zstandard, also several frames one after the other, in steps of bounded size.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._frame = module.ZstdDecompressor()
        self._waiting = b""
        self._begun = False

    @property
    def hungry(self) -> bool:
        """Whether the next step needs more input."""
        return not self._waiting if self._frame.eof else bool(self._frame.needs_input)

    def step(self, data: bytes) -> bytes:
        """
        Take *data*, and return the next bytes.
        """
        if self._frame.eof:
            data, self._waiting = self._waiting + data, b""
            if not data:
                return b""
            self._frame = self._module.ZstdDecompressor()
        self._begun = True
        try:
            decompressed: bytes = self._frame.decompress(data, _STEP)
        except self._module.ZstdError as exc:
            raise IntegrityError(f"it cannot be decompressed as zstd: {exc}") from exc
        if self._frame.eof:
            self._waiting = self._frame.unused_data
        return decompressed

    def finish(self) -> None:
        """
        Check that the input ended where a frame ends.
        """
        if self._begun and not self._frame.eof:
            raise IntegrityError("the zstd data ended before the end of its frame: the object was truncated")
