"""
What headers carry: texts and dates, written and read so that they come back the same.

Texts of plain ASCII go as they are. Any other, and one that would not come back
the same, goes by RFC 2047, which is undone on reading.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

_MONTHS: Final = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}

# An encoded word has at most 75 characters: 44 bytes of base64 and what is round them.
_WORD_CHARACTERS: Final = 11


def encode_value(value: str) -> str:
    """
    Return a metadata value as it is sent.
    """
    if value.isascii() and value == value.strip() and not value.startswith("=?"):
        return value
    pieces = [value[i : i + _WORD_CHARACTERS] for i in range(0, len(value), _WORD_CHARACTERS)]
    words = [base64.b64encode(piece.encode()).decode("ascii") for piece in pieces]
    return " ".join([f"=?UTF-8?B?{word}?=" for word in words])


def decode_value(value: str) -> str:
    """
    Return a metadata value as it was meant; one that is not of RFC 2047 is itself.
    """
    if "=?" not in value:
        return value
    try:
        words = decode_header(value)
        return "".join([word if isinstance(word, str) else word.decode(charset or "ascii") for word, charset in words])
    except (HeaderParseError, LookupError, UnicodeDecodeError):
        return value


def parse_date(text: str) -> datetime | None:
    """
    Read an HTTP date; ``None`` if it is none.
    """
    try:
        # "Sun, 06 Nov 1994 08:49:37 GMT", and nothing else since RFC 9110.
        return datetime.fromisoformat(f"{text[12:16]}-{_MONTHS[text[8:11]]}-{text[5:7]}T{text[17:25]}+00:00")
    except (KeyError, ValueError):
        return _parse_old_date(text)


def _parse_old_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None


def http_date(moment: datetime) -> str:
    """
    Write an HTTP date.
    """
    return format_datetime(moment.astimezone(UTC), usegmt=True)
