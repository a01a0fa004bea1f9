"""
Multipart uploads.

Each part is sent with its checksum, which OCI verifies; the reply to the commit has the CRC of
all the bytes. A commit names every part of the upload: those that do not belong to the object
are listed as excluded.
https://docs.oracle.com/iaas/Content/Object/Tasks/usingmultipartuploads.htm
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncstore.driver.body import Body
from asyncstore.driver.parts import compare_parts, in_order
from asyncstore.drivers.oci.addresses import encode_segment
from asyncstore.drivers.oci.encryption import write_headers
from asyncstore.drivers.oci.errors import MALFORMED, MISSING_BUCKET, malformed
from asyncstore.drivers.oci.headers import (
    algorithm_headers,
    bare,
    checksum_headers,
    checksums_of,
    condition_headers,
    metadata_fields,
)
from asyncstore.drivers.oci.listing import MAX_KEYS, NEXT_PAGE, parse_time
from asyncstore.drivers.oci.objects import Objects, check_name, prepared, verify, written
from asyncstore.drivers.oci.wire import PATIENCE, Request, document
from asyncstore.errors import InvalidRequestError
from asyncstore.http.header_values import parse_size
from asyncstore.http.object_reply import compare_checksums, required_etag
from asyncstore.http.origin import encode_query
from asyncstore.http.reply import Reply
from asyncstore.options import WriteOptions
from asyncstore.types import (
    Checksum,
    ChecksumAlgorithm,
    MultipartUpload,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
)
from asyncstore.uri import ObjectURI

# Codes for parts that are missing, have another ETag, or are not named by the commit.
_BAD_PARTS: Final = frozenset({"InvalidUploadPart", "InvalidParameter"})


class MultipartUploads(Objects):
    """
    Multipart uploads.
    """

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/CreateMultipartUpload
        """
        check_name(uri)
        details = {
            "object": uri.key,
            "contentType": options.content_type,
            "contentEncoding": options.content_encoding,
            "contentLanguage": options.content_language,
            "contentDisposition": options.content_disposition,
            "cacheControl": options.cache_control,
            "storageTier": options.storage_class,
            "metadata": metadata_fields(options.metadata) or None,
        }
        headers = algorithm_headers(options.checksum or self._settings.checksum)
        headers |= write_headers(options.encryption or self._encryption)
        body = document({name: value for name, value in details.items() if value is not None})
        reply, found = await self._wire.read_json(Request("POST", uri, "/u", headers=headers, body=body))
        upload_id = found.get("uploadId") if isinstance(found, dict) else None
        if not isinstance(upload_id, str) or not upload_id:
            raise malformed(reply, "a new multipart upload")
        return upload_id

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/UploadPart
        """
        checksum = await prepared(body, options.checksum or self._settings.checksum)
        headers = checksum_headers(checksum) | write_headers(options.encryption or self._encryption)
        query = encode_query([("uploadId", upload_id), ("uploadPartNum", str(number))])
        reply = await self._wire.perform(Request("PUT", uri, _path(uri), query, headers, body))
        stored = await verify(body, reply, checksum)
        return Part(number, required_etag(reply), body.size, checksum or stored)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/CommitMultipartUpload

        *checksum* is compared with the parts' checksums before the commit, and with OCI's own after it.
        """
        ordered = in_order(parts)
        compare_parts(ordered, checksum)
        try:
            reply = await self._commit(uri, upload_id, parts, options, ())
        except InvalidRequestError as exc:
            excluded = await self._parts_to_exclude(uri, upload_id, parts) if exc.code in _BAD_PARTS else []
            if not excluded:
                raise
            reply = await self._commit(uri, upload_id, parts, options, excluded)
        stored = next((found for found in checksums_of(reply.headers) if found.parts is None), None)
        compare_checksums(checksum, stored, reply)
        return written(uri, reply, sum(part.size for part in parts), stored or checksum, options.storage_class)

    async def _commit(
        self, uri: ObjectURI, upload_id: str, parts: Sequence[Part], options: WriteOptions, excluded: Sequence[int]
    ) -> Reply:
        committed = [{"partNum": part.number, "etag": part.etag} for part in in_order(parts)]
        details: dict[str, Any] = {"partsToCommit": committed}
        if excluded:
            details["partsToExclude"] = list(excluded)
        request = Request(
            "POST",
            uri,
            _path(uri),
            encode_query([("uploadId", upload_id)]),
            condition_headers(options.if_match, options.if_none_match),
            body=document(details),
            create_only=options.if_none_match is not None,
            patience=PATIENCE,
        )
        return await self._wire.perform(request)

    async def _parts_to_exclude(self, uri: ObjectURI, upload_id: str, parts: Sequence[Part]) -> list[int]:
        # Empty if one of the parts is missing or has another ETag: excluding others would not help.
        stored: dict[int, str] = {}
        token, known = None, -1
        # A page without a new part ends the list too: a server that ignores the token would repeat it for ever.
        while len(stored) > known:
            known = len(stored)
            page = await self.list_parts(uri, upload_id, token)
            stored |= {part.number: part.etag for part in page.parts}
            token = page.next_token
            if token is None:
                break
        if any(stored.get(part.number) != part.etag for part in parts):
            return []
        return sorted(set(stored) - {part.number for part in parts})

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/AbortMultipartUpload
        """
        request = Request("DELETE", uri, _path(uri), encode_query([("uploadId", upload_id)]))
        await self._wire.remove(request, MISSING_BUCKET)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/ListMultipartUploadParts
        """
        pairs = [("uploadId", upload_id), ("limit", str(MAX_KEYS))] + ([] if token is None else [("page", token)])
        reply, items = await self._wire.read_json(Request("GET", uri, _path(uri), encode_query(pairs)))
        try:
            parts = [_part(item) for item in items]
        except MALFORMED as exc:
            raise malformed(reply, "a page of parts") from exc
        return PartPage(parts, reply.headers.get(NEXT_PAGE))

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/ListMultipartUploads

        OCI lists the uploads of the whole bucket, so a page can be empty without being the last.
        """
        pairs = [("limit", str(MAX_KEYS))] + ([] if token is None else [("page", token)])
        reply, items = await self._wire.read_json(Request("GET", prefix, "/u", encode_query(pairs)))
        try:
            uploads = [
                MultipartUpload(prefix.with_key(item["object"]), item["uploadId"], parse_time(item.get("timeCreated")))
                for item in items
                if item["object"].startswith(prefix.key)
            ]
            first = f"{items[0]['object']} {items[0]['uploadId']}" if items else None
        except MALFORMED as exc:
            raise malformed(reply, "a page of multipart uploads") from exc
        return MultipartUploadPage(uploads, reply.headers.get(NEXT_PAGE), first)


def _part(item: Mapping[str, Any]) -> Part:
    checksum = Checksum.from_base64(ChecksumAlgorithm.MD5, item["md5"]) if item.get("md5") else None
    return Part(parse_size(item["partNumber"]), bare(item["etag"]), parse_size(item["size"]), checksum)


def _path(uri: ObjectURI) -> str:
    return f"/u/{encode_segment(uri.key)}"
