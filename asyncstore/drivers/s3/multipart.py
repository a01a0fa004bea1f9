"""
Multipart uploads.

S3 learns the checksum algorithm at the start, verifies each part against the checksum
sent before it, and the whole object against ours at the end. The CRCs allow such a
``FULL_OBJECT`` checksum; other algorithms only a ``COMPOSITE`` one of the parts' checksums.
S3 does not require the parts' checksums for a full-object checksum; other servers do.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from asyncstore.auth.aws.sigv4 import encode_query
from asyncstore.checksum import COMBINABLE, combine_all, composite_of
from asyncstore.driver.body import Body
from asyncstore.driver.parts import compare_parts, in_order
from asyncstore.drivers.s3.copying import CHECKSUM_TAGS, PATIENCE, checksum_in, outcome
from asyncstore.drivers.s3.encryption import key_headers, write_headers
from asyncstore.drivers.s3.features import PART_CHECKSUMS, WHOLE_CHECKSUMS
from asyncstore.drivers.s3.headers import checksum_header, content_headers, version_of
from asyncstore.drivers.s3.objects import Objects, sent_checksum
from asyncstore.drivers.s3.wire import Request, document
from asyncstore.errors import StorageError
from asyncstore.http.header_values import etag_of
from asyncstore.http.object_headers import checksum_to_send, condition_headers, quoted
from asyncstore.http.object_reply import compare_checksums, required_etag
from asyncstore.http.reply import Reply
from asyncstore.http.xml import child, escaped, expect
from asyncstore.http.xml_uploads import part_page, parts_query, upload_id_in
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ObjectInfo, Part, PartPage
from asyncstore.uri import ObjectURI

_TAG_OF: Final[Mapping[ChecksumAlgorithm, str]] = {algorithm: tag for tag, algorithm in CHECKSUM_TAGS.items()}


class MultipartUploads(Objects):
    """
    Multipart uploads.
    """

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        headers = content_headers(options) | write_headers(options.encryption or self._encryption)
        algorithm = self._part_checksum(options)
        if algorithm is not None and algorithm in _TAG_OF:
            # An algorithm that cannot be combined allows only a checksum of checksums.
            kind = "FULL_OBJECT" if algorithm in COMBINABLE else "COMPOSITE"
            headers |= {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": kind}
        request = Request("POST", uri, "uploads=", headers, chosen_checksum=options.checksum is not None)
        reply, body = await self._wire.read(request)
        if algorithm in COMBINABLE and reply.headers.get("x-amz-checksum-type") == "COMPOSITE":
            self.narrow(WHOLE_CHECKSUMS, "the reply to the first request says that the checksum is composite")
        return upload_id_in(expect(body, "InitiateMultipartUploadResult"))

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        checksum = await checksum_to_send(body, self._part_checksum(options))
        headers = sent_checksum(checksum) | key_headers(options.encryption or self._encryption)
        query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
        request = Request("PUT", uri, query, headers, body, await self._payload_hash(body))
        reply = await self._wire.perform(request._replace(chosen_checksum=options.checksum is not None))
        stored = await self._verified(body, checksum, reply)
        if PART_CHECKSUMS in self._lacking and options.checksum is None:
            checksum = None
        return Part(number, required_etag(reply), body.size, checksum or stored)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        headers = condition_headers(options.if_match, options.if_none_match)
        headers |= key_headers(options.encryption or self._encryption)
        ordered = in_order(parts)
        if checksum is not None and WHOLE_CHECKSUMS in self._lacking:
            # The server has verified the parts, and cannot verify the whole object.
            compare_parts(ordered, checksum)
        elif checksum is not None and self._part_checksum(options) is not None:
            headers |= {**checksum_header(checksum), "x-amz-checksum-type": "FULL_OBJECT"}
        content = "".join([_element(part) for part in ordered])
        query = encode_query([("uploadId", upload_id)])
        request = document("POST", uri, query, "CompleteMultipartUpload", content, headers)
        request = request._replace(create_only=options.if_none_match is not None, patience=PATIENCE)
        try:
            reply, body = await self._wire.read(request)
            result = outcome(reply, body, "CompleteMultipartUploadResult", create_only=request.create_only)
        except StorageError as exc:
            if options.if_match is None and options.if_none_match is None:
                raise
            raise self._conditional(exc, "complete", options.if_match) from None
        if self._settings.verifies:
            _compare(checksum_in(result), child(result, "ChecksumType"), ordered, checksum, reply)
        await self._check_tags(uri, options.tags, "multipart upload")
        await self._check_protection(uri, options, "multipart upload")
        return ObjectInfo(
            uri=uri,
            size=sum(part.size for part in parts),
            # Ceph RGW answers an empty one.
            etag=etag_of(child(result, "ETag")),
            version_id=version_of(reply.headers),
            storage_class=options.storage_class,
            checksum=checksum_in(result) or checksum,
        )

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        request = Request("DELETE", uri, encode_query([("uploadId", upload_id)]))
        await self._wire.remove(request, ("NoSuchBucket",))

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        query = encode_query(parts_query(upload_id, token))
        _, body = await self._wire.read(Request("GET", uri, query, key_headers(self._encryption)))
        return part_page(body, checksum_in)


def _compare(
    stored: Checksum | None, kind: str | None, parts: Sequence[Part], checksum: Checksum | None, reply: Reply
) -> None:
    """
    Compare the checksum in the reply to a completion with that of the *parts* and of the whole object.

    Args:
        kind: The type of *stored*, if the reply names it; otherwise it may be either.
        checksum: That of the whole object, if the caller knows it.

    Raises:
        IntegrityError: It is neither.
    """
    if stored is None:
        return
    known = []
    if kind != "COMPOSITE" and stored.parts is None:
        whole = checksum or combine_all((part.checksum, part.size) for part in parts)
        if whole is None or whole.algorithm is not stored.algorithm:
            return
        known.append(whole)
    if kind != "FULL_OBJECT":
        known += filter(None, [composite_of(part.checksum for part in parts)])
    same = [item for item in known if item.algorithm is stored.algorithm]
    if all(item.value != stored.value for item in same):
        compare_checksums(same[0] if same else None, stored, reply)


def _element(part: Part) -> str:
    fields = [("PartNumber", str(part.number)), ("ETag", quoted(part.etag))]
    if part.checksum is not None and part.checksum.algorithm in _TAG_OF:
        fields.append((_TAG_OF[part.checksum.algorithm], part.checksum.base64()))
    return f"<Part>{''.join([f'<{name}>{escaped(value)}</{name}>' for name, value in fields])}</Part>"
