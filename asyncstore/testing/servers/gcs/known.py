"""
The parameters and headers that the server knows. It refuses all others instead of ignoring them.

The service has more, which would change what a request means: a test that relies on one must not pass by accident.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from asyncstore.testing.servers.gcs.errors import ServiceError


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# https://cloud.google.com/storage/docs/json_api/v1/parameters
_STANDARD: Final = _names("access_token alt fields key oauth_token prettyPrint quotaUser uploadType userIp userProject")
# Replies have the same fields with both projections.
_PROJECTION: Final = "projection"
_CONDITIONS: Final = "ifGenerationMatch ifGenerationNotMatch ifMetagenerationMatch ifMetagenerationNotMatch"
_SOURCE: Final = "ifSourceGenerationMatch ifSourceGenerationNotMatch ifSourceMetagenerationMatch"
_WRITE: Final = f"{_CONDITIONS} {_PROJECTION} kmsKeyName predefinedAcl"
_COPY: Final = (
    f"{_CONDITIONS} {_SOURCE} ifSourceMetagenerationNotMatch {_PROJECTION} sourceGeneration destinationKmsKeyName "
    "destinationPredefinedAcl"
)

#: The parameters of each method of the JSON API, besides those of all methods.
METHODS: Final[Mapping[str, frozenset[str]]] = {
    name: _names(parameters)
    for name, parameters in {
        "list_buckets": f"project prefix pageToken maxResults {_PROJECTION}",
        "insert_bucket": f"project {_PROJECTION}",
        "get_bucket": f"ifMetagenerationMatch ifMetagenerationNotMatch {_PROJECTION}",
        "patch_bucket": f"ifMetagenerationMatch ifMetagenerationNotMatch {_PROJECTION}",
        "update_bucket": f"ifMetagenerationMatch ifMetagenerationNotMatch {_PROJECTION}",
        "delete_bucket": "ifMetagenerationMatch ifMetagenerationNotMatch",
        # No bucket has folders, so there are none to show as prefixes.
        "list_objects": "prefix delimiter startOffset endOffset pageToken maxResults versions softDeleted matchGlob "
        f"includeTrailingDelimiter includeFoldersAsPrefixes {_PROJECTION}",
        "get_object": f"generation softDeleted {_CONDITIONS} {_PROJECTION}",
        "patch_object": f"generation {_CONDITIONS} {_PROJECTION} overrideUnlockedRetention",
        "update_object": f"generation {_CONDITIONS} {_PROJECTION}",
        "delete_object": f"generation {_CONDITIONS}",
        "restore_object": f"generation {_CONDITIONS} {_PROJECTION}",
        "compose_objects": f"{_WRITE} destinationPredefinedAcl",
        "copy_object": _COPY,
        "rewrite_object": f"{_COPY} rewriteToken maxBytesRewrittenPerCall",
        "insert_object": f"{_WRITE} name contentEncoding",
        "use_session": f"{_WRITE} name contentEncoding upload_id",
    }.items()
}

_LISTING: Final = "prefix delimiter marker max-keys list-type continuation-token start-after encoding-type fetch-owner"

#: The parameters of a service, a bucket and an object in the XML API.
XML_SERVICE: Final[frozenset[str]] = frozenset()
XML_BUCKET: Final = _names(f"{_LISTING} uploads max-uploads key-marker upload-id-marker")
XML_OBJECT: Final = _names(
    "generation uploads uploadId partNumber max-parts part-number-marker encoding-type "
    "response-content-type response-content-disposition"
)

# What a request to the XML API can be about instead of the bucket or object itself. These have no value.
_SUBRESOURCES: Final = _names(
    "acl billing compose cors customPlacementConfig defaultObjectAcl encryption encryptionConfig ipFilter lifecycle "
    "location logging policy publicAccessBlock retention storageClass tagging versioning versions website"
)

# The signature of a URL, and parameters that are only recorded in logs.
_SIGNED: Final = re.compile(
    r"X-Goog-(?:Algorithm|Credential|Date|Expires|SignedHeaders|Signature)|x-goog-custom-audit-.+"
)

_HEADER: Final = re.compile(
    # About the caller or the attempt.
    r"x-goog-(?:api-client|user-project|project-id|request-params|request-reason|gcs-idempotency-token|authuser"
    r"|custom-audit-.+"
    # Checked or stored.
    r"|acl|date|content-sha256|hash|meta-.+|storage-class|custom-time|resumable|metadata-directive"
    r"|if-(?:generation|metageneration)-match"
    r"|encryption-(?:algorithm|key|key-sha256|kms-key-name)"
    r"|copy-source(?:-generation|-if-.+|-encryption-(?:algorithm|key|key-sha256))?)"
    r"|x-amz-(?:date|content-sha256|user-agent)"
)


def check_parameters(query: Mapping[str, str], known: Iterable[str]) -> None:
    """
    Refuse a parameter that is not among *known*. Empty and false ones are the same as absent ones.

    Raises:
        ServiceError: 501, naming the parameter.
    """
    for name, value in query.items():
        if name in known or name in _STANDARD or _SIGNED.fullmatch(name):
            continue
        if name.startswith("$.") or (value.lower() in ("", "false") and name not in _SUBRESOURCES):
            continue
        raise unsupported(f"the parameter {name!r} in this request", name)


def check_headers(headers: Mapping[str, str]) -> None:
    """
    Refuse a header of Cloud Storage, or of S3's API, that is not known.

    Args:
        headers: With lower-case names.

    Raises:
        ServiceError: 501, naming the header.
    """
    for name in headers:
        if name.startswith(("x-goog-", "x-amz-")) and not _HEADER.fullmatch(name):
            raise unsupported(f"the header {name!r}", name.title())


def unsupported(what: str, location: str) -> ServiceError:
    """
    Return the refusal of something that the service has and this server has not.
    """
    message = f"The stand-in for Cloud Storage does not support {what}."
    return ServiceError(501, "notImplemented", "NotImplemented", message, location=location)
