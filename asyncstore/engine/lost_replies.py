"""
Writes whose outcome is unknown: examine the object to see whether they took place.

A reply is lost if the connection breaks, but also if a gateway answers in its place, or if the service
reports an internal error: see :attr:`~asyncstore.errors.StorageError.ambiguous`. Sent again, a write may
then be refused because it was carried out the first time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, TypeVar

from asyncstore.driver.body import Body
from asyncstore.driver.contract import Condition
from asyncstore.encryption import Encryption, key_of
from asyncstore.engine.conditions import look_first
from asyncstore.engine.download.read import read
from asyncstore.engine.download.verify import strong_etag
from asyncstore.engine.existing import exists
from asyncstore.engine.requests import OnRetry, Requests
from asyncstore.errors import (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import DeleteOptions, ReadOptions, WriteOptions
from asyncstore.types import UNKNOWN, Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

# Two times of one server can be this much closer than they were: HTTP dates have whole seconds, and a
# server may keep the text of its date for a second.
_ROUNDING: Final = timedelta(seconds=2)

_MD5: Final = re.compile(r"[0-9a-f]{32}")

#: Failures of a conditional write after which the object may be our own; the second is the last of all attempts.
_IN_DOUBT: Final = (PreconditionFailedError, UnavailableError)


class LostReply:
    """
    Watches the attempts of one write for one whose outcome is unknown.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._latest = time.monotonic()
        self._began: float | None = None

    @property
    def seen(self) -> bool:
        """Whether there was such an attempt."""
        return self._began is not None

    def watching(self, send: Callable[..., Awaitable[_T]]) -> Callable[..., Awaitable[_T]]:
        """
        Return *send*, each call of which is watched.
        """

        async def attempt(*args: Any) -> _T:
            self._latest = time.monotonic()
            try:
                return await send(*args)
            except Exception as exc:
                self.note(exc)
                raise

        return attempt

    def note(self, error: Exception) -> None:
        """
        Note how the latest attempt failed.
        """
        classified = self._requests.classify(error)
        if classified is not None and classified.ambiguous:
            self.suspect()

    def suspect(self) -> None:
        """
        Note that the latest attempt may have been carried out.
        """
        if self._began is None:
            self._began = self._latest

    def since(self) -> datetime:
        """
        Return the service's time before which no attempt that may have been carried out had begun.
        """
        began = time.monotonic() if self._began is None else self._began
        passed = timedelta(seconds=time.monotonic() - began)
        return datetime.fromtimestamp(self._requests.driver.service_time(), UTC) - passed - _ROUNDING


async def put(
    requests: Requests, uri: ObjectURI, body: Body, options: WriteOptions, on_retry: OnRetry | None = None
) -> ObjectInfo:
    """
    Write one object with one request.

    Bytes that the service refuses because they do not match their checksum are sent once more: they may have been
    damaged on the way. A conditional write is retried like any other. If its condition fails after a
    lost reply, the object at the target may be our own: it is compared.

    Raises:
        UnavailableError: The object cannot be compared, so the write may have been carried out.
    """
    try:
        return await _put(requests, uri, body, options, on_retry)
    except IntegrityError as exc:
        if not (body.replayable and is_refusal(exc)):
            raise
        if on_retry is not None:
            on_retry(exc)
        return await _put(requests, uri, body, options, on_retry)


def is_refusal(error: IntegrityError) -> bool:
    """
    Return whether the service has refused bytes, so that nothing was written.
    """
    return error.status is not None and error.status >= HTTPStatus.BAD_REQUEST


async def _put(
    requests: Requests, uri: ObjectURI, body: Body, options: WriteOptions, on_retry: OnRetry | None
) -> ObjectInfo:
    driver = requests.driver
    if options.if_match is None and options.if_none_match is None:
        return await requests("put", uri, driver.put, uri, body, options, replayable=body.replayable, on_retry=on_retry)
    kind: Condition = "replace" if options.if_none_match is None else "create"
    await look_first(requests, "put", uri, kind, options.if_match, options.if_none_match, options.encryption)
    lost_reply = LostReply(requests)
    send = lost_reply.watching(driver.put)
    try:
        return await requests("put", uri, send, uri, body, options, replayable=body.replayable, on_retry=on_retry)
    except _IN_DOUBT as exc:
        found = await _written_since(requests, uri, lost_reply, exc, options.encryption)
        if found is None or found.size not in (body.size, UNKNOWN):
            raise
        same = None if found.last_modified is None else await _same_bytes(requests, found, body, options.encryption)
        if same is None and isinstance(exc, PreconditionFailedError):
            raise in_doubt(requests, "put", uri, "the object cannot be compared with what was written") from exc
        if not same:
            raise
        return found


def in_doubt(requests: Requests, op: str, uri: ObjectURI, reason: str) -> UnavailableError:
    """
    Return the error of a write of which nothing tells whether it was carried out.
    """
    return UnavailableError(
        f"the reply to a write was lost, and {reason}: it may have been carried out",
        op=op,
        uri=str(uri),
        provider=requests.driver.provider,
        retryable=False,
    )


