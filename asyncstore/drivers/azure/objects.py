"""
Requests about one blob.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from asyncstore.driver.body import Body, ReadBody
from asyncstore.driver.conditions import resolve_range
from asyncstore.drivers.azure.encryption import key_headers, write_headers
from asyncstore.drivers.azure.headers import (
    NO_TAGS,
    checksum_header,
    checksum_of,
    is_directory,
    metadata_of,
    named_version,
    received_checksum,
    stored_headers,
    version_query,
)
from asyncstore.drivers.azure.protection import hold_header, retention_headers
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.wire import Request, Wire, xml_request
from asyncstore.errors import InvalidRequestError, NotFoundError, PreconditionFailedError, UnavailableError
from asyncstore.http.driver import HTTPDriver
from asyncstore.http.exchange import NO_HEADERS
from asyncstore.http.object_headers import checksum_to_send, condition_headers, failed_match, read_headers
from asyncstore.http.object_reply import check_version, compare_received, object_body, object_size, written_object
from asyncstore.http.reply import Reply
from asyncstore.http.xml import expect, tag_set, tags_in
from asyncstore.options import PLAIN_READ, ByteRange, DeleteOptions, ReadOptions, WriteOptions
from asyncstore.retention import Retention
from asyncstore.types import UNKNOWN, Checksum, Metadata, ObjectInfo, is_weak
from asyncstore.uri import ObjectURI

# https://learn.microsoft.com/azure/storage/blobs/storage-manage-find-blobs
_TAGS: Final = "comp=tags"


#: The code of a request that a directory does not support.
ON_DIRECTORY: Final = "OperationNotSupportedOnDirectory"

#: What the reply to a write says about the new object.
written: Final = partial(written_object, version_header="x-ms-version-id")


class Objects(HTTPDriver):
    """
    The requests about one blob.
    """

    _wire: Wire
    _settings: AzureSettings

    def __init__(self, wire: Wire, settings: AzureSettings) -> None:
        super().__init__(wire, settings)
        self._encryption = settings.default_encryption

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        if options.range is not None and options.range.start < 0:
            return await self._open_suffix(uri, options)
        headers: Mapping[str, str] = NO_HEADERS
        if options is not PLAIN_READ or self._encryption is not None:
            key = key_headers(options.encryption or self._encryption)
            headers = read_headers(options, range_header="x-ms-range") | key
        reply = await self._wire.send(Request("GET", uri, version_query(options.version_id), headers))
        describe = partial(metadata_of, uri, reply.headers, version_id=options.version_id)
        body = object_body(reply, options.range, describe, checksum_of)
        if options.version_id is not None:
            check_version(reply, options, named_version(reply.headers, options.version_id))
        if not body.end and is_directory(reply.headers):
            await body.aclose()
            raise _no_blob(reply)
        return body

    async def _open_suffix(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        # Azure does not support suffix ranges, so the length is requested first.
        # https://learn.microsoft.com/rest/api/storageservices/specifying-the-range-header-for-blob-service-operations
        info = await self.stat(uri, options)
        start, end = resolve_range(options.range or ByteRange(0), info.size)
        match = None if info.etag is None or is_weak(info.etag) else info.etag
        pinned = replace(options, range=ByteRange(start, end), if_match=match, if_none_match=None)
        try:
            body = await self.open_read(uri, pinned)
        except PreconditionFailedError:
            if options.if_match is not None:
                raise
            raise _replaced() from None
        try:
            # An endpoint may ignore the condition.
            same = body.info.etag == info.etag and body.info.size in (info.size, UNKNOWN)
        except BaseException:
            await body.aclose()
            raise
        if not same:
            await body.aclose()
            raise _replaced()
        return body

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        reply = await self._head(uri, options)
        info = metadata_of(uri, reply.headers, object_size(reply), version_id=options.version_id)
        if options.version_id is not None:
            check_version(reply, options, named_version(reply.headers, options.version_id))
        return info

    async def _head(self, uri: ObjectURI, options: ReadOptions) -> Reply:
        """
        Return the reply to a HEAD, which has no body.

        Raises:
            NotFoundError: The blob does not exist, or is a directory.
        """
        headers = read_headers(replace(options, range=None)) | key_headers(options.encryption or self._encryption)
        reply = await self._wire.send(Request("HEAD", uri, version_query(options.version_id), headers))
        if is_directory(reply.headers):
            raise _no_blob(reply)
        return reply

    async def put(
        self, uri: ObjectURI, body: Body, options: WriteOptions, tags: Mapping[str, str] = NO_TAGS
    ) -> ObjectInfo:
        checksum = await checksum_to_send(body, options.checksum or self._settings.checksum)
        headers = stored_headers(options, self._settings, tags) | self._settings.lease_headers()
        headers |= condition_headers(options.if_match, options.if_none_match)
        headers |= checksum_header(checksum) | write_headers(options.encryption or self._encryption)
        headers["x-ms-blob-type"] = "BlockBlob"
        create_only = options.if_none_match is not None
        reply = await self._wire.perform(Request("PUT", uri, "", headers, body, create_only=create_only))
        stored = await verify(body, reply, checksum)
        return written(uri, reply, body.size, checksum or stored, options.storage_class)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        headers = condition_headers(options.if_match, None) | self._delete_headers(options)
        request = Request("DELETE", uri, version_query(options.version_id), headers)
        missing = ("ContainerNotFound",) if options.if_match is None else ("ContainerNotFound", "BlobNotFound")
        try:
            await self._wire.remove(request, missing)
        except NotFoundError as exc:
            raise failed_match(exc) if exc.code == "BlobNotFound" else exc from None
        except InvalidRequestError as exc:
            # A directory has no snapshots to delete.
            if exc.code != ON_DIRECTORY or headers.pop("x-ms-delete-snapshots", None) is None:
                raise
            await self._wire.remove(request._replace(headers=headers), missing)

    def _delete_headers(self, options: DeleteOptions | None = None) -> dict[str, str]:
        """
        Return the headers that delete a blob, or one of its versions.
        """
        headers = self._settings.lease_headers()
        if self._settings.delete_snapshots and (options is None or options.version_id is None):
            headers["x-ms-delete-snapshots"] = "include"
        return headers

    async def get_tags(self, uri: ObjectURI) -> dict[str, str]:
        return await self._tags_of(uri, None)

    async def _tags_of(self, uri: ObjectURI, version_id: str | None) -> dict[str, str]:
        query = _of_version(_TAGS, version_id)
        _, body = await self._wire.read(Request("GET", uri, query, self._settings.lease_headers()))
        return tags_in(expect(body, "Tags"))

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        content = f"<Tags>{tag_set(tags)}</Tags>"
        await self._wire.perform(xml_request("PUT", uri, _TAGS, content, self._settings.lease_headers()))

    async def set_retention(
        self,
        uri: ObjectURI,
        retention: Retention | None,
        version_id: str | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        """
        Replace the immutability policy. One that is unlocked can always be shortened by those with the permission.

        https://learn.microsoft.com/rest/api/storageservices/set-blob-immutability-policy
        https://learn.microsoft.com/rest/api/storageservices/delete-blob-immutability-policy
        """
        query = _of_version("comp=immutabilityPolicies", version_id)
        if retention is None:
            await self._wire.perform(Request("DELETE", uri, query))
        else:
            await self._wire.perform(Request("PUT", uri, query, retention_headers(retention)))

    async def set_legal_hold(self, uri: ObjectURI, held: bool, version_id: str | None = None) -> None:
        query = _of_version("comp=legalhold", version_id)
        await self._wire.perform(Request("PUT", uri, query, hold_header(held=held)))


def _of_version(query: str, version_id: str | None) -> str:
    return "&".join([part for part in (query, version_query(version_id)) if part])


def _replaced() -> UnavailableError:
    return UnavailableError("the blob was replaced between the two requests for its last bytes")


def _no_blob(reply: Reply) -> NotFoundError:
    return NotFoundError(
        "it is a directory, not a blob", provider="azure", request_id=reply.request_id, status=reply.status
    )


async def verify(body: Body, reply: Reply, sent: Checksum | None) -> Checksum | None:
    """
    Return the checksum in *reply*, after comparing it with that of *body*.

    Args:
        sent: The checksum that was sent with it.

    Raises:
        IntegrityError: They differ.
    """
    stored = received_checksum(reply.headers)
    if stored is not None:
        await compare_received(body, [stored], reply, sent)
    return stored
