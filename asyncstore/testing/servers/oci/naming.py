"""
Rules for names, metadata and storage tiers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from asyncstore.testing.servers.oci.errors import ServiceError
from asyncstore.testing.servers.oci.state import TIERS

#: https://docs.oracle.com/iaas/Content/Object/Tasks/managingobjects.htm#namerequirements
MAX_OBJECT_NAME: Final = 1024

METADATA_PREFIX: Final = "opc-meta-"

_FORBIDDEN: Final = frozenset("\n\r\0")
# https://docs.oracle.com/iaas/Content/Object/Tasks/managingbuckets.htm
_BUCKET_NAME: Final = re.compile(r"[\w.-]{1,256}", re.ASCII)
_METADATA_NAME: Final = re.compile(r"opc-meta-[!#$%&'*+.^_`|~0-9a-z-]+")

# The headers that a writer can set on an object, and their names in CreateMultipartUpload.
_USER_HEADERS: Final = {
    "content-type": "contentType",
    "content-language": "contentLanguage",
    "content-encoding": "contentEncoding",
    "content-disposition": "contentDisposition",
    "cache-control": "cacheControl",
}
_DEFAULT_TYPE: Final = "application/octet-stream"


def check_object_name(name: str) -> None:
    """
    Refuse an invalid object name.
    """
    if not 0 < len(name.encode()) <= MAX_OBJECT_NAME or _FORBIDDEN & set(name):
        raise ServiceError(400, "InvalidObjectName", "An object name has 1 to 1024 bytes, without LF, CR or NUL")


def check_bucket_name(name: str) -> None:
    """
    Refuse an invalid bucket name.
    """
    if not _BUCKET_NAME.fullmatch(name):
        raise ServiceError(400, "InvalidBucketName", f"'{name}' is not a valid bucket name")


def tier_or(tier: str | None, default: str) -> str:
    """
    Return *tier*, or *default* if it is not set.
    """
    if tier is not None and tier not in TIERS:
        raise ServiceError(400, "InvalidParameter", f"'{tier}' is not a storage tier")
    return tier or default


def user_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return the headers of PutObject that are stored with the object.
    """
    kept = {name: headers[name] for name in _USER_HEADERS if name in headers}
    metadata = {name: value for name, value in headers.items() if name.startswith(METADATA_PREFIX)}
    return {"content-type": _DEFAULT_TYPE, **kept, **checked_metadata(metadata)}


def detailed_headers(details: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the details of CreateMultipartUpload that are stored with the object, as headers.
    """
    kept = {header: str(details[name]) for header, name in _USER_HEADERS.items() if name in details}
    return {"content-type": _DEFAULT_TYPE, **kept, **checked_metadata(details.get("metadata", {}))}


def checked_metadata(metadata: Any) -> dict[str, str]:
    """
    Return metadata with lower-case names, which must begin with ``opc-meta-``.
    """
    if not isinstance(metadata, Mapping):
        raise ServiceError(400, "InvalidMetadata", "Metadata must be a JSON object")
    lowered = {name.lower(): str(value) for name, value in metadata.items()}
    invalid = [name for name in lowered if not _METADATA_NAME.fullmatch(name)]
    if invalid:
        raise ServiceError(
            400, "InvalidMetadata", f"'{invalid[0]}' does not begin with opc-meta- or has invalid characters"
        )
    return lowered
