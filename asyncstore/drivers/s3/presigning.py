"""
What presigned URLs of S3 bind: signed headers, which the client must send, and parameters of the query.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from asyncstore.drivers.s3.headers import checksum_header
from asyncstore.options import PresignOptions
from asyncstore.types import ChecksumAlgorithm

PRESIGN_OPTIONS: Final = frozenset(item.name for item in fields(PresignOptions))


def demanded_headers(options: PresignOptions) -> dict[str, str]:
    """
    Return the headers that are signed, and that requests must send.
    """
    headers: dict[str, str] = {}
    if (checksum := options.checksum) is not None:
        plain = checksum.algorithm is ChecksumAlgorithm.MD5
        headers |= {"Content-MD5": checksum.base64()} if plain else checksum_header(checksum)
    if options.content_type is not None:
        headers["Content-Type"] = options.content_type
    if options.if_none_match is not None:
        headers["If-None-Match"] = options.if_none_match
    if options.range is not None:
        headers["Range"] = options.range.header()
    return headers


def demanded_query(options: PresignOptions) -> list[tuple[str, str]]:
    """
    Return the parameters that are signed.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
    """
    pairs = [(f"response-{name}", value) for name, value in options.response_headers().items()]
    if options.version_id is not None:
        pairs.append(("versionId", options.version_id))
    if options.upload_id is not None:
        pairs += [("partNumber", str(options.part_number)), ("uploadId", options.upload_id)]
    return pairs
