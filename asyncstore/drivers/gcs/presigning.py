"""
What presigned URLs of GCS bind: signed headers, which the client must send, and parameters of the XML API.

https://cloud.google.com/storage/docs/authentication/canonical-requests
https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

from __future__ import annotations

from typing import Final

from asyncstore.drivers.gcs.components import is_composed
from asyncstore.drivers.gcs.headers import hash_header
from asyncstore.errors import NotSupportedError
from asyncstore.options import PresignOptions

PART_OPTIONS: Final = frozenset({"upload_id", "part_number"})

# https://cloud.google.com/storage/docs/xml-api/get-object-download has two parameters for headers of the reply.
PRESIGN_OPTIONS: Final = PART_OPTIONS | {
    "content_type",
    "checksum",
    "if_none_match",
    "range",
    "version_id",
    "response_content_type",
    "response_content_disposition",
}


def demanded_headers(options: PresignOptions) -> dict[str, str]:
    """
    Return the headers that are signed, and that requests must send.
    """
    headers = {} if options.checksum is None else hash_header(options.checksum)
    if options.content_type is not None:
        headers["Content-Type"] = options.content_type
    if options.if_none_match is not None:
        headers["x-goog-if-generation-match"] = "0"
    if options.range is not None:
        headers["Range"] = options.range.header()
    return headers


def demanded_query(options: PresignOptions) -> list[tuple[str, str]]:
    """
    Return the parameters that are signed.

    Raises:
        NotSupportedError: The upload is composed of objects, so that its parts have other names.
    """
    pairs = [(f"response-{name}", value) for name, value in options.response_headers().items()]
    if options.version_id is not None:
        pairs.append(("generation", options.version_id))
    if options.upload_id is not None:
        if is_composed(options.upload_id):
            raise NotSupportedError(
                "the parts of this upload are objects of their own, which a presigned URL with an upload_id cannot "
                "name: it is not a multipart upload of the XML API",
                op="sign",
                provider="gcs",
            )
        pairs += [("partNumber", str(options.part_number)), ("uploadId", options.upload_id)]
    return pairs
