"""
Writes one object: with one request, or through a resumable session that survives a broken connection.

https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects

GCS keeps the bytes that have arrived in a session. The next attempt requests their number and sends the
rest; the object appears with its last byte. The URL of a session allows anyone to write without
a token, so it is a secret. An abandoned session expires after a week and costs nothing.
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from asyncstore.auth.tokens import Secret
from asyncstore.driver.body import Body, BytesLike
from asyncstore.drivers.gcs.conditions import write_conditions
from asyncstore.drivers.gcs.encryption import key_headers, kms_query
from asyncstore.drivers.gcs.names import bucket_path, check_name, encode_query
from asyncstore.drivers.gcs.objects import Objects
from asyncstore.drivers.gcs.protection import acl_query
from asyncstore.drivers.gcs.resources import LISTED, checksums_of, resource, written_of
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Request, Wire, json_object, with_json
from asyncstore.encryption import Encryption
from asyncstore.errors import IntegrityError, NotFoundError, StorageError, UnavailableError
from asyncstore.http.object_headers import checksum_to_send, without_object
from asyncstore.http.object_reply import compare_received
from asyncstore.http.reply import Reply
from asyncstore.options import WriteOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

_UPLOAD_ROOT: Final = "/upload/storage/v1"

# Up to this size one copy costs less than three writes.
_JOINED: Final = 64 * 1024

# More bytes are needed.
_INCOMPLETE: Final = 308

_CANCELLED: Final = 499

# The session has expired or was cancelled.
_ENDED: Final = (410, _CANCELLED)

_RANGE: Final = re.compile(r"bytes=0-(\d+)")

# Multiplies stall_timeout: after the last bytes, GCS processes the whole object.
_PATIENCE: Final = 4.0


class Writes(Objects):
    """
    Writes: small ones with one request, others through a session, which is kept as long as the body exists.
    """

    def __init__(self, wire: Wire, settings: GCSSettings) -> None:
        super().__init__(wire, settings)
        self._sessions: WeakKeyDictionary[Body, ResumableUpload] = WeakKeyDictionary()

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        """
        Write *body*, resumed where an earlier attempt with the same body object ended.
        """
        if options.encryption is None and self._encryption is not None:
            options = replace(options, encryption=self._encryption)
        if body.size < self._settings.resumable_threshold:
            return await self._put(uri, body, options)
        upload = self._sessions.pop(body, None)
        if upload is None or (upload.uri, upload.options) != (uri, options):
            upload = await ResumableUpload.begin(self._wire, self._settings, uri, body, options)
            offset = 0
        else:
            arrived = await self._arrived(upload, body)
            if isinstance(arrived, ObjectInfo):
                return arrived
            offset = arrived
        try:
            return await upload.send(body, offset)
        except NotFoundError as exc:
            raise _ended(exc) from None
        except UnavailableError as exc:
            if exc.retryable and body.replayable:
                self._sessions[body] = upload
            raise

    async def _arrived(self, upload: ResumableUpload, body: Body) -> ObjectInfo | int:
        try:
            return await upload.status()
        except UnavailableError:
            self._sessions[body] = upload
            raise
        except NotFoundError as exc:
            raise _ended(exc) from None

    async def _put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        """
        Write an object; GCS verifies the checksum before the object appears.
        """
        check_name(uri)
        encryption = options.encryption or self._encryption
        checksum = await checksum_to_send(body, options.checksum or self._settings.checksum)
        related = _RelatedBody(resource(options, checksum), body)
        request = Request(
            "POST",
            bucket_path(uri, _UPLOAD_ROOT),
            encode_query([("uploadType", "multipart"), *_insert_query(encryption, uri, options)]),
            {"Content-Type": related.content_type, **key_headers(encryption)},
            related,
            create_only=options.if_none_match is not None,
        )
        try:
            reply, content = await self._wire.read(request)
        except NotFoundError as exc:
            raise without_object(exc, options.if_match) from None
        found = await json_object(reply, content)
        await compare_received(body, checksums_of(found), reply, checksum)
        return written_of(uri, found, body.size)


def _ended(error: NotFoundError) -> UnavailableError:
    # The next attempt starts a new session. Without the status, since the object may exist.
    # https://cloud.google.com/storage/docs/performing-resumable-uploads#handling_errors
    return UnavailableError(
        "the upload session ended before all bytes were sent",
        code=error.code,
        provider="gcs",
        request_id=error.request_id,
    )


class ResumableUpload:
    """
    One session.

    Attributes:
        uri: The object.
        options: How it is written.
        size: Bytes of the whole object.
    """

    def __init__(self, wire: Wire, uri: ObjectURI, options: WriteOptions, size: int, session: Secret) -> None:
        self.uri = uri
        self.options = options
        self.size = size
        self._wire = wire
        self._session = session

    @classmethod
    async def begin(
        cls, wire: Wire, settings: GCSSettings, uri: ObjectURI, body: Body, options: WriteOptions
    ) -> ResumableUpload:
        """
        Start a session for all of *body*.
        """
        check_name(uri)
        checksum = await checksum_to_send(body, options.checksum or settings.checksum)
        headers, content = with_json(resource(options, checksum))
        announced = {
            "X-Upload-Content-Length": str(body.size),
            "X-Upload-Content-Type": options.content_type or "application/octet-stream",
        }
        request = Request(
            "POST",
            bucket_path(uri, _UPLOAD_ROOT),
            encode_query([("uploadType", "resumable"), *_insert_query(options.encryption, uri, options)]),
            {**headers, **announced, **key_headers(options.encryption)},
            content,
            create_only=options.if_none_match is not None,
        )
        try:
            reply = await wire.perform(request)
        except NotFoundError as exc:
            raise without_object(exc, options.if_match) from None
        return cls(wire, uri, options, body.size, Secret(reply.headers.get("Location", "")))

    async def send(self, body: Body, offset: int) -> ObjectInfo:
        """
        Send *body* from *offset* to its end, and return the object.

        Raises:
            UnavailableError: Not all bytes arrived; :meth:`status` returns how many did.
        """
        last = self.size - 1
        headers = {"Content-Range": f"bytes {offset}-{last}/{self.size}" if self.size else "bytes */0"}
        reply, content = await self._ask(headers, _Rest(body, offset) if offset else body)
        if reply.status == _INCOMPLETE:
            raise UnavailableError(f"{self._arrived(reply)} of {self.size} bytes have arrived", provider="gcs")
        found = await json_object(reply, content)
        await compare_received(body, checksums_of(found), reply)
        return written_of(self.uri, found, self.size)

    async def status(self) -> ObjectInfo | int:
        """
        Return how many bytes have arrived; the object, if all have.

        Raises:
            NotFoundError: The session has ended.
        """
        reply, content = await self._ask({"Content-Range": f"bytes */{self.size}"}, None)
        if reply.status == _INCOMPLETE:
            return self._arrived(reply)
        return written_of(self.uri, await json_object(reply, content), self.size)

    async def cancel(self) -> None:
        """
        End the session; one that has ended already is not an error.
        """
        path, query = self._address()
        await self._wire.remove(Request("DELETE", path, query, {"Content-Length": "0"}, accept=_CANCELLED), ())

    async def _ask(self, headers: dict[str, str], body: Body | None) -> tuple[Reply, bytes]:
        path, query = self._address()
        request = Request(
            "PUT",
            path,
            query,
            headers if body is not None and body.size else {**headers, "Content-Length": "0"},
            body,
            create_only=self.options.if_none_match is not None,
            patience=_PATIENCE,
            accept=_INCOMPLETE,
        )
        try:
            return await self._wire.read(request)
        except StorageError as exc:
            if exc.status in _ENDED:
                raise NotFoundError(
                    "the upload session has expired or was cancelled",
                    code=exc.code,
                    provider="gcs",
                    request_id=exc.request_id,
                    status=exc.status,
                ) from None
            raise

    def _arrived(self, reply: Reply) -> int:
        match = _RANGE.fullmatch(reply.headers.get("Range", ""))
        arrived = int(match.group(1)) + 1 if match else 0
        if arrived > self.size:
            raise IntegrityError(
                "GCS received more bytes than the object has",
                expected=str(self.size),
                actual=str(arrived),
                provider="gcs",
                request_id=reply.request_id,
            )
        return arrived

    def _address(self) -> tuple[str, str]:
        # Only the path and the query, so that a reply cannot redirect the bytes to another server.
        parts = urlsplit(self._session.reveal())
        if not parts.path or not parts.query:
            raise UnavailableError("the reply to the start of a resumable upload has no session URL", provider="gcs")
        return parts.path.removeprefix(self._wire.origin.path), parts.query


class _Rest(Body):
    """
    A body without its first *offset* bytes.
    """

    def __init__(self, body: Body, offset: int) -> None:
        self._body = body
        self._offset = offset
        self.size = body.size - offset
        self.replayable = body.replayable
        self.data = None if body.data is None else memoryview(body.data)[offset:]

    async def chunks(self) -> AsyncIterator[BytesLike]:
        if self.data is not None:
            yield self.data
            return
        skip = self._offset
        async for chunk in self._body.chunks():
            if skip < len(chunk):
                yield memoryview(chunk)[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))


def _insert_query(encryption: Encryption | None, uri: ObjectURI, options: WriteOptions) -> list[tuple[str, str]]:
    """
    Return the parameters of a request that writes an object, by one request or by a session.
    """
    return [
        ("name", uri.key),
        *write_conditions(options.if_match, options.if_none_match),
        *kms_query(encryption),
        *acl_query(options),
        ("fields", LISTED),
    ]


class _RelatedBody(Body):
    """
    A body of two parts, a JSON document and the bytes of *content*.

    Attributes:
        boundary: Separates the parts; random, so that no content contains it.
    """

    def __init__(self, document: Mapping[str, Any], content: Body) -> None:
        self.boundary = secrets.token_hex(16)
        media_type = document.get("contentType") or "application/octet-stream"
        text = json.dumps(document, ensure_ascii=False)
        self._head = (
            f"--{self.boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{text}\r\n"
            f"--{self.boundary}\r\nContent-Type: {media_type}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{self.boundary}--\r\n".encode()
        self._content = content
        self.size = len(self._head) + content.size + len(self._tail)
        self.replayable = content.replayable
        if content.data is not None and content.size <= _JOINED:
            self.data = b"".join([self._head, content.data, self._tail])

    @property
    def content_type(self) -> str:
        """The media type, with the boundary."""
        return f"multipart/related; boundary={self.boundary}"

    async def chunks(self) -> AsyncIterator[BytesLike]:
        yield self._head
        if self._content.data is not None:
            yield self._content.data
        else:
            async for chunk in self._content.chunks():
                yield chunk
        yield self._tail
