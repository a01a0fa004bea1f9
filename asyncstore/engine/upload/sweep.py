"""
Ends multipart uploads that nobody will complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from asyncstore._support.threads import in_thread
from asyncstore._support.tracebacks import without_frames
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import for_each
from asyncstore.engine.upload.journaled import open_existing
from asyncstore.errors import NotFoundError, StorageError
from asyncstore.types import BulkResult, ItemOutcome, MultipartUpload, Outcome
from asyncstore.uri import ObjectURI

_CONCURRENT: Final = 8


def is_below(uri: ObjectURI, prefix: ObjectURI) -> bool:
    """
    Return whether *uri* is *prefix* itself, or below it as a directory.
    """
    folder = prefix.key if not prefix.key or prefix.key.endswith("/") else f"{prefix.key}/"
    return uri.key == prefix.key or uri.key.startswith(folder)


async def sweep(requests: Requests, uploads: Sequence[MultipartUpload], older_than: timedelta) -> BulkResult:
    """
    Abort those of *uploads* that are at least as old as *older_than*, and remove their records from the journal.

    Uploads in progress in this storage, or in another process of this user that has recorded them, are skipped, and
    so are those whose age is not known, unless *older_than* is zero.
    """
    latest = datetime.fromtimestamp(requests.driver.service_time(), UTC) - older_than
    outcomes: list[ItemOutcome] = []

    async def handle(upload: MultipartUpload) -> None:
        started = upload.initiated
        old = not older_than or (started is not None and started <= latest)
        status: Outcome = "skipped"
        error: StorageError | None = None
        if old and upload.upload_id not in requests.uploads:
            try:
                status = "done" if await _abort(requests, upload) else "skipped"
            except StorageError as exc:
                without_frames(exc)
                status, error = "failed", exc
        outcomes.append(ItemOutcome(source=upload.uri, target=None, status=status, error=error))

    await for_each(uploads, handle, max_concurrency=_CONCURRENT)
    count = {status: sum(outcome.status == status for outcome in outcomes) for status in ("done", "skipped", "failed")}
    return BulkResult(outcomes=outcomes, **count)


async def _abort(requests: Requests, upload: MultipartUpload) -> bool:
    """
    Abort an upload, unless a process that lives is at it; return whether it was.
    """
    uri, driver = upload.uri, requests.driver
    entry = requests.disk_journal.entry(uri)
    try:
        mine = await open_existing(entry) and entry.record is not None
        if entry.locked_elsewhere:
            return False
        # It may have been completed or aborted since it was listed.
        with suppress(NotFoundError):
            await requests("abort_multipart_upload", uri, driver.abort_multipart_upload, uri, upload.upload_id)
        if mine and entry.record is not None and entry.record.upload_id == upload.upload_id:
            await in_thread(entry.remove)
    finally:
        await in_thread(entry.close)
    return True
