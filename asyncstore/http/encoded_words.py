"""
Text of any characters in headers, which are ASCII: by RFC 2047.
"""

from __future__ import annotations

import base64
from email.errors import HeaderParseError
from email.header import decode_header
from typing import Final

# An encoded word has at most 75 characters: 44 bytes of base64 and what is round them.
_WORD_CHARACTERS: Final = 11


def encode_value(value: str) -> str:
    """
    Return a value as it is sent: itself, if it would come back the same.
    """
    if value.isascii() and value == value.strip() and not value.startswith("=?"):
        return value
    pieces = [value[i : i + _WORD_CHARACTERS] for i in range(0, len(value), _WORD_CHARACTERS)]
    words = [base64.b64encode(piece.encode()).decode("ascii") for piece in pieces]
    return " ".join([f"=?UTF-8?B?{word}?=" for word in words])


def decode_value(value: str) -> str:
    """
    Return a value as it was meant; one that is not of RFC 2047 is itself.
    """
    if "=?" not in value:
        return value
    try:
        words = decode_header(value)
        return "".join([word if isinstance(word, str) else word.decode(charset or "ascii") for word, charset in words])
    except (HeaderParseError, LookupError, UnicodeDecodeError):
        return value
