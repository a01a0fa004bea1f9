"""
One multipart upload: initiated, filled, completed; or aborted if anything fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from asyncstore._support.cleanup import CLEANUP_TIMEOUT, clean_up, ended
from asyncstore.checksum import COMBINABLE, combine_all
from asyncstore.driver.body import Body
from asyncstore.engine import lost_replies
from asyncstore.engine.conditions import look_first
from asyncstore.engine.requests import OnRetry, Requests
from asyncstore.engine.steps import result_of
from asyncstore.engine.upload.journal import SentPart
from asyncstore.errors import IntegrityError, NotFoundError, PreconditionFailedError, UnavailableError
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ObjectInfo, Part
from asyncstore.uri import ObjectURI


class MultipartSession:
    """
    A multipart upload in progress; made by :func:`multipart_session`.

    Attributes:
        uri: The object.
        upload_id: The provider's id of the upload.
        algorithm: Of the checksums that parts are sent with.
        sent: The parts that the provider has stored, by number.
        found: The object, if an earlier attempt has completed it.
    """

    def __init__(
        self,
        requests: Requests,
        uri: ObjectURI,
        upload_id: str,
        options: WriteOptions,
        on_retry: OnRetry | None,
        sent: dict[int, SentPart] | None = None,
    ) -> None:
        self.uri = uri
        self.upload_id = upload_id
        self.algorithm = options.checksum or requests.driver.preferred_checksum
        self.sent = {} if sent is None else sent
        self.found: ObjectInfo | None = None
        self._requests = requests
        self._options = options
        self._on_retry = on_retry

    async def send(self, number: int, body: Body) -> None:
        """
        Write part *number*; retried after a transient error if its bytes can be read again, and once if they do not
        match their checksum, since they may have been damaged on the way.
        """
        try:
            await self._send(number, body)
        except IntegrityError as exc:
            if not (body.replayable and lost_replies.is_refusal(exc)):
                raise
            if self._on_retry is not None:
                self._on_retry(exc)
            await self._send(number, body)

    async def _send(self, number: int, body: Body) -> None:
        step = await self._requests(
            "upload_part",
            self.uri,
            self._requests.driver.upload_part,
            self.uri,
            self.upload_id,
            number,
            body,
            self._options,
            replayable=body.replayable,
            on_retry=self._on_retry,
        )
        part = await result_of(self._requests, "upload_part", self.uri, step, self._on_retry)
        self.add(part, body.checksum(self.algorithm) if self.algorithm and self.algorithm in COMBINABLE else None)

    def add(self, part: Part, checksum: Checksum | None = None) -> None:
        """
        Add a part that was written; *checksum* is that of the bytes sent.
        """
        self.sent[part.number] = SentPart(part, checksum)

    async def complete(self) -> ObjectInfo:
        """
        Complete the upload: the object appears.
        """
        parts = [self.sent[number].part for number in sorted(self.sent)]
        checksum = combine_all((self.sent[part.number].checksum, part.size) for part in parts)
        return await complete(self._requests, self.uri, self.upload_id, parts, self._options, checksum, self._on_retry)


async def complete(
    requests: Requests,
    uri: ObjectURI,
    upload_id: str,
    parts: Sequence[Part],
    options: WriteOptions,
    checksum: Checksum | None,
    on_retry: OnRetry | None = None,
) -> ObjectInfo:
    """
    Complete an upload.

    After a lost reply the retry may find no such upload, or that the object exists,
    although the first attempt succeeded: then the object itself is examined.
    """
    op, driver = "complete_multipart_upload", requests.driver
    await look_first(requests, op, uri, "complete", options.if_match, options.if_none_match, options.encryption)
    lost_reply = lost_replies.LostReply(requests)
    send = lost_reply.watching(driver.complete_multipart_upload)
    try:
        step = await requests(op, uri, send, uri, upload_id, parts, options, checksum, on_retry=on_retry)
        return await result_of(requests, op, uri, step, on_retry, lost_reply.watching)
    except (NotFoundError, PreconditionFailedError, UnavailableError) as exc:
        size = sum(part.size for part in parts)
        found = await lost_replies.completed(
            requests, uri, upload_id, size, checksum, lost_reply, exc, options.encryption
        )
        if found is None:
            raise
        return found


@asynccontextmanager
async def multipart_session(
    requests: Requests, uri: ObjectURI, options: WriteOptions, on_retry: OnRetry | None = None
) -> AsyncIterator[MultipartSession]:
    """
    Initiate an upload; abort it, once, if the block raises.

    Send parts from tasks inside the block, so that all have stopped before the
    abort: a part still in flight can outlive it and be billed.
    """
    initiation = Initiation(requests, uri, options, on_retry)
    try:
        upload_id = await initiation.run()
        yield MultipartSession(requests, uri, upload_id, options, on_retry)
    except BaseException as exc:
        await clean_up(initiation.undo(), exc)
        raise
    finally:
        requests.uploads.discard(initiation.upload_id)
    if initiation.lost_reply.seen:
        await clean_up(initiation.sweep())


async def initiate(requests: Requests, uri: ObjectURI, options: WriteOptions) -> str:
    """
    Initiate an upload for a caller who completes or aborts it, and return its id.
    """
    initiation = Initiation(requests, uri, options, None)
    upload_id = await initiation.run_or_undo()
    if initiation.lost_reply.seen:
        try:
            await clean_up(initiation.sweep())
        except BaseException as exc:
            # Cancelled: the caller will not learn the id.
            await clean_up(initiation.undo(), exc)
            raise
    return upload_id


class Initiation:
    """
    The initiation of an upload; it leaves no upload behind, even if its reply is lost.

    Attributes:
        uri: The object.
        upload_id: The provider's id of the upload, once known.
        lost_reply: Tells whether a reply was lost, so that an upload with an unknown id may exist.
    """

    def __init__(self, requests: Requests, uri: ObjectURI, options: WriteOptions, on_retry: OnRetry | None) -> None:
        self.upload_id: str | None = None
        self.lost_reply = lost_replies.LostReply(requests)
        self._requests = requests
        self._driver = requests.driver
        self.uri = uri
        self._options = options
        self._on_retry = on_retry
        self._started = requests.retry.now()

    async def run(self) -> str:
        """
        Initiate the upload and return its id.
        """
        # Now, too: a condition that does not hold would waste all parts.
        conditions = self._options.if_match, self._options.if_none_match, self._options.encryption
        await look_first(self._requests, "initiate_multipart_upload", self.uri, "complete", *conditions)
        send = self.lost_reply.watching(self._initiate)
        return await self._requests("initiate_multipart_upload", self.uri, send, on_retry=self._on_retry)

    async def run_or_undo(self) -> str:
        """
        Initiate the upload and return its id; clean up after a failure.
        """
        try:
            return await self.run()
        except BaseException as exc:
            await clean_up(self.undo(), exc)
            self._requests.uploads.discard(self.upload_id)
            raise

    async def _initiate(self) -> str:
        # In its own task: a cancellation after the service has created the upload
        # and before we know its id would leave an upload that cannot be aborted.
        request = asyncio.ensure_future(self._driver.initiate_multipart_upload(self.uri, self._options))
        try:
            upload_id = await asyncio.shield(request)
        except asyncio.CancelledError:
            await ended(request, min(CLEANUP_TIMEOUT / 2, self._requests.retry.left(self._started)))
            self._learn(request)
            raise
        self._requests.uploads.add(upload_id, self.uri)
        self.upload_id = upload_id
        return upload_id

    def _learn(self, request: asyncio.Future[str]) -> None:
        if not request.done() or request.cancelled():
            self.lost_reply.suspect()
        elif (error := request.exception()) is None:
            self.upload_id = request.result()
        elif isinstance(error, Exception):
            self.lost_reply.note(error)

    async def undo(self) -> None:
        """
        Abort the upload, and one whose id was lost.
        """
        if self.upload_id is not None:
            await self._abort(self.upload_id)
        if self.lost_reply.seen:
            await self.sweep()

    async def sweep(self) -> None:
        """
        Abort the upload whose id was lost with the reply.
        """
        await abort_lost(self._requests, self.uri, self.lost_reply.since)

    async def _abort(self, upload_id: str) -> None:
        await self._requests(
            "abort_multipart_upload", self.uri, self._driver.abort_multipart_upload, self.uri, upload_id
        )


async def abort_lost(requests: Requests, uri: ObjectURI, since: Callable[[], datetime]) -> None:
    """
    Abort an upload whose id was lost with the reply.

    That is an upload to this key, without parts and not in progress here, which was initiated after *since*, the
    service's time; it is called after the service has told its time.
    """
    driver = requests.driver
    page = await requests("list_multipart_uploads", uri, driver.list_multipart_uploads, uri, None)
    earliest = since()
    for upload in page.uploads:
        late = upload.initiated is None or upload.initiated >= earliest
        if not late or upload.uri.key != uri.key or upload.upload_id in requests.uploads:
            continue
        with suppress(NotFoundError):
            parts = await requests("list_parts", uri, driver.list_parts, uri, upload.upload_id, None)
            if not parts.parts:
                await requests("abort_multipart_upload", uri, driver.abort_multipart_upload, uri, upload.upload_id)
