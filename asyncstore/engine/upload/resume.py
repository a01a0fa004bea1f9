"""
Resumable uploads of files: after an interruption the next attempt sends the missing parts.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from asyncstore._support.cleanup import clean_up
from asyncstore.checksum import COMBINABLE
from asyncstore.engine.pages import part_pages
from asyncstore.engine.permanent import is_permanent
from asyncstore.engine.plan import Span, spans
from asyncstore.engine.requests import OnRetry, Requests
from asyncstore.engine.task_pool import for_each
from asyncstore.engine.upload.file_source import FileSource
from asyncstore.engine.upload.journal import Identity, SentPart, UnfinishedUpload
from asyncstore.engine.upload.multipart import Initiation, MultipartSession
from asyncstore.errors import NotFoundError, StorageError
from asyncstore.options import UploadOptions
from asyncstore.types import ChecksumAlgorithm, Part
from asyncstore.uri import ObjectURI

_MD5: Final = re.compile(r"[0-9a-f]{32}")

_CONCURRENT_ABORTS: Final = 8


@asynccontextmanager
async def resumable_session(
    requests: Requests, file: FileSource, uri: ObjectURI, options: UploadOptions, on_retry: OnRetry | None = None
) -> AsyncIterator[MultipartSession]:
    """
    Resume the recorded upload of *file* to *uri*, or initiate one.

    A cancellation or a transient error records the upload in the journal; any other
    error aborts it, once.

    Args:
        options: With the actual size of the parts.
    """
    options = replace(options, checksum=options.checksum or requests.driver.preferred_checksum)
    identity = Identity(file.identity, replace(options, max_concurrency=1, multipart_threshold=0))
    initiation = Initiation(requests, uri, options, on_retry)
    upload = await _recorded(requests, file, uri, identity)
    if upload is None:
        upload = UnfinishedUpload(uri, await initiation.run_or_undo(), identity)
    try:
        yield MultipartSession(requests, uri, upload.upload_id, options, on_retry, upload.parts)
    except BaseException as exc:
        obsolete = upload if is_permanent(exc) else requests.journal.record(upload)
        await clean_up(_give_up(requests, obsolete, initiation), exc)
        raise
    requests.uploads.discard(upload.upload_id)
    if initiation.lost_reply.seen:
        await clean_up(initiation.sweep())


async def _give_up(requests: Requests, obsolete: UnfinishedUpload | None, initiation: Initiation) -> None:
    try:
        if obsolete is not None:
            await _abort(requests, obsolete)
    finally:
        if initiation.lost_reply.seen:
            await initiation.sweep()


async def discard(requests: Requests, uri: ObjectURI) -> None:
    """
    Abort the recorded upload of *uri*, if there is one.
    """
    upload = requests.journal.claim(uri)
    if upload is not None:
        await clean_up(_abort(requests, upload))


async def discard_all(requests: Requests) -> None:
    """
    Abort every recorded upload, when the storage closes.
    """
    uploads = requests.journal.close()
    if uploads:
        await clean_up(_abort_each(requests, uploads))


async def _recorded(
    requests: Requests, file: FileSource, uri: ObjectURI, identity: Identity
) -> UnfinishedUpload | None:
    """
    Return the recorded upload, with those parts that the provider has and that match the file.
    """
    upload = requests.journal.claim(uri)
    if upload is None:
        return None
    if upload.identity != identity:
        await clean_up(_abort(requests, upload))
        return None
    try:
        upload.parts = await stored_parts(requests, file, upload)
    except NotFoundError:
        # Aborted by another program or a lifecycle rule, or completed with a lost reply.
        requests.uploads.discard(upload.upload_id)
        return None
    except BaseException as exc:
        obsolete = requests.journal.record(upload)
        if obsolete is not None:
            await clean_up(_abort(requests, obsolete), exc)
        raise
    return upload


async def stored_parts(requests: Requests, file: FileSource, upload: UnfinishedUpload) -> dict[int, SentPart]:
    """
    Return the parts that the provider has and that match the file, by number.

    Raises:
        NotFoundError: The upload does not exist (any more).
    """
    wanted = {span.number: span for span in spans(0, file.size, upload.identity.options.part_size)}
    etag_is_md5 = requests.driver.capabilities.etag_is_md5
    stored: dict[int, SentPart] = {}
    pages = part_pages(requests, upload.uri, upload.upload_id)
    while (page := await pages.next()) is not None:
        for part in page.parts:
            span = wanted.get(part.number)
            if span is not None and (sent := await _verified(file, span, part, upload, etag_is_md5)) is not None:
                stored[part.number] = sent
    return stored


async def _verified(
    file: FileSource, span: Span, part: Part, upload: UnfinishedUpload, etag_is_md5: bool
) -> SentPart | None:
    """
    Return a stored *part* if it has the bytes of *span* of the file.
    """
    if part.size != span.size:
        return None
    known = upload.parts.get(part.number)
    if known is not None and _same_part(known.part, part):
        return known
    # The provider has the part, but its reply was lost: compare the bytes.
    stored, algorithm = part.checksum, upload.identity.options.checksum
    if stored is not None and stored.parts is None:
        if await file.checksum(span.start, span.end, stored.algorithm) != stored:
            return None
    elif not (etag_is_md5 and await _has_md5(file, span, part.etag)):
        return None
    if algorithm is None or algorithm not in COMBINABLE:
        return SentPart(part, None)
    if stored is not None and stored.algorithm is algorithm:
        return SentPart(part, stored)
    return SentPart(part, await file.checksum(span.start, span.end, algorithm))


def _same_part(known: Part, found: Part) -> bool:
    if (known.etag, known.size) != (found.etag, found.size):
        return False
    ours, theirs = known.checksum, found.checksum
    return ours is None or theirs is None or ours.algorithm is not theirs.algorithm or ours == theirs


async def _has_md5(file: FileSource, span: Span, etag: str) -> bool:
    if not _MD5.fullmatch(etag):
        return False
    return (await file.checksum(span.start, span.end, ChecksumAlgorithm.MD5)).value.hex() == etag


async def _abort(requests: Requests, upload: UnfinishedUpload) -> None:
    uri, upload_id = upload.uri, upload.upload_id
    try:
        await requests("abort_multipart_upload", uri, requests.driver.abort_multipart_upload, uri, upload_id)
    finally:
        requests.uploads.discard(upload_id)


async def _abort_each(requests: Requests, uploads: list[UnfinishedUpload]) -> None:
    problems: list[StorageError] = []

    async def abort(upload: UnfinishedUpload) -> None:
        try:
            await _abort(requests, upload)
        except StorageError as exc:
            problems.append(exc)

    await for_each(uploads, abort, max_concurrency=_CONCURRENT_ABORTS)
    if problems:
        raise ExceptionGroup("recorded uploads could not be aborted", problems)
