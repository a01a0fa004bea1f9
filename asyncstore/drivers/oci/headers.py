"""
Between our records and the headers of OCI.

https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/GetObject
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Final

from multidict import istr

from asyncstore.drivers.oci.settings import ALGORITHMS
from asyncstore.errors import ConfigurationError, InvalidRequestError
from asyncstore.http.values import decode_value, encode_value, parse_date
from asyncstore.options import ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

META_PREFIX: Final = "opc-meta-"

_TOKEN: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_HEX_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")

# Of the whole object: the CRC of one made of parts is that of its bytes too, and the
# digests are left out there. From the quickest to the slowest.
_CHECKSUMS: Final = (
    (istr("opc-content-crc32c"), ChecksumAlgorithm.CRC32C),
    (istr("Content-MD5"), ChecksumAlgorithm.MD5),
    (istr("opc-content-sha256"), ChecksumAlgorithm.SHA256),
)
# Of the checksums of the parts, with their number.
_PART_CHECKSUMS: Final = (
    (istr("opc-multipart-md5"), ChecksumAlgorithm.MD5),
    (istr("opc-multipart-sha256"), ChecksumAlgorithm.SHA256),
)
_NAMES: Final[Mapping[ChecksumAlgorithm, str]] = {
    ChecksumAlgorithm.CRC32C: "CRC32C",
    ChecksumAlgorithm.SHA256: "SHA256",
}

# Names that need not be made lower case at each look-up.
_ETAG: Final = istr("ETag")
_VERSION_ID: Final = istr("version-id")
_LAST_MODIFIED: Final = istr("Last-Modified")
_STORAGE_TIER: Final = istr("storage-tier")


def read_headers(options: ReadOptions) -> dict[str, str]:
    """
    Return range and conditions of a read, as far as OCI knows them.
    """
    headers = {}
    if options.range is not None:
        headers["Range"] = options.range.header()
    if options.if_match is not None:
        headers["If-Match"] = bare(options.if_match)
    if options.if_none_match not in (None, "*"):
        headers["If-None-Match"] = bare(options.if_none_match or "")
    return headers


def content_headers(options: WriteOptions) -> dict[str, str]:
    """
    Return what is stored with an object that is written by one request.
    """
    given = {
        "Content-Type": options.content_type,
        "Content-Encoding": options.content_encoding,
        "Content-Language": options.content_language,
        "Content-Disposition": options.content_disposition,
        "Cache-Control": options.cache_control,
        "storage-tier": options.storage_class,
    }
    return {name: value for name, value in given.items() if value is not None} | metadata_fields(options.metadata)


def metadata_fields(metadata: Mapping[str, str]) -> dict[str, str]:
    """
    Return the user's metadata under the names that OCI wants everywhere, in headers and in documents.

    Raises:
        ConfigurationError: A key cannot be part of a header's name.
    """
    fields = {}
    for key, value in metadata.items():
        if not _TOKEN.fullmatch(key):
            raise ConfigurationError(f"OCI keeps metadata in headers, and {key!r} cannot be part of a header's name")
        fields[META_PREFIX + key] = encode_value(value)
    return fields


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
    return etag.strip('"')


def algorithm_headers(algorithm: ChecksumAlgorithm | None) -> dict[str, str]:
    """
    Return what announces the checksums of an upload's parts; of MD5s there is nothing to announce.

    Raises:
        InvalidRequestError: OCI does not compare such checksums.
    """
    if algorithm is None:
        return {}
    if algorithm not in ALGORITHMS:
        raise InvalidRequestError(f"OCI compares {', '.join(sorted(ALGORITHMS))}, and no {algorithm}")
    return {"opc-checksum-algorithm": _NAMES[algorithm]} if algorithm in _NAMES else {}


def checksum_headers(checksum: Checksum | None) -> dict[str, str]:
    """
    Return the checksum of what is sent along, for OCI to compare.
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
    return _own_md5(_user_metadata(headers)) if md5_metadata else None


def metadata_of(
    uri: ObjectURI, headers: Mapping[str, str], size: int, *, checksums: bool = True, md5_metadata: bool = True
) -> Metadata:
    """
    Return what the headers of a reply say about the object *uri*.

    Args:
        checksums: Whether those in the reply are of the object, and not of a range.
        md5_metadata: Whether the user's own ``md5`` counts where there is no other.
    """
    get = headers.get
    metadata = _user_metadata(headers)
    stored = checksums_of(headers) if checksums else []
    whole = next((checksum for checksum in stored if checksum.parts is None), None)
    if whole is None and md5_metadata and checksums and (own := _own_md5(metadata)) is not None:
        whole = own
        stored.append(own)
    modified, etag = get(_LAST_MODIFIED), get(_ETAG)
    return Metadata(
        uri=uri,
        size=size,
        etag=etag and bare(etag),
        last_modified=parse_date(modified) if modified else None,
        version_id=get(_VERSION_ID),
        storage_class=get(_STORAGE_TIER),
        checksum=whole,
        content_type=get("Content-Type"),
        content_encoding=get("Content-Encoding"),
        content_language=get("Content-Language"),
        content_disposition=get("Content-Disposition"),
        cache_control=get("Cache-Control"),
        metadata=metadata,
        checksums=stored,
    )


def _user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    # Most objects have none, and one look at the names tells.
    if META_PREFIX not in " ".join(headers).lower():
        return {}
    return {
        lower[len(META_PREFIX) :]: decode_value(value)
        for name, value in headers.items()
        if (lower := name.lower()).startswith(META_PREFIX)
    }


def _own_md5(metadata: Mapping[str, str]) -> Checksum | None:
    text = metadata.get("md5", "").strip()
    if _HEX_MD5.fullmatch(text):
        return Checksum(ChecksumAlgorithm.MD5, binascii.unhexlify(text))
    found = Checksum.from_base64(ChecksumAlgorithm.MD5, text)
    return found if found is not None and found.parts is None and len(found.value) == 16 else None
