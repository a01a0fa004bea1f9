"""
Writes whose reply was lost: whether they took place is seen, not guessed.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from asyncstore.body import Body
from asyncstore.checksum import compute
from asyncstore.engine.calls import Calls
from asyncstore.engine.retry import RetryObserver
from asyncstore.errors import NotFoundError, PreconditionFailedError, StorageError, UnavailableError
from asyncstore.options import CopyOptions, DeleteOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

#: The provider's clock and ours may differ by so much.
CLOCK_TOLERANCE = timedelta(minutes=5)


def is_ambiguous(error: StorageError) -> bool:
    """
    Whether the request may have been carried out all the same: there was no reply.
    """
    return isinstance(error, UnavailableError) and error.status is None


class LostReply:
    """
    Notices a lost reply among the failed attempts of one request.

    Attributes:
        seen: Whether there was one.
    """

    def __init__(self, observer: RetryObserver | None) -> None:
        self.seen = False
        self._observer = observer

    def __call__(self, error: StorageError) -> None:
        self.notice(error)
        if self._observer is not None:
            self._observer(error)

    def notice(self, error: StorageError) -> None:
        """
        Count a failure that no attempt followed.
        """
        self.seen = self.seen or is_ambiguous(error)


async def put(
    calls: Calls, uri: ObjectURI, body: Body, options: WriteOptions, observer: RetryObserver | None = None
) -> ObjectInfo:
    """
    Write one object with one request.

    A conditional write is sent again like any other. If it is refused after a
    reply was lost, the object in its place may be our own: it is compared.
    """
    if options.if_match is None and options.if_none_match is None:
        return await calls("put", uri, calls.driver.put, uri, body, options, again=body.replayable, observer=observer)
    began = datetime.now(UTC)
    lost = LostReply(observer)
    try:
        return await calls("put", uri, calls.driver.put, uri, body, options, again=body.replayable, observer=lost)
    except PreconditionFailedError:
        if not lost.seen:
            raise
        found = await _look(calls, uri, began)
        if found is None or found.size != body.size or not _same_bytes(found, body):
            raise
        return found


async def copy(calls: Calls, source: ObjectURI, target: ObjectURI, info: Metadata, options: CopyOptions) -> ObjectInfo:
    """
    Copy one object, which *info* describes, with one request.
    """
    began = datetime.now(UTC)
    lost = LostReply(None)
    try:
        return await calls("copy", source, calls.driver.copy, source, target, options, observer=lost)
    except PreconditionFailedError:
        if not lost.seen:
            raise
        found = await _look(calls, target, began)
        if found is None or found.size != info.size or not _same_object(found, info):
            raise
        return found


async def delete(calls: Calls, uri: ObjectURI, options: DeleteOptions) -> None:
    """
    Delete one object; one that is gone after a reply was lost may have been deleted by us.
    """
    lost = LostReply(None)
    try:
        await calls("delete", uri, calls.driver.delete, uri, options, observer=lost)
    except (PreconditionFailedError, NotFoundError):
        if not lost.seen or await _exists(calls, uri):
            raise


async def completed(
    calls: Calls, uri: ObjectURI, size: int, checksum: Checksum | None, began: datetime
) -> ObjectInfo | None:
    """
    Return the object if it is the one that an upload by parts should have made.

    *checksum* is compared if the provider reports one of that kind; else the size
    and the time have to do.
    """
    found = await _look(calls, uri, began)
    if found is None or found.size != size:
        return None
    for stored in found.checksums:
        if checksum is not None and stored.algorithm == checksum.algorithm and stored.parts is None:
            return found if stored == checksum else None
    return found


async def _look(calls: Calls, uri: ObjectURI, began: datetime) -> Metadata | None:
    try:
        found = await calls("stat", uri, calls.driver.stat, uri, ReadOptions())
    except NotFoundError:
        return None
    if found.last_modified is not None and found.last_modified < began - CLOCK_TOLERANCE:
        return None
    return found


async def _exists(calls: Calls, uri: ObjectURI) -> bool:
    try:
        await calls("stat", uri, calls.driver.stat, uri, ReadOptions())
    except NotFoundError:
        return False
    return True


def _same_object(found: Metadata, source: Metadata) -> bool:
    # An ETag that is a digest goes along with a copy.
    if found.etag is not None and found.etag == source.etag:
        return True
    return any(stored in source.checksums and stored.parts is None for stored in found.checksums)


def _same_bytes(found: Metadata, body: Body) -> bool:
    for stored in found.checksums:
        if stored.parts is None and body.data is not None:
            return compute(stored.algorithm, body.data) == stored
    if body.data is None or found.etag is None:
        return False
    # Of an object in one piece that is not encrypted, the ETag is its MD5 on S3 and OCI.
    return found.etag == hashlib.md5(body.data, usedforsecurity=False).hexdigest()
