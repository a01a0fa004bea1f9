"""
Releases and assets, read from GitHub's replies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from asyncstore.errors import UnavailableError
from asyncstore.http.header_values import parse_size, parse_time
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Asset:
    """
    One file of a release. Its bytes never change; another file has another id.

    Attributes:
        uploaded: Whether its upload is complete. Otherwise it is not an object.
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
        Read an asset from a reply.

        Raises:
            UnavailableError: The reply is malformed.
        """
        try:
            return cls(
                id=parse_size(document["id"]),
                name=str(document["name"]),
                size=parse_size(document["size"]),
                uploaded=document.get("state", "uploaded") == "uploaded",
                content_type=document.get("content_type"),
                updated_at=_moment(document.get("updated_at")),
                checksum=_digest(document.get("digest")),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UnavailableError("the reply does not describe an asset") from None

    @property
    def etag(self) -> str:
        """Its id: the bytes of an id never change."""
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
        Return the metadata of the asset.
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
        upload_url: The template of the URL for new assets.
    """

    id: int
    tag: str
    draft: bool
    upload_url: str
    assets: Mapping[str, Asset] = field(default_factory=dict)

    @classmethod
    def read(cls, document: Any) -> Release:
        """
        Read a release from a reply.

        Raises:
            UnavailableError: The reply is malformed.
        """
        try:
            assets = [Asset.read(item) for item in document.get("assets", ())]
            return cls(
                id=parse_size(document["id"]),
                tag=str(document["tag_name"]),
                draft=bool(document.get("draft", False)),
                upload_url=str(document["upload_url"]),
                assets={asset.name: asset for asset in assets},
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UnavailableError("the reply does not describe a release") from None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def _digest(text: str | None) -> Checksum | None:
    match = _DIGEST.fullmatch(text or "")
    return None if match is None else Checksum(ChecksumAlgorithm.SHA256, bytes.fromhex(match.group(1)))
