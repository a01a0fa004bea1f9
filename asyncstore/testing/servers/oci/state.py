"""
What the server keeps: buckets, objects in versions, uploads.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asyncstore.testing.servers.oci.content import Content

if TYPE_CHECKING:
    from asyncstore.testing.servers.oci.preauthenticated import PreauthenticatedRequest

STANDARD: Final = "Standard"
INFREQUENT: Final = "InfrequentAccess"
ARCHIVE: Final = "Archive"
#: https://docs.oracle.com/iaas/Content/Object/Concepts/understandingstoragetiers.htm
TIERS: Final = (STANDARD, INFREQUENT, ARCHIVE)


def new_id() -> str:
    """
    Return a name that nothing else has.
    """
    return str(uuid.uuid4())


@dataclass(slots=True, kw_only=True)
class Version:
    """
    One version of an object; without content, the mark of its having been deleted.

    Attributes:
        digests: Headers such as ``content-md5`` and ``opc-multipart-md5``.
        headers: Those of the user, such as ``content-type``, beside ``opc-meta-*``.
        restoring_until, restored_until: Seconds since 1970, of an archived object.
        is_replaceable: Whether another takes its place, for the bucket did not keep versions then.
        customer_key: SHA-256 of the key that the customer keeps, in base64.
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
        As listings have it: of parts, that of their MD5s, and their number.
        """
        return self.digests.get("content-md5") or self.digests.get("opc-multipart-md5", "")

    def archival_state(self, now: float) -> str | None:
        """
        Return ``Archived``, ``Restoring`` or ``Restored``; ``None`` in other tiers than Archive.
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
    An upload by parts, until it is committed or aborted.

    Attributes:
        creator: OCID of the user.
        access_token: Lets in whoever has it, if it was started by a pre-authenticated request.
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


@dataclass(slots=True, kw_only=True)
class Bucket:
    """
    A bucket.

    Attributes:
        details: As CreateBucket was given them.
        uploads: By their ids.
        requests: Pre-authenticated ones, by their ids.
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
        Of objects that are written without one of their own.
        """
        return str(self.details.get("storageTier") or STANDARD)

    @property
    def is_versioned(self) -> bool:
        """
        Whether what is replaced or deleted is kept.
        """
        return self.details.get("versioning") == "Enabled"

    @property
    def is_empty(self) -> bool:
        """
        Whether there is neither a version of an object nor an upload.
        """
        return not self._versions and not self.uploads

    def current(self, name: str) -> Version | None:
        """
        Return the object *name*; ``None`` if there is none.
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
            # By code point, which is the order of their UTF-8 bytes.
            insort(self._names, version.name)
        version.is_replaceable = not self.is_versioned
        self._versions[version.name] = [*self._kept(version.name), version]

    def delete(self, name: str, now: float) -> Version | None:
        """
        Remove the current version, or hide it if there are others to keep; return the marker, if one is made.
        """
        if not self._kept(name):
            self._remove(name)
            return None
        marker = Version(name=name, content=Content(()), created=now, is_delete_marker=True)
        self.store(marker)
        return marker

    def _kept(self, name: str) -> list[Version]:
        # When versioning is suspended, those from before are kept, and one more at most.
        versions = self._versions.get(name, [])
        return versions if self.is_versioned else [one for one in versions if not one.is_replaceable]

    def _remove(self, name: str) -> None:
        del self._versions[name]
        del self._names[bisect_left(self._names, name)]

    def remove_version(self, version: Version) -> None:
        """
        Remove one version; the one before it becomes current.
        """
        left = [one for one in self._versions[version.name] if one is not version]
        if left:
            self._versions[version.name] = left
        else:
            self._remove(version.name)

    def names(self) -> list[str]:
        """
        Return all names that have a version, in order. Not to be changed.
        """
        return self._names

    def versions(self, name: str) -> Iterator[Version]:
        """
        Yield the versions of *name*, the newest first.
        """
        return reversed(self._versions[name])
