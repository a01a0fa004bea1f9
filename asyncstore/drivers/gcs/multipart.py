"""
XML API multipart uploads.

They take no conditions and no checksum of the whole object. GCS verifies each part
with its CRC32C, and the combined CRC32C of all parts is compared here before the upload
is completed. https://cloud.google.com/storage/docs/multipart-uploads
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncstore.driver import Pending
from asyncstore.driver.body import Body, BytesBody
from asyncstore.driver.parts import compare_parts, in_order
from asyncstore.drivers.gcs.conditions import generation_of
from asyncstore.drivers.gcs.encryption import key_headers, xml_headers
from asyncstore.drivers.gcs.errors import NoXMLUploadsError
from asyncstore.drivers.gcs.headers import GENERATION, checksums_of, content_headers, hash_header
from asyncstore.drivers.gcs.names import check_name, encode_query, xml_path
from asyncstore.drivers.gcs.objects import Objects
from asyncstore.drivers.gcs.protection import acl_header
from asyncstore.drivers.gcs.wire import Request
from asyncstore.encryption import Encryption, key_of
from asyncstore.errors import IntegrityError, InvalidRequestError, NotSupportedError
from asyncstore.http.object_headers import checksum_to_send
from asyncstore.http.object_reply import check_written_size, compare_checksums, compare_received, required_etag
from asyncstore.http.xml import expect, parse
from asyncstore.http.xml_uploads import part_page, parts_query, upload_id_in, upload_page, uploads_query
from asyncstore.options import MiB, ReadOptions, WriteOptions
from asyncstore.types import UNKNOWN, Checksum, Metadata, MultipartUploadPage, ObjectInfo, Part, PartPage
from asyncstore.uri import ObjectURI

#: https://cloud.google.com/storage/quotas#requests
MIN_PART_SIZE: Final = 5 * MiB
MAX_PARTS: Final = 10_000

# Multiplies stall_timeout: completing an upload of many parts takes long.
_PATIENCE: Final = 10.0


class Completed(NamedTuple):
    """
    An upload that was completed, by a reply that does not describe the object.

    Attributes:
        size: Bytes of all parts.
        checksum: Of all parts, if it is known.
        key: The customer's key, if the upload was written with one.
    """

    size: int
    checksum: Checksum | None
    key: Encryption | None = None


class XMLUploads(Objects):
    """
    Multipart uploads through the XML API.
    """

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        """
        Start an upload and return its id.

        Raises:
            NoXMLUploadsError: The endpoint does not support these uploads.
        """
        check_name(uri)
        encryption = xml_headers(options.encryption or self._encryption)
        headers = {**content_headers(options), **encryption, **acl_header(options), "Content-Length": "0"}
        _, body = await self._wire.read(Request("POST", xml_path(uri), "uploads=", headers, xml_uploads=True))
        return upload_id_in(_result(body, "InitiateMultipartUploadResult"))

    async def upload_part(
        self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
    ) -> Part | Pending[Part]:
        checksum = await checksum_to_send(body, options.checksum or self._settings.checksum)
        headers = key_headers(options.encryption or self._encryption) | (
            hash_header(checksum) if checksum is not None else {}
        )
        if not body.size:
            headers["Content-Length"] = "0"
        query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
        reply = await self._wire.perform(Request("PUT", xml_path(uri), query, headers, body))
        await compare_received(body, checksums_of(reply.headers), reply, checksum)
        return Part(number, required_etag(reply), body.size, checksum)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo | Pending[ObjectInfo]:
        if options.if_match is not None or options.if_none_match is not None:
            raise NotSupportedError(
                "GCS takes the condition of a multipart upload when it starts: pass if_match or if_none_match to "
                "initiate_multipart_upload() too",
                provider=self.provider,
            )
        ordered = in_order(parts)
        check_parts(ordered, checksum)
        request = Request(
            "POST",
            xml_path(uri),
            encode_query([("uploadId", upload_id)]),
            {"Content-Type": "application/xml", **key_headers(options.encryption or self._encryption)},
            BytesBody(_completion(ordered)),
            patience=_PATIENCE,
        )
        reply, body = await self._wire.read(request)
        expect(body, "CompleteMultipartUploadResult")
        generation = reply.headers.get(GENERATION)
        if generation is None:
            # A step of its own: if it fails, the completion is not repeated.
            size = sum(part.size for part in ordered)
            return Pending(uri, Completed(size, checksum, key_of(options.encryption)))
        stored = checksums_of(reply.headers)
        for item in stored:
            compare_checksums(checksum, item, reply)
        return ObjectInfo(
            uri=uri,
            size=sum(part.size for part in ordered),
            etag=generation_of(generation),
            version_id=generation,
            storage_class=options.storage_class,
            checksum=stored[0] if stored else checksum,
        )

    async def _completed(self, uri: ObjectURI, state: Completed) -> Metadata:
        """
        Look at the object that an upload has become.

        Raises:
            IntegrityError: It has another size or checksum than the parts.
        """
        found = await self.stat(uri, ReadOptions(encryption=state.key))
        if found.size != UNKNOWN:
            check_written_size(state.size, found.size)
        for stored in found.checksums:
            if state.checksum is not None and stored.algorithm is state.checksum.algorithm and stored != state.checksum:
                raise IntegrityError(
                    "the provider stored other bytes than were sent",
                    expected=str(state.checksum),
                    actual=str(stored),
                )
        return found if found.size != UNKNOWN else replace(found, size=state.size)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        request = Request("DELETE", xml_path(uri), encode_query([("uploadId", upload_id)]))
        await self._wire.remove(request, ("NoSuchBucket",))

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        query = encode_query(parts_query(upload_id, token))
        _, body = await self._wire.read(Request("GET", xml_path(uri), query, key_headers(self._encryption)))
        return part_page(body)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        Return a page of the uploads whose keys start with ``prefix.key``.

        Raises:
            NoXMLUploadsError: The endpoint does not support these uploads.
        """
        pairs = [("encoding-type", "url"), *uploads_query(token)]
        if prefix.key:
            pairs.append(("prefix", prefix.key))
        _, body = await self._wire.read(
            Request("GET", xml_path(prefix.with_key("")), encode_query(pairs), xml_uploads=True)
        )
        return upload_page(_result(body, "ListMultipartUploadsResult"), prefix)


def check_parts(parts: Sequence[Part], whole: Checksum | None) -> None:
    """
    Compare the combined checksum of *parts* with that of the *whole* object.

    Raises:
        IntegrityError: They differ.
        InvalidRequestError: There are no parts.
    """
    if not parts:
        raise InvalidRequestError("a multipart upload needs at least one part to be completed", provider="gcs")
    compare_parts(parts, whole)


def _completion(parts: Sequence[Part]) -> bytes:
    elements = [
        f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.etag)}"</ETag></Part>' for part in parts
    ]
    return f"<CompleteMultipartUpload>{''.join(elements)}</CompleteMultipartUpload>".encode()


def _result(body: bytes, tag: str) -> ET.Element:
    # A server that does not know the parameter "uploads" ignores it.
    root = parse(body)
    if root is None or root.tag not in (tag, "Error"):
        raise NoXMLUploadsError
    return expect(body, tag)
