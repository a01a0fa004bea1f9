"""
What operations return: small frozen records.

Sizes are bytes, times are aware datetimes in UTC, durations are seconds.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from asyncstore.errors import StorageError
from asyncstore.uri import ObjectURI

_CHECKSUM: Final = re.compile(r"([A-Za-z0-9+/=]*)(?:-([0-9]{1,9}))?")


class ChecksumAlgorithm(StrEnum):
    """
    A checksum that some provider stores with an object.
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
        Read the form ``base64`` or ``base64-parts``; ``None`` if it is neither.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """
    One object, or one common prefix of a listing.

    Attributes:
        uri: Where it is. ``uri.key`` is its key, verbatim.
        size: Bytes; 0 for a common prefix.
        etag: The provider's opaque version tag, without quotes.
        last_modified: When it was written, if the reply said so.
        version_id: Its version, where the provider keeps versions.
        storage_class: The provider's name of its class or tier.
        checksum: A checksum that the reply named.
        is_prefix: Whether this is a common prefix and not an object.
        is_current: In a listing of versions, whether this is the one that is read
            without an id; ``None`` elsewhere.
        is_deleted: In a listing of versions, whether this stands for a deletion: a
            marker without bytes, or a version that only an undelete brings back.
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

    @property
    def key(self) -> str:
        """The object's key, verbatim."""
        return self.uri.key


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
        metadata: The user's own keys (lower case) and values.
        checksums: Every checksum that the provider reported.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: Sequence[Checksum] = ()


@dataclass(frozen=True, slots=True)
class ListPage:
    """
    One page of a listing.

    Attributes:
        objects: Objects and common prefixes together, in byte order of keys.
        next_token: What to pass for the next page; ``None`` after the last.
    """

    objects: Sequence[ObjectInfo]
    next_token: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """
    One part of a multipart upload.

    Attributes:
        number: Its place, counted from 1.
        etag: The provider's tag of the part, needed to complete the upload.
        size: Bytes.
        checksum: Of the part's bytes.
    """

    number: int
    etag: str
    size: int
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """
    An upload by parts that has been started and neither completed nor aborted.
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
    """One page of the unfinished uploads of a bucket."""

    uploads: Sequence[MultipartUpload]
    next_token: str | None = None


ProgressKind = Literal["progress", "retry", "throttle", "object_done", "object_skipped", "object_failed", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEvent:
    """
    How far a transfer is. Every number is cumulative and never goes down.

    Attributes:
        kind: What has just happened; ``"done"`` comes once, last.
        uri: The object it happened to; ``None`` for the transfer as a whole.
        object_bytes_done: Bytes of that object so far.
        object_bytes_total: Its size, if known.
        bytes_done: Bytes of the whole transfer so far.
        bytes_total: Its size as far as it is known; it grows while items are
            drawn from a lazy source.
        objects_done: Objects finished well.
        objects_skipped: Objects that needed no transfer.
        objects_failed: Objects that failed.
        objects_total: Objects drawn so far, or all of them if known.
        retries: Requests that were sent again.
        rate: Bytes a second, over the last few seconds.
        elapsed: Seconds since the transfer began.
    """

    kind: ProgressKind
    uri: ObjectURI | None = None
    object_bytes_done: int = 0
    object_bytes_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    objects_done: int = 0
    objects_skipped: int = 0
    objects_failed: int = 0
    objects_total: int | None = None
    retries: int = 0
    rate: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class Upload:
    """One file to write: the local *source* and its *target*."""

    source: Path
    target: str | ObjectURI


@dataclass(frozen=True, slots=True)
class Download:
    """One object to fetch: its *source* and the local *target*."""

    source: str | ObjectURI
    target: Path


Outcome = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemOutcome:
    """
    What became of one item of a bulk operation.

    Attributes:
        source: What was read (or deleted).
        target: What was written; ``None`` for a deletion.
        status: ``"done"``, ``"skipped"`` or ``"failed"``.
        info: The object, once it is done.
        error: Why it failed.
    """

    source: Path | ObjectURI
    target: Path | ObjectURI | None
    status: Outcome
    info: ObjectInfo | None = None
    error: StorageError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """
    What became of all items, in the order in which they ended.

    Attributes:
        outcomes: One for each item, or only the failures
            (:attr:`BulkOptions.keep`).
        done: Items finished well.
        skipped: Items that needed nothing.
        failed: Items that failed.
        total_bytes: Bytes of the items that were done.
        elapsed: Seconds.
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
