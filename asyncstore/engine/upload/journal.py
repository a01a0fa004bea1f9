"""
Interrupted multipart uploads, recorded so they can be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from asyncstore.options import UploadOptions
from asyncstore.types import Checksum, Part
from asyncstore.uri import ObjectURI


class SentPart(NamedTuple):
    """
    A part that the provider has stored.

    Attributes:
        part: As the provider reported it.
        checksum: Of the bytes that were sent, if it can be combined into that of the whole object.
    """

    part: Part
    checksum: Checksum | None


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What must be the same for an upload to be resumed.

    Attributes:
        source: The file; see :attr:`FileSource.identity`.
        options: What is stored with the object, the conditions, and the size and
            checksum algorithm of the parts.
    """

    source: tuple[str | int, ...]
    options: UploadOptions


@dataclass(slots=True)
class UnfinishedUpload:
    """
    A multipart upload that is neither completed nor aborted.

    Attributes:
        uri: The object.
        upload_id: The provider's id of the upload.
        identity: What it uploads, and how.
        parts: Those that the provider has confirmed, by number.
    """

    uri: ObjectURI
    upload_id: str
    identity: Identity
    parts: dict[int, SentPart] = field(default_factory=dict)


class Journal:
    """
    The unfinished uploads of one storage, at most one for each object.

    It is in memory and ends with the storage; see :mod:`asyncstore.engine.upload.disk_journal` for one that does not.
    """

    def __init__(self) -> None:
        self._uploads: dict[ObjectURI, UnfinishedUpload] = {}
        self._closed = False

    def claim(self, uri: ObjectURI) -> UnfinishedUpload | None:
        """
        Remove and return the upload of *uri*, if there is one.
        """
        return self._uploads.pop(uri, None)

    def record(self, upload: UnfinishedUpload) -> UnfinishedUpload | None:
        """
        Record an upload; return the one to abort instead, if any.

        That is the previous one of the same object, or *upload* itself once the journal
        is closed.
        """
        if self._closed:
            return upload
        previous = self._uploads.get(upload.uri)
        self._uploads[upload.uri] = upload
        return previous

    def close(self) -> list[UnfinishedUpload]:
        """
        Remove and return all uploads; further ones are not recorded.
        """
        self._closed = True
        uploads, self._uploads = list(self._uploads.values()), {}
        return uploads
