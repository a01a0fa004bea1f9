"""
How to do an operation: frozen records, checked when they are built.

A frozen value is safe as a default argument and can be shared by tasks,
compared and logged. Change one with :func:`dataclasses.replace`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from asyncstore.errors import ConfigurationError
from asyncstore.types import ChecksumAlgorithm

KiB: Final = 1024
MiB: Final = 1024 * KiB
GiB: Final = 1024 * MiB

_FORBIDDEN = frozenset({*map(chr, range(0x20)), "\x7f"}) - {"\t"}


@dataclass(frozen=True, slots=True)
class ByteRange:
    """
    Part of an object: from *start* up to, not including, *end*.

    Attributes:
        start: First byte, counted from 0. A negative number counts from the
            end of the object: ``ByteRange(-5)`` is its last five bytes, or all
            of a shorter one.
        end: The byte after the last one; ``None`` is the end of the object.
            An end past the object is clipped.
    """

    start: int
    end: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 and self.end is not None:
            raise ValueError(f"a range from the end has no end of its own: use ByteRange({self.start})")
        if self.end is not None and self.end < self.start:
            raise ValueError(f"a range ends at or after its start, not ByteRange({self.start}, {self.end})")

    @property
    def empty(self) -> bool:
        """Whether the range has no bytes, so that no request is needed."""
        return self.end is not None and self.end == self.start

    def header(self) -> str:
        """
        Return the value of an HTTP ``Range`` header; not for an empty range.
        """
        if self.start < 0:
            return f"bytes={self.start}"
        return f"bytes={self.start}-" if self.end is None else f"bytes={self.start}-{self.end - 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """
    What to read, and under which conditions.

    Attributes:
        range: Only these bytes.
        if_match: Only if the object still has this ETag.
        if_none_match: Only if the object has another ETag.
        if_modified_since: Only if it was written after this moment.
        if_unmodified_since: Only if it was not written after this moment.
        version_id: This version instead of the current one.
        verify: Compare what arrives with the checksum that the provider
            stores, where it stores one for the whole object.
    """

    range: ByteRange | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None
    version_id: str | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        for name in ("if_modified_since", "if_unmodified_since"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"{name} needs a time zone, such as datetime.now(UTC)")


#: All of an object, on no condition. Most small reads are this one, which drivers know by its identity.
PLAIN_READ: Final = ReadOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions(ReadOptions):
    """
    How to bring one object into a local file.

    Attributes:
        part_size: Bytes that one request asks for when an object is read by
            several at once.
        max_concurrency: Requests in flight for this object. Peak memory is
            about 1 MiB for each of them.
        overwrite: Whether a file of that name may be replaced.
        sync: Flush the file to the disk before it gets its name, so that a
            power cut leaves the old file or the whole new one.
    """

    part_size: int = 16 * MiB
    max_concurrency: int = 8
    overwrite: bool = True
    sync: bool = True

    def __post_init__(self) -> None:
        super(DownloadOptions, self).__post_init__()
        _check_transfer(self.part_size, self.max_concurrency)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """
    What is stored with an object, and the conditions for writing it.

    Attributes:
        content_type: Media type; ``None`` leaves the provider's default.
        content_encoding: Stored and returned as it is; nothing is compressed
            or decompressed.
        content_language: RFC 5646 tag.
        content_disposition: How a browser should offer it.
        cache_control: For caches between the provider and the reader.
        metadata: The user's own keys and values. Keys are made lower case.
        storage_class: The provider's name of a class or tier.
        if_match: Only if the object still has this ETag.
        if_none_match: ``"*"`` writes only if there is no object yet.
        checksum: Algorithm of the checksum that is sent; ``None`` leaves the
            choice to the storage's settings.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None
    if_match: str | None = None
    if_none_match: Literal["*"] | None = None
    checksum: ChecksumAlgorithm | None = None

    def __post_init__(self) -> None:
        if self.if_none_match not in (None, "*"):
            raise ValueError(f'if_none_match takes "*" when writing, not {self.if_none_match!r}')
        if self.if_match is not None and self.if_none_match is not None:
            raise ValueError("if_match and if_none_match cannot both hold: give one of them")
        for name in ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control"):
            _check_value(name, getattr(self, name))
        object.__setattr__(self, "metadata", _checked_metadata(self.metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions(WriteOptions):
    """
    How to write one object of any size.

    Attributes:
        part_size: Bytes in every part but the last. Raised as needed so that no
            upload has more parts than the provider allows.
        multipart_threshold: Objects of at least this many bytes are written in
            parts; streams are if they are longer than one part.
        max_concurrency: Parts in flight for this object. Peak memory is about
            1 MiB for each part of a file, and *part_size* for each part of a
            stream that cannot be read again.
        resume: Keep the parts of a file that were sent when its upload by parts is
            cancelled or fails for a reason that may pass. The next ``upload()`` of the
            unchanged file to the same place, by the same storage and with the same
            options, sends what is missing. What is left is billed by the provider until
            then; closing the storage aborts it. Counts for files only.
    """

    part_size: int = 8 * MiB
    multipart_threshold: int = 16 * MiB
    max_concurrency: int = 8
    resume: bool = False

    def __post_init__(self) -> None:
        super(UploadOptions, self).__post_init__()
        _check_transfer(self.part_size, self.max_concurrency)
        if self.multipart_threshold < 0:
            raise ValueError(f"multipart_threshold is a number of bytes, not {self.multipart_threshold}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """
    How to copy one object to another key.

    Attributes:
        replace: What the copy is stored with; ``None`` keeps all that the
            source has. Its conditions hold for the target.
        source_if_match: Only if the source still has this ETag.
        source_version_id: This version of the source.
        part_size: Bytes in every part of a copy that is made by parts.
        max_concurrency: Parts in flight.
    """

    replace: WriteOptions | None = None
    if_match: str | None = None
    if_none_match: Literal["*"] | None = None
    source_if_match: str | None = None
    source_version_id: str | None = None
    part_size: int = 256 * MiB
    max_concurrency: int = 8

    def __post_init__(self) -> None:
        _check_transfer(self.part_size, self.max_concurrency)
        if self.if_none_match not in (None, "*"):
            raise ValueError(f'if_none_match takes "*" when writing, not {self.if_none_match!r}')
        if self.replace is not None and (self.replace.if_match or self.replace.if_none_match):
            raise ValueError("the conditions of a copy go on CopyOptions itself, not on replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """
    Which object to delete, and under which condition.

    Attributes:
        if_match: Only if the object still has this ETag.
        version_id: This version for good, where the provider keeps versions.
    """

    if_match: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """
    Which keys to list.

    Attributes:
        delimiter: Keys that contain it after the prefix are rolled up into one
            entry each, with ``is_prefix`` set.
        start_after: Only keys after this one (exclusive), in byte order.
        page_size: The most entries to ask for in one request; ``None`` is the
            provider's own maximum.
    """

    delimiter: str | None = None
    start_after: str | None = None
    page_size: int | None = None

    def __post_init__(self) -> None:
        if self.delimiter == "":
            raise ValueError("a delimiter has at least one character; use None for a flat listing")
        if self.page_size is not None and self.page_size < 1:
            raise ValueError(f"page_size is at least 1, not {self.page_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOptions:
    """
    How to work through many objects.

    Attributes:
        max_concurrency: Objects at a time. The storage's own limit on requests
            in flight holds over all of them.
        stop_on_error: Raise the first failure and cancel the rest, instead of
            reporting each item's own outcome.
        keep: Which outcomes the result holds: all of them, or only the
            failures (for lists too long to keep in memory).
        upload: For each object written.
        download: For each object read.
    """

    max_concurrency: int = 32
    stop_on_error: bool = False
    keep: Literal["all", "failures"] = "all"
    upload: UploadOptions = field(default_factory=UploadOptions)
    download: DownloadOptions = field(default_factory=DownloadOptions)

    def __post_init__(self) -> None:
        if self.max_concurrency < 1:
            raise ValueError(f"max_concurrency is at least 1, not {self.max_concurrency}")


def _check_transfer(part_size: int, max_concurrency: int) -> None:
    if part_size < 1:
        raise ValueError(f"part_size must be at least 1 byte, not {part_size}")
    if max_concurrency < 1:
        raise ValueError(f"max_concurrency must be at least 1, not {max_concurrency}")


def _check_value(name: str, value: str | None) -> None:
    if value is not None and not _FORBIDDEN.isdisjoint(value):
        raise ConfigurationError(f"{name} has a control character: {value!r}")


def _checked_metadata(metadata: Mapping[Any, Any]) -> dict[str, str]:
    checked: dict[str, str] = {}
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"metadata keys and values are text, not {key!r}: {value!r}")
        lower = key.lower()
        if not lower:
            raise ConfigurationError("a metadata key is empty")
        if lower in checked:
            raise ConfigurationError(f"metadata has the key {lower!r} twice, in different case")
        _check_value("a metadata key", key)
        _check_value(f"metadata {key!r}", value)
        checked[lower] = value
    return checked
