"""
Headers of S3: what is stored with an object, conditions, checksums.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final
from urllib.parse import quote

from asyncstore.options import CopyOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

_META: Final = "x-amz-meta-"

CHECKSUM_HEADERS: Final = {
    "x-amz-checksum-crc32": ChecksumAlgorithm.CRC32,
    "x-amz-checksum-crc32c": ChecksumAlgorithm.CRC32C,
    "x-amz-checksum-crc64nvme": ChecksumAlgorithm.CRC64NVME,
    "x-amz-checksum-sha1": ChecksumAlgorithm.SHA1,
    "x-amz-checksum-sha256": ChecksumAlgorithm.SHA256,
}

_CONTENT: Final = (
    ("content_type", "Content-Type"),
    ("content_encoding", "Content-Encoding"),
    ("content_language", "Content-Language"),
    ("content_disposition", "Content-Disposition"),
    ("cache_control", "Cache-Control"),
)

_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NAMES: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS: Final = {name: number for number, name in enumerate(_NAMES, 1)}


def read_headers(options: ReadOptions) -> dict[str, str]:
    """
    Return the headers that ask for what *options* say.
    """
    headers: dict[str, str] = {}
    if options.verify:
        headers["x-amz-checksum-mode"] = "ENABLED"
    if options.range is not None:
        headers["Range"] = options.range.header()
    if options.if_match is not None:
        headers["If-Match"] = quoted(options.if_match)
    if options.if_none_match is not None:
        headers["If-None-Match"] = quoted(options.if_none_match)
    if options.if_modified_since is not None:
        headers["If-Modified-Since"] = _date(options.if_modified_since)
    if options.if_unmodified_since is not None:
        headers["If-Unmodified-Since"] = _date(options.if_unmodified_since)
    return headers


def stored_headers(options: WriteOptions) -> dict[str, str]:
    """
    Return the headers for all that is stored with an object.
    """
    headers = {name: value for field, name in _CONTENT if (value := getattr(options, field)) is not None}
    for key, value in options.metadata.items():
        headers[_META + key] = encoded(value)
    if options.storage_class is not None:
        headers["x-amz-storage-class"] = options.storage_class
    return headers


def condition_headers(options: WriteOptions | CopyOptions) -> dict[str, str]:
    """
    Return the headers for the conditions on the target of a write.
    """
    headers = {}
    if options.if_match is not None:
        headers["If-Match"] = quoted(options.if_match)
    if options.if_none_match is not None:
        headers["If-None-Match"] = "*"
    return headers


def checksum_header(checksum: Checksum) -> dict[str, str]:
    """
    Return the header that lets S3 compare the bytes of a request.
    """
    return {f"x-amz-checksum-{checksum.algorithm}": checksum.base64()}


def checksums(headers: Mapping[str, str]) -> tuple[Checksum, ...]:
    """
    Return the checksums that a reply names.
    """
    found = []
    composite = headers.get("x-amz-checksum-type") == "COMPOSITE"
    for name, algorithm in CHECKSUM_HEADERS.items():
        text = headers.get(name)
        if text is not None and (checksum := Checksum.from_base64(algorithm, text)) is not None:
            # One of part checksums says so by its type, where it does not by its form.
            found.append(Checksum(algorithm, checksum.value, 0) if composite and not checksum.parts else checksum)
    return tuple(found)


def metadata(uri: ObjectURI, headers: Mapping[str, str], size: int) -> Metadata:
    """
    Return what the headers of a reply say of an object of *size* bytes.
    """
    found = checksums(headers)
    own = {name[len(_META) :].lower(): decoded(value) for name, value in headers.items() if name[:11].lower() == _META}
    return Metadata(
        uri=uri,
        size=size,
        etag=etag(headers.get("ETag")),
        last_modified=moment(headers.get("Last-Modified")),
        version_id=headers.get("x-amz-version-id"),
        storage_class=headers.get("x-amz-storage-class"),
        checksum=found[0] if found else None,
        content_type=headers.get("Content-Type"),
        content_encoding=headers.get("Content-Encoding"),
        content_language=headers.get("Content-Language"),
        content_disposition=headers.get("Content-Disposition"),
        cache_control=headers.get("Cache-Control"),
        metadata=own,
        checksums=found,
    )


def content_range(text: str | None) -> tuple[int, int, int] | None:
    """
    Read a ``Content-Range``: start, end (exclusive) and size of the whole object.
    """
    match = _RANGE.fullmatch(text or "")
    return None if match is None else (int(match[1]), int(match[2]) + 1, int(match[3]))


def etag(text: str | None) -> str | None:
    """
    Return an ETag without its quotes.
    """
    return None if text is None else text.strip('"')


def quoted(text: str) -> str:
    """
    Return an ETag as headers carry it.
    """
    return text if text == "*" or text.endswith('"') else f'"{text}"'


def copy_source(source: ObjectURI, version_id: str | None) -> str:
    """
    Return the value of ``x-amz-copy-source``.
    """
    path = f"{source.bucket}/{quote(source.key, safe='/')}"
    return f"{path}?versionId={quote(version_id, safe='')}" if version_id else path


def encoded(value: str) -> str:
    """
    Write a metadata value that is not plain ASCII as S3 returns such values itself.

    That is RFC 2047; see
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html#UserMetadata
    """
    # What looks encoded already would be decoded when it is read.
    if value.isascii() and "=?" not in value and value == value.strip():
        return value
    return f"=?UTF-8?Q?{quote(value, safe='').replace('%', '=').replace('_', '=5F')}?="


def decoded(value: str) -> str:
    """
    Read a metadata value: plain, RFC 2047, or UTF-8 as it is.
    """
    if "=?" in value:
        try:
            return str(make_header(decode_header(value)))
        except (LookupError, ValueError):
            return value
    if value.isascii():
        return value
    # aiohttp decodes headers as UTF-8 and keeps other bytes as surrogates.
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def moment(text: str | None) -> datetime | None:
    """
    Read an HTTP date; ``None`` if it is none.
    """
    if text is None:
        return None
    try:
        # As every server writes it: "Wed, 21 Oct 2015 07:28:00 GMT". A tenth of the
        # time of the general function, on every read.
        return datetime(
            int(text[12:16]),
            _MONTHS[text[8:11]],
            int(text[5:7]),
            int(text[17:19]),
            int(text[20:22]),
            int(text[23:25]),
            tzinfo=UTC,
        )
    except (KeyError, ValueError):
        pass
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def _date(when: datetime) -> str:
    return format_datetime(when.astimezone(UTC), usegmt=True)
