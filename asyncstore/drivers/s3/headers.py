"""
Between our records and the headers of S3.

User metadata that a header cannot carry is sent as S3 itself returns such values:
by RFC 2047, which is undone on reading.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from multidict import istr

from asyncstore.drivers.s3 import records
from asyncstore.errors import ConfigurationError
from asyncstore.http.values import decode_value, encode_value, http_date, parse_date
from asyncstore.options import ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

CHECKSUM_PREFIX: Final = "x-amz-checksum-"
_META_PREFIX: Final = "x-amz-meta-"

# Names that need not be made lower case at each look-up.
_ETAG: Final = istr("ETag")
_LAST_MODIFIED: Final = istr("Last-Modified")
_CONTENT_TYPE: Final = istr("Content-Type")
_CONTENT_ENCODING: Final = istr("Content-Encoding")
_CONTENT_LANGUAGE: Final = istr("Content-Language")
_CONTENT_DISPOSITION: Final = istr("Content-Disposition")
_CACHE_CONTROL: Final = istr("Cache-Control")
_CHECKSUM_TYPE: Final = istr("x-amz-checksum-type")
_STORAGE_CLASS: Final = istr("x-amz-storage-class")
_VERSION_ID: Final = istr("x-amz-version-id")
_ALGORITHMS: Final = [
    (istr(CHECKSUM_PREFIX + item), item) for item in ChecksumAlgorithm if item is not ChecksumAlgorithm.MD5
]

_TOKEN: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")


def read_headers(options: ReadOptions) -> dict[str, str]:
    """
    Return range and conditions of a read.
    """
    headers = {}
    if options.range is not None:
        headers["Range"] = options.range.header()
    if options.if_match is not None:
        headers["If-Match"] = quoted(options.if_match)
    if options.if_none_match is not None:
        headers["If-None-Match"] = quoted(options.if_none_match)
    if options.if_modified_since is not None:
        headers["If-Modified-Since"] = http_date(options.if_modified_since)
    if options.if_unmodified_since is not None:
        headers["If-Unmodified-Since"] = http_date(options.if_unmodified_since)
    return headers


def content_headers(options: WriteOptions) -> dict[str, str]:
    """
    Return what is stored with an object.

    Raises:
        ConfigurationError: A metadata key cannot be part of a header's name.
    """
    given = {
        "Content-Type": options.content_type,
        "Content-Encoding": options.content_encoding,
        "Content-Language": options.content_language,
        "Content-Disposition": options.content_disposition,
        "Cache-Control": options.cache_control,
        "x-amz-storage-class": options.storage_class,
    }
    headers = {name: value for name, value in given.items() if value is not None}
    for key, value in options.metadata.items():
        if not _TOKEN.fullmatch(key):
            raise ConfigurationError(f"S3 keeps metadata in headers, and {key!r} cannot be part of a header's name")
        headers[_META_PREFIX + key] = encode_value(value)
    return headers


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


def checksum_header(checksum: Checksum) -> dict[str, str]:
    """
    Return the checksum of what is sent along.
    """
    return {f"{CHECKSUM_PREFIX}{checksum.algorithm.value}": checksum.base64()}


def checksums_of(headers: Mapping[str, str]) -> list[Checksum]:
    """
    Return the checksums that a reply names; those of part checksums say so.
    """
    return [
        checksum
        for name, algorithm in _ALGORITHMS
        if name in headers and (checksum := Checksum.from_base64(algorithm, headers[name]))
    ]


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """
    Return the checksum of the whole object, if a reply names one.
    """
    return _sorted_out(headers)[1]


def _sorted_out(headers: Mapping[str, str]) -> tuple[list[Checksum], Checksum | None]:
    stored = checksums_of(headers)
    whole = [checksum for checksum in stored if checksum.parts is None]
    if whole and headers.get(_CHECKSUM_TYPE) == "COMPOSITE":
        # A server that leaves out the number of parts.
        return [checksum for checksum in stored if checksum.parts is not None], None
    return stored, whole[0] if whole else None


def metadata_of(uri: ObjectURI, headers: Mapping[str, str], size: int, *, checksums: bool = True) -> Metadata:
    """
    Return what the headers of a reply say about the object *uri*.

    Args:
        checksums: Whether those in the reply are of the object, and not of the
            part or range that was asked for.
    """
    get = headers.get
    stored, whole = _sorted_out(headers) if checksums else ([], None)
    etag, modified = get(_ETAG), get(_LAST_MODIFIED)
    version = get(_VERSION_ID)
    return records.metadata(
        uri,
        size,
        etag and etag.strip('"'),
        parse_date(modified) if modified else None,
        None if version == "null" else version,
        get(_STORAGE_CLASS),
        whole,
        False,
        None,
        False,
        get(_CONTENT_TYPE),
        get(_CONTENT_ENCODING),
        get(_CONTENT_LANGUAGE),
        get(_CONTENT_DISPOSITION),
        get(_CACHE_CONTROL),
        # Most objects have none, and one look at the names tells.
        _user_metadata(headers) if "-meta-" in " ".join(headers).lower() else {},
        stored,
    )


def _user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        lower[len(_META_PREFIX) :]: decode_value(value)
        for name, value in headers.items()
        if (lower := name.lower()).startswith(_META_PREFIX)
    }


def version_of(headers: Mapping[str, str]) -> str | None:
    """
    Return the version id; ``None`` where the bucket keeps no versions.
    """
    version = headers.get(_VERSION_ID)
    return None if version == "null" else version
