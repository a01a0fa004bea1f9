"""
Options of operations: frozen records, checked when they are built.

A frozen value is safe as a default argument and can be shared by tasks,
compared and logged. Change one with :func:`dataclasses.replace`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Literal

from asyncstore._support.argument_types import check_field_types, check_not_empty
from asyncstore.encryption import Encryption, key_of
from asyncstore.errors import ConfigurationError, InvalidRequestError
from asyncstore.retention import Retention
from asyncstore.types import Checksum, ChecksumAlgorithm

KiB: Final = 1024
MiB: Final = 1024 * KiB
GiB: Final = 1024 * MiB

# One range of RFC 9110, 14.1.2.
_RANGE: Final = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII | re.IGNORECASE)

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
        check_field_types(self)
        if self.start < 0 and self.end is not None:
            raise ValueError(
                f"a range that counts from the end of the object takes no end: use ByteRange({self.start})"
            )
        if self.end is not None and self.end < self.start:
            raise ValueError(f"ByteRange({self.start}, {self.end}) ends before it starts")

    @classmethod
    def of(cls, part: RangeLike) -> ByteRange:
        """
        Return *part* as a range: a pair of start and end, a slice, or the value of an HTTP ``Range`` header.

        >>> ByteRange.of((0, 5)) == ByteRange.of(slice(5)) == ByteRange.of("bytes=0-4")
        True

        Raises:
            TypeError: It is none of these.
            ValueError: It is not one range: a slice with a step, a header with several ranges.
        """
        if isinstance(part, ByteRange):
            return part
        if isinstance(part, str):
            return cls._of_header(part)
        if isinstance(part, slice):
            if part.step not in (None, 1):
                raise ValueError(f"a range takes every byte, and {part} has a step")
            return cls(0 if part.start is None else part.start, part.stop)
        pair: Any = part
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"range takes (start, end), a slice, a ByteRange or a Range header, not {part!r:.60}")
        return cls(*pair)

    @classmethod
    def _of_header(cls, header: str) -> ByteRange:
        first, last = found.groups() if (found := _RANGE.fullmatch(header)) else ("", "")
        if first:
            return cls(int(first), int(last) + 1 if last else None)
        if not last or not int(last):
            raise ValueError(f"a Range header has one range of bytes, such as bytes=0-4, and this is {header!r:.60}")
        return cls(-int(last))

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


#: What :meth:`ByteRange.of` takes.
RangeLike = ByteRange | tuple[int, int | None] | slice | str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """
    Which bytes to read, and under which conditions.

    Attributes:
        range: Only these bytes.
        if_match: Only if the object still has this ETag.
        if_none_match: Only if the object has a different ETag.
        if_modified_since: Only if it was written after this moment.
        if_unmodified_since: Only if it was not written after this moment.
        version_id: This version instead of the current one.
        encryption: The customer's key that the object was written with (:meth:`Encryption.customer_key`); everything
            else the service decrypts by itself.
        verify: Compare the received bytes with the checksum that the provider
            stores, if it stores one for the whole object.
        hedge_after: Seconds without a reply to a request for a range, after which the same range of the same
            version is requested once more; the first reply is read, and the other request is cancelled. At
            most one range in ten is requested twice, and only while no other request waits for its place.
            ``None``: none is. Choose what nearly all replies take less than, such as the 95th percentile. Applies to
            ``range``, to :meth:`Storage.read_ranges`, to opened files and to the ranges of a large download.
    """

    range: ByteRange | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None
    version_id: str | None = None
    encryption: Encryption | None = None
    verify: bool = True
    hedge_after: float | None = None

    def __post_init__(self) -> None:
        check_field_types(self)
        check_not_empty(self, "if_match", "if_none_match", "version_id")
        if self.hedge_after is not None and not 0 < self.hedge_after < math.inf:
            raise ValueError(
                f"hedge_after must be above 0 seconds, or None for no second request, not {self.hedge_after}"
            )
        for name in ("if_modified_since", "if_unmodified_since"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"{name} must have a time zone, such as datetime.now(UTC)")


#: The whole object, unconditionally. Drivers recognize this common case by identity.
PLAIN_READ: Final = ReadOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions(ReadOptions):
    """
    How to download one object to a local file.

    Attributes:
        part_size: Bytes per request when an object is downloaded in parallel ranges; ``None`` is 4 to 16 MiB,
            so that there are enough ranges for all requests.
        max_concurrency: Most requests in flight for this object; ``None`` is the storage's ``max_requests``. Peak
            memory is about 1 MiB for each of them.
        overwrite: Whether an existing file may be replaced.
        sync: Flush the temporary file to disk before it is renamed, so that a
            power failure leaves either the old file or the complete new one.
        resume: Keep the temporary file of an object of more than 1 MiB if the download is
            cancelled, fails with a transient error, or the process is killed. The next
            ``download()`` of the same version to the same file, with *resume*, by any process,
            requests only what is missing, and compares the whole file with the stored checksum.
            A file that nobody resumes is removed after a week, or by a download without *resume*.
            Two such downloads to one file at the same time raise ``InUseError``.
    """

    part_size: int | None = None
    max_concurrency: int | None = None
    overwrite: bool = True
    sync: bool = True
    resume: bool = False

    def __post_init__(self) -> None:
        super(DownloadOptions, self).__post_init__()
        _check_transfer(self.part_size, self.max_concurrency)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """
    What is stored with an object, and the conditions for writing it.

    Attributes:
        content_type: Media type; ``None`` uses the provider's default.
        content_encoding: Stored and returned unchanged; nothing is compressed
            or decompressed.
        content_language: RFC 5646 tag.
        content_disposition: How a browser should offer it.
        cache_control: For caches between the provider and the reader.
        metadata: User metadata. Keys are converted to lower case.
        tags: Tags of the object, which can be changed later without rewriting it.
        storage_class: The provider's name of a storage class or tier.
        encryption: How the object is encrypted; ``None`` is the setting of the storage, or else the bucket's.
        retention: Until when the object can be neither deleted nor replaced; ``None`` is the bucket's default.
        legal_hold: Whether it can be neither deleted nor replaced until :meth:`Storage.set_legal_hold` ends that.
        acl: A predefined list of who has access, such as ``"public-read"``; ``None`` is the bucket's default.
            ``Capabilities.acls`` names those that a provider has.
        if_match: Only if the object still has this ETag.
        if_none_match: ``"*"`` writes only if the object does not exist yet. After a lost reply, an object of the
            same bytes that was written within the same two seconds counts as the one that was written: two writers
            that must know which of them was first, such as those of a lock, write different bytes.
        checksum: Algorithm of the checksum to send, or its name, such as ``"md5"``; ``None``
            uses the storage's setting.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None
    encryption: Encryption | None = None
    retention: Retention | None = None
    legal_hold: bool = False
    acl: str | None = None
    if_match: str | None = None
    if_none_match: Literal["*"] | None = None
    checksum: ChecksumAlgorithm | None = None

    def __post_init__(self) -> None:
        if isinstance(self.checksum, str):
            object.__setattr__(self, "checksum", _algorithm(self.checksum))
        check_field_types(self)
        check_not_empty(self, "if_match", "storage_class", "acl")
        if self.if_match is not None and self.if_none_match is not None:
            raise ValueError("if_match and if_none_match exclude each other: give one of them")
        for name in ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control"):
            _check_value(name, getattr(self, name))
        object.__setattr__(self, "metadata", _checked_metadata(self.metadata))
        if self.tags:
            object.__setattr__(self, "tags", checked_tags(self.tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions(WriteOptions):
    """
    How to write one object of any size.

    Attributes:
        part_size: Bytes in every part but the last. Increased if the upload would
            otherwise have more parts than the provider allows.
        multipart_threshold: Objects of at least this many bytes are uploaded in
            parts; streams are if they are longer than one part.
        max_concurrency: Most parts in flight for this object; ``None`` is the storage's ``max_requests``. Peak
            memory is about 1 MiB for each part of a file, and *part_size* for each part of a
            stream that cannot be read again.
        guess_content_type: Store a file without a *content_type* with the one that the suffix
            of its key, or of its own name, stands for. Applies to files only.
        resume: Keep the uploaded parts of a file if its multipart upload is cancelled
            or fails with a transient error. The next ``upload()`` of the unchanged file
            to the same URI, by the same storage and with the same options, sends only
            the missing parts. The provider bills the parts until then; closing the
            storage aborts the upload. With ``"journal"`` the upload is kept when the storage is closed
            or the process is killed, too, and is recorded on disk (setting ``state_directory``):
            any process of this user can resume it, and ``sweep_uploads()`` aborts those that nobody
            resumes. Two such uploads to one object at the same time raise ``InUseError``. Applies to
            files that are uploaded in parts only. Not with a customer's key in *encryption*: set it on the storage.
    """

    part_size: int = 8 * MiB
    multipart_threshold: int = 16 * MiB
    max_concurrency: int | None = None
    guess_content_type: bool = True
    resume: bool | Literal["journal"] = False

    def __post_init__(self) -> None:
        super(UploadOptions, self).__post_init__()
        _check_transfer(self.part_size, self.max_concurrency)
        if self.resume and key_of(self.encryption) is not None:
            raise ValueError(
                "an upload with a customer's key cannot be resumed: leave out resume, or open a storage with the key"
            )
        if self.multipart_threshold < 0:
            raise ValueError(f"multipart_threshold must be 0 or more bytes, not {self.multipart_threshold}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """
    How to copy one object to another key.

    Attributes:
        replace: Headers, metadata and storage class of the copy; ``None`` keeps those of the source.
        storage_class: Storage class of the copy; ``None`` keeps that of the source where
            ``Capabilities.copy_keeps`` lists it. Not together with *replace*.
        tags: Tags of the copy, with or without *replace*; ``None`` keeps those of the source.
        encryption: How the copy is encrypted, with or without *replace*; ``None`` is the setting of the storage, or
            else the bucket's.
        source_encryption: The customer's key of the source.
        retention: Until when the copy can be neither deleted nor replaced, with or without *replace*; that of the
            source is not kept.
        legal_hold: Whether the copy gets a legal hold, with or without *replace*; that of the source is not kept.
        acl: Who has access to the copy, with or without *replace*; that of the source is not kept.
        source_if_match: Only if the source still has this ETag.
        source_version_id: This version of the source.
        part_size: Bytes in every part of a multipart copy.
        max_concurrency: Parts in flight.
    """

    replace: WriteOptions | None = None
    storage_class: str | None = None
    tags: Mapping[str, str] | None = None
    encryption: Encryption | None = None
    source_encryption: Encryption | None = None
    retention: Retention | None = None
    legal_hold: bool = False
    acl: str | None = None
    if_match: str | None = None
    if_none_match: Literal["*"] | None = None
    source_if_match: str | None = None
    source_version_id: str | None = None
    part_size: int = 256 * MiB
    max_concurrency: int = 8

    def __post_init__(self) -> None:
        check_field_types(self)
        check_not_empty(self, "if_match", "source_if_match", "source_version_id", "acl")
        _check_transfer(self.part_size, self.max_concurrency)
        if self.replace is not None and (self.replace.if_match or self.replace.if_none_match):
            raise ValueError("set the conditions of a copy on CopyOptions itself, not on replace")
        if self.replace is not None and (self.replace.tags or self.replace.encryption):
            raise ValueError("set the tags and the encryption of a copy on CopyOptions itself, not on replace")
        if self.replace is not None and (self.replace.retention or self.replace.legal_hold or self.replace.acl):
            raise ValueError("set retention, legal_hold and acl of a copy on CopyOptions itself, not on replace")
        if self.tags is not None:
            object.__setattr__(self, "tags", checked_tags(self.tags))
        if self.replace is not None and self.storage_class is not None:
            raise ValueError("set the storage class of a copy on replace, or without replace on CopyOptions itself")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """
    Which version to delete, and under which condition.

    Attributes:
        if_match: Only if the object still has this ETag.
        version_id: Delete this version permanently, if the provider keeps versions.
        bypass_retention: Delete it although a retention in governance mode protects it, which takes a permission of
            its own.
    """

    if_match: str | None = None
    version_id: str | None = None
    bypass_retention: bool = False

    def __post_init__(self) -> None:
        check_field_types(self)
        check_not_empty(self, "if_match", "version_id")


#: Methods of presigned URLs, and the fields of :class:`PresignOptions` that each can bind.
PRESIGN_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "GET": frozenset(
        {
            "range",
            "version_id",
            "response_content_type",
            "response_content_disposition",
            "response_content_encoding",
            "response_content_language",
            "response_cache_control",
        }
    ),
    "HEAD": frozenset({"version_id"}),
    "PUT": frozenset({"content_type", "checksum", "if_none_match", "upload_id", "part_number"}),
    "DELETE": frozenset({"version_id"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignOptions:
    """
    What a presigned URL allows besides its method and key: the provider refuses requests that differ.

    Headers that the holder of the URL must therefore send are in :attr:`PresignedURL.headers`.

    Attributes:
        content_type: PUT: the content type that the object gets.
        checksum: PUT: the checksum of the bytes, which the provider compares.
        if_none_match: PUT: ``"*"`` writes only if the object does not exist yet.
        upload_id: PUT: writes a part of this multipart upload, with *part_number*, instead of an object.
        part_number: PUT: the number of the part, from 1.
        range: GET: only these bytes.
        version_id: GET, HEAD, DELETE: this version instead of the current one.
        response_content_type: GET: the content type that the reply has, instead of the stored one.
        response_content_disposition: GET: in the same way, such as ``'attachment; filename="report.pdf"'``.
        response_content_encoding: GET: in the same way.
        response_content_language: GET: in the same way.
        response_cache_control: GET: in the same way.
    """

    content_type: str | None = None
    checksum: Checksum | None = None
    if_none_match: Literal["*"] | None = None
    upload_id: str | None = None
    part_number: int | None = None
    range: ByteRange | None = None
    version_id: str | None = None
    response_content_type: str | None = None
    response_content_disposition: str | None = None
    response_content_encoding: str | None = None
    response_content_language: str | None = None
    response_cache_control: str | None = None

    def __post_init__(self) -> None:
        check_field_types(self)
        texts = ("content_type", *(item.name for item in fields(self) if item.name.startswith("response_")))
        check_not_empty(self, "upload_id", "version_id", *texts)
        for name in texts:
            if (value := getattr(self, name)) is not None:
                _check_value(name, value)
        if (self.upload_id is None) != (self.part_number is None):
            raise ValueError("a part has an upload_id and a part_number: give both, or neither")
        if self.part_number is not None and self.part_number < 1:
            raise ValueError(f"part_number must be at least 1, not {self.part_number}")
        if self.upload_id is not None and (self.content_type is not None or self.if_none_match is not None):
            raise ValueError("content_type and if_none_match belong to an object, not to a part: leave them out")
        if self.checksum is not None and self.checksum.parts is not None:
            raise ValueError("checksum takes the checksum of the bytes, not that of the checksums of parts")
        if self.range is not None and self.range.empty:
            raise ValueError("range must have a byte at least: a reply cannot have an empty range")

    @property
    def chosen(self) -> frozenset[str]:
        """The names of the fields that are set."""
        return frozenset(item.name for item in fields(self) if getattr(self, item.name) is not None)

    def response_headers(self) -> dict[str, str]:
        """
        Return the headers that the reply to a GET gets, by their names in lower case.
        """
        values = {
            "cache-control": self.response_cache_control,
            "content-disposition": self.response_content_disposition,
            "content-encoding": self.response_content_encoding,
            "content-language": self.response_content_language,
            "content-type": self.response_content_type,
        }
        return {name: value for name, value in values.items() if value is not None}


#: A URL for a whole object, with nothing else bound.
PLAIN_PRESIGN: Final = PresignOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostOptions:
    """
    What a presigned form allows: the provider refuses uploads that differ.

    Attributes:
        prefix: The form writes objects whose keys start with that of the URI, instead of that object: by default
            under the name of the file.
        content_type: The content type that objects get, which the form has as a field.
        min_size: Bytes of the smallest file.
        max_size: Bytes of the largest file; ``None`` is the provider's limit.
    """

    prefix: bool = False
    content_type: str | None = None
    min_size: int = 0
    max_size: int | None = None

    def __post_init__(self) -> None:
        check_field_types(self)
        check_not_empty(self, "content_type")
        if self.content_type is not None:
            _check_value("content_type", self.content_type)
        if self.min_size < 0 or (self.max_size is not None and self.max_size < self.min_size):
            raise ValueError(
                f"a file has from min_size to max_size bytes, not from {self.min_size} to {self.max_size}: "
                "give 0 or more, and no less for max_size"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """
    Which keys to list.

    Attributes:
        delimiter: Keys that contain it after the prefix are grouped into common
            prefixes: one entry each, with ``is_prefix`` set.
        start_after: Only keys after this one (exclusive), in byte order.
        page_size: Most entries per request; ``None`` is the provider's maximum.
        folders: Also list directories, and tell the markers of folders (``is_folder``), where
            ``Capabilities.folders`` is on; elsewhere there are none.
        max_concurrency: Most requests in flight for one listing. With more than 1, prefixes with many keys are
            split at ``/`` and listed in parallel. The order stays that of the keys; up to four pages for each request
            are buffered. Listings with *delimiter* or *folders*, and those of providers without
            ``Capabilities.sorted_listing``, are not split.
    """

    delimiter: str | None = None
    start_after: str | None = None
    page_size: int | None = None
    folders: bool = False
    max_concurrency: int = 1

    def __post_init__(self) -> None:
        check_field_types(self)
        if self.delimiter == "":
            raise ValueError("delimiter must not be empty: use None for a flat listing")
        if self.page_size is not None and self.page_size < 1:
            raise ValueError(f"page_size must be at least 1, not {self.page_size}")
        _check_concurrency(self.max_concurrency)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOptions:
    """
    How to transfer or delete many objects.

    Attributes:
        max_concurrency: Most objects in flight; ``None`` is the storage's ``max_requests``, which limits the
            requests of all of them together.
        stop_on_error: Raise the first failure and cancel the rest, instead of
            reporting an outcome for each item.
        keep: Which outcomes the result holds: all of them, or only the
            failures (for lists too long to keep in memory).
        upload: Options for each object written.
        download: Options for each object read.
        workers: Transfer in so many processes on this machine, since one event loop fills one core; ``None`` is in
            this process. Storages are pickled for them. The limits of a storage are those of all workers
            together; *max_concurrency* is that of each. Deletions are not spread.
        executor: Transfer by calls of this executor, such as that of a Dask client, instead of processes;
            *workers* says how many of its workers are used, by default as many as this machine has cores.
    """

    max_concurrency: int | None = None
    stop_on_error: bool = False
    keep: Literal["all", "failures"] = "all"
    upload: UploadOptions = field(default_factory=UploadOptions)
    download: DownloadOptions = field(default_factory=DownloadOptions)
    workers: int | None = None
    executor: Executor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_field_types(self)
        _check_concurrency(self.max_concurrency)
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")

    @property
    def spread(self) -> bool:
        """Whether other processes transfer."""
        return self.workers is not None or self.executor is not None


def _algorithm(name: str) -> ChecksumAlgorithm:
    try:
        return ChecksumAlgorithm(name.lower())
    except ValueError:
        raise ValueError(f"checksum takes {', '.join(ChecksumAlgorithm)} or None, not {name!r}") from None


def _check_transfer(part_size: int | None, max_concurrency: int | None) -> None:
    if part_size is not None and part_size < 1:
        raise ValueError(f"part_size must be at least 1 byte, not {part_size}")
    _check_concurrency(max_concurrency)


def _check_concurrency(max_concurrency: int | None) -> None:
    if max_concurrency is not None and max_concurrency < 1:
        raise ValueError(f"max_concurrency must be at least 1, not {max_concurrency}")


def _check_value(name: str, value: str | None) -> None:
    if value is not None and not _FORBIDDEN.isdisjoint(value):
        raise ConfigurationError(f"{name} contains a control character: {value!r}")


def checked_tags(tags: Mapping[Any, Any]) -> dict[str, str]:
    """
    Return a copy of *tags*.

    Raises:
        InvalidRequestError: A key is empty, or a key or value is not text.
    """
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidRequestError(f"tags must have text keys and values, not {key!r}: {value!r}")
        if not key:
            raise InvalidRequestError("a tag has an empty key")
    return dict(tags)


def _checked_metadata(metadata: Mapping[Any, Any]) -> dict[str, str]:
    checked: dict[str, str] = {}
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"metadata keys and values must be text, not {key!r}: {value!r}")
        lower = key.lower()
        if not lower:
            raise ConfigurationError("metadata keys must not be empty")
        if lower in checked:
            raise ConfigurationError(f"metadata has the key {lower!r} twice, differing only in case")
        _check_value("a metadata key", key)
        _check_value(f"metadata {key!r}", value)
        checked[lower] = value
    return checked
