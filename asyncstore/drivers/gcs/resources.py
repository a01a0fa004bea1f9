"""
Converts between our records and the object resources of the JSON API.

https://cloud.google.com/storage/docs/json_api/v1/objects#resource
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from asyncstore.drivers.gcs.protection import protection, retention_in
from asyncstore.errors import ConfigurationError, IntegrityError, UnavailableError
from asyncstore.http.header_values import parse_size, parse_time
from asyncstore.http.object_headers import metadata_headers
from asyncstore.http.object_reply import check_written_size
from asyncstore.options import WriteOptions
from asyncstore.types import UNKNOWN, Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

#: The fields to return of an object; by default a reply has access lists and links too.
FIELDS: Final = (
    "name,size,generation,updated,timeDeleted,storageClass,crc32c,md5Hash,contentType,contentEncoding,"
    "contentLanguage,contentDisposition,cacheControl,metadata,softDeleteTime,retention,temporaryHold"
)

#: The fields to return of each object in a listing.
LISTED: Final = "name,size,generation,updated,storageClass,crc32c"


def resource(options: WriteOptions, checksum: Checksum | None = None) -> dict[str, Any]:
    """
    Return what to store with an object.

    Raises:
        ConfigurationError: Reads would not return the metadata as it is.
    """
    found: dict[str, Any] = {
        "contentType": options.content_type,
        "contentEncoding": options.content_encoding,
        "contentLanguage": options.content_language,
        "contentDisposition": options.content_disposition,
        "cacheControl": options.cache_control,
        "storageClass": options.storage_class,
        **protection(options),
    }
    if options.metadata:
        # Reads return it in headers.
        found["metadata"] = metadata_headers(options.metadata, "", lossless, "GCS")
    if checksum is not None:
        found["crc32c" if checksum.algorithm is ChecksumAlgorithm.CRC32C else "md5Hash"] = checksum.base64()
    return {name: value for name, value in found.items() if value is not None}


def lossless(value: str) -> str:
    """
    Return a value of metadata as it is.

    Raises:
        ConfigurationError: A header would not carry it unchanged.
    """
    if value != value.strip():
        raise ConfigurationError(
            f"GCS returns metadata in headers, which lose the spaces around {value!r}: remove them"
        )
    return value


def metadata_of(uri: ObjectURI, found: Mapping[str, Any]) -> Metadata:
    """
    Return everything that a resource says about the object *uri*.

    Raises:
        UnavailableError: It is not an object resource.
    """
    checksums = checksums_of(found)
    try:
        generation = _generation(found)
        return Metadata(
            uri=uri,
            size=_size(found),
            etag=generation,
            last_modified=_moment(found.get("updated")),
            version_id=generation,
            storage_class=found.get("storageClass"),
            checksum=checksums[0] if checksums else None,
            content_type=found.get("contentType"),
            content_encoding=found.get("contentEncoding") or None,
            content_language=found.get("contentLanguage") or None,
            content_disposition=found.get("contentDisposition") or None,
            cache_control=found.get("cacheControl") or None,
            metadata={str(key).lower(): str(value) for key, value in (found.get("metadata") or {}).items()},
            checksums=checksums,
            retention=retention_in(found),
            legal_hold=bool(found.get("temporaryHold")),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise _unreadable(exc) from None


def info_of(uri: ObjectURI, found: Mapping[str, Any]) -> ObjectInfo:
    """
    Return what the resource of a write or of a listing says about the object *uri*.

    Raises:
        UnavailableError: It is not an object resource.
    """
    try:
        generation = _generation(found)
        crc = found.get("crc32c")
        return ObjectInfo(
            uri=uri,
            size=_size(found),
            etag=generation,
            last_modified=_moment(found.get("updated")),
            version_id=generation,
            storage_class=found.get("storageClass"),
            checksum=Checksum.from_base64(ChecksumAlgorithm.CRC32C, crc) if crc else None,
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise _unreadable(exc) from None


def written_of(uri: ObjectURI, found: Mapping[str, Any], size: int) -> ObjectInfo:
    """
    Return what the reply to a write of *size* bytes says about the object *uri*.

    Raises:
        IntegrityError: It describes another object, or another number of bytes.
        UnavailableError: It is not an object resource.
    """
    info = info_of(uri, found)
    named = f"{found.get('bucket', uri.bucket)}/{found.get('name', uri.key)}"
    if named != f"{uri.bucket}/{uri.key}":
        raise IntegrityError(
            "the reply to a write describes another object", expected=f"{uri.bucket}/{uri.key}", actual=named[:2000]
        )
    if info.size == UNKNOWN:
        return replace(info, size=size)
    check_written_size(size, info.size)
    return info


def _size(found: Mapping[str, Any]) -> int:
    return parse_size(found["size"]) if "size" in found else UNKNOWN


def _generation(found: Mapping[str, Any]) -> str:
    generation = str(found["generation"])
    if not generation.isdecimal():
        raise ValueError(f"{generation[:40]!r} is not a generation")
    return generation


def checksums_of(found: Mapping[str, Any]) -> list[Checksum]:
    """
    Return the checksums that a resource names; composed objects have no MD5.
    """
    texts = [(ChecksumAlgorithm.CRC32C, found.get("crc32c")), (ChecksumAlgorithm.MD5, found.get("md5Hash"))]
    return [checksum for algorithm, text in texts if text and (checksum := Checksum.from_base64(algorithm, str(text)))]


def _moment(text: Any) -> datetime | None:
    return parse_time(text) if text else None


def _unreadable(exc: Exception) -> UnavailableError:
    return UnavailableError(f"the reply does not describe an object: {type(exc).__name__}: {exc}")
