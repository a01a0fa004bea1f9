"""
What S3-compatible endpoints lack, detected from their refusals.

AWS's own endpoints have everything, so a refusal there is about the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asyncstore.driver import Condition
from asyncstore.errors import IntegrityError, StorageError
from asyncstore.types import ChecksumAlgorithm

#: Names for :meth:`asyncstore.driver.Driver.narrow`.
READ_CHECKSUMS: Final = "stored checksums in replies to reads"
WRITE_CHECKSUMS: Final = "x-amz-checksum headers"
PART_CHECKSUMS: Final = "checksums of multipart uploads"
WHOLE_CHECKSUMS: Final = "full-object checksums of multipart uploads"
VERSION_2: Final = "version 2 of ListObjects"
UNSIGNED_PAYLOADS: Final = "unsigned payloads"
TAGS: Final = "object tags"
OBJECT_LOCK: Final = "object lock"
VERSIONS: Final = "listings of versions"
PART_COPIES: Final = "copies of parts"
MD5_ETAGS: Final = "ETags that are MD5s"

#: What an endpoint may ignore until it has refused one.
CONDITIONS: Final[frozenset[Condition]] = frozenset({"create", "replace", "complete", "delete", "copy"})

_CHECKSUM_HEADERS: Final = ("x-amz-checksum-", "x-amz-sdk-checksum-")

#: What a driver without :data:`WRITE_CHECKSUMS` has left: Content-MD5 is as old as S3.
PLAIN_CHECKSUMS: Final = frozenset({ChecksumAlgorithm.MD5})


def blames_checksums(error: StorageError) -> bool:
    """
    Whether a refusal may be about the headers of checksums.

    Backblaze B2 answers 400 and "Unsupported header 'x-amz-checksum-mode' received", Cloudflare R2
    501 and "Header 'x-amz-checksum-algorithm' not implemented"; the reply to a HEAD has no text.
    """
    if isinstance(error, IntegrityError) or error.status not in (400, 501):
        return False
    text = error.message.lower()
    return error.status == 501 or error.code is None or "checksum" in text or "header" in text


def blames_payload_hash(error: StorageError) -> bool:
    """
    Whether a refusal is about the bytes of the body not being signed.
    """
    if error.code == "XAmzContentSHA256Mismatch":
        return True
    text = error.message.lower()
    return error.status in (400, 403, 501) and ("x-amz-content-sha256" in text or "unsigned-payload" in text)


def names_condition(error: StorageError) -> bool:
    """
    Whether a refusal says that the endpoint does not know the condition that was sent.
    """
    text = error.message.lower()
    return error.status in (400, 501) and ("if-none-match" in text or "if-match" in text)


def without_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return *headers* without those of checksums.
    """
    return {name: value for name, value in headers.items() if not name.startswith(_CHECKSUM_HEADERS)}


def checksum_feature(method: str, query: str, headers: Mapping[str, str]) -> str | None:
    """
    Return which feature a request uses that has checksum headers; ``None`` if it has none.
    """
    if len(without_checksums(headers)) == len(headers):
        return None
    if method in ("GET", "HEAD"):
        return READ_CHECKSUMS
    return PART_CHECKSUMS if method == "POST" or "uploadId=" in query else WRITE_CHECKSUMS
