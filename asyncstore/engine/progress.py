"""
Progress: counted once, passed to a sink or read as an async iterator.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

import anyio

from asyncstore._support.callers import mark_callers
from asyncstore.engine.task_pool import single_error
from asyncstore.errors import StorageError, ThrottledError
from asyncstore.protocols import ProgressSink
from asyncstore.types import Phase, ProgressEvent, ProgressKind
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

# Seconds over which the rate is measured.
_RATE_WINDOW = 5.0
_RATE_SAMPLES = 64

# The counts of an event that go on in the next stage; the rate is that of the stage.
_ADDED = (
    "bytes_done",
    "bytes_total",
    "objects_done",
    "objects_skipped",
    "objects_failed",
    "objects_total",
    "objects_listed",
    "retries",
    "throttled",
    "elapsed",
)

# Listed names from one event to the next.
_LISTED = 1000

# Objects whose latest event is kept for a reader of a transfer: some 200 KB.
_MAX_PENDING = 256


def _marking(sink: ProgressSink) -> ProgressSink:
    """
    Return *sink*, whose own errors are told apart from those of a reader of replies.
    """

    def call(event: ProgressEvent) -> None:
        try:
            sink(event)
        except Exception as exc:
            mark_callers(exc)
            raise

    return call


class Meter:
    """
    Counts one transfer and sends events to its sink.

    Counts never decrease: bytes that are sent again are not counted again.
    """

    def __init__(
        self,
        sink: ProgressSink | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        phase: Phase = "transferring",
    ) -> None:
        if sink is not None and not callable(sink):
            raise TypeError(f"progress takes a function of one event, not {type(sink).__name__}")
        self._sink = None if sink is None else _marking(sink)
        self._clock = clock
        self.phase: Phase = phase
        self._started = clock()
        self._samples: deque[tuple[float, int]] = deque([(self._started, 0)], maxlen=_RATE_SAMPLES)
        self._bytes_done = 0
        self._bytes_total = 0
        self._done = 0
        self._skipped = 0
        self._failed = 0
        self._started_objects = 0
        self._listed = 0
        self._retries = 0
        self._throttled = 0

    @property
    def listening(self) -> bool:
        """Whether anybody gets the events."""
        return self._sink is not None

    @property
    def elapsed(self) -> float:
        """Seconds since the transfer began."""
        return self._clock() - self._started

    def object(self, uri: ObjectURI, total: int | None = None) -> ObjectMeter:
        """
        Add one object to the transfer.
        """
        self._started_objects += 1
        return ObjectMeter(self, uri, total)

    def listed(self, count: int, phase: Phase = "listing") -> None:
        """
        Count *count* more files or objects that a listing or a comparison has come to.
        """
        # The first one says what is going on; not each of millions.
        told = self._listed // _LISTED if self._listed else -1
        self._listed += count
        if self._listed // _LISTED > told:
            self._emit("progress", None, phase)

    def retried(self, error: StorageError, item: ObjectMeter | None = None) -> None:
        """
        Count a retry, of one object or of many together.
        """
        self.repeated(throttled=isinstance(error, ThrottledError), item=item)

    def repeated(self, *, throttled: bool, item: ObjectMeter | None) -> None:
        """
        Count a retry of this kind.
        """
        self._retries += 1
        self._throttled += throttled
        self._emit("throttle" if throttled else "retry", item)

    def finish(self) -> None:
        """
        Send the event that the transfer is complete.
        """
        self._emit("done", None)

    def _emit(self, kind: ProgressKind, item: ObjectMeter | None, phase: Phase | None = None) -> None:
        if self._sink is None:
            return
        now = self._clock()
        self._sink(
            ProgressEvent(
                kind=kind,
                phase=phase or (item.phase if item else self.phase),
                uri=item.uri if item else None,
                object_bytes_done=item.done if item else 0,
                object_bytes_total=item.total if item else None,
                bytes_done=self._bytes_done,
                bytes_total=self._bytes_total,
                objects_done=self._done,
                objects_skipped=self._skipped,
                objects_failed=self._failed,
                objects_total=self._started_objects,
                objects_listed=self._listed,
                retries=self._retries,
                throttled=self._throttled,
                rate=self._rate(now),
                elapsed=now - self._started,
            )
        )

    def _rate(self, now: float) -> float:
        samples = self._samples
        if now - samples[-1][0] > _RATE_WINDOW / _RATE_SAMPLES:
            samples.append((now, self._bytes_done))
        while len(samples) > 1 and now - samples[0][0] > _RATE_WINDOW:
            samples.popleft()
        since, before = samples[0]
        return (self._bytes_done - before) / (now - since) if now > since else 0.0


class Stages:
    """
    One progress of several operations, one after the other: counts go on from one to the next.

    The transfer is complete when :meth:`finish` is called.
    """

    def __init__(self, sink: ProgressSink | None) -> None:
        self._sink = sink
        self._before = self._latest = ProgressEvent(kind="progress")

    def next(self) -> ProgressSink | None:
        """
        Return the sink of the next operation.
        """
        self._before = self._latest
        return None if self._sink is None else self._observe

    def finish(self) -> None:
        """
        Send the event that all operations are complete.
        """
        if self._sink is not None:
            self._sink(replace(self._latest, kind="done", uri=None))

    def _observe(self, event: ProgressEvent) -> None:
        assert self._sink is not None
        if self._before.elapsed:
            event = _after(self._before, event)
        self._latest = event
        if event.kind != "done":
            self._sink(event)


def _after(before: ProgressEvent, event: ProgressEvent) -> ProgressEvent:
    names = (
        "bytes_done",
        "objects_done",
        "objects_skipped",
        "objects_failed",
        "objects_listed",
        "retries",
        "throttled",
        "elapsed",
    )
    sums: dict[str, Any] = {name: getattr(before, name) + getattr(event, name) for name in names}
    for name in ("bytes_total", "objects_total"):
        sums[name] = (getattr(before, name) or 0) + (getattr(event, name) or 0)
    return replace(event, **sums)


class ObjectMeter:
    """
    Counts one object of a transfer.

    Attributes:
        uri: The object.
        done: Bytes transferred so far.
        total: Its size, once known.
        phase: What is done with it now.
    """

    def __init__(self, meter: Meter, uri: ObjectURI, total: int | None) -> None:
        self._meter = meter
        self.uri = uri
        self.phase: Phase = meter.phase
        self.done = 0
        self.total: int | None = None
        if total is not None:
            self.expect(total)

    def expect(self, total: int) -> None:
        """
        Set the size; only the first call counts.
        """
        if self.total is None:
            self.total = total
            self._meter._bytes_total += total
            self._meter._emit("progress", self)

    def advance(self, count: int) -> None:
        """
        Count *count* more bytes.
        """
        self.done += count
        self._meter._bytes_done += count
        self._meter._emit("progress", self)

    def verifying(self) -> None:
        """
        Say that the object has been transferred and is compared with its source.
        """
        self.phase = "verifying"
        self._meter._emit("progress", self)

    def retried(self, error: StorageError) -> None:
        """
        Count a retry.
        """
        self._meter.retried(error, self)

    def repeated(self, *, throttled: bool) -> None:
        """
        Count a retry of an operation that is part of this one.
        """
        self._meter.repeated(throttled=throttled, item=self)

    def completed(self) -> None:
        """
        Count the object as transferred.
        """
        self._meter._done += 1
        self._meter._emit("object_done", self)

    def skipped(self) -> None:
        """
        Count the object as skipped.
        """
        self._meter._skipped += 1
        self._meter._emit("object_skipped", self)

    def failed(self) -> None:
        """
        Count the object as failed.
        """
        self._meter._failed += 1
        self._meter._emit("object_failed", self)


class ShardMeter:
    """
    Counts a part of a transfer that another process carries out.

    If that is begun again, only what goes beyond the first time is counted.
    """

    # The counts of a meter, by the fields of events.
    _COUNTS: Final = {
        "bytes_done": "_bytes_done",
        "bytes_total": "_bytes_total",
        "objects_done": "_done",
        "objects_skipped": "_skipped",
        "objects_failed": "_failed",
        "objects_total": "_started_objects",
        "retries": "_retries",
        "throttled": "_throttled",
    }

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._reached = dict.fromkeys(self._COUNTS, 0)

    def reached(self, event: ProgressEvent) -> None:
        """
        Take an event of the part, with its own cumulative counts, and send it on with those of the transfer.
        """
        for field, count in self._COUNTS.items():
            value = getattr(event, field) or 0
            if value > (before := self._reached[field]):
                self._reached[field] = value
                setattr(self._meter, count, getattr(self._meter, count) + value - before)
        item = None
        if event.uri is not None:
            item = ObjectMeter(self._meter, event.uri, None)
            item.done, item.total, item.phase = event.object_bytes_done, event.object_bytes_total, event.phase
        self._meter._emit(event.kind, item, event.phase)


@contextmanager
def measured(sink: ProgressSink | None, uri: ObjectURI) -> Iterator[ObjectMeter]:
    """
    Count a transfer of one object; it is complete at the end of the block, unless that raises.
    """
    meter = Meter(sink)
    item = meter.object(uri)
    yield item
    item.completed()
    meter.finish()


def retried_of(meter: ObjectMeter | None) -> Callable[[StorageError], None] | None:
    """
    Return what counts the retries of a transfer that may not be measured.
    """
    return None if meter is None else meter.retried


class HighWater:
    """
    Counts the bytes of one part, which may be sent more than once.
    """

    def __init__(self, meter: ObjectMeter) -> None:
        self._meter = meter
        self._mark = 0

    def reached(self, position: int) -> None:
        """
        Count the bytes up to *position* of the part that were not counted before.
        """
        if position > self._mark:
            gained, self._mark = position - self._mark, position
            self._meter.advance(gained)


class Transfer(Generic[_T]):
    """
    A running operation and its events; made by :func:`track`.

    Iterate it for :class:`ProgressEvent`. A slow reader misses all but the latest event
    of each of the last 256 objects, and never slows the operation. Iteration ends with the
    operation.
    """

    def __init__(self) -> None:
        self.latest: ProgressEvent | None = None
        self._pending: dict[ObjectURI | None, ProgressEvent] = {}
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._outcome: list[_T] = []
        self._error: BaseException | None = None

    @property
    def result(self) -> _T:
        """
        The result of the operation.

        Raises:
            RuntimeError: It has not ended yet, or was cancelled.
            StorageError: It failed.
        """
        if self._outcome:
            return self._outcome[0]
        if self._error is not None:
            raise self._error
        raise RuntimeError("the transfer was cancelled" if self._ended.is_set() else "the transfer has not ended yet")

    async def wait(self) -> _T:
        """
        Wait for the end of the operation and return its result.
        """
        await self._ended.wait()
        return self.result

    def __aiter__(self) -> Transfer[_T]:
        return self

    async def __anext__(self) -> ProgressEvent:
        while not self._pending:
            if self._ended.is_set():
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._pending.pop(next(iter(self._pending)))

    def publish(self, event: ProgressEvent) -> None:
        """
        Take an event; this is the sink of the operation.
        """
        self.latest = event
        # Ordered by the latest event of each object, so that the totals never decrease
        # and the end of the transfer comes last.
        self._pending.pop(event.uri, None)
        self._pending[event.uri] = event
        if len(self._pending) > _MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        self._changed.set()

    async def _run(self, operation: Callable[..., Awaitable[_T]], args: Any, kwargs: Any) -> None:
        try:
            self._outcome.append(await operation(*args, progress=self.publish, **kwargs))
        except Exception as exc:  # noqa: BLE001 - raised again at the end of the block
            self._error = exc
        finally:
            self._ended.set()
            self._changed.set()


@asynccontextmanager
async def track(operation: Callable[..., Awaitable[_T]], *args: Any, **kwargs: Any) -> AsyncIterator[Transfer[_T]]:
    """
    Run ``operation(*args, progress=..., **kwargs)`` in the background and follow its progress.

    ::

        async with track(storage.bulk_upload, items) as transfer:
            async for event in transfer:
                print(event.bytes_done, event.rate)
        print(transfer.result.done)

    Leaving the block early, by ``break``, an exception or cancellation, cancels the
    operation and waits until it has cleaned up. The error of the operation is raised at
    the end of the block, not in a group.
    """
    transfer: Transfer[_T] = Transfer()
    with single_error():
        async with anyio.create_task_group() as group:
            group.start_soon(transfer._run, operation, args, kwargs)
            try:
                yield transfer
            finally:
                if not transfer._ended.is_set():
                    group.cancel_scope.cancel()
    if transfer._error is not None:
        raise transfer._error
