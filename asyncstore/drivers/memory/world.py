"""
The state of memory storages: buckets of objects, and unfinished multipart uploads.
"""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Final

from asyncstore.driver.conditions import check_parts
from asyncstore.encryption import Encryption
from asyncstore.errors import InvalidRequestError, NotFoundError, PermissionDeniedError
from asyncstore.options import WriteOptions
from asyncstore.retention import Retention
from asyncstore.types import Metadata, ObjectInfo, Part
from asyncstore.uri import ObjectURI

_DEFAULT_CLASS: Final = "STANDARD"
_REMEMBERED: Final = 1000
_numbers = itertools.count(1)


def new_etag() -> str:
    """
    Return an ETag that is unique in this process, whatever the bytes.
    """
    return f"{next(_numbers):016x}"


@dataclass(frozen=True, slots=True)
class Stored:
    """
    One version of an object.

    Attributes:
        deleted: Whether it is a delete marker.
        key_digest: The SHA-256 of the customer's key that it was written with.
    """

    data: bytes
    metadata: Metadata
    deleted: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    key_digest: bytes | None = None

    def check_key(self, encryption: Encryption | None) -> None:
        """
        Refuse a request without the customer's key of this version, or with another one.

        Raises:
            InvalidRequestError: The key is not the one that the version was written with.
        """
        if self.key_digest != _digest_of(encryption):
            raise InvalidRequestError("the object is encrypted with another key than that of the request", status=400)

    def encrypted(self, encryption: Encryption | None) -> Stored:
        """
        Return this version as if it was written with *encryption*.
        """
        return replace(self, key_digest=_digest_of(encryption))

    def check_unprotected(self, *, bypass: bool = False) -> None:
        """
        Refuse to remove this version while a legal hold or a retention protects it.

        Args:
            bypass: Whether a retention in governance mode counts.

        Raises:
            PermissionDeniedError: One does.
        """
        if self.metadata.legal_hold:
            raise PermissionDeniedError("a legal hold protects the object", code="AccessDenied", status=403)
        retention = self.metadata.retention
        if retention is None or retention.until <= datetime.now(UTC):
            return
        if retention.mode == "compliance" or not bypass:
            raise PermissionDeniedError(
                f"a retention in {retention.mode} mode protects the object until {retention.until}",
                code="AccessDenied",
                status=403,
            )

    def protected(self, retention: Retention | None, *, held: bool) -> Stored:
        """
        Return this version with a retention and a legal hold, or without.
        """
        return replace(self, metadata=replace(self.metadata, retention=retention, legal_hold=held))

    def tagged(self, tags: Mapping[str, str]) -> Stored:
        """
        Return this version with *tags*.
        """
        return replace(self, tags=dict(tags), metadata=replace(self.metadata, tag_count=len(tags)))


@dataclass(slots=True)
class Upload:
    """
    An unfinished multipart upload, with the bytes of its parts so far.
    """

    uri: ObjectURI
    upload_id: str
    options: WriteOptions
    initiated: datetime
    parts: dict[int, tuple[Part, bytes]] = field(default_factory=dict)

    def chosen(self, parts: Sequence[Part], min_part_size: int) -> list[tuple[Part, bytes]]:
        """
        Return the uploaded parts that *parts* names, in order.

        Raises:
            InvalidRequestError: A part is missing, named twice, too small or has another ETag.
        """
        numbers = check_parts(parts, {number: part for number, (part, _) in self.parts.items()})
        for number in numbers[:-1]:
            if self.parts[number][0].size < min_part_size:
                raise InvalidRequestError(f"part {number} is smaller than {min_part_size} bytes", code="EntityTooSmall")
        return [self.parts[number] for number in numbers]


