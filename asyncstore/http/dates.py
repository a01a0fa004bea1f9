"""
Dates in headers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

_MONTHS: Final = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


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
    Return a moment, which has a time zone, as HTTP writes it: in whole seconds.
    """
    return format_datetime(moment.astimezone(UTC), usegmt=True)
