"""
Uploads by parts.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element

from asyncstore.auth.sigv4 import encode_query
from asyncstore.body import Body, BytesBody
from asyncstore.checksum import COMBINABLE
from asyncstore.driver import Driver
from asyncstore.drivers.s3 import errors, xml
from asyncstore.drivers.s3.headers import (
    CHECKSUM_HEADERS,
    checksum_header,
    checksums,
    condition_headers,
    copy_source,
    etag,
    quoted,
    stored_headers,
)
from asyncstore.drivers.s3.requests import Requests
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    PreconditionFailedError,
    UnavailableError,
)
from asyncstore.options import CopyOptions, WriteOptions
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

_MAX_REPLY: Final = 4 * 1024 * 1024

#: Putting the parts together, and copying, can take minutes, in which S3 sends
#: white space now and then.
PATIENCE: Final = 10.0


class MultipartRequests(Driver):
    """
    The requests of S3 that belong to uploads by parts.
    """

    _requests: Requests
    _settings: S3Settings

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        headers = {**stored_headers(options), **self._settings.new_object_headers(), **self._settings.key_headers()}
        algorithm = options.checksum or self.preferred_checksum
        if algorithm is not None:
            headers["x-amz-checksum-algorithm"] = algorithm.upper()
            headers["x-amz-checksum-type"] = "FULL_OBJECT" if algorithm in COMBINABLE else "COMPOSITE"
        reply = await self._requests.send("POST", uri.bucket, uri.key, "uploads=", headers)
        upload_id = xml.texts(xml.parse(await reply.read(_MAX_REPLY))).get("UploadId")
        if not upload_id:
            raise UnavailableError("the reply names no upload", request_id=reply.request_id)
        return upload_id

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        algorithm = options.checksum or self.preferred_checksum
        sent = await self._prepared(body, algorithm)
        headers = {**self._settings.key_headers(), **(checksum_header(sent) if sent else {})}
        query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
        reply = await self._requests.send("PUT", uri.bucket, uri.key, query, headers, body)
        await reply.read(_MAX_REPLY)
        compare_stored(reply.headers, body)
        return Part(number, etag(reply.headers.get("ETag")) or "", body.size, sent)

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
        headers = {
            "x-amz-copy-source": copy_source(source, options.source_version_id),
            "x-amz-copy-source-range": f"bytes={start}-{end - 1}",
            **self._settings.key_headers(),
            **self._settings.key_headers("x-amz-copy-source-"),
        }
        if options.source_if_match is not None:
            headers["x-amz-copy-source-if-match"] = quoted(options.source_if_match)
        query = encode_query([("partNumber", str(number)), ("uploadId", upload_id)])
        said = await self.result("PUT", target, query, headers)
        return Part(number, etag(said.get("ETag")) or "", end - start, stored_checksum(said))

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        headers = {**condition_headers(options), **self._settings.key_headers(), "Content-Type": "application/xml"}
        if checksum is not None:
            headers |= {**checksum_header(checksum), "x-amz-checksum-type": "FULL_OBJECT"}
        body = BytesBody(xml.complete([_fields(part) for part in sorted(parts, key=lambda part: part.number)]))
        query = encode_query([("uploadId", upload_id)])
        try:
            said = await self.result("POST", uri, query, headers, body)
        except PreconditionFailedError as exc:
            raise refused(exc, options) from None
        except NotFoundError as exc:
            # A missing object fails the condition; a missing upload is another matter.
            raise refused(exc, options) if exc.code == "NoSuchKey" else exc from None
        stored = stored_checksum(said)
        return ObjectInfo(
            uri=uri,
            size=sum(part.size for part in parts),
            etag=etag(said.get("ETag")),
            version_id=said.get("x-amz-version-id"),
            checksum=stored or checksum,
        )

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        try:
            reply = await self._requests.send("DELETE", uri.bucket, uri.key, encode_query([("uploadId", upload_id)]))
        except NotFoundError as exc:
            if exc.code == "NoSuchBucket":
                raise
            return
        await reply.read(_MAX_REPLY)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        pairs = [("part-number-marker", token)] if token is not None else []
        query = encode_query([*pairs, ("uploadId", upload_id)])
        reply = await self._requests.send("GET", uri.bucket, uri.key, query)
        root = xml.parse(await reply.read(_MAX_REPLY))
        said = xml.texts(root)
        more = said.get("IsTruncated") == "true"
        return PartPage(
            [_part(element) for element in xml.children(root, "Part")],
            said.get("NextPartNumberMarker") if more else None,
        )

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        # The token is two markers; neither can have a line feed in it once it is encoded.
        key, _, upload = (token or "\n").partition("\n")
        pairs = [("encoding-type", "url"), ("key-marker", unquote_plus(key)), ("prefix", prefix.key)]
        pairs.append(("upload-id-marker", upload))
        query = "&".join(part for part in ("uploads=", encode_query([pair for pair in pairs if pair[1]])) if part)
        reply = await self._requests.send("GET", prefix.bucket, "", query)
        root = xml.parse(await reply.read(_MAX_REPLY))
        said = xml.texts(root)
        more = said.get("IsTruncated") == "true"
        return MultipartUploadPage(
            [_upload(prefix, element) for element in xml.children(root, "Upload")],
            f"{said.get('NextKeyMarker', '')}\n{said.get('NextUploadIdMarker', '')}" if more else None,
        )

    async def result(
        self,
        method: str,
        uri: ObjectURI,
        query: str,
        headers: dict[str, str],
        body: Body | None = None,
    ) -> dict[str, str]:
        """
        Send a request that S3 answers before it knows the outcome.

        The status is 200 then, and the error in the body:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html

        Returns what the document says, and the version from the headers.
        """
        reply = await self._requests.send(method, uri.bucket, uri.key, query, headers, body, patience=PATIENCE)
        document = (await reply.read(_MAX_REPLY)).strip()
        facts = xml.error(document)
        if facts.code is not None:
            raise errors.named(reply, facts)
        said = xml.texts(xml.parse(document))
        if "x-amz-version-id" in reply.headers:
            said["x-amz-version-id"] = reply.headers["x-amz-version-id"]
        return said

    async def _prepared(self, body: Body, algorithm: ChecksumAlgorithm | None) -> Checksum | None:
        if algorithm is None:
            return None
        await body.prepare(algorithm)
        return body.checksum(algorithm)


def compare_stored(headers: object, body: Body) -> None:
    """
    Compare the checksum that S3 has computed with that of what was sent, where both are known.

    Raises:
        IntegrityError: They differ.
    """
    for stored in checksums(headers):  # type: ignore[arg-type]
        sent = body.checksum(stored.algorithm) if stored.parts is None else None
        if sent is not None and sent != stored:
            raise IntegrityError(
                "the server received other bytes", expected=str(sent), actual=str(stored), retryable=True
            )


def refused(error: NotFoundError | PreconditionFailedError, options: WriteOptions | CopyOptions) -> Exception:
    """
    Return the error of a write whose condition did not hold.

    With ``if_match``, S3 answers 404 where there is no object at all.
    """
    kind = AlreadyExistsError if options.if_none_match is not None else PreconditionFailedError
    if options.if_match is None and options.if_none_match is None:
        return error
    return kind(error.message, code=error.code, status=error.status, request_id=error.request_id)


def stored_checksum(said: dict[str, str]) -> Checksum | None:
    """
    Return the checksum that a document names.
    """
    for header, algorithm in CHECKSUM_HEADERS.items():
        text = said.get(f"Checksum{header.removeprefix('x-amz-checksum-').upper()}")
        if text:
            return Checksum.from_base64(algorithm, text)
    return None


def _fields(part: Part) -> list[tuple[str, str]]:
    fields = [("ETag", quoted(part.etag)), ("PartNumber", str(part.number))]
    if part.checksum is not None and part.checksum.parts is None:
        fields.append((f"Checksum{part.checksum.algorithm.upper()}", part.checksum.base64()))
    return fields


def _part(element: Element) -> Part:
    said = xml.texts(element)
    return Part(int(said["PartNumber"]), etag(said.get("ETag")) or "", int(said["Size"]), stored_checksum(said))


def _upload(prefix: ObjectURI, element: Element) -> MultipartUpload:
    said = xml.texts(element)
    initiated = said.get("Initiated")
    return MultipartUpload(
        prefix.with_key(unquote_plus(said["Key"])),
        said["UploadId"],
        datetime.fromisoformat(initiated) if initiated else None,
    )