async def delete(requests: Requests, uri: ObjectURI, options: DeleteOptions) -> None:
    """
    Delete one object; if it is missing after a lost reply, we may have deleted it.
    """
    await look_first(requests, "delete", uri, "delete", options.if_match)
    lost_reply = LostReply(requests)
    try:
        await requests("delete", uri, lost_reply.watching(requests.driver.delete), uri, options)
    except (PreconditionFailedError, NotFoundError):
        if not lost_reply.seen or await exists(requests, uri):
            raise


async def completed(
    requests: Requests,
    uri: ObjectURI,
    upload_id: str,
    size: int,
    checksum: Checksum | None,
    lost_reply: LostReply,
    error: StorageError,
    encryption: Encryption | None = None,
) -> ObjectInfo | None:
    """
    Return the object if it is the result of a multipart upload whose completion ended in *error*.

    Such an upload exists no more. *checksum* is compared if the provider reports one of its algorithm;
    otherwise only the size and the time are.
    """
    if not lost_reply.seen:
        return None
    if not isinstance(error, NotFoundError) and await _has_parts(requests, uri, upload_id, error):
        return None
    found = await _written_since(requests, uri, lost_reply, error, encryption)
    if found is None or found.size != size:
        return None
    for stored in found.checksums:
        if checksum is not None and stored.algorithm == checksum.algorithm and stored.parts is None:
            return found if stored == checksum else None
    return found


async def copied(
    requests: Requests,
    target: ObjectURI,
    source: Metadata,
    lost_reply: LostReply,
    error: StorageError,
    encryption: Encryption | None = None,
) -> ObjectInfo | None:
    """
    Return the object at *target* if it is the copy of *source* that ended in *error*.
    """
    found = await _written_since(requests, target, lost_reply, error, encryption)
    return found if found is not None and found.size == source.size and _same_object(found, source) else None


async def _written_since(
    requests: Requests, uri: ObjectURI, lost_reply: LostReply, error: StorageError, encryption: Encryption | None
) -> Metadata | None:
    """
    Return the object if it was written since the attempt whose reply was lost.

    Unless the object is older, so that the attempt was not carried out, *error* becomes ambiguous.
    """
    if not lost_reply.seen:
        return None
    # Before the look: the refusal has told the service's time.
    since = lost_reply.since()
    looked = ReadOptions(encryption=key_of(encryption))
    try:
        found = await _look(requests, "stat", uri, error, requests.driver.stat, uri, looked)
    except NotFoundError:
        found = None
    if found is not None and found.last_modified is not None and found.last_modified < since:
        return None
    if isinstance(error, PreconditionFailedError):
        error.after_lost_reply = True
    return found


async def _has_parts(requests: Requests, uri: ObjectURI, upload_id: str, error: StorageError) -> bool:
    # An upload that still exists was not completed.
    try:
        page = await _look(requests, "list_parts", uri, error, requests.driver.list_parts, uri, upload_id, None)
    except NotFoundError:
        return False
    except InvalidRequestError:
        # A service may list the parts only to who has the customer's key.
        return True
    return page is None or bool(page.parts)


async def _look(
    requests: Requests, op: str, uri: ObjectURI, error: StorageError, send: Callable[..., Awaitable[_T]], *args: Any
) -> _T | None:
    """
    Send a read-only request; ``None`` if it fails after *error*, which was the last of all attempts already.
    """
    if not isinstance(error, UnavailableError):
        return await requests(op, uri, send, *args)
    with suppress(UnavailableError):
        return await requests(op, uri, send, *args, replayable=False)
    return None


def _same_object(found: Metadata, source: Metadata) -> bool:
    # A copy has the ETag of its source where that is a digest of the bytes.
    if found.etag is not None and found.etag == source.etag:
        return True
    return any(stored in source.checksums and stored.parts is None for stored in found.checksums)


async def _same_bytes(requests: Requests, found: Metadata, body: Body, encryption: Encryption | None) -> bool | None:
    """
    Return whether an object has the bytes of *body*; ``None`` if that cannot be known.
    """
    if not body.size and found.size == 0:
        return True
    for stored in found.checksums:
        if stored.parts is None:
            own = await _checksum(body, stored.algorithm)
            return None if own is None else own == stored
    if requests.driver.capabilities.etag_is_md5 and _MD5.fullmatch(found.etag or ""):
        own = await _checksum(body, ChecksumAlgorithm.MD5)
        return None if own is None else own.value.hex() == found.etag
    etag = strong_etag(found)
    if body.data is None or etag is None or found.size == UNKNOWN:
        return None
    try:
        _, data = await read(requests, found.uri, ReadOptions(if_match=etag, encryption=key_of(encryption)))
        return data == body.data
    except (NotFoundError, PermissionDeniedError, PreconditionFailedError, UnavailableError):
        # It was replaced again, or may not be read.
        return None


async def _checksum(body: Body, algorithm: ChecksumAlgorithm) -> Checksum | None:
    if body.replayable:
        await body.prepare(algorithm)
    return body.checksum(algorithm)
