"""
Releases and assets as GitHub describes them, and as we do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from asyncstore.errors import UnavailableError
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Asset:
    """
    One file of a release. Its bytes never change; another file has another id.

    Attributes:
        uploaded: Whether all of it has arrived. What has not is nobody's object.
        checksum: SHA-256 of the bytes; assets from before June 2025 have none.
    """

    id: int
    name: str
    size: int
    uploaded: bool
    content_type: str | None
    updated_at: datetime | None
    checksum: Checksum | None

    @classmethod
    def read(cls, document: Any) -> Asset:
        """
        Read what a reply says of an asset.

        Raises:
            UnavailableError: It says something else.
        """
        try:
            return cls(
                id=int(document["id"]),
                name=str(document["name"]),
                size=int(document["size"]),
                uploaded=document.get("state", "uploaded") == "uploaded",
                content_type=document.get("content_type"),
                updated_at=_moment(document.get("updated_at")),
                checksum=_digest(document.get("digest")),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UnavailableError("a reply does not describe the asset that was expected") from None

    @property
    def etag(self) -> str:
        """What stands for its bytes."""
        return str(self.id)

    def info(self, uri: ObjectURI) -> ObjectInfo:
        """
        Return the asset as an entry of a listing.
        """
        return ObjectInfo(
            uri=uri, size=self.size, etag=self.etag, last_modified=self.updated_at, checksum=self.checksum
        )

    def metadata(self, uri: ObjectURI) -> Metadata:
        """
        Return all that is known of the asset.
        """
        return Metadata(
            uri=uri,
            size=self.size,
            etag=self.etag,
            last_modified=self.updated_at,
            checksum=self.checksum,
            content_type=self.content_type,
            checksums=[] if self.checksum is None else [self.checksum],
        )


@dataclass(frozen=True, slots=True)
class Release:
    """
    A release, with its assets by name.

    Attributes:
        upload_url: Where new assets go; a template.
    """

    id: int
    tag: str
    draft: bool
    upload_url: str
    assets: Mapping[str, Asset] = field(default_factory=dict)

    @classmethod
    def read(cls, document: Any) -> Release:
        """
        Read what a reply says of a release.

        Raises:
            UnavailableError: It says something else.
        """
        try:
            assets = [Asset.read(item) for item in document.get("assets", ())]
            return cls(
                id=int(document["id"]),
                tag=str(document["tag_name"]),
                draft=bool(document.get("draft", False)),
                upload_url=str(document["upload_url"]),
                assets={asset.name: asset for asset in assets},
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UnavailableError("a reply does not describe the release that was expected") from None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _digest(text: str | None) -> Checksum | None:
    match = _DIGEST.fullmatch(text or "")
    return None if match is None else Checksum(ChecksumAlgorithm.SHA256, bytes.fromhex(match.group(1)))
