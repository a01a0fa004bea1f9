"""
Verification: the bytes received are those that were stored, all of one version.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from asyncstore.driver import Capabilities
from asyncstore.driver.body import ReadBody
from asyncstore.engine.requests import Requests
from asyncstore.errors import (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionFailedError,
    SourceChangedError,
)
from asyncstore.options import ByteRange, MiB, ReadOptions
from asyncstore.types import UNKNOWN, Checksum, Metadata, ObjectInfo, is_weak

#: Bytes of objects for which the checksums of parts are not worth a request.
MIN_PARTS: Final = 1 * MiB


class Opened(Protocol):
    """
    A body or stream of a part of an object.
    """

    info: Metadata
    start: int
    end: int


def whole_checksum(info: Metadata, start: int, end: int, options: ReadOptions) -> Checksum | None:
    """
    Return the checksum that the bytes from *start* up to *end* must have, if known.
    """
    checksum = info.checksum
    if not options.verify or checksum is None or checksum.parts is not None:
        return None
    return checksum if start == 0 and end == info.size else None


def expects_parts(info: Metadata, start: int, end: int, options: ReadOptions, able: Capabilities) -> bool:
    """
    Return whether the checksums of parts can verify the bytes from *start* up to *end*, and nothing else can.
    """
    whole = start == 0 and end == info.size
    return whole and options.verify and able.part_checksums is not None and end > MIN_PARTS and info.checksum is None


async def parts_checksum(requests: Requests, info: Metadata) -> Checksum | None:
    """
    Return the checksum of an object made of parts; ``None`` if it is not known, or may not be asked for.
    """
    try:
        return await requests("stat", info.uri, requests.driver.checksum_of_parts, info.uri, info)
    except (InvalidRequestError, NotFoundError, NotSupportedError, PermissionDeniedError, PreconditionFailedError):
        # The bytes themselves could be read: this says nothing against them.
        return None


def compare(expected: Checksum, actual: Checksum) -> None:
    """
    Raise :class:`IntegrityError` if two checksums of the same bytes differ.
    """
    if expected != actual:
        raise IntegrityError(
            "the bytes received do not match the stored checksum", expected=str(expected), actual=str(actual)
        )


def compare_copy(source: Metadata, copied: ObjectInfo) -> None:
    """
    Compare the size and the checksum that the provider reports of a copy with those of its source, if they are known.

    Raises:
        IntegrityError: They differ: the endpoint has copied another version, or other bytes.
    """
    if UNKNOWN not in (source.size, copied.size) and source.size != copied.size:
        raise IntegrityError(
            "the copy has another size than its source", expected=f"{source.size} bytes", actual=f"{copied.size} bytes"
        )
    actual = copied.checksum
    if actual is None or actual.parts is not None:
        return
    for expected in (*source.checksums, source.checksum):
        if expected is None or expected.parts is not None or expected.algorithm is not actual.algorithm:
            continue
        if expected != actual:
            raise IntegrityError("the copy differs from its source", expected=str(expected), actual=str(actual))


def pinned(options: ReadOptions, info: Metadata, part: ByteRange, capabilities: Capabilities) -> ReadOptions:
    """
    Return *options* for another *part* of the version that *info* describes.

    If requests cannot name a version, only :func:`check_pinned` detects a different one.
    """
    return replace(
        options,
        range=part,
        if_match=(strong_etag(info) or options.if_match) if capabilities.conditional_read else None,
        version_id=(info.version_id or options.version_id) if capabilities.versions else None,
        if_none_match=None,
        if_modified_since=None,
        if_unmodified_since=None,
    )


def note_ignored_range(requests: Requests, body: ReadBody) -> None:
    """
    Remember that the server sends all of an object in reply to a range.

    Part by part it would send the object as often as it has parts.
    """
    if body.ignored_range:
        requests.driver.narrow("ranges", "the reply to a range has the whole object", ranges=False)


def strong_etag(info: Metadata) -> str | None:
    """
    Return the ETag of an object, unless it is weak: a weak one never matches ``If-Match``.
    """
    return None if info.etag is None or is_weak(info.etag) else info.etag


def check_pinned(info: Metadata, body: Opened, start: int, end: int) -> None:
    """
    Check that *body* has the bytes from *start* up to *end* of the version in *info*.

    Raises:
        SourceChangedError: It has another version.
        IntegrityError: It has another range.
    """
    if not same_version(body.info, info):
        raise SourceChangedError("the object was replaced while it was read")
    if (body.start, body.end) != (start, end):
        raise IntegrityError(
            "the reply has another range", expected=f"{start}-{end}", actual=f"{body.start}-{body.end}"
        )


def same_version(one: Metadata, other: Metadata) -> bool:
    """
    Return whether two replies can be of one version of an object.
    """
    # The reply to a range need not say the size, and not every reply names the version.
    sizes, ids = {one.size, other.size} - {UNKNOWN}, {one.version_id, other.version_id} - {None}
    return len(sizes) < 2 and len(ids) < 2 and _version(one) == _version(other)


def _version(info: Metadata) -> tuple[object, ...]:
    return (etag,) if (etag := strong_etag(info)) else (info.etag, info.last_modified)
