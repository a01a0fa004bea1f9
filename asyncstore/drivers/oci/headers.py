"""
Converts between our records and the headers of OCI.

https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/GetObject
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Final

from multidict import istr

from asyncstore.drivers.oci.settings import ALGORITHMS
from asyncstore.errors import InvalidRequestError
from asyncstore.http.header_values import decode_value, encode_value, etag_of
from asyncstore.http.object_headers import metadata_headers, stored_headers
from asyncstore.http.object_reply import metadata_record, user_metadata
from asyncstore.options import ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

_META_PREFIX: Final = "opc-meta-"

_HEX_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")

# Of the whole object, from the fastest to the slowest to compute. An object made of parts has
# only the CRC, which is that of all its bytes.
_CHECKSUMS: Final = (
    (istr("opc-content-crc32c"), ChecksumAlgorithm.CRC32C),
    (istr("Content-MD5"), ChecksumAlgorithm.MD5),
    (istr("opc-content-sha256"), ChecksumAlgorithm.SHA256),
)
# Of the checksums of the parts, followed by the number of parts.
_PART_CHECKSUMS: Final = (
    (istr("opc-multipart-md5"), ChecksumAlgorithm.MD5),
    (istr("opc-multipart-sha256"), ChecksumAlgorithm.SHA256),
)
_NAMES: Final[Mapping[ChecksumAlgorithm, str]] = {
    ChecksumAlgorithm.CRC32C: "CRC32C",
    ChecksumAlgorithm.SHA256: "SHA256",
}

# Names that need no lower-casing at each look-up.
_ETAG: Final = istr("ETag")
_VERSION_ID: Final = istr("version-id")
_STORAGE_TIER: Final = istr("storage-tier")


def read_headers(options: ReadOptions) -> dict[str, str]:
    """
    Return the range and the conditions of a read; OCI supports no dates, and no ``*``.
    """
    headers = {}
    if options.range is not None:
        headers["Range"] = options.range.header()
    if options.if_match is not None:
        headers["If-Match"] = bare(options.if_match)
    if options.if_none_match is not None and options.if_none_match != "*":
        headers["If-None-Match"] = bare(options.if_none_match)
    return headers


def content_headers(options: WriteOptions) -> dict[str, str]:
    """
    Return what to store with an object that is written by one request.

    Raises:
        ConfigurationError: A metadata key cannot be part of a header's name.
    """
    return stored_headers(options, storage_class="storage-tier") | metadata_fields(options.metadata)


def metadata_fields(metadata: Mapping[str, str]) -> dict[str, str]:
    """
    Return user metadata under the names that OCI uses in both headers and documents.

    Raises:
        ConfigurationError: A key cannot be part of a header's name.
    """
    return metadata_headers(metadata, _META_PREFIX, encode_value, "OCI")


def condition_headers(if_match: str | None, if_none_match: str | None) -> dict[str, str]:
    """
    Return the conditions of a write.
    """
    if if_match is not None:
        return {"If-Match": bare(if_match)}
    return {} if if_none_match is None else {"If-None-Match": if_none_match}


def bare(etag: str) -> str:
    """
    Return an ETag as OCI writes it: without quotes.
    """
    return etag_of(etag) or ""


def algorithm_headers(algorithm: ChecksumAlgorithm | None) -> dict[str, str]:
    """
    Return what announces the checksums of an upload's parts; MD5 needs no announcement.

    Raises:
        InvalidRequestError: OCI does not support the algorithm.
    """
    if algorithm is None:
        return {}
    if algorithm not in ALGORITHMS:
        raise InvalidRequestError(f"OCI does not support {algorithm} checksums: use {', '.join(sorted(ALGORITHMS))}")
    return {"opc-checksum-algorithm": _NAMES[algorithm]} if algorithm in _NAMES else {}


def checksum_headers(checksum: Checksum | None) -> dict[str, str]:
    """
    Return the headers that let OCI verify what it receives.
    """
    if checksum is None:
        return {}
    if checksum.algorithm is ChecksumAlgorithm.MD5:
        return {"Content-MD5": checksum.base64()}
    name = f"opc-content-{checksum.algorithm.value}"
    return {**algorithm_headers(checksum.algorithm), name: checksum.base64()}


def checksums_of(headers: Mapping[str, str]) -> list[Checksum]:
    """
    Return the checksums of an object that a reply names; those of part checksums say so.
    """
    found = [(algorithm, headers[name]) for name, algorithm in (*_CHECKSUMS, *_PART_CHECKSUMS) if name in headers]
    return [checksum for algorithm, text in found if (checksum := Checksum.from_base64(algorithm, text))]


def checksum_of(headers: Mapping[str, str], *, md5_metadata: bool = True) -> Checksum | None:
    """
    Return the checksum of the whole object, if a reply names one; arguments as of :func:`metadata_of`.
    """
    for name, algorithm in _CHECKSUMS:
        if name in headers and (found := Checksum.from_base64(algorithm, headers[name])) and found.parts is None:
            return found
    return _own_md5(user_metadata(headers, _META_PREFIX, decode_value)) if md5_metadata else None


def metadata_of(
    uri: ObjectURI, headers: Mapping[str, str], size: int, whole_object: bool = True, *, md5_metadata: bool = True
) -> Metadata:
    """
    Return what the headers of a reply say about the object *uri*.

    Args:
        whole_object: Whether the checksums in the reply are of the object, and not of a range.
        md5_metadata: Whether the user's own metadata ``md5`` counts if OCI has no checksum of the object.
    """
    metadata = user_metadata(headers, _META_PREFIX, decode_value)
    stored = checksums_of(headers) if whole_object else []
    whole = next((checksum for checksum in stored if checksum.parts is None), None)
    if whole is None and md5_metadata and whole_object and (own := _own_md5(metadata)) is not None:
        whole = own
        stored.append(own)
    return metadata_record(
        uri,
        headers,
        size,
        etag_of(headers.get(_ETAG)),
        headers.get(_VERSION_ID),
        headers.get(_STORAGE_TIER),
        whole,
        metadata,
        stored,
    )


def _own_md5(metadata: Mapping[str, str]) -> Checksum | None:
    text = metadata.get("md5", "").strip()
    if _HEX_MD5.fullmatch(text):
        return Checksum(ChecksumAlgorithm.MD5, binascii.unhexlify(text))
    found = Checksum.from_base64(ChecksumAlgorithm.MD5, text)
    return found if found is not None and found.parts is None and len(found.value) == 16 else None
