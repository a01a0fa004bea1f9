"""
Making sure that what arrives is what was stored, and all of one version.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from asyncstore.driver import Capabilities
from asyncstore.errors import IntegrityError, SourceChangedError
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.types import Checksum, Metadata


class Opened(Protocol):
    """
    A body or stream, as far as it says what it has.
    """

    info: Metadata
    start: int
    end: int


def whole_checksum(info: Metadata, start: int, end: int, options: ReadOptions) -> Checksum | None:
    """
    Return the checksum that the bytes from *start* up to *end* must have, if one is known.
    """
    checksum = info.checksum
    if not options.verify or checksum is None or checksum.parts is not None:
        return None
    return checksum if start == 0 and end == info.size else None


def compare(expected: Checksum, actual: Checksum) -> None:
    """
    Raise :class:`IntegrityError` if two checksums of the same bytes differ.
    """
    if expected != actual:
        raise IntegrityError(
            "the bytes received are not those that were stored", expected=str(expected), actual=str(actual)
        )


def pinned(options: ReadOptions, info: Metadata, part: ByteRange, able: Capabilities) -> ReadOptions:
    """
    Return *options* for another *part* of the very version that *info* describes.

    Where the provider cannot be asked for a version, :func:`check_pinned` is what
    notices another one.
    """
    return replace(
        options,
        range=part,
        if_match=(info.etag or options.if_match) if able.conditional_read else None,
        version_id=(info.version_id or options.version_id) if able.versions else None,
        if_none_match=None,
        if_modified_since=None,
        if_unmodified_since=None,
    )


def check_pinned(info: Metadata, body: Opened, start: int, end: int) -> None:
    """
    Make sure that *body* has the bytes from *start* up to *end* of what *info* describes.

    Raises:
        SourceChangedError: It is of another version.
        IntegrityError: It has other bytes than were asked for.
    """
    if _version(body.info) != _version(info):
        raise SourceChangedError("the object was replaced while it was being read")
    if (body.start, body.end) != (start, end):
        raise IntegrityError("another range came", expected=f"{start}-{end}", actual=f"{body.start}-{body.end}")


def _version(info: Metadata) -> tuple[object, ...]:
    return (info.size, info.etag) if info.etag else (info.size, info.last_modified)
