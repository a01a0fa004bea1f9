"""
Between our records and the headers of Azure.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from multidict import istr

from asyncstore.drivers.azure.addresses import encode_query
from asyncstore.drivers.azure.metadata import metadata_headers, user_metadata
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.http.values import http_date, parse_date
from asyncstore.options import ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

#: Before the time of a snapshot where a version id is meant otherwise.
SNAPSHOT: Final = "snapshot:"

# Names that need not be made lower case at each look-up.
_ETAG: Final = istr("ETag")
_LAST_MODIFIED: Final = istr("Last-Modified")
_CONTENT_TYPE: Final = istr("Content-Type")
_CONTENT_ENCODING: Final = istr("Content-Encoding")
_CONTENT_LANGUAGE: Final = istr("Content-Language")
_CONTENT_DISPOSITION: Final = istr("Content-Disposition")
_CONTENT_MD5: Final = istr("Content-MD5")
_CACHE_CONTROL: Final = istr("Cache-Control")
_TIER: Final = istr("x-ms-access-tier")
_VERSION_ID: Final = istr("x-ms-version-id")
_BLOB_MD5: Final = istr("x-ms-blob-content-md5")

_CRC64: Final = istr("x-ms-content-crc64")


def read_headers(options: ReadOptions) -> dict[str, str]:
    """
    Return range and conditions of a read.
    """
    headers = {}
    if options.range is not None:
        headers["x-ms-range"] = options.range.header()
    if options.if_match is not None:
        headers["If-Match"] = quoted(options.if_match)
    if options.if_none_match is not None:
        headers["If-None-Match"] = quoted(options.if_none_match)
    if options.if_modified_since is not None:
        headers["If-Modified-Since"] = http_date(options.if_modified_since)
    if options.if_unmodified_since is not None:
        headers["If-Unmodified-Since"] = http_date(options.if_unmodified_since)
    return headers


def stored_headers(options: WriteOptions, settings: AzureSettings) -> dict[str, str]:
    """
    Return what is stored with a blob.
    """
    given = {
        "x-ms-blob-content-type": options.content_type,
        "x-ms-blob-content-encoding": options.content_encoding,
        "x-ms-blob-content-language": options.content_language,
        "x-ms-blob-content-disposition": options.content_disposition,
        "x-ms-blob-cache-control": options.cache_control,
        "x-ms-access-tier": options.storage_class,
    }
    headers = {name: value for name, value in given.items() if value is not None}
    if options.metadata:
        headers |= metadata_headers(options.metadata)
    return headers | tag_headers(settings)


def tag_headers(settings: AzureSettings) -> dict[str, str]:
    """
    Return the tags that everything gets.
    """
    return {"x-ms-tags": encode_query(settings.tags.items())} if settings.tags else {}


def condition_headers(if_match: str | None, if_none_match: str | None) -> dict[str, str]:
    """
    Return the conditions of a write.
    """
    if if_match is not None:
        return {"If-Match": quoted(if_match)}
    return {} if if_none_match is None else {"If-None-Match": if_none_match}


def quoted(etag: str) -> str:
    """
    Return an ETag as HTTP writes it.
    """
    return etag if etag == "*" or etag.startswith('"') else f'"{etag}"'


def version_query(version_id: str | None) -> str:
    """
    Return what asks for a version, or for a snapshot.
    """
    if version_id is None:
        return ""
    if version_id.startswith(SNAPSHOT):
        return encode_query([("snapshot", version_id.removeprefix(SNAPSHOT))])
    return encode_query([("versionid", version_id)])


def checksum_header(checksum: Checksum | None) -> dict[str, str]:
    """
    Return the checksum of what is sent along, for the service to compare.
    """
    if checksum is None:
        return {}
    if checksum.algorithm is ChecksumAlgorithm.MD5:
        return {"Content-MD5": checksum.base64()}
    # Both have the same bits; the service writes the lowest byte first.
    return {"x-ms-content-crc64": base64.b64encode(checksum.value[::-1]).decode("ascii")}


def checksum_in(headers: Mapping[str, str]) -> Checksum | None:
    """
    Return the checksum of what the service received, if it tells.
    """
    if (text := headers.get(_CRC64)) is not None:
        found = Checksum.from_base64(ChecksumAlgorithm.CRC64NVME, text)
        return found and Checksum(found.algorithm, found.value[::-1])
    text = headers.get(_CONTENT_MD5)
    return None if text is None else Checksum.from_base64(ChecksumAlgorithm.MD5, text)


def stored_checksum(headers: Mapping[str, str], *, part: bool = False) -> Checksum | None:
    """
    Return the checksum of a whole blob, if a reply names it; beside a *part*, one header has that of the part.
    """
    md5 = headers.get(_BLOB_MD5) or (None if part else headers.get(_CONTENT_MD5))
    return None if md5 is None else Checksum.from_base64(ChecksumAlgorithm.MD5, md5)


def metadata_of(
    uri: ObjectURI, headers: Mapping[str, str], size: int, *, part: bool = False, version_id: str | None = None
) -> Metadata:
    """
    Return what the headers of a reply say about the blob *uri*.

    Args:
        part: Whether the reply is a range, whose MD5 is not the blob's.
        version_id: The version that was asked for.
    """
    get = headers.get
    checksum = stored_checksum(headers, part=part)
    etag, modified = get(_ETAG), get(_LAST_MODIFIED)
    return Metadata(
        uri=uri,
        size=size,
        etag=etag and etag.strip('"'),
        last_modified=parse_date(modified) if modified else None,
        version_id=version_id or get(_VERSION_ID),
        storage_class=get(_TIER),
        checksum=checksum,
        content_type=get(_CONTENT_TYPE),
        content_encoding=get(_CONTENT_ENCODING),
        content_language=get(_CONTENT_LANGUAGE),
        content_disposition=get(_CONTENT_DISPOSITION),
        cache_control=get(_CACHE_CONTROL),
        metadata=user_metadata(headers),
        checksums=() if checksum is None else (checksum,),
    )


def etag_in(headers: Mapping[str, str]) -> str | None:
    """
    Return the ETag of a blob that was written, without its quotes.
    """
    etag = headers.get(_ETAG)
    return etag and etag.strip('"')


def version_in(headers: Mapping[str, str]) -> str | None:
    """
    Return the version that was written, where the account keeps versions.
    """
    return headers.get(_VERSION_ID)
