"""
Texts, tags, dates and sizes in headers and documents.

Plain ASCII is sent unchanged. Other text, and text that servers would change, is encoded
as in RFC 2047 and decoded on reading, so that it survives the round trip.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final

from asyncstore.types import is_weak

_MONTHS: Final = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}

# An encoded word has at most 75 characters: 44 bytes of base64 and its delimiters.
_WORD_CHARACTERS: Final = 11

# A value that consists of encoded words: https://www.rfc-editor.org/rfc/rfc2047#section-2
_WORD: Final = r"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?="
_ENCODED: Final = re.compile(rf"{_WORD}(?:\s+{_WORD})*")

#: The largest size or number in a reply that is believed: that of a signed integer of 64 bits.
LARGEST: Final = 2**63 - 1


def encode_value(value: str) -> str:
    """
    Return a metadata value encoded for a header.
    """
    if value.isascii() and value == value.strip() and "=?" not in value:
        return value
    pieces = [value[i : i + _WORD_CHARACTERS] for i in range(0, len(value), _WORD_CHARACTERS)]
    words = [base64.b64encode(piece.encode()).decode("ascii") for piece in pieces]
    return " ".join([f"=?UTF-8?B?{word}?=" for word in words])


def decode_value(value: str) -> str:
    """
    Return a metadata value decoded from a header; one that is not all RFC 2047 is returned unchanged.
    """
    if "=?" not in value or not _ENCODED.fullmatch(value):
        return value
    try:
        words = decode_header(value)
        return "".join([word if isinstance(word, str) else word.decode(charset or "ascii") for word, charset in words])
    except (HeaderParseError, LookupError, ValueError):
        return value


def etag_of(text: str | None) -> str | None:
    """
    Return an ETag without its quotes; ``None`` if it is missing or empty. A weak one keeps its ``W/"..."``.
    """
    if not text:
        return None
    return text if is_weak(text) else text.strip('"') or None


def parse_size(value: Any) -> int:
    """
    Return a number of bytes, or another count, from a document.

    Raises:
        ValueError: It is not a whole number from 0 to the largest of 64 bits.
    """
    text = str(value)
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(LARGEST)) or int(text) > LARGEST:
        raise ValueError(f"{text[:40]!r} is not a size")
    return int(text)


def parse_time(text: str) -> datetime:
    """
    Parse a time of ISO 8601, which is UTC unless it says otherwise.

    Raises:
        ValueError: It is invalid, or out of range.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is out of range") from None


def parse_date(text: str) -> datetime | None:
    """
    Parse an HTTP date; ``None`` if it is invalid.
    """
    try:
        # "Sun, 06 Nov 1994 08:49:37 GMT": the only form that RFC 9110 allows to send.
        return datetime.fromisoformat(f"{text[12:16]}-{_MONTHS[text[8:11]]}-{text[5:7]}T{text[17:25]}+00:00")
    except (KeyError, ValueError):
        return _parse_old_date(text)


def _parse_old_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def http_date(moment: datetime) -> str:
    """
    Format an HTTP date.
    """
    return format_datetime(moment.astimezone(UTC), usegmt=True)
