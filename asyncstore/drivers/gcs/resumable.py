"""
Writing one object through a session that survives a broken connection.

GCS keeps what has arrived. Another attempt asks how much that is and goes on from there;
nothing is seen of the object before its last byte. Whoever has the address of a session
can write through it without a token, so it is a secret. A session that is given up ends by
itself after a week, and what it holds costs nothing.
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from asyncstore.auth.tokens import Secret
from asyncstore.body import Body, BytesLike
from asyncstore.drivers.gcs.conditions import without_object
from asyncstore.drivers.gcs.names import bucket_path, check_name, encode_query
from asyncstore.drivers.gcs.put import UPLOAD_ROOT, compare, insert_query, prepared
from asyncstore.drivers.gcs.resources import info_of, resource
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import MAX_REPLY, Request, Wire, document, with_json
from asyncstore.errors import IntegrityError, NotFoundError, StorageError, UnavailableError
from asyncstore.options import WriteOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

#: The session goes on.
_INCOMPLETE: Final = 308

#: The session does not: it has expired, or was cancelled.
_ENDED: Final = (410, 499)

_RANGE: Final = re.compile(r"bytes=0-(\d+)")

#: The last bytes are followed by work on the whole object.
_PATIENCE: Final = 4.0


class ResumableUploads:
    """
    The sessions of one storage, each for as long as its body may be sent again.
    """

    def __init__(self, wire: Wire, settings: GCSSettings) -> None:
        self._wire = wire
        self._settings = settings
        self._sessions: WeakKeyDictionary[Body, ResumableUpload] = WeakKeyDictionary()

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        """
        Write *body*, from where an earlier attempt with the very same body ended.
        """
        upload = self._sessions.pop(body, None)
        if upload is None or (upload.uri, upload.options) != (uri, options):
            upload = await ResumableUpload.begin(self._wire, self._settings, uri, body, options)
            offset = 0
        else:
            found = await self._resumed(upload, body)
            if isinstance(found, ObjectInfo):
                return found
            offset = found
        try:
            return await upload.send(body, offset)
        except UnavailableError as exc:
            if exc.retryable and body.replayable:
                self._sessions[body] = upload
            raise

    async def _resumed(self, upload: ResumableUpload, body: Body) -> ObjectInfo | int:
        try:
            return await upload.status()
        except UnavailableError:
            self._sessions[body] = upload
            raise
        except NotFoundError:
            # It is gone: the next attempt begins another.
            raise UnavailableError("the upload session has ended before all was sent", provider="gcs") from None


class ResumableUpload:
    """
    One session.

    Attributes:
        uri: The object.
        options: What it is written with.
        size: Bytes of the whole.
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
        checksum = await prepared(body, options.checksum or settings.checksum)
        headers, content = with_json(resource(options, checksum))
        announced = {
            "X-Upload-Content-Length": str(body.size),
            "X-Upload-Content-Type": options.content_type or "application/octet-stream",
        }
        request = Request(
            "POST",
            bucket_path(uri, UPLOAD_ROOT),
            encode_query([("uploadType", "resumable"), *insert_query(settings, uri, options)]),
            {**headers, **announced, **settings.key_headers()},
            content,
            create_only=options.if_none_match is not None,
        )
        try:
            reply = await wire.send(request)
        except NotFoundError as exc:
            raise without_object(exc, options.if_match) from None
        await reply.read_error()
        return cls(wire, uri, options, body.size, Secret(reply.headers.get("Location", "")))

    async def send(self, body: Body, offset: int) -> ObjectInfo:
        """
        Send *body* from *offset* to its end, and return the object.

        Raises:
            UnavailableError: Not all of it arrived; :meth:`status` tells how much did.
        """
        last = self.size - 1
        headers = {"Content-Range": f"bytes {offset}-{last}/{self.size}" if self.size else "bytes */0"}
        answer = await self._ask(headers, _Rest(body, offset) if offset else body)
        if isinstance(answer, int):
            raise UnavailableError(f"{answer} of {self.size} bytes have arrived", provider="gcs")
        compare(body, answer)
        return info_of(self.uri, answer)

    async def status(self) -> ObjectInfo | int:
        """
        Return how many bytes have arrived; the object, if all have.

        Raises:
            NotFoundError: The session has ended.
        """
        answer = await self._ask({"Content-Range": f"bytes */{self.size}"}, None)
        return answer if isinstance(answer, int) else info_of(self.uri, answer)

    async def cancel(self) -> None:
        """
        End the session; one that has ended already is no error.
        """
        path, query = self._address()
        try:
            # 499 is what is answered.
            reply = await self._wire.send(Request("DELETE", path, query, {"Content-Length": "0"}, also=499))
        except NotFoundError:
            return
        await reply.read_error()

    async def _ask(self, headers: dict[str, str], body: Body | None) -> dict[str, Any] | int:
        path, query = self._address()
        request = Request(
            "PUT",
            path,
            query,
            headers if body is not None and body.size else {**headers, "Content-Length": "0"},
            body,
            create_only=self.options.if_none_match is not None,
            patience=_PATIENCE,
            also=_INCOMPLETE,
        )
        try:
            reply = await self._wire.send(request)
        except StorageError as exc:
            if exc.status in _ENDED:
                raise NotFoundError(exc.message, code=exc.code, provider="gcs", status=exc.status) from None
            raise
        content = await reply.read(MAX_REPLY)
        if reply.status != _INCOMPLETE:
            return document(reply, content)
        match = _RANGE.fullmatch(reply.headers.get("Range", ""))
        arrived = int(match.group(1)) + 1 if match else 0
        if arrived > self.size:
            raise IntegrityError(
                "more bytes have arrived than there are",
                expected=str(self.size),
                actual=str(arrived),
                request_id=reply.request_id,
            )
        return arrived

    def _address(self) -> tuple[str, str]:
        # Only the path is taken: a reply can send bytes nowhere but to the storage's own server.
        parts = urlsplit(self._session.reveal())
        if not parts.path or not parts.query:
            raise UnavailableError("the reply to the start of an upload does not say where it goes on", provider="gcs")
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
