"""
The results of operations: small frozen records.

Sizes are bytes, times are aware datetimes in UTC, durations are seconds.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Self

from asyncstore._support.redact import redact
from asyncstore.errors import StorageError
from asyncstore.retention import Retention
from asyncstore.uri import ObjectURI

#: The size of an object, or the end of a body, where the reply does not say it: a service that compresses or
#: decompresses an object on the way does not know it before its last byte.
UNKNOWN: Final = -1

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

_CHECKSUM: Final = re.compile(r"([A-Za-z0-9+/=]*)(?:-([0-9]{1,9}))?")


class ChecksumAlgorithm(StrEnum):
    """
    The checksum algorithms that providers use.
    """

    CRC32 = "crc32"
    CRC32C = "crc32c"
    CRC64NVME = "crc64nvme"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"


@dataclass(frozen=True, slots=True)
class Checksum:
    """
    The checksum of an object or part.

    Attributes:
        algorithm: How it was computed.
        value: The raw digest, big-endian for the CRCs.
        parts: For a checksum of part checksums, how many parts it covers;
            ``None`` if it covers the bytes themselves.
    """

    algorithm: ChecksumAlgorithm
    value: bytes
    parts: int | None = None

    @classmethod
    def from_base64(cls, algorithm: ChecksumAlgorithm, text: str) -> Checksum | None:
        """
        Parse ``base64`` or ``base64-parts``; return ``None`` if *text* is neither.
        """
        match = _CHECKSUM.fullmatch(text)
        if match is None:
            return None
        digest, parts = match.groups()
        try:
            value = base64.b64decode(digest, validate=True)
        except binascii.Error:
            return None
        return cls(algorithm, value, int(parts) if parts else None)

    def base64(self) -> str:
        """
        Return the digest as providers write it in headers.
        """
        digest = base64.b64encode(self.value).decode("ascii")
        return digest if self.parts is None else f"{digest}-{self.parts}"

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.base64()}"


def is_weak(etag: str) -> bool:
    """
    Whether an ETag is weak, so that it never matches ``If-Match``: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1
    """
    return etag.startswith("W/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """
    One object, or one common prefix of a listing.

    Attributes:
        uri: Its URI; ``uri.key`` is its key, verbatim.
        size: Bytes; 0 for a common prefix, and :data:`UNKNOWN` (-1) if the service does not say it.
        etag: The provider's opaque version tag, without quotes. A weak one is ``W/"..."``; it never
            matches ``if_match``.
        last_modified: When it was last written, if the reply says so.
        version_id: Its version, if the provider keeps versions.
        storage_class: The provider's name of its storage class or tier.
        checksum: A checksum that the reply contains.
        is_prefix: Whether this is a common prefix and not an object.
        is_current: In a listing of versions, whether this is the version that is read
            by default; ``None`` elsewhere.
        is_deleted: In a listing of versions, whether this is a delete marker, or a
            soft-deleted version that has to be restored before it can be read.
        is_folder: Whether it stands for a folder: a marker that another tool wrote, or, with
            ``is_prefix``, a directory of an Azure account with a hierarchical namespace. Known
            in a listing with ``ListOptions.folders``, and of a single object.
    """

    uri: ObjectURI
    size: int
    etag: str | None = None
    last_modified: datetime | None = None
    version_id: str | None = None
    storage_class: str | None = None
    checksum: Checksum | None = None
    is_prefix: bool = False
    is_current: bool | None = None
    is_deleted: bool = False
    is_folder: bool = False

    @property
    def key(self) -> str:
        """The object's key, verbatim."""
        return self.uri.key

    @property
    def name(self) -> str:
        """
        The key relative to the storage's root, the same on every provider.

        ``storage.root / info.name`` is the object, and so is ``info.name`` as an argument.
        """
        return self.uri.name


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult(ObjectInfo):
    """
    An object that was written, and what it took.

    ``size`` is the number of bytes that were stored; ``etag``, ``version_id`` and ``checksum`` are those of the new
    object, as far as the provider reports them.

    Attributes:
        attempts: 1, and one more for each request of the operation that was sent again after a transient error.
        seconds: How long the operation took, from its start to the last reply.
    """

    attempts: int = field(default=1, compare=False)
    seconds: float = field(default=0.0, compare=False)

    @classmethod
    def of(cls, info: ObjectInfo, *, attempts: int = 1, seconds: float = 0.0) -> WriteResult:
        """
        Return *info*, that of an object that was written, with what it took.
        """
        result = object.__new__(WriteResult)
        for read, put in _OF_INFO:
            put(result, read(info))
        _ATTEMPTS(result, attempts)
        _SECONDS(result, seconds)
        return result


