"""
Many objects at once: items drawn lazily, an outcome for each.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from asyncstore.engine.calls import Calls
from asyncstore.engine.download import SoFar, download_file
from asyncstore.engine.pool import for_each, iterating
from asyncstore.engine.progress import Meter, ObjectMeter
from asyncstore.engine.upload import upload_file
from asyncstore.errors import AlreadyExistsError, NotSupportedError, StorageError
from asyncstore.options import BulkOptions, DeleteOptions
from asyncstore.protocols import ProgressSink
from asyncstore.types import BulkResult, ItemOutcome, ObjectInfo, Outcome
from asyncstore.uri import ObjectURI

_Items = Iterable[tuple[Path, ObjectURI]] | AsyncIterable[tuple[Path, ObjectURI]]
_Keys = Iterable[ObjectURI] | AsyncIterable[ObjectURI]
_Deletion = Callable[[Sequence[ObjectURI]], Awaitable[Sequence[StorageError | None]]]

#: Returns the URI, or raises why it cannot be one of an object here.
Check = Callable[[ObjectURI], ObjectURI]


def _unchecked(uri: ObjectURI) -> ObjectURI:
    return uri


async def bulk_upload(
    calls: Calls, items: _Items, options: BulkOptions, progress: ProgressSink | None, check: Check = _unchecked
) -> BulkResult:
    """
    Write many local files.
    """
    ledger = _Ledger(options, progress)

    async def handle(item: tuple[Path, ObjectURI]) -> None:
        source, target = item
        meter = ledger.meter.object(target)
        skippable = options.upload.if_none_match is not None
        await ledger.settle(
            source, target, meter, lambda: upload_file(calls, source, check(target), options.upload, meter), skippable
        )

    await for_each(items, handle, max_concurrency=options.max_concurrency)
    return ledger.close()


async def bulk_download(
    calls: Calls, items: _Items, options: BulkOptions, progress: ProgressSink | None, check: Check = _unchecked
) -> BulkResult:
    """
    Bring many objects into local files.
    """
    ledger = _Ledger(options, progress)
    so_far = SoFar()

    async def handle(item: tuple[Path, ObjectURI]) -> None:
        target, source = item
        meter = ledger.meter.object(source)
        skippable = not options.download.overwrite
        await ledger.settle(
            source,
            target,
            meter,
            lambda: download_file(calls, check(source), target, options.download, meter, so_far),
            skippable,
        )

    await for_each(items, handle, max_concurrency=options.max_concurrency)
    return ledger.close()


async def bulk_each(
    items: Iterable[tuple[Any, Any]] | AsyncIterable[tuple[Any, Any]],
    work: Callable[[Any, Any, ObjectMeter], Awaitable[ObjectInfo]],
    options: BulkOptions,
    progress: ProgressSink | None,
) -> BulkResult:
    """
    Do *work* on every (source, target), for what no other function here does; targets are URIs.

    *work* is given both and the meter to count with. An item whose work raises
    :class:`AlreadyExistsError` is skipped.
    """
    ledger = _Ledger(options, progress)

    async def handle(item: tuple[Any, Any]) -> None:
        source, target = item
        meter = ledger.meter.object(target)
        await ledger.settle(source, target, meter, lambda: work(source, target, meter), skippable=True)

    await for_each(items, handle, max_concurrency=options.max_concurrency)
    return ledger.close()


async def bulk_delete(
    calls: Calls, keys: _Keys, options: BulkOptions, progress: ProgressSink | None, check: Check = _unchecked
) -> BulkResult:
    """
    Delete many objects, by as few requests as the provider allows.
    """
    ledger = _Ledger(options, progress)

    async def handle(batch: list[ObjectURI]) -> None:
        refused = {uri: error for uri in batch if (error := _refused(uri, check)) is not None}
        allowed = [uri for uri in batch if uri not in refused]
        deleted = await _delete(calls, allowed) if allowed else []
        for uri, error in [*refused.items(), *zip(allowed, deleted, strict=True)]:
            ledger.deleted(uri, error)

    await for_each(_batches(keys, calls), handle, max_concurrency=options.max_concurrency)
    return ledger.close()


async def _delete(calls: Calls, batch: list[ObjectURI]) -> list[StorageError | None]:
    """
    Delete *batch*, keys that were refused for the moment again; an outcome for each key.
    """
    if calls.batch_size:
        outcomes = await _delete_by(calls.driver.delete_batch, calls, batch)
        if not any(isinstance(outcome, NotSupportedError) for outcome in outcomes):
            return outcomes
        # The provider has such requests, and this endpoint has not.
        calls.batches = False

    async def single(uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        await calls.driver.delete(uris[0], DeleteOptions())
        return [None]

    return [outcome for uri in batch for outcome in await _delete_by(single, calls, [uri])]


async def _delete_by(send: _Deletion, calls: Calls, batch: list[ObjectURI]) -> list[StorageError | None]:
    outcomes: list[StorageError | None] = [None] * len(batch)
    left = list(range(len(batch)))
    failed: StorageError | None = None
    for _ in range(calls.retry.options.attempts):
        try:
            errors = await _delete_once(send, calls, [batch[index] for index in left], failed)
        except StorageError as exc:
            # The request as a whole, which was sent as often as allowed; or no time
            # is left to try those again that were refused one by one.
            for index in left:
                outcomes[index] = outcomes[index] or _for_key(exc, batch[index])
            break
        for index, error in zip(left, errors, strict=True):
            outcomes[index] = error
        left = [index for index in left if (error := outcomes[index]) is not None and error.retryable]
        if not left:
            break
        failed = outcomes[left[0]]
    return outcomes


async def _delete_once(
    send: _Deletion, calls: Calls, batch: list[ObjectURI], failed: StorageError | None
) -> Sequence[StorageError | None]:
    errors: Sequence[StorageError | None]
    if failed is None:
        errors = await calls("delete", batch[0], send, batch)
    else:
        errors = await calls.again("delete", batch[0], failed, send, batch)
    for uri, error in zip(batch, errors, strict=True):
        if error is not None:
            calls.complete(error, "delete", uri)
    return errors


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


async def _batches(keys: _Keys, calls: Calls) -> AsyncIterator[list[ObjectURI]]:
    batch: list[ObjectURI] = []
    async with iterating(_drawn(keys)) as source:
        async for uri in source:
            if batch and (len(batch) >= calls.batch_size or _bucket(uri) != _bucket(batch[0])):
                yield batch
                batch = []
            batch.append(uri)
    if batch:
        yield batch


def _bucket(uri: ObjectURI) -> tuple[str | None, ...]:
    return (uri.bucket, uri.namespace, uri.region)


async def _drawn(keys: _Keys) -> AsyncIterator[ObjectURI]:
    if isinstance(keys, AsyncIterable):
        async with iterating(keys) as source:
            async for uri in source:
                yield uri
    else:
        for uri in keys:
            yield uri


class _Ledger:
    """
    Writes down what became of each item.
    """

    def __init__(self, options: BulkOptions, progress: ProgressSink | None) -> None:
        self.meter = Meter(progress)
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
        Do *work* and write down its outcome; *skippable* work finds its target there.
        """
        try:
            info = await work()
        except StorageError as exc:
            if skippable and isinstance(exc, AlreadyExistsError):
                meter.skipped()
                self._note(ItemOutcome(source=source, target=target, status="skipped"))
                return
            meter.failed()
            if self._options.stop_on_error:
                raise
            self._note(ItemOutcome(source=source, target=target, status="failed", error=exc))
            return
        meter.completed()
        self._bytes += meter.done
        self._note(ItemOutcome(source=source, target=target, status="done", info=info))

    def deleted(self, uri: ObjectURI, error: StorageError | None) -> None:
        """
        Write down that *uri* was deleted, or why not.
        """
        meter = self.meter.object(uri)
        if error is None:
            meter.completed()
        else:
            meter.failed()
            if self._options.stop_on_error:
                raise error
        self._note(ItemOutcome(source=uri, target=None, status="failed" if error else "done", error=error))

    def close(self) -> BulkResult:
        """
        Tell the sink that all is done, and return the result.
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

    def _note(self, outcome: ItemOutcome) -> None:
        self._counts[outcome.status] += 1
        if self._options.keep == "all" or outcome.status == "failed":
            self._outcomes.append(outcome)
