"""
Server-side copies: of an object, or of a range as a part.

S3 answers 200 before it starts and keeps the connection alive with white space. The
outcome is in the body, so an error there is an error.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from xml.etree import ElementTree as ET

from asyncstore.auth.aws.sigv4 import encode_key, encode_query
from asyncstore.driver import Pending
from asyncstore.driver.naming import naming
from asyncstore.drivers.s3.bucket_names import access_point
from asyncstore.drivers.s3.encryption import key_headers, write_headers
from asyncstore.drivers.s3.errors import named
from asyncstore.drivers.s3.features import PART_COPIES
from asyncstore.drivers.s3.headers import content_headers, version_of
from asyncstore.drivers.s3.objects import Objects
from asyncstore.drivers.s3.protection import protection_headers
from asyncstore.drivers.s3.wire import Request
from asyncstore.encryption import key_of
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.http.header_values import etag_of
from asyncstore.http.object_headers import condition_headers, quoted
from asyncstore.http.reply import Reply
from asyncstore.http.xml import child, is_document, parse, text_of
from asyncstore.options import CopyOptions, ReadOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ObjectInfo, Part
from asyncstore.uri import ObjectURI

#: A copy of 5 GiB can take minutes before the first byte of the reply.
PATIENCE: Final = 20.0


class Copies(Objects):
    """
    Server-side copies.
    """

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> Pending[ObjectInfo]:
        """
        Copy an object; since the reply does not say how large it is, a stat is left to do.
        """
        headers = self._source_headers(source, options) | write_headers(options.encryption or self._encryption)
        headers |= condition_headers(options.if_match, options.if_none_match)
        if options.storage_class is not None:
            headers["x-amz-storage-class"] = options.storage_class
        if options.replace is not None:
            headers |= {**content_headers(options.replace), "x-amz-metadata-directive": "REPLACE"}
        if options.tags is not None:
            headers |= {"x-amz-tagging-directive": "REPLACE", "x-amz-tagging": encode_query(options.tags.items())}
        headers |= protection_headers(options)
        request = Request(
            "PUT", target, headers=headers, create_only=options.if_none_match is not None, patience=PATIENCE
        )
        try:
            reply, body = await self._wire.read(request)
            result = outcome(reply, body, "CopyObjectResult", create_only=request.create_only)
        except StorageError as exc:
            if options.if_match is None and options.if_none_match is None:
                raise
            raise self._conditional(exc, "copy", options.if_match) from None
        whole = None if child(result, "ChecksumType") == "COMPOSITE" else checksum_in(result)
        return Pending(target, (version_of(reply.headers), whole, options))

    async def advance(self, pending: Pending[Any]) -> Any:
        """
        Return the version that a copy has made, with the checksum that the reply to the copy named.
        """
        version_id, checksum, options = pending.state
        looked = ReadOptions(version_id=version_id, encryption=key_of(options.encryption))
        with naming(pending.target):
            await self._check_tags(pending.target, options.tags, "copy")
            await self._check_protection(pending.target, options, "copy")
            info = await self.stat(pending.target, looked)
        return info if checksum is None else replace(info, checksum=checksum)

    async def copy_part(
        self,
        source: ObjectURI,
        target: ObjectURI,
        upload_id: str,
        number: int,
        start: int,
        end: int,
        options: CopyOptions,
    ) -> Part:
        headers = self._source_headers(source, options) | key_headers(options.encryption or self._encryption)
        headers["x-amz-copy-source-range"] = f"bytes={start}-{end - 1}"
        query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
        reply, body = await self._wire.read(Request("PUT", target, query, headers, patience=PATIENCE))
        if not body and not self._wire.addresses.at_aws:
            # It has written an empty part.
            reason = "x-amz-copy-source is ignored on a part"
            raise self._lacks(PART_COPIES, reason, copy_part=False)
        result = outcome(reply, body, "CopyPartResult")
        return Part(number, etag_of(text_of(result, "ETag")) or "", end - start, checksum_in(result))

    def _source_headers(self, source: ObjectURI, options: CopyOptions) -> dict[str, str]:
        point = access_point(source.bucket)
        where = encode_key(point.object_arn(source.key) if point else f"/{source.bucket}/{source.key}")
        if options.source_version_id is not None:
            where += "?" + encode_query([("versionId", options.source_version_id)])
        headers = {"x-amz-copy-source": where}
        headers |= key_headers(options.source_encryption or self._encryption, "x-amz-copy-source-")
        if options.source_if_match is not None:
            headers["x-amz-copy-source-if-match"] = quoted(options.source_if_match)
        return headers


def outcome(reply: Reply, body: bytes, tag: str, *, create_only: bool = False) -> ET.Element:
    """
    Return the root of a reply that was 200 before the outcome was known.

    Raises:
        StorageError: The request failed after all.
    """
    root = parse(body)
    if root is not None and root.tag == "Error":
        raise named(reply, body, create_only=create_only)
    if root is None or not is_document(root, tag):
        raise UnavailableError(f"the reply is not a {tag}", request_id=reply.request_id)
    return root


def checksum_in(element: ET.Element) -> Checksum | None:
    """
    Return the checksum among the children of *element*, if any.
    """
    for tag, algorithm in CHECKSUM_TAGS.items():
        if text := element.findtext(tag):
            return Checksum.from_base64(algorithm, text)
    return None


CHECKSUM_TAGS: Final[Mapping[str, ChecksumAlgorithm]] = {
    f"Checksum{item.upper()}": item for item in ChecksumAlgorithm if item is not ChecksumAlgorithm.MD5
}
