"""
Conditions and ranges, checked for drivers that store the objects themselves.

The order of the checks follows RFC 9110, section 13.2.2: a date is ignored if
there is an ETag for the same purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotModifiedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
)
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.types import ObjectInfo, Part


def check_read(info: ObjectInfo, options: ReadOptions) -> None:
    """
    Check the conditions of a read against the current object.

    Raises:
        PreconditionFailedError: ``if_match`` or ``if_unmodified_since`` does not hold.
        NotModifiedError: ``if_none_match`` or ``if_modified_since`` does not hold.
    """
    if options.if_match is not None:
        if not _matches(options.if_match, info.etag):
            raise PreconditionFailedError(f"its ETag is {info.etag!r}, and if_match is {options.if_match!r}")
    elif _written_after(info, options.if_unmodified_since):
        raise PreconditionFailedError(f"it was modified at {info.last_modified}, after if_unmodified_since")
    if options.if_none_match is not None:
        if _matches(options.if_none_match, info.etag):
            raise NotModifiedError(f"its ETag is still {info.etag}")
    elif options.if_modified_since is not None and not _written_after(info, options.if_modified_since):
        raise NotModifiedError(f"it has not been modified since {info.last_modified}")


def check_write(etag: str | None, if_match: str | None, if_none_match: Literal["*"] | None = None) -> None:
    """
    Check the conditions of a write, copy or deletion against the *etag* of the current object, if it exists.

    Raises:
        AlreadyExistsError: Create-only, and the object exists.
        PreconditionFailedError: ``if_match``, and the object has another ETag or does not exist.
    """
    if if_none_match is not None and etag is not None:
        raise AlreadyExistsError
    if if_match is None:
        return
    if etag is None:
        raise PreconditionFailedError(f"it does not exist, and if_match requires the ETag {if_match}")
    if not _matches(if_match, etag):
        raise PreconditionFailedError(f"its ETag is {etag!r}, and if_match is {if_match!r}")


def check_parts(parts: Sequence[Part], uploaded: Mapping[int, Part]) -> list[int]:
    """
    Check that a multipart upload can be completed with *parts*; return their numbers in order.

    Raises:
        InvalidRequestError: The list is empty, or a part is missing, named twice or has another ETag.
    """
    numbers = sorted(part.number for part in parts)
    if not numbers:
        raise InvalidRequestError("a multipart upload needs at least one part", code="MalformedXML")
    if len(set(numbers)) < len(numbers):
        raise InvalidRequestError("a part number appears twice", code="InvalidPartOrder")
    for part in parts:
        if part.number not in uploaded or uploaded[part.number].etag != part.etag.strip('"'):
            raise InvalidRequestError(f"part {part.number} with ETag {part.etag} was not uploaded", code="InvalidPart")
    return numbers


def resolve_range(wanted: ByteRange | None, size: int) -> tuple[int, int]:
    """
    Return start and end (exclusive) of *wanted* in an object of *size* bytes.

    Raises:
        RangeNotSatisfiableError: It starts at or after the end of the object.
    """
    if wanted is None:
        return 0, size
    start = max(0, size + wanted.start) if wanted.start < 0 else wanted.start
    if start >= size:
        raise RangeNotSatisfiableError(f"the range starts at byte {wanted.start}, and the object has {size} bytes")
    return start, size if wanted.end is None else min(wanted.end, size)


def _matches(wanted: str, etag: str | None) -> bool:
    return etag is not None and (wanted == "*" or wanted.strip('"') == etag)


def _written_after(info: ObjectInfo, moment: datetime | None) -> bool:
    return moment is not None and info.last_modified is not None and info.last_modified > moment
