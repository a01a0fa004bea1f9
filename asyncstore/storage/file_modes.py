"""
The modes in which objects are opened as files, and how text and compressed bytes are coded.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any, Literal

from asyncstore._support.argument_types import check_argument
from asyncstore.engine.compression import Compression, decompressor
from asyncstore.engine.download.decoded import binary, line_ends, text_decoder
from asyncstore.engine.upload.encoded import text_encoder
from asyncstore.errors import NotSupportedError

ReadBinary = Literal["rb", "br"]
ReadText = Literal["r", "rt", "tr"]
WriteBinary = Literal["wb", "bw", "xb", "bx"]
WriteText = Literal["w", "wt", "tw", "x", "xt", "tx"]
Newline = Literal["", "\n", "\r", "\r\n"]


def parse_mode(mode: str) -> tuple[str, bool]:
    """
    Return ``"r"``, ``"w"`` or ``"x"``, and whether it is text.

    Raises:
        NotSupportedError: It appends.
        ValueError: *mode* is invalid.
    """
    check_argument("mode", mode, str)
    letters, rest = set(mode) & set("rwxa"), set(mode) - set("rwxa")
    if len(letters) != 1 or len(set(mode)) < len(mode) or rest not in (set(), {"b"}, {"t"}):
        raise ValueError(f"mode takes 'r', 'w' or 'x', with 'b' for bytes or 't' for text, not {mode!r}")
    if "a" in mode:
        raise NotSupportedError(
            f"mode {mode!r} is not supported, since objects are written as a whole: read the object and write all of "
            "it again, or write another object"
        )
    return letters.pop(), "b" not in mode


def refuse(mode: str, **given: object) -> None:
    """
    Raise a :class:`ValueError` if an argument is given that does not apply to *mode*.
    """
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} does not apply to mode {mode!r}")


class Coding:
    """
    What is between the bytes of an object and those, or the text, of the caller.

    Raises:
        TypeError, ValueError, LookupError: The compression, encoding or error handler is unknown.
        ConfigurationError: What compresses is not installed.
    """

    def __init__(
        self,
        compression: Compression | None,
        text: bool,
        encoding: str | None,
        errors: str | None,
        newline: Newline | None,
    ) -> None:
        check_argument("compression", compression, Compression | None)
        check_argument("encoding", encoding, str | None)
        check_argument("errors", errors, str | None)
        check_argument("newline", newline, str | None)
        if newline not in (None, "", "\n", "\r", "\r\n"):
            raise ValueError(f"newline takes None, '', '\\n', '\\r' or '\\r\\n', not {newline!r}")
        self.compression: Compression | None = compression
        self._text = text
        self._encoding = encoding or "utf-8"
        self._errors = errors or "strict"
        self._newline = newline
        if compression is not None:
            decompressor(compression)
        codecs.lookup(self._encoding)
        codecs.lookup_error(self._errors)

    @property
    def plain(self) -> bool:
        """Whether there is nothing."""
        return not self._text and self.compression is None

    def decoder(self) -> tuple[Callable[[bytes, bool], Any], tuple[Any, ...]]:
        """
        Return what decodes the chunks of one file, and what ends a line.
        """
        if not self._text:
            return binary, (b"\n",)
        return text_decoder(self._encoding, self._errors, self._newline), line_ends(self._newline)

    def encoder(self) -> Callable[[Any], Any]:
        """
        Return what encodes the data written to one file.
        """
        return text_encoder(self._encoding, self._errors, self._newline) if self._text else bytes
