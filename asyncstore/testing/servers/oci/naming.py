"""
What names, metadata and tiers may be.
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

# Headers of an object that its writer chooses, and what CreateMultipartUpload calls them.
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
    Check that an object can be called *name*.
    """
    if not 0 < len(name.encode()) <= MAX_OBJECT_NAME or _FORBIDDEN & set(name):
        raise ServiceError(400, "InvalidObjectName", "An object's name has 1 to 1024 bytes, and neither LF, CR nor NUL")


def check_bucket_name(name: str) -> None:
    """
    Check that a bucket can be called *name*.
    """
    if not _BUCKET_NAME.fullmatch(name):
        raise ServiceError(400, "InvalidBucketName", f"'{name}' is not a valid name of a bucket")


def tier_or(tier: str | None, default: str) -> str:
    """
    Return the tier asked for, or else *default*.
    """
    if tier is not None and tier not in TIERS:
        raise ServiceError(400, "InvalidParameter", f"'{tier}' is not a storage tier")
    return tier or default


def user_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return what PutObject keeps of its headers.
    """
    kept = {name: headers[name] for name in _USER_HEADERS if name in headers}
    metadata = {name: value for name, value in headers.items() if name.startswith(METADATA_PREFIX)}
    return {"content-type": _DEFAULT_TYPE, **kept, **checked_metadata(metadata)}


def detailed_headers(details: Mapping[str, Any]) -> dict[str, str]:
    """
    Return what CreateMultipartUpload keeps of its body, as headers.
    """
    kept = {header: str(details[name]) for header, name in _USER_HEADERS.items() if name in details}
    return {"content-type": _DEFAULT_TYPE, **kept, **checked_metadata(details.get("metadata", {}))}


def checked_metadata(metadata: Any) -> dict[str, str]:
    """
    Return metadata with names in lower case, if all begin with ``opc-meta-``.
    """
    if not isinstance(metadata, Mapping):
        raise ServiceError(400, "InvalidMetadata", "Metadata must be an object in JSON")
    lowered = {name.lower(): str(value) for name, value in metadata.items()}
    wrong = [name for name in lowered if not _METADATA_NAME.fullmatch(name)]
    if wrong:
        raise ServiceError(400, "InvalidMetadata", f"'{wrong[0]}' is not a name of metadata: they begin with opc-meta-")
    return lowered
