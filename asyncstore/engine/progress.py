"""
Progress: counted once, told to a sink, read as an async iterator.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import anyio

from asyncstore.engine.pool import single_error
from asyncstore.errors import StorageError, ThrottledError
from asyncstore.protocols import ProgressSink
from asyncstore.types import ProgressEvent, ProgressKind
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

# The rate is that of the last few seconds.
_RATE_WINDOW = 5.0
_RATE_SAMPLES = 64


class Meter:
    """
    Counts one transfer and tells its sink.

    Every count only grows: bytes that are sent again are not counted again.
    """

    def __init__(self, sink: ProgressSink | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._sink = sink
        self._clock = clock
        self._started = clock()
        self._samples: deque[tuple[float, int]] = deque([(self._started, 0)], maxlen=_RATE_SAMPLES)
        self._bytes_done = 0
        self._bytes_total = 0
        self._done = 0
        self._skipped = 0
        self._failed = 0
        self._drawn = 0
        self._retries = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the transfer began."""
        return self._clock() - self._started

    def object(self, uri: ObjectURI, total: int | None = None) -> ObjectMeter:
        """
        Count one more object.
        """
        self._drawn += 1
        return ObjectMeter(self, uri, total)

    def finish(self) -> None:
        """
        Tell the sink that the transfer has ended well.
        """
        self._tell("done", None)

    def _tell(self, kind: ProgressKind, item: ObjectMeter | None) -> None:
        if self._sink is None:
            return
        now = self._clock()
        self._sink(
            ProgressEvent(
                kind=kind,
                uri=item.uri if item else None,
                object_bytes_done=item.done if item else 0,
                object_bytes_total=item.total if item else None,
                bytes_done=self._bytes_done,
                bytes_total=self._bytes_total,
                objects_done=self._done,
                objects_skipped=self._skipped,
                objects_failed=self._failed,
                objects_total=self._drawn,
                retries=self._retries,
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


class ObjectMeter:
    """
    Counts one object of a transfer.

    Attributes:
        uri: The object.
        done: Bytes so far.
        total: Its size, once known.
    """

    def __init__(self, meter: Meter, uri: ObjectURI, total: int | None) -> None:
        self._meter = meter
        self.uri = uri
        self.done = 0
        self.total: int | None = None
        if total is not None:
            self.expect(total)

    def expect(self, total: int) -> None:
        """
        Set the size; the first word counts.
        """
        if self.total is None:
            self.total = total
            self._meter._bytes_total += total
            self._meter._tell("progress", self)

    def advance(self, count: int) -> None:
        """
        Count *count* more bytes.
        """
        self.done += count
        self._meter._bytes_done += count
        self._meter._tell("progress", self)

    def retried(self, error: StorageError) -> None:
        """
        Count a request that is sent again.
        """
        self._meter._retries += 1
        self._meter._tell("throttle" if isinstance(error, ThrottledError) else "retry", self)

    def completed(self) -> None:
        """
        The object is done.
        """
        self._meter._done += 1
        self._meter._tell("object_done", self)

    def skipped(self) -> None:
        """
        The object needed no transfer.
        """
        self._meter._skipped += 1
        self._meter._tell("object_skipped", self)

    def failed(self) -> None:
        """
        The object could not be transferred.
        """
        self._meter._failed += 1
        self._meter._tell("object_failed", self)


class HighWater:
    """
    Counts the bytes of one part, which may be sent more than once.
    """

    def __init__(self, meter: ObjectMeter) -> None:
        self._meter = meter
        self._mark = 0

    def reached(self, position: int) -> None:
        """
        Count up to *position* bytes of the part, unless they were counted before.
        """
        if position > self._mark:
            gained, self._mark = position - self._mark, position
            self._meter.advance(gained)


class Transfer(Generic[_T]):
    """
    A running operation, seen through its events; made by :func:`track`.

    Iterate it for :class:`ProgressEvent`. A slow reader skips events of an object
    but its last, and never slows the operation. Iteration ends with the operation.
    """

    def __init__(self) -> None:
        self.latest: ProgressEvent | None = None
        self._pending: dict[ObjectURI | None, ProgressEvent] = {}
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self._outcome: list[_T] = []
        self._error: BaseException | None = None

    @property
    def result(self) -> _T:
        """
        What the operation returned.

        Raises:
            RuntimeError: It has not ended yet, or was cancelled.
            StorageError: It failed with this.
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
            self._news.clear()
            await self._news.wait()
        return self._pending.pop(next(iter(self._pending)))

    def publish(self, event: ProgressEvent) -> None:
        """
        Take an event; this is the sink that the operation is given.
        """
        self.latest = event
        # In the order of the last words, so that the counts of the whole never go down
        # and its end comes last.
        self._pending.pop(event.uri, None)
        self._pending[event.uri] = event
        self._news.set()

    async def _run(self, operation: Callable[..., Awaitable[_T]], args: Any, kwargs: Any) -> None:
        try:
            self._outcome.append(await operation(*args, progress=self.publish, **kwargs))
        except Exception as exc:  # noqa: BLE001 - raised again where the block ends
            self._error = exc
        finally:
            self._ended.set()
            self._news.set()


@asynccontextmanager
async def track(operation: Callable[..., Awaitable[_T]], *args: Any, **kwargs: Any) -> AsyncIterator[Transfer[_T]]:
    """
    Run ``operation(*args, progress=..., **kwargs)`` and watch it.

    ::

        async with track(storage.bulk_upload, items) as transfer:
            async for event in transfer:
                print(event.bytes_done, event.rate)
        print(transfer.result.done)

    Leaving the block before the end, by ``break``, an exception or cancellation,
    cancels the operation and waits until it has cleaned up. Its own error is raised
    at the end of the block, by itself.
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
