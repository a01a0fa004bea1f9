"""
Uploads of files that other processes can resume; see decision 25.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from asyncstore._support.cleanup import clean_up
from asyncstore._support.descriptors import opening
from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.engine.permanent import is_permanent
from asyncstore.engine.requests import OnRetry, Requests
from asyncstore.engine.upload.disk_journal import Entry, UploadRecord
from asyncstore.engine.upload.file_source import FileSource
from asyncstore.engine.upload.journal import Identity, SentPart, UnfinishedUpload
from asyncstore.engine.upload.multipart import Initiation, MultipartSession, abort_lost
from asyncstore.engine.upload.resume import stored_parts
from asyncstore.errors import NotFoundError
from asyncstore.options import ReadOptions, UploadOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

# Dates of HTTP have whole seconds, and a server may keep the text of its date for a second.
_ROUNDING: Final = timedelta(seconds=2)


@asynccontextmanager
async def journaled_session(
    requests: Requests, file: FileSource, uri: ObjectURI, options: UploadOptions, on_retry: OnRetry | None = None
) -> AsyncIterator[MultipartSession]:
    """
    Take up the recorded upload of *file* to *uri*, or initiate one and record it.

    A permanent error aborts it; after any other end of this attempt the provider has the upload, and the journal
    its record.

    Args:
        options: With the actual size of the parts.

    Raises:
        InUseError: Another attempt is in progress.
    """
    options = replace(options, checksum=options.checksum or requests.driver.preferred_checksum)
    initiation = Initiation(requests, uri, options, on_retry)
    async with _locked(requests, uri) as entry:
        record = UploadRecord.of(file, uri, requests.disk_journal.endpoint, options)
        session = await _taken_up(requests, file, entry, record, uri, options, on_retry)
        if session is None:
            upload_id = await _initiated(requests, entry, record, initiation)
            session = MultipartSession(requests, uri, upload_id, options, on_retry)
        requests.uploads.add(session.upload_id, uri)
        try:
            yield session
        except BaseException as exc:
            if is_permanent(exc):
                await clean_up(_end(requests, entry, uri, session.upload_id), exc)
            raise
        finally:
            if initiation.lost_reply.seen:
                await clean_up(initiation.sweep())
            requests.uploads.discard(session.upload_id)
        await _remove(entry)


async def discard(requests: Requests, uri: ObjectURI) -> None:
    """
    Abort the recorded upload of *uri*, if there is one and nobody is at it.
    """
    entry = requests.disk_journal.entry(uri)
    try:
        if await open_existing(entry) and entry.record is not None:
            await clean_up(_end(requests, entry, uri, entry.record.upload_id))
    finally:
        await in_thread(entry.close)


async def settle(requests: Requests, prefix: ObjectURI) -> None:
    """
    Remove the records of uploads below *prefix* that exist no more: completed before a kill, or aborted by others.
    """
    for uri in await in_thread(requests.disk_journal.recorded, prefix):
        entry = requests.disk_journal.entry(uri)
        try:
            if await open_existing(entry) and entry.record is not None:
                await _settle(requests, entry, entry.record, uri)
        finally:
            await in_thread(entry.close)


async def open_existing(entry: Entry) -> bool:
    """
    Lock the entry if it exists and is not locked; return whether it was locked.
    """
    with local_errors(entry.path):
        return await opening(entry.open_existing)


async def _settle(requests: Requests, entry: Entry, record: UploadRecord, uri: ObjectURI) -> None:
    driver = requests.driver
    if record.upload_id is None:
        await abort_lost(requests, uri, _began(requests, record))
    else:
        try:
            page = await requests("list_parts", uri, driver.list_parts, uri, record.upload_id, None)
        except NotFoundError:
            pass
        else:
            if page.parts or driver.capabilities.empty_uploads:
                return
    await _remove(entry)


@asynccontextmanager
async def _locked(requests: Requests, uri: ObjectURI) -> AsyncIterator[Entry]:
    entry = requests.disk_journal.entry(uri)
    try:
        with local_errors(entry.path):
            await opening(entry.open)
        yield entry
    finally:
        await in_thread(entry.close)


async def _initiated(requests: Requests, entry: Entry, record: UploadRecord, initiation: Initiation) -> str:
    """
    Initiate an upload and return its id, which is recorded.

    The record without the id comes first: a process that is killed before it learns the id leaves a record of that.
    """
    try:
        await _write(entry, record)
        upload_id = await initiation.run_or_undo()
    except BaseException:
        await in_thread(entry.remove)
        raise
    try:
        await _write(entry, replace(record, upload_id=upload_id))
    except asyncio.CancelledError:
        # Recorded; or else the next attempt finds the record without the id.
        requests.uploads.discard(upload_id)
        raise
    except BaseException as exc:
        await clean_up(_end(requests, entry, initiation.uri, upload_id), exc)
        raise
    return upload_id


async def _remove(entry: Entry) -> None:
    with local_errors(entry.path):
        await in_thread(entry.remove)


async def _write(entry: Entry, record: UploadRecord) -> None:
    with local_errors(entry.path):
        await opening(lambda: entry.write(record))


async def _taken_up(
    requests: Requests,
    file: FileSource,
    entry: Entry,
    wanted: UploadRecord,
    uri: ObjectURI,
    options: UploadOptions,
    on_retry: OnRetry | None,
) -> MultipartSession | None:
    """
    Return the recorded upload, with those parts that the provider has and that match the file; ``None`` without one.
    """
    record = entry.record
    if record is None:
        return None
    if record.upload_id is None:
        await abort_lost(requests, uri, _began(requests, record))
        return None
    if not record.is_for(wanted):
        await clean_up(_end(requests, entry, uri, record.upload_id))
        return None
    # Now with the id of this process.
    await _write(entry, record)
    parts: dict[int, SentPart] = {}
    gone = False
    try:
        parts = await stored_parts(
            requests, file, UnfinishedUpload(uri, record.upload_id, Identity(file.identity, options))
        )
    except NotFoundError:
        gone = True
    session = MultipartSession(requests, uri, record.upload_id, options, on_retry, parts)
    if gone or not (parts or requests.driver.capabilities.empty_uploads):
        # It may have been completed by a process that was killed then. Azure lists no parts of such an upload.
        session.found = await _completed(requests, file, uri, record)
    return None if gone and session.found is None else session


async def _completed(requests: Requests, file: FileSource, uri: ObjectURI, record: UploadRecord) -> ObjectInfo | None:
    """
    Return the object if it has the bytes of the file and was written since the upload was begun.
    """
    try:
        found = await requests("stat", uri, requests.driver.stat, uri, ReadOptions())
    except NotFoundError:
        return None
    late = found.last_modified is None or found.last_modified >= _began(requests, record)()
    whole = next((item for item in (*found.checksums, found.checksum) if item is not None and item.parts is None), None)
    if found.size != file.size or not late or whole is None:
        return None
    return found if await file.checksum(0, file.size, whole.algorithm) == whole else None


def _began(requests: Requests, record: UploadRecord) -> Callable[[], datetime]:
    # The clock of the service, which it may have told only after the process was started.
    def since() -> datetime:
        passed = timedelta(seconds=time.time() - record.started)
        return datetime.fromtimestamp(requests.driver.service_time(), UTC) - passed - _ROUNDING

    return since


async def _end(requests: Requests, entry: Entry, uri: ObjectURI, upload_id: str | None) -> None:
    """
    Abort an upload, and remove its record then.
    """
    if upload_id is not None:
        try:
            await requests("abort_multipart_upload", uri, requests.driver.abort_multipart_upload, uri, upload_id)
        finally:
            requests.uploads.discard(upload_id)
    await _remove(entry)
