"""
Multipart uploads in the XML of S3, which other providers speak too.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from asyncstore.errors import UnavailableError
from asyncstore.http.header_values import etag_of, parse_size, parse_time
from asyncstore.http.xml import child, expect, text_of
from asyncstore.types import Checksum, MultipartUpload, MultipartUploadPage, Part, PartPage
from asyncstore.uri import ObjectURI


def upload_id_in(root: ET.Element) -> str:
    """
    Return the id of the upload in the reply to its initiation.

    Raises:
        UnavailableError: It has none, or an empty one, which would name another request.
    """
    upload_id = text_of(root, "UploadId")
    if not upload_id.strip():
        raise UnavailableError("the reply has an empty UploadId: no upload was initiated")
    return upload_id


def parts_query(upload_id: str, token: str | None) -> list[tuple[str, str]]:
    """
    Return the parameters of a request for a page of parts.
    """
    return [("uploadId", upload_id)] + ([] if token is None else [("part-number-marker", token)])


def part_page(body: bytes, checksum_in: Callable[[ET.Element], Checksum | None] = lambda _: None) -> PartPage:
    """
    Return the page of parts in a reply.

    Raises:
        UnavailableError: It is something else.
    """
    root = expect(body, "ListPartsResult")
    parts = [
        Part(
            parse_size(text_of(item, "PartNumber")),
            etag_of(text_of(item, "ETag")) or "",
            parse_size(text_of(item, "Size")),
            checksum_in(item),
        )
        for item in root.iterfind("Part")
    ]
    more = child(root, "IsTruncated") == "true"
    return PartPage(parts, child(root, "NextPartNumberMarker") if more else None)


def uploads_query(token: str | None) -> list[tuple[str, str]]:
    """
    Return the parameters of a request for a page of uploads, but for their encoding and prefix.
    """
    if token is None:
        return [("uploads", "")]
    upload_id, _, key = token.partition(" ")
    return [("uploads", ""), ("key-marker", key), ("upload-id-marker", upload_id)]


def upload_page(root: ET.Element, bucket: ObjectURI) -> MultipartUploadPage:
    """
    Return the page of uploads in a reply.

    Raises:
        UnavailableError: An upload lacks its key or its id.
    """
    encoded = is_encoded(root)
    uploads = []
    for item in root.iterfind("Upload"):
        initiated = child(item, "Initiated")
        uri = bucket.with_key(decoded(text_of(item, "Key"), encoded=encoded))
        began = parse_time(initiated) if initiated else None
        uploads.append(MultipartUpload(uri, text_of(item, "UploadId"), began))
    if child(root, "IsTruncated") != "true":
        return MultipartUploadPage(uploads)
    # An upload id never has spaces; a key may.
    key = key_marker(root, uploads[-1].uri.key if uploads else None, encoded=encoded)
    return MultipartUploadPage(uploads, f"{text_of(root, 'NextUploadIdMarker')} {key}")


def is_encoded(root: ET.Element) -> bool:
    """
    Return whether the keys of a page are URL-encoded.
    """
    # A server that does not support encoding-type does not echo it.
    return root.findtext("EncodingType") == "url"


def key_marker(root: ET.Element, last: str | None, *, encoded: bool) -> str:
    """
    Return the key that the next page starts after.

    Args:
        last: The last key or common prefix of this page, which the marker names.
    """
    marker = text_of(root, "NextKeyMarker")
    # Ceph RGW, Swift and LocalStack encode the keys of a page, but not its marker.
    return marker if marker == last else decoded(marker, encoded=encoded)


def decoded(text: str, *, encoded: bool) -> str:
    """
    Return a key from a reply, URL-decoded if the reply is *encoded*.

    Raises:
        UnavailableError: It is not UTF-8.
    """
    if encoded and ("%" in text or "+" in text):
        try:
            return unquote_plus(text, errors="strict")
        except UnicodeDecodeError:
            raise UnavailableError(
                f"the listing has a key that is not UTF-8, which no key of this library can name: {text[:200]}",
                retryable=False,
            ) from None
    return text
