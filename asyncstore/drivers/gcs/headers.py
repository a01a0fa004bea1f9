"""
Converts between our records and the headers of the XML API.

https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final

from multidict import CIMultiDictProxy, istr

from asyncstore.drivers.gcs.resources import lossless
from asyncstore.errors import NotSupportedError
from asyncstore.http.object_headers import metadata_headers, stored_headers
from asyncstore.http.object_reply import metadata_record, user_metadata
from asyncstore.http.reply import Reply
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

_META_PREFIX: Final = "x-goog-meta-"

# Names that need no lower-casing at each look-up.
GENERATION: Final = istr("x-goog-generation")
_HASH: Final = istr("x-goog-hash")
_STORAGE_CLASS: Final = istr("x-goog-storage-class")
_STORED_ENCODING: Final = istr("x-goog-stored-content-encoding")
_CONTENT_ENCODING: Final = istr("Content-Encoding")

# In base64.
_CRC_CHARACTERS: Final = 8
_ALGORITHMS: Final = {"crc32c": ChecksumAlgorithm.CRC32C, "md5": ChecksumAlgorithm.MD5}


def content_headers(options: WriteOptions) -> dict[str, str]:
    """
    Return what to store with an object.

    Raises:
        ConfigurationError: Reads would not return the metadata as it is.
    """
    headers = stored_headers(options, storage_class="x-goog-storage-class")
    return headers | metadata_headers(options.metadata, _META_PREFIX, lossless, "GCS")


def hash_header(checksum: Checksum) -> dict[str, str]:
    """
    Return the header that lets GCS verify what it receives.
    """
    return {"x-goog-hash": f"{checksum.algorithm}={checksum.base64()}"}


def checksums_of(headers: Mapping[str, str]) -> list[Checksum]:
    """
    Return the checksums in one or several ``x-goog-hash`` headers, the CRC first.
    """
    values = _all(headers, _HASH)
    found = []
    for item in values if len(values) > 1 else values[0].split(",") if values else ():
        name, _, digest = item.strip().partition("=")
        if (algorithm := _ALGORITHMS.get(name)) and (checksum := _checksum(algorithm, digest)):
            found.append(checksum)
    return sorted(found, key=attrgetter("algorithm")) if len(found) > 1 else found


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """
    Return the checksum to verify a read with: the CRC, which every object has, else any other.
    """
    for value in _all(headers, _HASH):
        name, found, rest = value.partition("crc32c=")
        if found and (not name or name[-1] in ", "):
            return _checksum(ChecksumAlgorithm.CRC32C, rest.partition(",")[0].strip())
    return next(iter(checksums_of(headers)), None)


def check_encoding(reply: Reply) -> None:
    """
    Refuse a reply whose bytes are not the stored ones, and close it.

    https://cloud.google.com/storage/docs/transcoding

    Raises:
        NotSupportedError: They were compressed or decompressed on the way.
    """
    get = reply.headers.get
    stored = get(_STORED_ENCODING)
    if stored is not None and (stored == "gzip") != (get(_CONTENT_ENCODING) == "gzip"):
        reply.close()
        raise NotSupportedError(
            f"the object is stored as {stored} and arrived as {get(_CONTENT_ENCODING, 'identity')}: "
            "a server on the way changes the compression",
            provider="gcs",
            request_id=reply.request_id,
        )


def metadata_of(uri: ObjectURI, headers: Mapping[str, str], size: int, _whole_object: bool = True) -> Metadata:
    """
    Return what the headers of a read say about the object *uri*; their checksums are of all its bytes.
    """
    checksums = checksums_of(headers)
    generation = headers.get(GENERATION)
    return metadata_record(
        uri,
        headers,
        size,
        generation,
        generation,
        headers.get(_STORAGE_CLASS),
        checksums[0] if checksums else None,
        user_metadata(headers, _META_PREFIX),
        checksums,
        skip_empty=True,
    )


def _checksum(algorithm: ChecksumAlgorithm, digest: str) -> Checksum | None:
    if algorithm is ChecksumAlgorithm.CRC32C and len(digest) == _CRC_CHARACTERS:
        try:
            # Faster than from_base64(), which accepts more.
            return Checksum(algorithm, a2b_base64(digest))
        except ValueError:
            return None
    return Checksum.from_base64(algorithm, digest)


def _all(headers: Mapping[str, str], name: str) -> Sequence[str]:
    if isinstance(headers, CIMultiDictProxy):
        return headers.getall(name, [])
    return [headers[name]] if name in headers else []
