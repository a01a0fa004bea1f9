"""
One upload by parts: begun, filled, completed; or aborted, whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from asyncstore.body import Body
from asyncstore.checksum import COMBINABLE, combine
from asyncstore.cleanup import CLEANUP_TIMEOUT, clean_up, ended
from asyncstore.engine import lost
from asyncstore.engine.calls import Calls
from asyncstore.engine.journal import SentPart
from asyncstore.engine.retry import RetryObserver
from asyncstore.errors import NotFoundError, PreconditionFailedError, StorageError
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, MultipartUpload, ObjectInfo, Part
from asyncstore.uri import ObjectURI


class MultipartSession:
    """
    An upload by parts that is under way; made by :func:`multipart_session`.

    Attributes:
        uri: The object.
        upload_id: The provider's id of the upload.
        sent: The parts that the provider has, by number.
    """

    def __init__(
        self,
        calls: Calls,
        uri: ObjectURI,
        upload_id: str,
        options: WriteOptions,
        observer: RetryObserver | None,
        sent: dict[int, SentPart] | None = None,
    ) -> None:
        self.uri = uri
        self.upload_id = upload_id
        self.sent = {} if sent is None else sent
        self._calls = calls
        self._options = options
        self._observer = observer
        self._began = datetime.now(UTC)

    async def send(self, number: int, body: Body, algorithm: ChecksumAlgorithm | None) -> None:
        """
        Write part *number*, again after a passing fault if its bytes can be read again.
        """
        part = await self._calls(
            "upload_part",
            self.uri,
            self._calls.driver.upload_part,
            self.uri,
            self.upload_id,
            number,
            body,
            self._options,
            again=body.replayable,
            observer=self._observer,
        )
        self.add(part, body.checksum(algorithm) if algorithm and algorithm in COMBINABLE else None)

    def add(self, part: Part, checksum: Checksum | None = None) -> None:
        """
        Count a part that has been written; *checksum* is that of what was sent.
        """
        self.sent[part.number] = SentPart(part, checksum)

    async def complete(self) -> ObjectInfo:
        """
        Make the object appear.

        After a lost reply the provider may say that there is no such upload, or that
        the object exists, though all is well: then the object is looked at.
        """
        parts = [self.sent[number].part for number in sorted(self.sent)]
        checksum = self._checksum(parts)
        reply = lost.LostReply(self._observer)
        try:
            return await self._calls(
                "complete_multipart_upload",
                self.uri,
                self._calls.driver.complete_multipart_upload,
                self.uri,
                self.upload_id,
                parts,
                self._options,
                checksum,
                observer=reply,
            )
        except (NotFoundError, PreconditionFailedError) as exc:
            if not reply.seen or (isinstance(exc, PreconditionFailedError) and await self._has_parts()):
                raise
            size = sum(part.size for part in parts)
            found = await lost.completed(self._calls, self.uri, size, checksum, self._began)
            if found is None:
                raise
            return found

    async def _has_parts(self) -> bool:
        # Completing uses an upload up, so one that is still there was not completed.
        try:
            page = await self._calls(
                "list_parts", self.uri, self._calls.driver.list_parts, self.uri, self.upload_id, None
            )
        except NotFoundError:
            return False
        return bool(page.parts)

    def _checksum(self, parts: Sequence[Part]) -> Checksum | None:
        """Of the whole object, if that of every part is known and they can be combined."""
        whole: Checksum | None = None
        for part in parts:
            checksum = self.sent[part.number].checksum
            if checksum is None or checksum.algorithm not in COMBINABLE:
                return None
            whole = checksum if whole is None else combine(whole, checksum, part.size)
        return whole


@asynccontextmanager
async def multipart_session(
    calls: Calls, uri: ObjectURI, options: WriteOptions, observer: RetryObserver | None = None
) -> AsyncIterator[MultipartSession]:
    """
    Begin an upload; abort it, once, if the block does not end well.

    Send parts from tasks inside the block, so that all have stopped before the
    abort: a part still in flight can outlive it and be billed.
    """
    beginning = Beginning(calls, uri, options, observer)
    try:
        upload_id = await beginning.run()
        yield MultipartSession(calls, uri, upload_id, options, observer)
    except BaseException as exc:
        await clean_up(beginning.undo(), exc)
        raise
    finally:
        calls.uploads.discard(beginning.upload_id)
    if beginning.lost.seen:
        await clean_up(beginning.sweep())


class Beginning:
    """
    The start of an upload, which must not be lost sight of.

    Attributes:
        upload_id: The provider's id of the upload, once it is known.
        lost: Whether a reply was lost, so that there may be an upload without an owner.
    """

    def __init__(self, calls: Calls, uri: ObjectURI, options: WriteOptions, observer: RetryObserver | None) -> None:
        self.upload_id: str | None = None
        self.lost = lost.LostReply(observer)
        self._calls = calls
        self._driver = calls.driver
        self._uri = uri
        self._options = options
        self._began = datetime.now(UTC)

    async def run(self) -> str:
        """
        Begin the upload and return its id.
        """
        try:
            return await self._calls("initiate_multipart_upload", self._uri, self._initiate, observer=self.lost)
        except StorageError as exc:
            self.lost.notice(exc)
            raise

    async def run_or_undo(self) -> str:
        """
        Begin the upload and return its id; abort it if it is not known to have begun.
        """
        try:
            return await self.run()
        except BaseException as exc:
            await clean_up(self.undo(), exc)
            self._calls.uploads.discard(self.upload_id)
            raise

    async def _initiate(self) -> str:
        # In a task of its own: cancelled between the service's creating the upload
        # and our learning its id, we would leave an upload that nobody can abort.
        request = asyncio.ensure_future(self._driver.initiate_multipart_upload(self._uri, self._options))
        try:
            upload_id = await asyncio.shield(request)
        except asyncio.CancelledError:
            await ended(request, CLEANUP_TIMEOUT / 2)
            self._learn(request)
            raise
        self._calls.uploads.add(upload_id)
        self.upload_id = upload_id
        return upload_id

    def _learn(self, request: asyncio.Future[str]) -> None:
        if not request.done() or request.cancelled():
            self.lost.seen = True
        elif (error := request.exception()) is None:
            self.upload_id = request.result()
        elif isinstance(error, Exception) and (named := self._calls.named(error)) is not None:
            self.lost.notice(named)

    async def undo(self) -> None:
        """
        Abort the upload, and one whose id never came.
        """
        if self.upload_id is not None:
            await self._abort(self.upload_id)
        if self.lost.seen:
            await self.sweep()

    async def sweep(self) -> None:
        """
        Abort the upload that a lost reply left without an owner.

        It is one of this very key, begun since, without a single part, and none that
        is under way here.
        """
        page = await self._calls(
            "list_multipart_uploads", self._uri, self._driver.list_multipart_uploads, self._uri, None
        )
        for upload in page.uploads:
            if self._may_be_ours(upload):
                with suppress(NotFoundError):
                    await self._abort_if_empty(upload.upload_id)

    def _may_be_ours(self, upload: MultipartUpload) -> bool:
        if upload.uri.key != self._uri.key or upload.upload_id in self._calls.uploads:
            return False
        return upload.initiated is None or upload.initiated > self._began - lost.CLOCK_TOLERANCE

    async def _abort_if_empty(self, upload_id: str) -> None:
        page = await self._calls("list_parts", self._uri, self._driver.list_parts, self._uri, upload_id, None)
        if not page.parts:
            await self._abort(upload_id)

    async def _abort(self, upload_id: str) -> None:
        await self._calls(
            "abort_multipart_upload", self._uri, self._driver.abort_multipart_upload, self._uri, upload_id
        )
