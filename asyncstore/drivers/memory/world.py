"""
What the memory driver keeps: buckets of objects, and uploads that are not finished.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from asyncstore.errors import InvalidRequestError, NotFoundError
from asyncstore.options import WriteOptions
from asyncstore.types import Metadata, ObjectInfo, Part
from asyncstore.uri import ObjectURI

_DEFAULT_CLASS: Final = "STANDARD"
_REMEMBERED: Final = 1000
_numbers = itertools.count(1)


def new_etag() -> str:
    """
    Return an ETag that no other write in this process gets, the same bytes or not.
    """
    return f"{next(_numbers):016x}"


@dataclass(frozen=True, slots=True)
class Stored:
    """
    One version of an object.
    """

    data: bytes
    metadata: Metadata
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Upload:
    """
    An upload by parts, with the bytes of the parts so far.
    """

    uri: ObjectURI
    upload_id: str
    options: WriteOptions
    initiated: datetime
    parts: dict[int, tuple[Part, bytes]] = field(default_factory=dict)

    def chosen(self, parts: Sequence[Part], min_part_size: int) -> list[tuple[Part, bytes]]:
        """
        Return what *parts* name, by number.

        Raises:
            InvalidRequestError: A part is missing, twice there, too small or
                not the one that was uploaded last.
        """
        numbers = sorted(part.number for part in parts)
        if not numbers:
            raise InvalidRequestError("an upload is made of at least one part", code="MalformedXML")
        if len(set(numbers)) < len(numbers):
            raise InvalidRequestError("a part is named twice", code="InvalidPartOrder")
        for part in parts:
            held = self.parts.get(part.number)
            if held is None or held[0].etag != part.etag.strip('"'):
                raise InvalidRequestError(f"part {part.number} is not there with that ETag", code="InvalidPart")
        for number in numbers[:-1]:
            if self.parts[number][0].size < min_part_size:
                raise InvalidRequestError(f"part {number} has less than {min_part_size} bytes", code="EntityTooSmall")
        return [self.parts[number] for number in numbers]


class Bucket:
    """
    Objects by key, and the keys in byte order.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self._keys: list[str] = []

    def etag(self, key: str) -> str | None:
        """
        Return the ETag of the object, if there is one.
        """
        stored = self.objects.get(key)
        return None if stored is None else stored.metadata.etag

    def write(self, key: str, stored: Stored) -> None:
        """
        Put *stored* in the place of whatever was there.
        """
        if key not in self.objects:
            insort(self._keys, key)
        self.objects[key] = stored

    def remove(self, key: str) -> None:
        """
        Forget an object; one that is missing is no error.
        """
        if self.objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def seek(self, bound: str) -> Generator[tuple[str, Stored], None, None]:
        """
        Yield keys from *bound* on, in byte order.
        """
        for at in range(bisect_left(self._keys, bound), len(self._keys)):
            yield self._keys[at], self.objects[self._keys[at]]


class World:
    """
    All that storages with the same ``shared`` name have in common.
    """

    def __init__(self) -> None:
        self.uploads: dict[str, Upload] = {}
        self._buckets: dict[str, Bucket] = {}
        self._finished: OrderedDict[str, tuple[list[tuple[int, str]], ObjectInfo]] = OrderedDict()

    def bucket(self, uri: ObjectURI) -> Bucket:
        """
        Return the bucket of *uri*, made on first use.
        """
        return self._buckets.setdefault(uri.bucket, Bucket())

    def stored(self, uri: ObjectURI) -> Stored:
        """
        Return the object at *uri*.

        Raises:
            NotFoundError: There is none.
        """
        found = self.bucket(uri).objects.get(uri.key)
        if found is None:
            raise NotFoundError(f"there is no object {uri.key!r}", code="NoSuchKey")
        return found

    def upload(self, uri: ObjectURI, upload_id: str) -> Upload:
        """
        Return an unfinished upload.

        Raises:
            NotFoundError: It was completed or aborted, or never started for *uri*.
        """
        upload = self.uploads.get(upload_id)
        if upload is None or upload.uri != uri:
            raise NotFoundError(f"there is no upload {upload_id!r} of {uri.key!r}", code="NoSuchUpload")
        return upload

    def finish(self, upload: Upload, parts: Sequence[Part], info: ObjectInfo) -> None:
        """
        Drop an upload that has become an object, and remember how it ended.
        """
        del self.uploads[upload.upload_id]
        self._finished[upload.upload_id] = (_identity(parts), info)
        if len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)

    def finished(self, uri: ObjectURI, upload_id: str, parts: Sequence[Part]) -> ObjectInfo | None:
        """
        Return what an upload became, if it was made of *parts* and is still there.
        """
        made_of, info = self._finished.get(upload_id, (None, None))
        if info is None or made_of != _identity(parts) or self.bucket(uri).etag(uri.key) != info.etag:
            return None
        return info


def _identity(parts: Sequence[Part]) -> list[tuple[int, str]]:
    return sorted((part.number, part.etag.strip('"')) for part in parts)


def stored_with(uri: ObjectURI, data: bytes, options: WriteOptions) -> Stored:
    """
    Make a new version out of *data*, without checksums.
    """
    return Stored(
        data,
        Metadata(
            uri=uri,
            size=len(data),
            etag=new_etag(),
            last_modified=datetime.now(UTC),
            storage_class=options.storage_class or _DEFAULT_CLASS,
            content_type=options.content_type,
            content_encoding=options.content_encoding,
            content_language=options.content_language,
            content_disposition=options.content_disposition,
            cache_control=options.cache_control,
            metadata=dict(options.metadata),
        ),
    )
