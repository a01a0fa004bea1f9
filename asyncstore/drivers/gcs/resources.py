"""
Between our records and the object resources of the JSON API.

https://cloud.google.com/storage/docs/json_api/v1/objects#resource
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from asyncstore.errors import ConfigurationError, UnavailableError
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

#: What is asked for of an object, so that replies have no access lists and links.
FIELDS: Final = (
    "name,size,generation,updated,timeDeleted,storageClass,crc32c,md5Hash,contentType,contentEncoding,"
    "contentLanguage,contentDisposition,cacheControl,metadata,softDeleteTime"
)

#: What a listing asks for.
LISTED: Final = "name,size,generation,updated,storageClass,crc32c"

_TOKEN: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")


def resource(options: WriteOptions, checksum: Checksum | None = None) -> dict[str, Any]:
    """
    Return what is stored with an object.

    Raises:
        ConfigurationError: Metadata that would not come back the same when the object is read.
    """
    found: dict[str, Any] = {
        "contentType": options.content_type,
        "contentEncoding": options.content_encoding,
        "contentLanguage": options.content_language,
        "contentDisposition": options.content_disposition,
        "cacheControl": options.cache_control,
        "storageClass": options.storage_class,
    }
    if options.metadata:
        check_metadata(options.metadata)
        found["metadata"] = dict(options.metadata)
    if checksum is not None:
        found["crc32c" if checksum.algorithm is ChecksumAlgorithm.CRC32C else "md5Hash"] = checksum.base64()
    return {name: value for name, value in found.items() if value is not None}


def check_metadata(metadata: Mapping[str, str]) -> None:
    """
    Refuse metadata that cannot travel in the headers of a read.
    """
    for key, value in metadata.items():
        if not _TOKEN.fullmatch(key):
            raise ConfigurationError(f"GCS returns metadata in headers, and {key!r} cannot be part of a header's name")
        if value != value.strip():
            raise ConfigurationError(f"GCS returns metadata in headers, which lose the spaces around {value!r}")


def metadata_of(uri: ObjectURI, found: Mapping[str, Any]) -> Metadata:
    """
    Return all that a resource says.

    Raises:
        UnavailableError: It is not what it should be.
    """
    checksums = checksums_of(found)
    try:
        return Metadata(
            uri=uri,
            size=int(found.get("size", 0)),
            etag=str(found["generation"]),
            last_modified=_moment(found.get("updated")),
            version_id=str(found["generation"]),
            storage_class=found.get("storageClass"),
            checksum=checksums[0] if checksums else None,
            content_type=found.get("contentType"),
            content_encoding=found.get("contentEncoding") or None,
            content_language=found.get("contentLanguage") or None,
            content_disposition=found.get("contentDisposition") or None,
            cache_control=found.get("cacheControl") or None,
            metadata={str(key).lower(): str(value) for key, value in (found.get("metadata") or {}).items()},
            checksums=checksums,
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise _unreadable(exc) from None


def info_of(uri: ObjectURI, found: Mapping[str, Any]) -> ObjectInfo:
    """
    Return what a resource says in few words.

    Raises:
        UnavailableError: It is not what it should be.
    """
    try:
        generation = str(found["generation"])
        crc = found.get("crc32c")
        return ObjectInfo(
            uri=uri,
            size=int(found.get("size", 0)),
            etag=generation,
            last_modified=_moment(found.get("updated")),
            version_id=generation,
            storage_class=found.get("storageClass"),
            checksum=Checksum.from_base64(ChecksumAlgorithm.CRC32C, crc) if crc else None,
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise _unreadable(exc) from None


def checksums_of(found: Mapping[str, Any]) -> list[Checksum]:
    """
    Return the checksums that a resource names; composed objects have no MD5.
    """
    given = [(ChecksumAlgorithm.CRC32C, found.get("crc32c")), (ChecksumAlgorithm.MD5, found.get("md5Hash"))]
    return [checksum for algorithm, text in given if text and (checksum := Checksum.from_base64(algorithm, str(text)))]


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _unreadable(exc: Exception) -> UnavailableError:
    return UnavailableError(f"the reply has an object that cannot be read: {type(exc).__name__}: {exc}")