class Bucket:
    """
    Objects by key, and the keys in byte order.

    Attributes:
        objects: The current versions.
        versions: All versions that are kept, delete markers included, oldest first.
        versioned: Whether writes and deletions keep the versions before.
    """

    def __init__(self, *, versioned: bool = False) -> None:
        self.objects: dict[str, Stored] = {}
        self.versions: dict[str, list[Stored]] = {}
        self.versioned = versioned
        self._keys: list[str] = []

    def etag(self, key: str) -> str | None:
        """
        Return the ETag of the object, if there is one.
        """
        stored = self.objects.get(key)
        return None if stored is None else stored.metadata.etag

    def write(self, key: str, stored: Stored) -> Stored:
        """
        Store a new version of an object; return it with its version id.
        """
        version_id = new_etag() if self.versioned else None
        stored = replace(stored, metadata=replace(stored.metadata, version_id=version_id))
        self._check_replaceable(key)
        before = self.versions.get(key, []) if self.versioned else []
        self._set(key, [*before, stored])
        return stored

    def change(self, key: str, stored: Stored) -> None:
        """
        Replace a version by one with the same id.
        """
        changed = stored.metadata.version_id
        self._set(key, [stored if one.metadata.version_id == changed else one for one in self.versions[key]])

    def _check_replaceable(self, key: str, *, bypass: bool = False) -> None:
        """
        Refuse to replace or remove an object that is protected, where no version of it would be kept.

        Raises:
            PermissionDeniedError: It is.
        """
        current = self.objects.get(key)
        if current is not None and not self.versioned:
            current.check_unprotected(bypass=bypass)

    def remove(self, key: str, *, bypass: bool = False) -> None:
        """
        Remove an object, if it exists; its versions stay behind a marker if they are kept.

        Raises:
            PermissionDeniedError: It is protected, and versions are not kept.
        """
        self._check_replaceable(key, bypass=bypass)
        current = self.objects.get(key)
        if current is None:
            return
        if not self.versioned:
            self._set(key, [])
            return
        gone = Metadata(uri=current.metadata.uri, size=0, version_id=new_etag(), last_modified=datetime.now(UTC))
        self._set(key, [*self.versions[key], Stored(b"", gone, deleted=True)])

    def remove_version(self, key: str, version_id: str, *, bypass: bool = False) -> None:
        """
        Remove one version, if it exists; the one before it may become current.

        Raises:
            PermissionDeniedError: It is protected.
        """
        for stored in self.versions.get(key, []):
            if stored.metadata.version_id == version_id:
                stored.check_unprotected(bypass=bypass)
        self._set(key, [stored for stored in self.versions.get(key, []) if stored.metadata.version_id != version_id])

    def _set(self, key: str, versions: list[Stored]) -> None:
        if versions:
            self.versions[key] = versions
        else:
            self.versions.pop(key, None)
        if versions and not versions[-1].deleted:
            if key not in self.objects:
                insort(self._keys, key)
            self.objects[key] = versions[-1]
        elif self.objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def seek(self, bound: str) -> Generator[tuple[str, Stored], None, None]:
        """
        Yield keys from *bound* on, in byte order.
        """
        for at in range(bisect_left(self._keys, bound), len(self._keys)):
            yield self._keys[at], self.objects[self._keys[at]]


class World:
    """
    The buckets and uploads that storages with the same ``shared`` name have in common.

    Attributes:
        versioned: Whether buckets keep the versions that are replaced or deleted.
    """

    def __init__(self, *, versioned: bool = False) -> None:
        self.versioned = versioned
        self.uploads: dict[str, Upload] = {}
        self._buckets: dict[str, Bucket] = {}
        self._finished: OrderedDict[str, tuple[list[tuple[int, str]], ObjectInfo]] = OrderedDict()

    def bucket(self, uri: ObjectURI) -> Bucket:
        """
        Return the bucket of *uri*, which is created on first use.
        """
        return self._buckets.setdefault(uri.bucket, Bucket(versioned=self.versioned))

    def stored(self, uri: ObjectURI, version_id: str | None = None) -> Stored:
        """
        Return the object at *uri*, or that version of it.

        Raises:
            NotFoundError: It does not exist, or is a delete marker.
        """
        bucket = self.bucket(uri)
        found = bucket.objects.get(uri.key)
        if version_id is not None:
            kept = bucket.versions.get(uri.key, [])
            found = next((stored for stored in kept if stored.metadata.version_id == version_id), None)
        if found is None or found.deleted:
            raise NotFoundError(code="NoSuchKey")
        return found

    def upload(self, uri: ObjectURI, upload_id: str) -> Upload:
        """
        Return an unfinished upload.

        Raises:
            NotFoundError: It was completed or aborted, or never started for *uri*.
        """
        upload = self.uploads.get(upload_id)
        if upload is None or upload.uri != uri:
            raise NotFoundError(f"the multipart upload {upload_id!r} does not exist", code="NoSuchUpload")
        return upload

    def finish(self, upload: Upload, parts: Sequence[Part], info: ObjectInfo) -> None:
        """
        Remove an upload that has become an object, and remember the result.
        """
        del self.uploads[upload.upload_id]
        self._finished[upload.upload_id] = (_identity(parts), info)
        if len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)

    def finished(self, uri: ObjectURI, upload_id: str, parts: Sequence[Part]) -> ObjectInfo | None:
        """
        Return the object of a completed upload, if it was made of *parts* and still exists.
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
            tag_count=len(options.tags),
            retention=options.retention,
            legal_hold=options.legal_hold,
        ),
        tags=dict(options.tags),
        key_digest=_digest_of(options.encryption),
    )


def _digest_of(encryption: Encryption | None) -> bytes | None:
    key = None if encryption is None else encryption.key
    return None if key is None else hashlib.sha256(key).digest()


def info_of(stored: Stored) -> ObjectInfo:
    """
    Return what a listing says about an object.
    """
    return ObjectInfo(**{item.name: getattr(stored.metadata, item.name) for item in fields(ObjectInfo)})
