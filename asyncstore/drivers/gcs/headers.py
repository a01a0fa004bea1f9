"""
Between our records and the headers of the XML API.

https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from multidict import CIMultiDictProxy, istr

from asyncstore.drivers.gcs import records
from asyncstore.drivers.gcs.resources import check_metadata
from asyncstore.errors import NotSupportedError
from asyncstore.http.reply import Reply
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

_META_PREFIX: Final = "x-goog-meta-"

# Names that need not be made lower case at each look-up.
GENERATION: Final = istr("x-goog-generation")
_HASH: Final = istr("x-goog-hash")
_STORAGE_CLASS: Final = istr("x-goog-storage-class")
_STORED_ENCODING: Final = istr("x-goog-stored-content-encoding")
_LAST_MODIFIED: Final = istr("Last-Modified")
_CONTENT_TYPE: Final = istr("Content-Type")
_CONTENT_ENCODING: Final = istr("Content-Encoding")
_CONTENT_LANGUAGE: Final = istr("Content-Language")
_CONTENT_DISPOSITION: Final = istr("Content-Disposition")
_CACHE_CONTROL: Final = istr("Cache-Control")

# In base64.
_CRC_CHARACTERS: Final = 8
_ALGORITHMS: Final = {"crc32c": ChecksumAlgorithm.CRC32C, "md5": ChecksumAlgorithm.MD5}
_MONTHS: Final = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


def content_headers(options: WriteOptions) -> dict[str, str]:
    """
    Return what is stored with an object.

    Raises:
        ConfigurationError: Metadata that would not come back the same.
    """
    given = {
        "Content-Type": options.content_type,
        "Content-Encoding": options.content_encoding,
        "Content-Language": options.content_language,
        "Content-Disposition": options.content_disposition,
        "Cache-Control": options.cache_control,
        "x-goog-storage-class": options.storage_class,
    }
    headers = {name: value for name, value in given.items() if value is not None}
    check_metadata(options.metadata)
    return headers | {_META_PREFIX + key: value for key, value in options.metadata.items()}


def hash_header(checksum: Checksum) -> dict[str, str]:
    """
    Return the checksum of what is sent along.
    """
    return {"x-goog-hash": f"{checksum.algorithm}={checksum.base64()}"}


def checksums_of(reply: Reply) -> list[Checksum]:
    """
    Return the checksums that a reply names, the CRC first: in one header or in several.
    """
    values = _all(reply.headers, _HASH)
    found = []
    for item in values if len(values) > 1 else values[0].split(",") if values else ():
        name, _, digest = item.strip().partition("=")
        if (algorithm := _ALGORITHMS.get(name)) and (checksum := _checksum(algorithm, digest)):
            found.append(checksum)
    return sorted(found, key=_by_algorithm) if len(found) > 1 else found


def checksum_of(reply: Reply) -> Checksum | None:
    """
    Return the checksum that reads are compared with: the CRC, which all objects have, or what there is.
    """
    for value in _all(reply.headers, _HASH):
        name, found, rest = value.partition("crc32c=")
        if found and (not name or name[-1] in ", "):
            return _checksum(ChecksumAlgorithm.CRC32C, rest.partition(",")[0].strip())
    return next(iter(checksums_of(reply)), None)


def check_encoding(reply: Reply) -> None:
    """
    Refuse bytes that are not those that are stored.

    https://cloud.google.com/storage/docs/transcoding

    Raises:
        NotSupportedError: A server on the way has compressed or decompressed them.
    """
    stored = reply.headers.get(_STORED_ENCODING)
    if stored is not None and (stored == "gzip") != (reply.headers.get(_CONTENT_ENCODING) == "gzip"):
        raise NotSupportedError("a server on the way has changed the compression of the object", provider="gcs")


def _checksum(algorithm: ChecksumAlgorithm, digest: str) -> Checksum | None:
    if algorithm is ChecksumAlgorithm.CRC32C and len(digest) == _CRC_CHARACTERS:
        try:
            # Quicker than the way for all that can be written there.
            return Checksum(algorithm, a2b_base64(digest))
        except ValueError:
            return None
    return Checksum.from_base64(algorithm, digest)


def metadata_of(uri: ObjectURI, reply: Reply, size: int) -> Metadata:
    """
    Return what the headers of a read say about the object *uri*.
    """
    get = reply.headers.get
    checksums = checksums_of(reply)
    generation, modified = get(GENERATION), get(_LAST_MODIFIED)
    return records.metadata(
        uri,
        size,
        generation,
        _date(modified) if modified else None,
        generation,
        get(_STORAGE_CLASS),
        checksums[0] if checksums else None,
        get(_CONTENT_TYPE),
        get(_CONTENT_ENCODING) or None,
        get(_CONTENT_LANGUAGE) or None,
        get(_CONTENT_DISPOSITION) or None,
        get(_CACHE_CONTROL) or None,
        # Most objects have none, and one look at the names tells.
        _user_metadata(reply.headers) if "-meta-" in " ".join(reply.headers).lower() else {},
        checksums,
    )


def _user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        lower[len(_META_PREFIX) :]: value
        for name, value in headers.items()
        if (lower := name.lower()).startswith(_META_PREFIX)
    }


def _by_algorithm(checksum: Checksum) -> str:
    return checksum.algorithm.value


def _all(headers: Mapping[str, str], name: str) -> Sequence[str]:
    if isinstance(headers, CIMultiDictProxy):
        return headers.getall(name, [])
    return [headers[name]] if name in headers else []


def _date(text: str) -> datetime | None:
    try:
        # "Sun, 06 Nov 1994 08:49:37 GMT", and nothing else since RFC 9110.
        return datetime.fromisoformat(f"{text[12:16]}-{_MONTHS[text[8:11]]}-{text[5:7]}T{text[17:25]}+00:00")
    except (KeyError, ValueError):
        pass
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
