"""
The records that the server keeps: buckets, versions of objects, uploads and requests.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from asyncstore.testing.servers.oci.content import Content
from asyncstore.testing.servers.oci.errors import ServiceError

STANDARD: Final = "Standard"
INFREQUENT: Final = "InfrequentAccess"
ARCHIVE: Final = "Archive"
#: https://docs.oracle.com/iaas/Content/Object/Concepts/understandingstoragetiers.htm
TIERS: Final = (STANDARD, INFREQUENT, ARCHIVE)

#: How the access types for all objects with a prefix begin.
ANY: Final = "Any"
_UNFINISHED: Final = ("ACCEPTED", "IN_PROGRESS")


def new_id() -> str:
    """
    Return a unique id.
    """
    return str(uuid.uuid4())


def _new_request_id() -> str:
    # In the service's alphabet, which includes "+" and "/": clients must encode it.
    return base64.b64encode(secrets.token_bytes(48)).decode()


def _new_token() -> str:
    return secrets.token_urlsafe(48)


@dataclass(slots=True, kw_only=True)
class Version:
    """
    One version of an object, or a delete marker.

    Attributes:
        digests: Headers such as ``content-md5`` and ``opc-multipart-md5``.
        headers: Headers set by the writer, such as ``content-type`` and ``opc-meta-*``.
        restoring_until, restored_until: Seconds since 1970, for an archived object.
        is_replaceable: Whether the next version replaces this one: it was written without versioning.
        customer_key: SHA-256 of the customer's encryption key, in base64.
    """

    name: str
    content: Content
    created: float
    digests: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    tier: str = STANDARD
    customer_key: str | None = None
    kms_key: str | None = None
    modified: float = 0.0
    restoring_until: float = 0.0
    restored_until: float = 0.0
    is_delete_marker: bool = False
    is_replaceable: bool = False
    etag: str = field(default_factory=new_id)
    version_id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.modified = self.modified or self.created

    @property
    def md5(self) -> str:
        """
        The MD5 in listings. For an object made from parts: the MD5 of their MD5s, and their number.
        """
        return self.digests.get("content-md5") or self.digests.get("opc-multipart-md5", "")

    def archival_state(self, now: float) -> str | None:
        """
        Return ``Archived``, ``Restoring`` or ``Restored``; ``None`` outside the Archive tier.
        """
        if self.tier != ARCHIVE:
            return None
        if now < self.restoring_until:
            return "Restoring"
        return "Restored" if now < self.restored_until else "Archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    A part of an upload.
    """

    content: bytes | bytearray
    md5: bytes
    checksum: bytes | None
    etag: str = field(default_factory=new_id)


@dataclass(slots=True, kw_only=True)
class Upload:
    """
    A multipart upload, until it is committed or aborted.

    Attributes:
        creator: OCID of the user.
        access_token: Grants access to the upload, if a pre-authenticated request started it.
    """

    name: str
    created: float
    creator: str
    headers: Mapping[str, str]
    tier: str
    algorithm: str | None = None
    customer_key: str | None = None
    kms_key: str | None = None
    access_token: str | None = field(default=None, repr=False)
    upload_id: str = field(default_factory=new_id)
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreauthenticatedRequest:
    """
    Access that the creator grants to anyone who has the token.

    Attributes:
        object_name: The name of the one object, or the prefix of the names of all objects.
        may_list: Whether the objects may be listed.
        expires: Seconds since 1970.
    """

    name: str
    creator: str
    access_type: str
    object_name: str
    may_list: bool
    created: float
    expires: float
    token: str = field(default_factory=_new_token, repr=False)
    request_id: str = field(default_factory=_new_request_id)

    @property
    def is_for_many(self) -> bool:
        """
        Whether it covers every object with a prefix, and not a single object.
        """
        return self.access_type.startswith(ANY)

    def covers(self, name: str) -> bool:
        """
        Return whether it grants access to the object *name*.
        """
        return name.startswith(self.object_name) if self.is_for_many else name == self.object_name

    def access_uri(self, namespace: str, bucket: str) -> str:
        """
        Return the path for using it. The path omits a prefix: the user appends the object's full name.
        """
        name = "" if self.is_for_many else quote(self.object_name)
        return f"/p/{self.token}/n/{namespace}/b/{bucket}/o/{name}"


