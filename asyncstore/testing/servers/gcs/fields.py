"""
The metadata that a writer can set on an object, in either API, and its limits.

`Object metadata <https://cloud.google.com/storage/docs/metadata>`_ ·
`quotas <https://cloud.google.com/storage/quotas>`_
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asyncstore.testing.servers.gcs import access_lists
from asyncstore.testing.servers.gcs.errors import ServiceError, invalid, required

#: https://cloud.google.com/storage/docs/objects#naming
_MAX_NAME_BYTES: Final = 1024
#: https://cloud.google.com/storage/quotas#objects: custom metadata, keys and values
_MAX_METADATA_BYTES: Final = 8 * 1024

_TEXTS: Final = frozenset(
    {
        "cacheControl",
        "contentDisposition",
        "contentEncoding",
        "contentLanguage",
        "contentType",
        "customTime",
        "kmsKeyName",
        "storageClass",
    }
)
_FLAGS: Final = frozenset({"eventBasedHold", "temporaryHold"})
_OTHERS: Final = frozenset({"acl", "contexts", "metadata", "retention"})
_CLASSES: Final = frozenset(
    {
        "STANDARD",
        "NEARLINE",
        "COLDLINE",
        "ARCHIVE",
        "MULTI_REGIONAL",
        "REGIONAL",
        "DURABLE_REDUCED_AVAILABILITY",
    }
)
_HEADERS: Final = {
    "cache-control": "cacheControl",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "content-language": "contentLanguage",
    "content-type": "contentType",
    "x-goog-custom-time": "customTime",
    "x-goog-encryption-kms-key-name": "kmsKeyName",
    "x-goog-storage-class": "storageClass",
}
_META: Final = "x-goog-meta-"


def of_resource(resource: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the fields that the JSON *resource* sets. Fields that only the service sets are ignored.
    """
    fields = {name: value for name, value in resource.items() if _settable(name) and value is not None}
    if "metadata" in fields:
        fields["metadata"] = {key: value for key, value in fields["metadata"].items() if value is not None}
    _check(fields)
    return fields


def of_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the fields that the headers of an XML request set.
    """
    fields: dict[str, Any] = {field: headers[name] for name, field in _HEADERS.items() if name in headers}
    if fields.get("contentEncoding") == "aws-chunked":
        del fields["contentEncoding"]
    metadata = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
    if metadata:
        fields["metadata"] = metadata
    if "x-goog-acl" in headers:
        fields["acl"] = access_lists.of_header(headers["x-goog-acl"])
    _check(fields)
    return fields


def patched(fields: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *fields* with *patch* applied; a null removes a field.
    """
    changes = {name: value for name, value in patch.items() if _settable(name)}
    metadata = changes.get("metadata")
    if isinstance(metadata, dict):
        changes["metadata"] = {**fields.get("metadata", {}), **metadata}
    return of_resource({**fields, **changes})


def check_name(name: str) -> None:
    """
    Refuse an invalid object name.
    """
    if not name:
        raise required("Required", "name")
    if len(name.encode()) > _MAX_NAME_BYTES:
        message = f"The maximum object length is {_MAX_NAME_BYTES} characters."
        raise ServiceError(400, "invalid", "KeyTooLongError", message, location="name")
    if name in (".", "..") or "\r" in name or "\n" in name or name.startswith(".well-known/acme-challenge/"):
        raise ServiceError(400, "invalid", "InvalidObjectName", f"Invalid object name: '{name!r}'", location="name")


def _settable(name: str) -> bool:
    return name in _TEXTS or name in _FLAGS or name in _OTHERS


def _check(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if (name in _TEXTS and not isinstance(value, str)) or (name in _FLAGS and not isinstance(value, bool)):
            raise invalid(f"Invalid value for: {name}", name)
    if fields.get("storageClass", "STANDARD") not in _CLASSES:
        raise invalid(f"The storage class '{fields['storageClass']}' is not valid.", code="InvalidStorageClass")
    _check_metadata(fields.get("metadata", {}))


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise invalid("Invalid value for: metadata", "metadata")
    if sum(len(key.encode()) + len(value.encode(errors="surrogateescape")) for key, value in metadata.items()) > (
        _MAX_METADATA_BYTES
    ):
        message = f"Metadata part is too large: the limit is {_MAX_METADATA_BYTES} bytes."
        raise invalid(message, code="MetadataTooLarge")
