"""
The S3 driver: objects, listings, copies; uploads by parts are in ``multipart``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final

from asyncstore.auth.aws import AWSCredentials, aws_credentials
from asyncstore.auth.sigv4 import encode_query
from asyncstore.body import Body, BytesBody, ReadBody
from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities
from asyncstore.drivers.s3 import errors, listing, native, xml
from asyncstore.drivers.s3 import headers as fields
from asyncstore.drivers.s3.multipart import MultipartRequests, compare_stored, refused, stored_checksum
from asyncstore.drivers.s3.requests import Requests
from asyncstore.drivers.s3.settings import CHECKSUMS, S3Settings
from asyncstore.errors import NotFoundError, PreconditionFailedError, StorageError, UnavailableError
from asyncstore.http.reading import ReplyBody
from asyncstore.http.reply import Reply
from asyncstore.options import (
    ByteRange,
    CopyOptions,
    DeleteOptions,
    GiB,
    KiB,
    ListOptions,
    MiB,
    ReadOptions,
    WriteOptions,
)
from asyncstore.types import ListPage, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI, Provider

_MAX_REPLY: Final = 1 * MiB

CAPABILITIES: Final = Capabilities(
    reference="https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html",
    max_object_size=10_000 * 5 * GiB,
    max_put_size=5 * GiB,
    max_key_bytes=1024,
    max_metadata_bytes=2 * KiB,
    multipart=True,
    min_part_size=5 * MiB,
    max_part_size=5 * GiB,
    max_parts=10_000,
    copy=True,
    max_copy_size=5 * GiB,
    copy_part=True,
    delete_batch_size=1000,
    list_page_size=listing.PAGE_SIZE,
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    versions=True,
    checksums=frozenset(CHECKSUMS),
    sign=True,
)


def open_driver(config: StorageConfig) -> S3Driver:
    """
    Open S3; nothing is sent or read yet.

    Raises:
        ConfigurationError: A setting is unknown or does not fit, or credentials
            would travel in the clear.
    """
    settings = dict(config.settings)
    credentials = aws_credentials(config.auth, settings, region=config.region or config.uri.region)
    return S3Driver(config, S3Settings.take(settings), credentials)


class S3Driver(MultipartRequests):
    """
    The objects of S3 buckets; see the package for what it speaks.
    """

    provider = Provider.S3
    capabilities = CAPABILITIES

    def __init__(self, config: StorageConfig, settings: S3Settings, credentials: AWSCredentials) -> None:
        self.preferred_checksum = settings.checksum
        self._config = config
        self._settings = settings
        self._requests = Requests(config, settings, credentials)
        self._key_headers = dict(settings.key_headers())

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        headers = {**fields.read_headers(options), **self._key_headers}
        reply = await self._requests.send("GET", uri.bucket, uri.key, _version(options.version_id), headers)
        try:
            start, end, size = _extent(reply, options)
            return ReplyBody(reply, fields.metadata(uri, reply.headers, size), start, end)
        except BaseException:
            reply.close()
            raise

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        sent = await self._prepared(body, options.checksum or self.preferred_checksum)
        headers = {
            **fields.stored_headers(options),
            **fields.condition_headers(options),
            **self._settings.new_object_headers(),
            **self._key_headers,
            **(fields.checksum_header(sent) if sent else {}),
        }
        try:
            reply = await self._requests.send("PUT", uri.bucket, uri.key, "", headers, body)
        except (PreconditionFailedError, NotFoundError) as exc:
            raise refused(exc, options) if exc.code != "NoSuchBucket" else exc from None
        await reply.read(_MAX_REPLY)
        compare_stored(reply.headers, body)
        found = fields.checksums(reply.headers)
        return ObjectInfo(
            uri=uri,
            size=body.size,
            etag=fields.etag(reply.headers.get("ETag")),
            version_id=reply.headers.get("x-amz-version-id"),
            checksum=found[0] if found else sent,
        )

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        headers = {"If-Match": fields.quoted(options.if_match)} if options.if_match is not None else {}
        try:
            reply = await self._requests.send("DELETE", uri.bucket, uri.key, _version(options.version_id), headers)
        except NotFoundError as exc:
            if exc.code == "NoSuchBucket":
                raise
            if options.if_match is not None:
                raise PreconditionFailedError(exc.message, code=exc.code, status=exc.status) from None
            return
        await reply.read(_MAX_REPLY)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        headers = {**fields.read_headers(options), **self._key_headers}
        reply = await self._requests.send("HEAD", uri.bucket, uri.key, _version(options.version_id), headers)
        await reply.read(_MAX_REPLY)
        return fields.metadata(uri, reply.headers, int(reply.headers.get("Content-Length", 0)))

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        reply = await self._requests.send("GET", prefix.bucket, "", listing.page_query(prefix, options, token))
        return listing.read_page(prefix, await reply.read(listing.MAX_PAGE))

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        """
        Delete many objects. Keys that XML cannot carry go by requests of their own.
        """
        outcomes = dict.fromkeys(uris)
        speakable = [uri for uri in outcomes if xml.speakable(uri.key)]
        if speakable:
            outcomes.update(await self._delete_many(speakable))
        for uri in outcomes:
            if not xml.speakable(uri.key):
                outcomes[uri] = await self._delete_one(uri)
        return [outcomes[uri] for uri in uris]

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        headers = {
            "x-amz-copy-source": fields.copy_source(source, options.source_version_id),
            **fields.condition_headers(options),
            **self._settings.new_object_headers(),
            **self._key_headers,
            **self._settings.key_headers("x-amz-copy-source-"),
        }
        if options.source_if_match is not None:
            headers["x-amz-copy-source-if-match"] = fields.quoted(options.source_if_match)
        if options.replace is not None:
            headers |= {"x-amz-metadata-directive": "REPLACE", **fields.stored_headers(options.replace)}
        try:
            said = await self.result("PUT", target, "", headers)
        except PreconditionFailedError as exc:
            raise refused(exc, options) from None
        return ObjectInfo(
            uri=target,
            size=0,
            etag=fields.etag(said.get("ETag")),
            last_modified=listing.moment(said.get("LastModified")),
            version_id=said.get("x-amz-version-id"),
            checksum=stored_checksum(said),
        )

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> str:
        return await self._requests.sign(method.upper(), uri.bucket, uri.key, expires)

    def native(self) -> AbstractAsyncContextManager[Any]:
        """
        Open an aiobotocore S3 client; see https://aiobotocore.readthedocs.io
        """
        return native.client(self._config, self._settings, self._requests)

    def describe(self) -> dict[str, str]:
        return self._requests.describe()

    async def aclose(self) -> None:
        await self._requests.aclose()

    async def _delete_many(self, uris: Sequence[ObjectURI]) -> dict[ObjectURI, StorageError | None]:
        document = xml.delete([uri.key for uri in uris])
        digest = base64.b64encode(hashlib.md5(document, usedforsecurity=False).digest()).decode("ascii")
        headers = {"Content-MD5": digest, "Content-Type": "application/xml"}
        reply = await self._requests.send("POST", uris[0].bucket, "", "delete=", headers, BytesBody(document))
        root = xml.parse(await reply.read(listing.MAX_PAGE))
        said = [xml.texts(element) for element in xml.children(root, "Error")]
        failed = {one.get("Key", ""): one for one in said if one.get("Code") != "NoSuchKey"}
        return {
            uri: errors.make(one.get("Code"), one.get("Message", ""), None, request_id=reply.request_id)
            if (one := failed.get(uri.key)) is not None
            else None
            for uri in uris
        }

    async def _delete_one(self, uri: ObjectURI) -> StorageError | None:
        try:
            await self.delete(uri, DeleteOptions())
        except StorageError as exc:
            return exc
        return None


def _version(version_id: str | None) -> str:
    return encode_query([("versionId", version_id)]) if version_id is not None else ""


def _extent(reply: Reply, options: ReadOptions) -> tuple[int, int, int]:
    """Which bytes of an object of which size the body of *reply* is."""
    length = int(reply.headers.get("Content-Length", -1))
    if reply.status == 206:
        found = fields.content_range(reply.headers.get("Content-Range"))
        if found is None or (length >= 0 and found[1] - found[0] != length) or not _as_asked(found, options.range):
            raise UnavailableError("the reply does not say which bytes it has, or has others")
        return found
    if options.range is not None and options.range != ByteRange(0):
        raise UnavailableError("the server sent the whole object in place of a range", retryable=False)
    if length < 0:
        raise UnavailableError("the reply does not say how long it is", retryable=False)
    return 0, length, length


def _as_asked(found: tuple[int, int, int], asked: ByteRange | None) -> bool:
    start, end, size = found
    if asked is None:
        return False
    first = max(0, size + asked.start) if asked.start < 0 else asked.start
    return start == first and end == (size if asked.end is None else min(asked.end, size))
