"""
A stream that resumes after a broken connection.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

from asyncstore.checksum import Hasher
from asyncstore.driver.body import BytesLike, EmptyBody, ReadBody, Sink
from asyncstore.engine.download.hedge import opener
from asyncstore.engine.download.verify import (
    check_pinned,
    compare,
    expects_parts,
    note_ignored_range,
    parts_checksum,
    pinned,
    whole_checksum,
)
from asyncstore.engine.progress import measured
from asyncstore.engine.requests import OnRetry, Requests
from asyncstore.engine.task_pool import iterating
from asyncstore.errors import (
    IntegrityError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    SourceChangedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.protocols import ProgressSink
from asyncstore.types import UNKNOWN
from asyncstore.uri import ObjectURI

_Item = TypeVar("_Item", bytes, int)
_T = TypeVar("_T")

#: Takes the number of bytes that have arrived.
OnBytes = Callable[[int], None]

_NOTHING: Final = memoryview(b"")


class ResumingStream(AsyncIterator[bytes]):
    """
    An object being read, reopened where the connection broke; see :class:`~asyncstore.protocols.ReadStream`.

    Attributes:
        info: The whole object's metadata.
        start: Offset of the first byte of this stream.
        end: Offset after the last byte of this stream; :data:`~asyncstore.types.UNKNOWN` until it was read
            if the reply does not say it.
        ignored_range: Whether the reply has all of the object, although a part of it was requested.
        position: Offset of the next byte from the provider.
    """

    def __init__(
        self,
        requests: Requests,
        uri: ObjectURI,
        options: ReadOptions,
        body: ReadBody,
        *,
        keep: bool = False,
        verify: bool = True,
        on_retry: OnRetry | None = None,
        on_bytes: OnBytes | None = None,
    ) -> None:
        self.info = body.info
        self.start = body.start
        self.end = body.end
        self.ignored_range = body.ignored_range
        self.position = body.start
        self._requests = requests
        self._uri = uri
        self._options = options
        self._body: ReadBody | None = body
        self._keep = keep
        self._on_retry = on_retry
        self._on_bytes = on_bytes
        self._failures_in_a_row = 0
        self._expected = whole_checksum(self.info, self.start, self.end, options) if verify else None
        self._hasher = Hasher(self._expected.algorithm) if self._expected else None
        able = requests.driver.capabilities
        self._by_parts = verify and expects_parts(self.info, self.start, self.end, options, able)
        if self._by_parts and able.part_checksums is not None:
            self._hasher = Hasher(able.part_checksums)
        self._failure: StorageError | None = None
        self._source = self._remembering_failure(self._resumed(_chunks, self._hash, _limit(self.end)))
        self._rest = _NOTHING

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._next()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def read(self, size: int = -1) -> bytes:
        """
        Return up to *size* bytes, all that are left if negative, ``b""`` at the end.
        """
        if size < 0:
            return b"".join([chunk async for chunk in self])
        pieces, wanted = [], size
        while wanted and (chunk := self._rest or await self._next()):
            pieces.append(chunk[:wanted])
            # A view, so that many small reads do not copy the rest of a large chunk each time.
            self._rest = memoryview(chunk)[wanted:] if wanted < len(chunk) else _NOTHING
            wanted -= len(pieces[-1])
        return b"".join(pieces)

    def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        """
        Pass the next *size* bytes to *sink*, in threads, and yield the size of each chunk.

        For a stream opened without *verify*. Close the generator before the stream.
        """
        end = min(self.position + size, sys.maxsize)
        return self._remembering_failure(self._resumed(lambda body: body.into(sink, end - self.position), int, end))

    async def collect(self) -> list[BytesLike]:
        """
        Return all bytes of a short stream that was not read from yet.

        For a stream opened without *verify*.
        """
        if self._body is None or self.position == self.end:
            return []
        chunks: list[bytes] = []
        failed: StorageError | None = None
        try:
            await self._within_deadline(self._body.collect, chunks)
        except Exception as exc:
            failed = self._requests.classify(exc)
            if failed is None:
                raise
            if not failed.retryable:
                raise failed from (None if failed is exc else exc)
        return [*chunks, *await self.rest(chunks, failed)]

    async def rest(self, arrived: list[bytes], failed: StorageError | None) -> list[bytes]:
        """
        Return the bytes that are missing after *arrived*, which the body had before it *failed* or ended.
        """
        if size := sum(map(len, arrived)):
            self._arrived(size)
        if self.position == self.end:
            return []
        await self._reopen(failed or UnavailableError(f"the body ended at byte {self.position} of {self.end}"))
        return [chunk async for chunk in self]

    async def aclose(self) -> None:
        """
        Release the connection, and the place in the budget if it was kept.
        """
        try:
            await self._source.aclose()
        finally:
            await self._close_body()

    async def _next(self) -> bytes:
        if self._rest:
            rest, self._rest = bytes(self._rest), _NOTHING
            return rest
        if self._failure is not None:
            raise self._failure
        return await anext(self._source, b"")

    async def _close_body(self) -> None:
        body, self._body = self._body, None
        if body is None:
            return
        try:
            await body.aclose()
        finally:
            if self._keep:
                self._requests.limits.requests.release()

    async def _remembering_failure(self, items: AsyncGenerator[_Item, None]) -> AsyncGenerator[_Item, None]:
        # Reading on after a failure must raise it again, not look like the end of the stream.
        try:
            async with iterating(items) as source:
                async for item in source:
                    yield item
        except StorageError as exc:
            self._requests.add_context(exc, "get", self._uri)
            self._failure = exc
            raise
        except GeneratorExit:
            raise
        except BaseException as exc:
            self._failure = StorageError(
                f"the stream was interrupted by {type(exc).__name__}", op="get", uri=str(self._uri)
            )
            raise

    async def _resumed(
        self, start: Callable[[ReadBody], AsyncIterable[_Item]], size_of: Callable[[_Item], int], end: int
    ) -> AsyncGenerator[_Item, None]:
        while self._body is not None and self.position < end:
            try:
                async with iterating(start(self._body)) as items:
                    while (item := await self._within_deadline(anext, items, None)) is not None:
                        if item:
                            self._arrived(size_of(item))
                            yield item
                if self._body.end == self.position < end:
                    self._learn_end()
                    break
                failed: StorageError = UnavailableError(f"the body ended at byte {self.position} of {end}")
            except Exception as exc:  # noqa: BLE001 - raised again unless the read can go on
                failed = self._transient(exc)
            if self.position < end:
                await self._reopen(failed)
        if self._by_parts:
            self._expected = await parts_checksum(self._requests, self.info)
        if self._expected is not None and self._hasher is not None:
            compare(self._expected, self._hasher.checksum())

    def _transient(self, error: Exception) -> StorageError:
        """
        Return *error* if the read can go on after it; otherwise raise it.
        """
        classified = self._requests.classify(error)
        if classified is None:
            raise error
        if not classified.retryable:
            raise classified from (None if classified is error else error)
        return classified

    async def _within_deadline(self, receive: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        # It starts again whenever bytes arrive: the time that the caller takes between them does not count.
        retry = self._requests.retry
        return await retry.within_deadline(receive, retry.now())(*args)

    def _learn_end(self) -> None:
        # The reply did not say where the object ends, and its body has ended.
        if self.info.size == UNKNOWN and self.start == 0 and self.end == UNKNOWN:
            self.info = replace(self.info, size=self.position)
        self.end = self.position

    def _hash(self, chunk: bytes) -> int:
        if self._hasher is not None:
            self._hasher.update(chunk)
        return len(chunk)

    def _arrived(self, size: int) -> None:
        self._failures_in_a_row = -1
        self.position += size
        if self.position > _limit(self.end):
            raise IntegrityError("more bytes arrived than requested", expected=str(self.end), actual=str(self.position))
        if self._on_bytes is not None:
            self._on_bytes(size)

    async def _reopen(self, failed: StorageError) -> None:
        # Reset by every byte: a connection that keeps breaking without delivering any is a
        # failure; a slow one that breaks often is not.
        self._failures_in_a_row += 1
        # A service that changes the encoding of an object in transit may count the bytes of a range in either encoding.
        if self._failures_in_a_row >= self._requests.retry.options.attempts or self.info.size == UNKNOWN:
            raise failed
        await self._close_body()
        # The rest of the same version: mixing two would corrupt the data.
        part = ByteRange(self.position, self.end)
        rest = pinned(self._options, self.info, part, self._requests.driver.capabilities)
        try:
            self._body = await self._requests.send_again(
                "get",
                self._uri,
                failed,
                self._requests.driver.open_read,
                self._uri,
                rest,
                keep=self._keep,
                on_retry=self._on_retry,
            )
        except (PreconditionFailedError, RangeNotSatisfiableError) as exc:
            raise SourceChangedError("the object was replaced while it was read", provider=exc.provider) from exc
        check_pinned(self.info, self._body, self.position, self.end)


def _limit(end: int) -> int:
    return sys.maxsize if end == UNKNOWN else end


def _chunks(body: ReadBody) -> AsyncIterable[bytes]:
    return body


@asynccontextmanager
async def open_stream(
    requests: Requests,
    uri: ObjectURI,
    options: ReadOptions,
    *,
    keep: bool = False,
    verify: bool = True,
    on_retry: OnRetry | None = None,
    on_bytes: OnBytes | None = None,
) -> AsyncIterator[ResumingStream]:
    """
    Open an object for reading.

    Args:
        keep: Count the stream as a request in flight until it is closed. For reads by
            the engine: a caller's stream only counts while it is opened, since callers may
            hold many of them and do other work in between.
        verify: Compare the checksum at the end of the stream.
    """
    if options.range is not None and options.range.empty:
        info = await requests("get", uri, requests.driver.stat, uri, replace(options, range=None), on_retry=on_retry)
        body: ReadBody = EmptyBody(info, options.range.start)
        keep = False
    else:
        body = await requests("get", uri, opener(requests, options), uri, options, keep=keep, on_retry=on_retry)
    note_ignored_range(requests, body)
    stream = ResumingStream(
        requests, uri, options, body, keep=keep, verify=verify, on_retry=on_retry, on_bytes=on_bytes
    )
    try:
        yield stream
    finally:
        await stream.aclose()


@asynccontextmanager
async def open_measured(
    requests: Requests, uri: ObjectURI, options: ReadOptions, progress: ProgressSink
) -> AsyncIterator[ResumingStream]:
    """
    Open an object for reading, and report its bytes as the caller receives them.
    """
    with measured(progress, uri) as meter:
        async with open_stream(requests, uri, options, on_retry=meter.retried, on_bytes=meter.advance) as stream:
            if stream.end != UNKNOWN:
                meter.expect(stream.end - stream.start)
            yield stream
            if stream.end != UNKNOWN:
                meter.expect(stream.end - stream.start)