@dataclass(slots=True, kw_only=True)
class WorkRequest:
    """
    Work that continues after the reply. Its progress is counted in polls, not seconds, so tests do not depend on time.

    Attributes:
        polls_left: How many more polls report it as unfinished; the poll after them does the work.
        work: Called once, with the time. If it raises, the work request fails.
        finished: Seconds since 1970.
        failure: Why it failed.
    """

    accepted: float
    compartment: str
    polls_left: int
    work: Callable[[float], None]
    resources: list[dict[str, Any]]
    status: str = "ACCEPTED"
    finished: float | None = None
    failure: ServiceError | None = None
    request_id: str = field(default_factory=new_id)

    @property
    def is_unfinished(self) -> bool:
        """
        Whether it has neither completed, failed nor been cancelled.
        """
        return self.status in _UNFINISHED

    def poll(self, now: float) -> None:
        """
        Count one poll, and do the work if it is due.
        """
        if not self.is_unfinished:
            return
        if self.polls_left:
            self.polls_left -= 1
            self.status = "IN_PROGRESS"
        else:
            self.carry_out(now)

    def carry_out(self, now: float) -> None:
        """
        Do the work now.
        """
        self.finished = now
        try:
            self.work(now)
            self.status = "COMPLETED"
        except ServiceError as error:
            self.status, self.failure = "FAILED", error


@dataclass(slots=True, kw_only=True)
class Bucket:
    """
    A bucket.

    Attributes:
        details: The details of CreateBucket.
        uploads: Multipart uploads, by id.
        requests: Pre-authenticated requests, by id.
    """

    name: str
    created: float
    created_by: str
    details: dict[str, Any]
    etag: str = field(default_factory=new_id)
    uploads: dict[str, Upload] = field(default_factory=dict)
    requests: dict[str, PreauthenticatedRequest] = field(default_factory=dict)
    _versions: dict[str, list[Version]] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)

    @property
    def tier(self) -> str:
        """
        The tier of objects that are written without a tier.
        """
        return str(self.details.get("storageTier") or STANDARD)

    @property
    def is_versioned(self) -> bool:
        """
        Whether replaced and deleted versions are kept.
        """
        return self.details.get("versioning") == "Enabled"

    @property
    def is_empty(self) -> bool:
        """
        Whether the bucket has neither versions of objects nor uploads.
        """
        return not self._versions and not self.uploads

    def current(self, name: str) -> Version | None:
        """
        Return the object *name*; ``None`` if it does not exist.
        """
        versions = self._versions.get(name)
        return None if versions is None or versions[-1].is_delete_marker else versions[-1]

    def version(self, name: str, version_id: str) -> Version | None:
        """
        Return one version of *name*, which may be a delete marker.
        """
        return next((one for one in self._versions.get(name, ()) if one.version_id == version_id), None)

    def store(self, version: Version) -> None:
        """
        Make *version* the current one.
        """
        if version.name not in self._versions:
            # Order by code point is order by UTF-8 bytes.
            insort(self._names, version.name)
        version.is_replaceable = not self.is_versioned
        self._versions[version.name] = [*self._kept(version.name), version]

    def delete(self, name: str, now: float) -> Version | None:
        """
        Remove the current version, or hide it behind a delete marker if versions are kept; return the marker.
        """
        if not self._kept(name):
            self._remove(name)
            return None
        marker = Version(name=name, content=Content(()), created=now, is_delete_marker=True)
        self.store(marker)
        return marker

    def _kept(self, name: str) -> list[Version]:
        # While versioning is suspended, older versions are kept, and at most one newer version.
        versions = self._versions.get(name, [])
        return versions if self.is_versioned else [one for one in versions if not one.is_replaceable]

    def _remove(self, name: str) -> None:
        del self._versions[name]
        del self._names[bisect_left(self._names, name)]

    def remove_version(self, version: Version) -> None:
        """
        Remove one version. If it was the current one, the previous version becomes current.
        """
        left = [one for one in self._versions[version.name] if one is not version]
        if left:
            self._versions[version.name] = left
        else:
            self._remove(version.name)

    def names(self) -> list[str]:
        """
        Return every name that has a version, in order. Do not modify the list.
        """
        return self._names

    def versions(self, name: str) -> Iterator[Version]:
        """
        Yield the versions of *name*, newest first.
        """
        return reversed(self._versions[name])
