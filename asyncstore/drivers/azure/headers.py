"""
Converts between our records and the headers of Azure.

Azure requires names of metadata to be C# identifiers. Other characters are encoded as
``_xHHHH_``, by their UTF-16 code unit, as .NET does where XML has the same restriction
(``XmlConvert.EncodeName``): ``with-dash`` is stored as ``with_x002d_dash``. Values are
ASCII; others are sent by RFC 2047. Both are decoded on reading.
https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from multidict import istr

from asyncstore.drivers.azure.protection import held_in, protection_headers, retention_in
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.http import header_values, object_headers
from asyncstore.http.header_values import decode_value, encode_value
from asyncstore.http.object_reply import metadata_record, user_metadata
from asyncstore.http.origin import encode_query
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

#: Marks the version ids that are the times of snapshots.
SNAPSHOT: Final = "snapshot:"

#: The resource type of a directory.
DIRECTORY: Final = "directory"

NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})

_META_PREFIX: Final = "x-ms-meta-"

# What an identifier cannot contain, and an underscore that would read as the start of an escape.
_ESCAPABLE: Final = re.compile(r"^[0-9]|[^A-Za-z0-9_]|_(?=x[0-9a-f]{4}_)", re.DOTALL)
_ESCAPED: Final = re.compile(r"(?:_x[0-9a-f]{4}_)+")

# Names that need no lower-casing at each look-up.
_ETAG: Final = istr("ETag")
_CONTENT_MD5: Final = istr("Content-MD5")
_TIER: Final = istr("x-ms-access-tier")
_TAG_COUNT: Final = istr("x-ms-tag-count")
_VERSION_ID: Final = istr("x-ms-version-id")
_RESOURCE_TYPE: Final = istr("x-ms-resource-type")
_BLOB_MD5: Final = istr("x-ms-blob-content-md5")
_CRC64: Final = istr("x-ms-content-crc64")


def stored_headers(options: WriteOptions, settings: AzureSettings, tags: Mapping[str, str] = NO_TAGS) -> dict[str, str]:
    """
    Return what to store with a blob.
    """
    headers = object_headers.stored_headers(options, prefix="x-ms-blob-", storage_class="x-ms-access-tier")
    for name, value in options.metadata.items():
        headers[_META_PREFIX + encode_name(name)] = encode_value(value)
    return headers | tag_headers(settings, tags, options.tags) | protection_headers(options)


def tag_headers(
    settings: AzureSettings, tags: Mapping[str, str] = NO_TAGS, chosen: Mapping[str, str] = NO_TAGS
) -> dict[str, str]:
    """
    Return the tags that were *chosen* for this write, or those from the settings, or else *tags*.
    """
    found = chosen or settings.tags or tags
    return {"x-ms-tags": encode_query(found.items())} if found else {}


def version_query(version_id: str | None) -> str:
    """
    Return the query that selects a version or a snapshot.
    """
    if version_id is None:
        return ""
    if version_id.startswith(SNAPSHOT):
        return encode_query([("snapshot", version_id.removeprefix(SNAPSHOT))])
    return encode_query([("versionid", version_id)])


def named_version(headers: Mapping[str, str], asked: str) -> str | None:
    """
    Return the version id that a reply about one version names. A reply about a snapshot names none.

    https://learn.microsoft.com/rest/api/storageservices/get-blob#response-headers
    """
    return asked if asked.startswith(SNAPSHOT) else headers.get(_VERSION_ID)


def checksum_header(checksum: Checksum | None) -> dict[str, str]:
    """
    Return the checksum of the request's body, which the service verifies.
    """
    if checksum is None:
        return {}
    if checksum.algorithm is ChecksumAlgorithm.MD5:
        return {"Content-MD5": checksum.base64()}
    # The bits are those of CRC64NVME; the service writes the lowest byte first.
    return {"x-ms-content-crc64": base64.b64encode(checksum.value[::-1]).decode("ascii")}


def received_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """
    Return the checksum of the bytes that the service received, if the reply to a write names it.
    """
    if (text := headers.get(_CRC64)) is not None:
        found = Checksum.from_base64(ChecksumAlgorithm.CRC64NVME, text)
        return found and Checksum(found.algorithm, found.value[::-1])
    text = headers.get(_CONTENT_MD5)
    return None if text is None else Checksum.from_base64(ChecksumAlgorithm.MD5, text)


def checksum_of(headers: Mapping[str, str], whole_object: bool = True) -> Checksum | None:
    """
    Return the checksum of the whole blob, if a reply names it; in a partial reply, ``Content-MD5`` is that of the part.
    """
    md5 = headers.get(_BLOB_MD5) or (headers.get(_CONTENT_MD5) if whole_object else None)
    return None if md5 is None else Checksum.from_base64(ChecksumAlgorithm.MD5, md5)


def metadata_of(
    uri: ObjectURI,
    headers: Mapping[str, str],
    size: int,
    whole_object: bool = True,
    *,
    version_id: str | None = None,
) -> Metadata:
    """
    Return what the headers of a reply say about the blob *uri*.

    Args:
        whole_object: Whether the reply carries the blob, and not a range of it.
        version_id: The version that was requested.
    """
    checksum = checksum_of(headers, whole_object)
    metadata = user_metadata(headers, _META_PREFIX, decode_value)
    named = {decode_name(name): value for name, value in metadata.items()}
    return metadata_record(
        uri,
        headers,
        size,
        etag_of(headers),
        version_id or headers.get(_VERSION_ID),
        headers.get(_TIER),
        checksum,
        named,
        () if checksum is None else (checksum,),
        headers.get(_TAG_COUNT),
        is_folder=not size and is_marker(named),
        retention=retention_in(headers),
        legal_hold=held_in(headers),
    )


def is_marker(metadata: Mapping[str, str]) -> bool:
    """
    Return whether the metadata of an empty blob makes it the marker of a folder, as Hadoop and blobfuse write them.
    """
    return metadata.get("hdi_isfolder", "").lower() == "true"


def is_directory(headers: Mapping[str, str]) -> bool:
    """
    Return whether a reply is about a directory, which accounts with a hierarchical namespace have besides blobs.
    """
    return headers.get(_RESOURCE_TYPE) == DIRECTORY


def etag_of(headers: Mapping[str, str]) -> str | None:
    """
    Return the blob's ETag without its quotes.
    """
    return header_values.etag_of(headers.get(_ETAG))


def encode_name(name: str) -> str:
    """
    Return a metadata name as an identifier.
    """
    return _ESCAPABLE.sub(lambda match: "".join(f"_x{unit:04x}_" for unit in _units(match[0])), name)


def decode_name(name: str) -> str:
    """
    Return the name that :func:`encode_name` encoded; any other name is returned as it is.
    """
    return _ESCAPED.sub(_decoded, name) if "_x" in name else name


def _decoded(match: re.Match[str]) -> str:
    units = bytes.fromhex(match[0].replace("_x", "").replace("_", ""))
    try:
        return units.decode("utf-16-be")
    except UnicodeDecodeError:
        return match[0]


def _units(character: str) -> list[int]:
    encoded = character.encode("utf-16-be")
    return [int.from_bytes(encoded[i : i + 2], "big") for i in range(0, len(encoded), 2)]