# The __init__ of a frozen record looks up each field by its name, which takes twice as long.
_OF_INFO: Final = [
    (getattr(ObjectInfo, item.name).__get__, getattr(ObjectInfo, item.name).__set__) for item in fields(ObjectInfo)
]
_ATTEMPTS, _SECONDS = (getattr(WriteResult, name).__set__ for name in ("attempts", "seconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyResult(WriteResult):
    """
    The copy of an object.

    Attributes:
        not_kept: What the source has and the copy has not, with the names of
            ``Capabilities.copy_keeps``: ``metadata`` (with the content headers),
            ``storage_class``, ``tags``. Tags that could not be read count as not kept.
    """

    not_kept: frozenset[str] = frozenset()

    @classmethod
    def of_copy(cls, written: WriteResult, not_kept: Iterable[str]) -> CopyResult:
        """
        Return *written*, a copy, with what it has not.
        """
        values = {item.name: getattr(written, item.name) for item in fields(WriteResult)}
        return cls(**values, not_kept=frozenset(not_kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata(ObjectInfo):
    """
    All that is stored with an object.

    Attributes:
        content_type: Media type.
        content_encoding: As it was stored.
        content_language: As it was stored.
        content_disposition: As it was stored.
        cache_control: As it was stored.
        metadata: User metadata; keys are lower case.
        checksums: Every checksum that the provider reported.
        tag_count: How many tags it has; 0 also if the reply does not say, as that to a HEAD on S3.
        retention: Until when it can be neither deleted nor replaced; ``None`` also if the reply does not say, as S3's
            to credentials that may not read it.
        legal_hold: Whether a legal hold protects it, as far as the reply says.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: Sequence[Checksum] = ()
    tag_count: int = 0
    retention: Retention | None = None
    legal_hold: bool = False


@dataclass(frozen=True, slots=True)
class ListPage:
    """
    One page of a listing.

    Attributes:
        objects: Objects and common prefixes together, in byte order of keys.
        next_token: Pass it to get the next page; ``None`` on the last page.
    """

    objects: Sequence[ObjectInfo]
    next_token: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """
    One part of a multipart upload.

    Attributes:
        number: Its position, counted from 1.
        etag: The provider's tag of the part, needed to complete the upload.
        size: Bytes.
        checksum: Checksum of the part's bytes.
    """

    number: int
    etag: str
    size: int
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """
    A multipart upload that has been started and neither completed nor aborted.
    """

    uri: ObjectURI
    upload_id: str
    initiated: datetime | None = None


@dataclass(frozen=True, slots=True)
class PartPage:
    """One page of the parts of an upload."""

    parts: Sequence[Part]
    next_token: str | None = None


@dataclass(frozen=True, slots=True)
class MultipartUploadPage:
    """
    One page of the unfinished uploads of a bucket.

    Attributes:
        first_listed: What the service listed first, where a page can have entries that are no uploads to show.
    """

    uploads: Sequence[MultipartUpload]
    next_token: str | None = None
    first_listed: str | None = None


#: What an operation is doing; those of a tree overlap.
Phase = Literal["listing", "comparing", "transferring", "verifying", "deleting"]

ProgressKind = Literal["progress", "retry", "throttle", "object_done", "object_skipped", "object_failed", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEvent:
    """
    The progress of a transfer. Every count is cumulative and never decreases.

    Attributes:
        kind: What has just happened; ``"done"`` comes once, as the last event.
        phase: What the operation is doing: ``"listing"`` and ``"comparing"`` trees, ``"transferring"``, ``"verifying"``
            or ``"deleting"`` objects. Trees are listed and compared while objects are transferred.
        uri: The object it happened to; ``None`` for the transfer as a whole.
        object_bytes_done: Bytes of that object so far.
        object_bytes_total: Its size, if known.
        bytes_done: Bytes of the whole transfer so far.
        bytes_total: Its size as far as known; it grows while items are read from a
            lazy iterator.
        objects_done: Objects that succeeded.
        objects_skipped: Objects that needed no transfer.
        objects_failed: Objects that failed.
        objects_total: Objects read from the iterator so far, or all of them if known.
        objects_listed: Files and objects that the listings of a tree, or comparisons, have come to so far.
        retries: Requests that were retried.
        throttled: Those of them that the provider refused because there were too many.
        rate: Bytes per second over the last few seconds.
        elapsed: Seconds since the transfer began.
    """

    kind: ProgressKind
    phase: Phase = "transferring"
    uri: ObjectURI | None = None
    object_bytes_done: int = 0
    object_bytes_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    objects_done: int = 0
    objects_skipped: int = 0
    objects_failed: int = 0
    objects_total: int | None = None
    objects_listed: int = 0
    retries: int = 0
    throttled: int = 0
    rate: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class Upload:
    """One file to upload: the local *source* and its *target*."""

    source: Path
    target: str | ObjectURI


@dataclass(frozen=True, slots=True)
class Download:
    """One object to download: its *source* and the local *target*."""

    source: str | ObjectURI
    target: Path


Outcome = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemOutcome:
    """
    The outcome of one item of a bulk operation.

    Attributes:
        source: The file or object that was read or deleted.
        target: The file or object that was written; ``None`` for a deletion.
        status: ``"done"``, ``"skipped"`` or ``"failed"``.
        info: The object, once it is done.
        error: Why it failed, without its traceback, which would keep the item's bytes in memory.
    """

    source: Path | ObjectURI
    target: Path | ObjectURI | None
    status: Outcome
    info: ObjectInfo | None = None
    error: StorageError | None = None


class PresignedURL(str):
    """
    A presigned URL: text, with what its user must know. Treat it as a secret: its repr hides the signature.

    Attributes:
        expires_at: When it stops working, by the clock of the provider: after the time that was asked for, or
            earlier with the credentials that signed it, where their end is known.
        headers: What requests must send exactly so; the provider refuses those that lack one.
    """

    __slots__ = ("expires_at", "headers")

    expires_at: datetime
    headers: Mapping[str, str]

    def __new__(cls, url: str, expires_at: datetime, headers: Mapping[str, str] = _NO_HEADERS) -> Self:
        made = super().__new__(cls, url)
        made.expires_at = expires_at
        made.headers = dict(headers)
        return made

    def __getnewargs__(self) -> tuple[str, datetime, Mapping[str, str]]:  # type: ignore[override]
        return str(self), self.expires_at, self.headers

    def __repr__(self) -> str:
        # Some providers have the secret in the path.
        shown = redact(self.partition("?")[0])
        return f"<PresignedURL {shown}?*** until {self.expires_at:%Y-%m-%dT%H:%M:%SZ}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedPost:
    """
    A presigned form, with which a browser uploads a file. Treat it as a secret: its repr hides the signature.

    Attributes:
        url: Where the form is sent, by POST and as ``multipart/form-data``.
        fields: The fields of the form. The file follows them, as the last field, with the name ``file``.
        expires_at: When it stops working, as :attr:`PresignedURL.expires_at`.
    """

    url: str
    fields: Mapping[str, str] = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """
    The outcomes of all items, in the order in which they finished.

    Attributes:
        outcomes: One for each item, or only the failures
            (:attr:`BulkOptions.keep`).
        done: Items that succeeded.
        skipped: Items that needed no transfer.
        failed: Items that failed.
        total_bytes: Bytes of the items that succeeded.
        elapsed: Seconds that the operation took.
    """

    outcomes: Sequence[ItemOutcome] = ()
    done: int = 0
    skipped: int = 0
    failed: int = 0
    total_bytes: int = 0
    elapsed: float = 0.0

    @property
    def failures(self) -> Sequence[ItemOutcome]:
        """The items that failed, each with its error."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    def raise_for_failures(self) -> None:
        """
        Raise an :class:`ExceptionGroup` of the items' errors, if any failed.
        """
        errors = [outcome.error for outcome in self.failures if outcome.error is not None]
        if errors:
            raise ExceptionGroup(f"{self.failed} of {self.done + self.skipped + self.failed} items failed", errors)
