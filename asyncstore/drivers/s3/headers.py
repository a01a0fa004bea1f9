"""
Converts between our records and the headers of S3.

User metadata that a header cannot carry is sent in the form in which S3 itself returns such
values, RFC 2047, and decoded on reading.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from multidict import istr

from asyncstore.auth.aws.sigv4 import encode_query
from asyncstore.drivers.s3.protection import held_in, protection_headers, retention_in
from asyncstore.http.header_values import decode_value, encode_value, etag_of
from asyncstore.http.object_headers import metadata_headers, stored_headers
from asyncstore.http.object_reply import metadata_record, user_metadata
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

CHECKSUM_PREFIX: Final = "x-amz-checksum-"
META_PREFIX: Final = "x-amz-meta-"

# Names that need no lower-casing at each look-up.
_ETAG: Final = istr("ETag")
_MD5_ETAG: Final = re.compile('"?([0-9a-fA-F]{32})"?')
_ENCRYPTION: Final = istr("x-amz-server-side-encryption")
_CUSTOMER_KEY: Final = istr("x-amz-server-side-encryption-customer-algorithm")
_CHECKSUM_TYPE: Final = istr("x-amz-checksum-type")
_STORAGE_CLASS: Final = istr("x-amz-storage-class")
_VERSION_ID: Final = istr("x-amz-version-id")
_TAG_COUNT: Final = istr("x-amz-tagging-count")
_ALGORITHMS: Final = [
    (istr(CHECKSUM_PREFIX + item), item) for item in ChecksumAlgorithm if item is not ChecksumAlgorithm.MD5
]


def content_headers(options: WriteOptions) -> dict[str, str]:
    """
    Return what to store with an object.

    Raises:
        ConfigurationError: A metadata key cannot be part of a header's name.
    """
    headers = stored_headers(options, storage_class="x-amz-storage-class")
    if options.metadata:
        headers |= metadata_headers(options.metadata, META_PREFIX, encode_value, "S3")
    if options.tags:
        headers["x-amz-tagging"] = encode_query(options.tags.items())
    return headers | protection_headers(options)


def checksum_header(checksum: Checksum) -> dict[str, str]:
    """
    Return the header for the checksum of a body.
    """
    return {f"{CHECKSUM_PREFIX}{checksum.algorithm.value}": checksum.base64()}


def checksums_of(headers: Mapping[str, str]) -> list[Checksum]:
    """
    Return the checksums in a reply; composite ones have ``parts``.
    """
    return [
        checksum
        for name, algorithm in _ALGORITHMS
        if name in headers and (checksum := Checksum.from_base64(algorithm, headers[name]))
    ]


def checksum_of(headers: Mapping[str, str], *, etag_is_md5: bool = False) -> Checksum | None:
    """
    Return the checksum of the whole object, if the reply has one.

    Args:
        etag_is_md5: Whether the ETag counts where no other checksum is stored.
    """
    for name, _ in _ALGORITHMS:
        if name in headers:
            return _sorted_out(headers)[1]
    return md5_of(headers) if etag_is_md5 else None


def md5_of(headers: Mapping[str, str]) -> Checksum | None:
    """
    Return the MD5 that the ETag is; ``None`` if it is something else.

    It is the MD5 of an object or part that was written by one request and is not encrypted with a key of KMS or of
    the customer. https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    match = _MD5_ETAG.fullmatch(headers.get(_ETAG, ""))
    if match is None or headers.get(_ENCRYPTION, "AES256") != "AES256" or _CUSTOMER_KEY in headers:
        return None
    return Checksum(ChecksumAlgorithm.MD5, bytes.fromhex(match.group(1)))


def _sorted_out(headers: Mapping[str, str]) -> tuple[list[Checksum], Checksum | None]:
    stored = checksums_of(headers)
    if not stored:
        return stored, None
    whole = [checksum for checksum in stored if checksum.parts is None]
    if whole and headers.get(_CHECKSUM_TYPE) == "COMPOSITE":
        # Some servers leave out the number of parts.
        return [checksum for checksum in stored if checksum.parts is not None], None
    return stored, whole[0] if whole else None


def metadata_of(
    uri: ObjectURI, headers: Mapping[str, str], size: int, whole_object: bool = True, *, etag_is_md5: bool = False
) -> Metadata:
    """
    Return what the headers of a reply say about the object *uri*.

    Args:
        whole_object: Whether the checksums in the reply are of the object, and not of
            the requested part or range.
        etag_is_md5: See :func:`checksum_of`.
    """
    get = headers.get
    stored, whole = _sorted_out(headers) if whole_object else ([], None)
    if etag_is_md5 and whole_object and not stored:
        whole = md5_of(headers)
    return metadata_record(
        uri,
        headers,
        size,
        etag_of(get(_ETAG)),
        version_of(headers),
        get(_STORAGE_CLASS),
        whole,
        user_metadata(headers, META_PREFIX, decode_value),
        stored,
        get(_TAG_COUNT),
        retention=retention_in(headers),
        legal_hold=held_in(headers),
    )


def version_of(headers: Mapping[str, str]) -> str | None:
    """
    Return the version id; ``None`` if the bucket is not versioned.
    """
    version = headers.get(_VERSION_ID)
    return None if version == "null" else version


def named_version(headers: Mapping[str, str], asked: str) -> str | None:
    """
    Return the version id that a reply about one version names.

    An object written without versioning has the version "null", which a bucket that was never versioned does not name.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html
    """
    return headers.get(_VERSION_ID, "null" if asked == "null" else None)
