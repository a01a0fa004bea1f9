"""
Uploads by parts that were interrupted, remembered so that they can be gone on with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from asyncstore.options import UploadOptions
from asyncstore.types import Checksum, Part
from asyncstore.uri import ObjectURI


class SentPart(NamedTuple):
    """
    A part that the provider has.

    Attributes:
        part: As the provider named it.
        checksum: Of the bytes that were sent, if that of the whole object can be made of it.
    """

    part: Part
    checksum: Checksum | None


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What has to be the same for an upload to be gone on with.

    Attributes:
        source: The file; see :attr:`FileSource.identity`.
        options: What is stored with the object, the conditions, and the size and
            checksum algorithm of the parts.
    """

    source: tuple[str | int, ...]
    options: UploadOptions


@dataclass(slots=True)
class Unfinished:
    """
    An upload by parts that is neither completed nor aborted.

    Attributes:
        uri: The object.
        upload_id: The provider's id of the upload.
        identity: Of what it is made.
        parts: Those that the provider has confirmed, by number.
    """

    uri: ObjectURI
    upload_id: str
    identity: Identity
    parts: dict[int, SentPart] = field(default_factory=dict)


class Journal:
    """
    The uploads that one storage has left unfinished, one for each object.

    It is kept in memory, so it ends with the storage. All of an entry can be written
    down; one on disk would be told of each part too, where a session counts it.
    """

    def __init__(self) -> None:
        self._left: dict[ObjectURI, Unfinished] = {}
        self._closed = False

    def claim(self, uri: ObjectURI) -> Unfinished | None:
        """
        Return the upload of *uri* that was left, for the caller alone.
        """
        return self._left.pop(uri, None)

    def leave(self, unfinished: Unfinished) -> Unfinished | None:
        """
        Remember an upload; return one that has to be aborted because of that.

        It is the one that was left for the same object before, or *unfinished* itself if
        nobody can come back to it.
        """
        if self._closed:
            return unfinished
        before = self._left.get(unfinished.uri)
        self._left[unfinished.uri] = unfinished
        return before

    def close(self) -> list[Unfinished]:
        """
        Return all that was left; nothing is remembered from now on.
        """
        self._closed = True
        left, self._left = list(self._left.values()), {}
        return left
