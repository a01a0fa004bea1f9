"""
Conditions and ranges, decided here for the drivers that keep the objects themselves.

The order of the checks is that of RFC 9110, section 13.2.2: a date counts only
where no ETag was given for the same purpose.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from asyncstore.errors import (
    AlreadyExistsError,
    NotModifiedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
)
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.types import ObjectInfo


def check_read(info: ObjectInfo, options: ReadOptions) -> None:
    """
    Hold the conditions of a read against the object as it is.

    Raises:
        PreconditionFailedError: ``if_match`` or ``if_unmodified_since`` does not hold.
        NotModifiedError: ``if_none_match`` or ``if_modified_since`` does not hold.
    """
    if options.if_match is not None:
        if not _matches(options.if_match, info.etag):
            raise PreconditionFailedError(f"the object has another ETag: {info.etag}")
    elif _written_after(info, options.if_unmodified_since):
        raise PreconditionFailedError(f"the object was written at {info.last_modified}")
    if options.if_none_match is not None:
        if _matches(options.if_none_match, info.etag):
            raise NotModifiedError(f"the object still has the ETag {info.etag}")
    elif options.if_modified_since is not None and not _written_after(info, options.if_modified_since):
        raise NotModifiedError(f"the object was written at {info.last_modified}")


def check_write(etag: str | None, if_match: str | None, if_none_match: Literal["*"] | None = None) -> None:
    """
    Hold the conditions of a write, copy or deletion against the *etag* of what is there, if anything is.

    Raises:
        AlreadyExistsError: Create-only, and there is an object.
        PreconditionFailedError: ``if_match``, and there is another object or none.
    """
    if if_none_match is not None and etag is not None:
        raise AlreadyExistsError(f"there is an object already, with the ETag {etag}")
    if if_match is None:
        return
    if etag is None:
        raise PreconditionFailedError("there is no object, so it does not have the ETag asked for")
    if not _matches(if_match, etag):
        raise PreconditionFailedError(f"the object has another ETag: {etag}")


def resolve_range(wanted: ByteRange | None, size: int) -> tuple[int, int]:
    """
    Return start and end (exclusive) of *wanted* in an object of *size* bytes.

    Raises:
        RangeNotSatisfiableError: It starts at or after the end.
    """
    if wanted is None:
        return 0, size
    start = max(0, size + wanted.start) if wanted.start < 0 else wanted.start
    if start >= size:
        raise RangeNotSatisfiableError(f"the range starts at byte {wanted.start} of an object of {size} bytes")
    return start, size if wanted.end is None else min(wanted.end, size)


def _matches(wanted: str, etag: str | None) -> bool:
    return etag is not None and (wanted == "*" or wanted.strip('"') == etag)


def _written_after(info: ObjectInfo, moment: datetime | None) -> bool:
    return moment is not None and info.last_modified is not None and info.last_modified > moment
