"""
Records of writes that have not finished: planned objects, uploads and rewrites.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from asyncstore.testing.servers.gcs.calls import Reply
from asyncstore.testing.servers.gcs.conditions import Conditions
from asyncstore.testing.servers.gcs.content import Content, GrowingContent
from asyncstore.testing.servers.gcs.hashes import Hashes
from asyncstore.testing.servers.gcs.state import StoredObject


@dataclass(frozen=True, slots=True)
class PlannedObject:
    """
    An object that a request asks to write.

    Attributes:
        fields: The metadata that the request sets, by JSON API name.
        key_sha256: SHA-256 of the customer-supplied encryption key.
    """

    bucket: str
    name: str
    fields: dict[str, Any]
    conditions: Conditions
    hashes: Hashes
    key_sha256: str | None = field(default=None, repr=False)

    def with_hashes(self, more: Hashes) -> PlannedObject:
        """
        Return a copy that also checks the checksums sent with a later request.
        """
        return replace(self, hashes=self.hashes | more)


@dataclass(slots=True)
class Session:
    """
    A resumable upload.

    Attributes:
        upload_id: The session's secret: anyone who knows it may write.
        total: Size of the object in bytes, once it is known.
        expires: Seconds since the epoch.
        answer: The reply to the request that finished the upload. The object itself is not kept
            here: it may be deleted long before the session is forgotten.
        turn: Counts the requests that sent bytes. A later one takes the session over from an earlier one.
    """

    upload_id: str = field(repr=False)
    planned: PlannedObject
    total: int | None
    expires: float
    xml: bool
    received: GrowingContent = field(default_factory=GrowingContent, repr=False)
    answer: Reply | None = None
    cancelled: bool = False
    turn: int = 0

    def close(self) -> None:
        """
        Drop the bytes, and stop any request that is still sending some.
        """
        self.received = GrowingContent()
        self.turn += 1


@dataclass(frozen=True, slots=True)
class Part:
    """
    One uploaded part of a multipart upload.
    """

    content: Content = field(repr=False)
    modified: float

    @property
    def etag(self) -> str:
        return f'"{(self.content.md5 or b"").hex()}"'


@dataclass(slots=True)
class MultipartUpload:
    """
    A multipart upload of the XML API.
    """

    upload_id: str
    planned: PlannedObject
    initiated: float
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass(slots=True)
class Rewrite:
    """
    A copy that takes several calls.
    """

    source: StoredObject
    planned: PlannedObject
    rewritten: int = 0

    def is_same(self, other: Rewrite) -> bool:
        """
        Return whether *other* asks for the same copy.
        """
        return self.source is other.source and self.planned == other.planned
