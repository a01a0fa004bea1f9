"""
Reads, writes and deletes one object.
"""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from asyncstore.driver.body import Body, ReadBody
from asyncstore.driver.conditions import check_read
from asyncstore.drivers.oci.encryption import key_headers, write_headers
from asyncstore.drivers.oci.errors import MISSING_BUCKET
from asyncstore.drivers.oci.headers import (
    algorithm_headers,
    checksum_headers,
    checksum_of,
    checksums_of,
    condition_headers,
    content_headers,
    metadata_of,
    read_headers,
)
from asyncstore.drivers.oci.settings import OCISettings
from asyncstore.drivers.oci.wire import Request, Wire, object_path
from asyncstore.errors import InvalidRequestError
from asyncstore.http.driver import HTTPDriver
from asyncstore.http.exchange import NO_HEADERS
from asyncstore.http.object_headers import checksum_to_send
from asyncstore.http.object_reply import check_version, compare_received, object_body, object_size, written_object
from asyncstore.http.origin import encode_query
from asyncstore.http.reply import Reply
from asyncstore.options import PLAIN_READ, DeleteOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

# https://docs.oracle.com/iaas/Content/Object/Tasks/managingobjects.htm#namerequirements
_FORBIDDEN: Final = frozenset("\n\r\0")


#: What the reply to a write says about the new object.
written: Final = partial(written_object, version_header="version-id")


class Objects(HTTPDriver):
    """
    The requests about one object.
    """

    _wire: Wire
    _settings: OCISettings

    def __init__(self, wire: Wire, settings: OCISettings) -> None:
        super().__init__(wire, settings)
        self._encryption = settings.default_encryption

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/GetObject
        """
        reply = await self._read("GET", uri, options)
        body = object_body(
            reply,
            options.range,
            partial(metadata_of, uri, reply.headers, md5_metadata=self._settings.md5_metadata),
            partial(checksum_of, md5_metadata=self._settings.md5_metadata),
            full_range=True,
        )
        if options.version_id is not None:
            check_version(reply, options, reply.headers.get("version-id"))
        if options is not PLAIN_READ:
            try:
                check_read(body.info, options)
            except BaseException:
                reply.close()
                raise
        return body

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/HeadObject
        """
        reply = await self._read("HEAD", uri, options)
        info = metadata_of(uri, reply.headers, object_size(reply), md5_metadata=self._settings.md5_metadata)
        check_version(reply, options, reply.headers.get("version-id"))
        check_read(info, options)
        return info

    def _read(self, method: str, uri: ObjectURI, options: ReadOptions) -> Coroutine[Any, Any, Reply]:
        plain = options is PLAIN_READ and self._encryption is None
        key = {} if plain else key_headers(options.encryption or self._encryption)
        headers = NO_HEADERS if plain else read_headers(options) | key
        return self._wire.send(Request(method, uri, object_path(uri.key), version_query(options.version_id), headers))

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/PutObject
        """
        check_name(uri)
        checksum = await prepared(body, options.checksum or self._settings.checksum)
        headers = content_headers(options)
        headers |= condition_headers(options.if_match, options.if_none_match)
        headers |= write_headers(options.encryption or self._encryption)
        headers |= checksum_headers(checksum)
        request = Request(
            "PUT", uri, object_path(uri.key), headers=headers, body=body, create_only=options.if_none_match is not None
        )
        reply = await self._wire.perform(request)
        return written(uri, reply, body.size, await verify(body, reply, checksum) or checksum, options.storage_class)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        """
        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/DeleteObject
        """
        headers = condition_headers(options.if_match, None)
        request = Request("DELETE", uri, object_path(uri.key), version_query(options.version_id), headers)
        if options.if_match is None:
            await self._wire.remove(request, MISSING_BUCKET)
        else:
            await self._wire.perform(request)


def version_query(version_id: str | None) -> str:
    return "" if version_id is None else encode_query([("versionId", version_id)])


def check_name(uri: ObjectURI) -> None:
    """
    Check that OCI accepts the key of *uri*.

    Raises:
        InvalidRequestError: It has a character that OCI does not allow.
    """
    if not _FORBIDDEN.isdisjoint(uri.key):
        raise InvalidRequestError(f"OCI does not allow line feed, carriage return or NUL in a key: {uri.key!r}")


async def prepared(body: Body, algorithm: ChecksumAlgorithm | None) -> Checksum | None:
    """
    Return the checksum to send before *body*; ``None`` if none is wanted or it is known only afterwards.

    Raises:
        InvalidRequestError: OCI does not support the algorithm.
    """
    algorithm_headers(algorithm)
    if algorithm is None and body.data is not None:
        # Every reply has it, and nothing else will be compared.
        await body.prepare(ChecksumAlgorithm.MD5)
    return await checksum_to_send(body, algorithm)


async def verify(body: Body, reply: Reply, sent: Checksum | None) -> Checksum | None:
    """
    Compare the checksums in *reply* with those of *body*, and return the first.

    Args:
        sent: The checksum that was sent with it.

    Raises:
        IntegrityError: One differs.
    """
    stored = checksums_of(reply.headers)
    if (md5 := reply.headers.get("opc-content-md5")) and (found := Checksum.from_base64(ChecksumAlgorithm.MD5, md5)):
        stored.append(found)
    await compare_received(body, stored, reply, sent)
    return stored[0] if stored else None
