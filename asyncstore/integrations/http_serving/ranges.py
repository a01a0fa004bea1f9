"""
Ranges of a request: https://www.rfc-editor.org/rfc/rfc9110#section-14
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from asyncstore.options import ByteRange

#: Ranges of one request; a request with more gets the whole object. Each can cost a request to the provider.
MAX_RANGES: Final = 32

_RANGES: Final = re.compile(r"bytes=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE: Final = re.compile(r"([0-9]{0,40})-([0-9]{0,40})")

# Positions that do not fit into 64 bits are after the end of every object.
_LAST: Final = 2**62

# Bytes between two ranges that are fewer than what a part of its own costs are sent along:
# https://www.rfc-editor.org/rfc/rfc9110#section-14.2
_CLOSE: Final = 100


class Part(NamedTuple):
    """
    Bytes from *start* up to, not including, *end*.
    """

    start: int
    end: int


def parse_ranges(header: str | None) -> Sequence[ByteRange]:
    """
    Return the ranges of a ``Range`` header; none if it is missing, malformed, or in another unit, which means the
    whole object.

    A suffix of no bytes is an empty range.
    """
    found = _RANGES.fullmatch(header.strip()) if header else None
    if found is None:
        return ()
    ranges = []
    for text in (item.strip(" \t") for item in found[1].split(",")):
        if text:
            part = _parse(text)
            if part is None:
                return ()
            ranges.append(part)
    return ranges if len(ranges) <= MAX_RANGES else ()


def _parse(text: str) -> ByteRange | None:
    match = _RANGE.fullmatch(text)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        suffix = min(int(last), _LAST)
        return ByteRange(-suffix) if suffix else ByteRange(0, 0)
    if not last:
        return ByteRange(min(int(first), _LAST))
    if int(last) < int(first):
        return None
    return ByteRange(min(int(first), _LAST), min(int(last), _LAST) + 1)


def resolve(ranges: Sequence[ByteRange], size: int) -> Sequence[Part]:
    """
    Return the parts of an object of *size* bytes that exist, in the order of *ranges*.

    Parts that overlap or nearly touch are one.
    """
    parts: list[Part] = []
    for part in (_resolve(wanted, size) for wanted in ranges):
        if part.start < part.end:
            _add(parts, part)
    return parts


def _resolve(wanted: ByteRange, size: int) -> Part:
    if wanted.start < 0:
        return Part(max(0, size + wanted.start), size)
    return Part(wanted.start, size if wanted.end is None else min(wanted.end, size))


def _add(parts: list[Part], part: Part) -> None:
    for index, other in enumerate(parts):
        if part.start <= other.end + _CLOSE and other.start <= part.end + _CLOSE:
            joined, rest = Part(min(part.start, other.start), max(part.end, other.end)), parts[index + 1 :]
            del parts[index:]
            # The larger one may touch others.
            for again in (joined, *rest):
                _add(parts, again)
            return
    parts.append(part)
