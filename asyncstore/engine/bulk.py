"""
Bulk operations: items drawn lazily, one outcome for each.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import anyio

from asyncstore._support.tracebacks import without_frames
from asyncstore.driver import NotInBatchError
from asyncstore.engine.download.download import BulkState, download_file
from asyncstore.engine.existing import AlreadyCompleteError, Look, confirmed
from asyncstore.engine.progress import Meter, ObjectMeter
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import AHEAD, each, for_each
from asyncstore.engine.upload.read_ahead import ReadAhead
from asyncstore.engine.upload.upload import read_ahead, upload_file
from asyncstore.errors import AlreadyExistsError, NotSupportedError, StorageError
from asyncstore.options import BulkOptions, DeleteOptions, DownloadOptions, UploadOptions
from asyncstore.protocols import ProgressSink
from asyncstore.types import BulkResult, ItemOutcome, ObjectInfo, Outcome
from asyncstore.uri import ObjectURI

_Items = Iterable[tuple[Any, Any]] | AsyncIterable[tuple[Any, Any]]
_Keys = Iterable[ObjectURI] | AsyncIterable[ObjectURI]
_Deletion = Callable[[Sequence[ObjectURI]], Awaitable[Sequence[StorageError | None]]]

# Objects in flight whose requests do not share one budget, as in a copy between storages.
_UNRELATED: Final = 32

#: Returns the URI of an object of this storage, or raises the reason why it is not one.
Check = Callable[[ObjectURI], ObjectURI]

#: Transfers one item, its source and target, with the meter that counts it.
Work = Callable[[Any, Any, ObjectMeter], Awaitable[ObjectInfo]]


def _unchecked(uri: ObjectURI) -> ObjectURI:
    return uri


async def bulk_upload(
    requests: Requests, items: _Items, options: BulkOptions, progress: ProgressSink | None, check: Check = _unchecked
) -> BulkResult:
    """
    Write many local files; *items* are (source, target).
    """
    work, most = Uploader(requests, options.upload, check), requests.limits.requests.most
    if not isinstance(items, AsyncIterable):
        # A generator of the caller's may wait for what it has yielded.
        items = work.reading_ahead(items, options.max_concurrency)
    skippable = options.upload.if_none_match is not None
    try:
        return await bulk_each(items, work, options, progress, skippable=skippable, most=most)
    finally:
        work.close()


class Uploader:
    """
    Writes one file of many, with *options* unless it is given others.

    If it is to be written only where nothing is yet, it looks first and sends nothing over what exists.
    """

    def __init__(self, requests: Requests, options: UploadOptions, check: Check = _unchecked) -> None:
        self._requests = requests
        self._options = options
        self._check = check
        self._ahead: ReadAhead | None = None

    def reading_ahead(self, items: _Items, max_concurrency: int | None) -> _Items:
        """
        Return *items*, whose small files are read before their turn; :meth:`close` this at the end.
        """
        most = self._requests.at_a_time(max_concurrency) // AHEAD
        if most <= 1:
            return items
        self._ahead = read_ahead(self._requests, self._options, most)
        return self._ahead.over(items)

    def close(self) -> None:
        """
        Release what was read and not sent.
        """
        if self._ahead is not None:
            self._ahead.close()

    async def __call__(
        self, source: Path, target: ObjectURI, meter: ObjectMeter, options: UploadOptions | None = None
    ) -> ObjectInfo:
        options = options or self._options
        body = None if self._ahead is None else self._ahead.take(source)
        look = Look()
        try:
            return await upload_file(self._requests, source, self._check(target), options, meter, look=look, body=body)
        except AlreadyExistsError as exc:
            if look.found or exc.status is None:
                # It was looked at: by this, or by the write on an endpoint that may ignore the condition.
                raise
            # Nothing is skipped that was not found.
            raise await confirmed(self._requests, target, exc, options.encryption) from None
        finally:
            if body is not None:
                self._requests.limits.bytes.release(body.size)


async def bulk_download(
    requests: Requests, items: _Items, options: BulkOptions, progress: ProgressSink | None, check: Check = _unchecked
) -> BulkResult:
    """
    Download many objects to local files; *items* are (source, target).
    """
    work = downloader(requests, options.download, check)
    skippable, most = not options.download.overwrite, requests.limits.requests.most
    return await bulk_each(items, work, options, progress, skippable=skippable, most=most)


def downloader(requests: Requests, options: DownloadOptions, check: Check = _unchecked) -> Work:
    """
    Return the function that downloads one object of many.
    """
    state = BulkState()

    def download(source: ObjectURI, target: Path, meter: ObjectMeter) -> Awaitable[ObjectInfo]:
        return download_file(requests, check(source), target, options, meter, state)

    return download


async def bulk_each(
    items: _Items,
    work: Work,
    options: BulkOptions,
    progress: ProgressSink | None,
    *,
    skippable: bool,
    most: int | None = None,
    meter: Meter | None = None,
) -> BulkResult:
    """
    Run *work* for every (source, target), with the meter of the object: the target, unless that is a file.

    An item whose work raises :class:`AlreadyExistsError` is skipped if it is *skippable*, or if it is complete.

    Args:
        most: Objects in flight if *options* do not say it, for work whose requests all share one budget, which
            then decides how many there are.
        meter: Counts the operation, instead of a new one with the sink *progress*.
    """
    results = _Results(options, meter or Meter(progress))

    async def handle(item: tuple[Any, Any]) -> None:
        source, target = item
        meter = results.meter.object(target if isinstance(target, ObjectURI) else source)
        await results.settle(source, target, meter, lambda: work(source, target, meter), skippable)

    ahead = None if most is None else AHEAD
    await for_each(items, handle, max_concurrency=options.max_concurrency or most or _UNRELATED, ahead=ahead)
    return results.close()


async def bulk_delete(
    requests: Requests, keys: _Keys, options: BulkOptions, progress: ProgressSink | None, check: Check = _unchecked
) -> BulkResult:
    """
    Delete many objects with as few requests as possible.
    """
    results = _Results(options, Meter(progress, phase="deleting"))
    most = requests.at_a_time(options.max_concurrency)
    one_by_one = anyio.CapacityLimiter(most)

    async def handle(batch: list[ObjectURI]) -> None:
        refused = {uri: error for uri in batch if (error := _refused(uri, check)) is not None}
        for uri, error in refused.items():
            results.deleted(uri, error)
        if allowed := [uri for uri in batch if uri not in refused]:
            await _delete(requests, allowed, results, one_by_one)

    await for_each(_batches(keys, requests), handle, max_concurrency=most, ahead=AHEAD)
    return results.close()


async def _delete(
    requests: Requests, batch: list[ObjectURI], results: _Results, one_by_one: anyio.CapacityLimiter
) -> None:
    """
    Delete *batch* by one request if the endpoint can, and record the outcome of each key.
    """
    rest = await _delete_together(requests, batch, results) if requests.driver.capabilities.delete_batch_size else batch

    async def single(uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        await requests.driver.delete(uris[0], DeleteOptions())
        return [None]

    async def delete(uri: ObjectURI) -> None:
        # Batches that were drawn before the first one was refused share the limit.
        async with one_by_one:
            outcomes = await _delete_by(single, requests, [uri], results.meter.retried)
        results.deleted(uri, outcomes[0])

    if len(rest) == 1:
        await delete(rest[0])
    else:
        await for_each(rest, delete, max_concurrency=int(one_by_one.total_tokens), ahead=AHEAD)


async def _delete_together(requests: Requests, batch: list[ObjectURI], results: _Results) -> list[ObjectURI]:
    """
    Delete *batch* by one request, and return the keys that it did not settle.
    """
    outcomes = await _delete_by(requests.driver.delete_batch, requests, batch, results.meter.retried)
    refused = next((outcome for outcome in outcomes if isinstance(outcome, NotSupportedError)), None)
    if refused is not None:
        reason = refused.message if refused.status is None else f"a batch was refused with status {refused.status}"
        requests.driver.narrow("batch deletion", reason, delete_batch_size=0)
        return batch
    rest = []
    for uri, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, NotInBatchError):
            rest.append(uri)
        else:
            results.deleted(uri, outcome)
    return rest


async def _delete_by(
    send: _Deletion, requests: Requests, batch: list[ObjectURI], on_retry: Callable[[StorageError], None]
) -> list[StorageError | None]:
    """
    Delete *batch* by *send*; what failed temporarily is sent again, as often as any request is.
    """
    outcomes: list[StorageError | None] = [None] * len(batch)
    remaining = list(range(len(batch)))

    async def attempt() -> None:
        nonlocal remaining
        errors = await send([batch[index] for index in remaining])
        transient: list[StorageError] = []
        left = []
        for index, error in zip(remaining, errors, strict=True):
            outcomes[index] = error
            if error is not None:
                requests.add_context(error, "delete", batch[index])
                if error.retryable and not isinstance(error, NotInBatchError):
                    left.append(index)
                    transient.append(error)
        if len(left) < len(remaining):
            # Another attempt does not count if it is throttled, too: the provider serves a few keys each time.
            requests.limits.requests.successes += 1
        remaining = left
        if transient:
            raise transient[0]

    try:
        await requests("delete", batch[0], attempt, on_retry=on_retry)
    except StorageError as exc:
        for index in remaining:
            outcomes[index] = outcomes[index] or _for_key(exc, batch[index])
    return outcomes


def _refused(uri: ObjectURI, check: Check) -> StorageError | None:
    try:
        check(uri)
    except StorageError as exc:
        return exc
    return None


def _for_key(error: StorageError, uri: ObjectURI) -> StorageError:
    own = copy.copy(error)
    own.uri = str(uri)
    return own


async def _batches(keys: _Keys, requests: Requests) -> AsyncIterator[list[ObjectURI]]:
    batch: list[ObjectURI] = []
    async with aclosing(each(keys)) as source:
        async for uri in source:
            if batch and (
                len(batch) >= requests.driver.capabilities.delete_batch_size or _bucket(uri) != _bucket(batch[0])
            ):
                yield batch
                batch = []
            batch.append(uri)
    if batch:
        yield batch


def _bucket(uri: ObjectURI) -> tuple[str | None, ...]:
    return (uri.bucket, uri.namespace, uri.region)


class _Results:
    """
    Collects the outcome of each item.
    """

    def __init__(self, options: BulkOptions, meter: Meter) -> None:
        self.meter = meter
        self._options = options
        self._outcomes: list[ItemOutcome] = []
        self._counts: dict[Outcome, int] = {"done": 0, "skipped": 0, "failed": 0}
        self._bytes = 0

    async def settle(
        self,
        source: Path | ObjectURI,
        target: Path | ObjectURI,
        meter: ObjectMeter,
        work: Callable[[], Awaitable[ObjectInfo]],
        skippable: bool,
    ) -> None:
        """
        Run *work* and record its outcome; *skippable* work may find that its target exists.
        """
        try:
            info = await work()
        except StorageError as exc:
            if isinstance(exc, AlreadyExistsError if skippable else AlreadyCompleteError):
                meter.skipped()
                self._record(ItemOutcome(source=source, target=target, status="skipped"))
                return
            meter.failed()
            if self._options.stop_on_error:
                raise
            self._record(ItemOutcome(source=source, target=target, status="failed", error=exc))
            return
        meter.completed()
        self._bytes += meter.done
        self._record(ItemOutcome(source=source, target=target, status="done", info=info))

    def deleted(self, uri: ObjectURI, error: StorageError | None) -> None:
        """
        Record that *uri* was deleted, or the error.
        """
        meter = self.meter.object(uri)
        if error is None:
            meter.completed()
        else:
            meter.failed()
            if self._options.stop_on_error:
                raise error
        self._record(ItemOutcome(source=uri, target=None, status="failed" if error else "done", error=error))

    def close(self) -> BulkResult:
        """
        Send the last event and return the result.
        """
        self.meter.finish()
        return BulkResult(
            outcomes=self._outcomes,
            done=self._counts["done"],
            skipped=self._counts["skipped"],
            failed=self._counts["failed"],
            total_bytes=self._bytes,
            elapsed=self.meter.elapsed,
        )

    def _record(self, outcome: ItemOutcome) -> None:
        if outcome.error is not None:
            without_frames(outcome.error)
        self._counts[outcome.status] += 1
        if self._options.keep == "all" or outcome.status == "failed":
            self._outcomes.append(outcome)
