"""
Uploads of files that an interruption does not end: the next one sends what is missing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from asyncstore.checksum import COMBINABLE
from asyncstore.cleanup import clean_up
from asyncstore.engine.calls import Calls
from asyncstore.engine.journal import Identity, SentPart, Unfinished
from asyncstore.engine.multipart import Beginning, MultipartSession
from asyncstore.engine.plan import Span, spans
from asyncstore.engine.pool import for_each
from asyncstore.engine.retry import RetryObserver
from asyncstore.engine.source import FileSource
from asyncstore.errors import (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PreconditionFailedError,
    SourceChangedError,
    StorageError,
)
from asyncstore.options import UploadOptions
from asyncstore.types import ChecksumAlgorithm, Part
from asyncstore.uri import ObjectURI

# After these the same parts would fail in the same way, or should not be trusted.
_HOPELESS: Final = (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PreconditionFailedError,
    SourceChangedError,
)

_MD5: Final = re.compile(r"[0-9a-f]{32}")

_ABORTS_AT_ONCE: Final = 8


@asynccontextmanager
async def resumable_session(
    calls: Calls, file: FileSource, uri: ObjectURI, options: UploadOptions, observer: RetryObserver | None = None
) -> AsyncIterator[MultipartSession]:
    """
    Go on with the upload of *file* that was left at *uri*, or begin one.

    If the block is interrupted, by a cancellation or an error that may pass, the upload is
    left as it is. After any other error it is aborted, once.

    Args:
        options: With the size and the checksum algorithm of parts that are really used.
    """
    identity = Identity(file.identity, replace(options, max_concurrency=1, multipart_threshold=0))
    beginning = Beginning(calls, uri, options, observer)
    unfinished = await _left(calls, file, uri, identity)
    if unfinished is None:
        unfinished = Unfinished(uri, await beginning.run_or_undo(), identity)
    try:
        yield MultipartSession(calls, uri, unfinished.upload_id, options, observer, unfinished.parts)
    except BaseException as exc:
        obsolete = unfinished if isinstance(exc, _HOPELESS) else calls.journal.leave(unfinished)
        await clean_up(_give_up(calls, obsolete, beginning), exc)
        raise
    calls.uploads.discard(unfinished.upload_id)
    if beginning.lost.seen:
        await clean_up(beginning.sweep())


async def _give_up(calls: Calls, obsolete: Unfinished | None, beginning: Beginning) -> None:
    try:
        if obsolete is not None:
            await _abort(calls, obsolete)
    finally:
        if beginning.lost.seen:
            await beginning.sweep()


async def discard(calls: Calls, uri: ObjectURI) -> None:
    """
    Abort the upload of *uri* that was left, if there is one.
    """
    left = calls.journal.claim(uri)
    if left is not None:
        await clean_up(_abort(calls, left))


async def discard_all(calls: Calls) -> None:
    """
    Abort every upload that was left: nobody will go on with it.
    """
    left = calls.journal.close()
    if left:
        await clean_up(_abort_each(calls, left))


async def _left(calls: Calls, file: FileSource, uri: ObjectURI, identity: Identity) -> Unfinished | None:
    """
    Return the upload that was left, with the parts that the provider has and that are right.
    """
    left = calls.journal.claim(uri)
    if left is None:
        return None
    if left.identity != identity:
        await clean_up(_abort(calls, left))
        return None
    try:
        left.parts = await _held(calls, file, left)
    except NotFoundError:
        # Aborted by somebody else, by a rule of the bucket, or completed without our knowing.
        calls.uploads.discard(left.upload_id)
        return None
    except BaseException as exc:
        obsolete = calls.journal.leave(left)
        if obsolete is not None:
            await clean_up(_abort(calls, obsolete), exc)
        raise
    return left


async def _held(calls: Calls, file: FileSource, left: Unfinished) -> dict[int, SentPart]:
    options = left.identity.options
    wanted = {span.number: span for span in spans(0, file.size, options.part_size)}
    held: dict[int, SentPart] = {}
    token: str | None = None
    while True:
        page = await calls("list_parts", left.uri, calls.driver.list_parts, left.uri, left.upload_id, token)
        for part in page.parts:
            span = wanted.get(part.number)
            sent = await _trusted(file, span, part, left) if span is not None else None
            if sent is not None:
                held[part.number] = sent
        token = page.next_token
        if token is None:
            return held


async def _trusted(file: FileSource, span: Span, part: Part, left: Unfinished) -> SentPart | None:
    """
    Return what the provider has as *part*, if it is that stretch of the file.
    """
    if part.size != span.size:
        return None
    known = left.parts.get(part.number)
    if known is not None and _same(known.part, part):
        return known
    # It arrived, and its reply did not.
    return await _compared(file, span, part, left.identity.options.checksum)


def _same(known: Part, found: Part) -> bool:
    if (known.etag, known.size) != (found.etag, found.size):
        return False
    ours, theirs = known.checksum, found.checksum
    return ours is None or theirs is None or ours.algorithm is not theirs.algorithm or ours == theirs


async def _compared(file: FileSource, span: Span, part: Part, algorithm: ChecksumAlgorithm | None) -> SentPart | None:
    stored = part.checksum
    if stored is not None and stored.parts is None:
        if await file.checksum(span.start, span.end, stored.algorithm) != stored:
            return None
    elif not await _is_md5(file, span, part.etag):
        return None
    if algorithm is None or algorithm not in COMBINABLE:
        return SentPart(part, None)
    if stored is not None and stored.algorithm is algorithm:
        return SentPart(part, stored)
    return SentPart(part, await file.checksum(span.start, span.end, algorithm))


async def _is_md5(file: FileSource, span: Span, etag: str) -> bool:
    # Of a part that is not encrypted, the ETag is its MD5 on S3 and OCI.
    if not _MD5.fullmatch(etag):
        return False
    return (await file.checksum(span.start, span.end, ChecksumAlgorithm.MD5)).value.hex() == etag


async def _abort(calls: Calls, unfinished: Unfinished) -> None:
    uri, upload_id = unfinished.uri, unfinished.upload_id
    try:
        await calls("abort_multipart_upload", uri, calls.driver.abort_multipart_upload, uri, upload_id)
    finally:
        calls.uploads.discard(upload_id)


async def _abort_each(calls: Calls, left: list[Unfinished]) -> None:
    problems: list[StorageError] = []

    async def abort(unfinished: Unfinished) -> None:
        try:
            await _abort(calls, unfinished)
        except StorageError as exc:
            problems.append(exc)

    await for_each(left, abort, max_concurrency=_ABORTS_AT_ONCE)
    if problems:
        raise ExceptionGroup("uploads that were left could not be aborted", problems)
