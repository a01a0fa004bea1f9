"""
Reading as a stream that survives a broken connection.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self, TypeVar

from asyncstore.body import BytesLike, EmptyBody, ReadBody, Sink
from asyncstore.checksum import Hasher
from asyncstore.engine.calls import Calls
from asyncstore.engine.pool import iterating
from asyncstore.engine.retry import RetryObserver
from asyncstore.engine.verify import check_pinned, compare, pinned, whole_checksum
from asyncstore.errors import (
    IntegrityError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    SourceChangedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.uri import ObjectURI

_Item = TypeVar("_Item", bytes, int)


class ResumingStream(AsyncIterator[bytes]):
    """
    An object being read, reopened where it broke; see :class:`~asyncstore.protocols.ReadStream`.

    Attributes:
        info: The whole object's metadata.
        start: Offset of the first byte of this stream.
        end: Offset after the last byte of this stream.
        position: Offset of the next byte to come from the provider.
    """

    def __init__(
        self,
        calls: Calls,
        uri: ObjectURI,
        options: ReadOptions,
        body: ReadBody,
        *,
        keep: bool = False,
        verify: bool = True,
        observer: RetryObserver | None = None,
    ) -> None:
        self.info = body.info
        self.start = body.start
        self.end = body.end
        self.position = body.start
        self._calls = calls
        self._uri = uri
        self._options = options
        self._body: ReadBody | None = body
        self._keep = keep
        self._observer = observer
        self._fruitless = 0
        self._expected = whole_checksum(self.info, self.start, self.end, options) if verify else None
        self._hasher = Hasher(self._expected.algorithm) if self._expected else None
        self._failure: StorageError | None = None
        self._source = self._watched(self._resumed(_chunks, self._follow, self.end))
        self._rest = b""

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
        while wanted and (chunk := await self._next()):
            pieces.append(chunk[:wanted])
            self._rest = chunk[wanted:]
            wanted -= len(pieces[-1])
        return b"".join(pieces)

    def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        """
        Hand the next *size* bytes to *sink*, in threads, and yield how many at each turn.

        For a stream that is not verified. Close the generator before the stream.
        """
        end = self.position + size
        return self._watched(self._resumed(lambda body: body.into(sink, end - self.position), int, end))

    async def collect(self) -> list[BytesLike]:
        """
        Return all the bytes of a short stream, of which nothing was read yet.

        For a stream that is not verified.
        """
        if self._body is None or self.position == self.end:
            return []
        try:
            data = await self._body.read()
        except Exception as exc:
            failed = self._calls.named(exc)
            if failed is None:
                raise
            if not failed.retryable:
                raise failed from (None if failed is exc else exc)
            # What had come of it is gone, and asked for again.
            data = b""
        else:
            self._arrived(len(data))
            if self.position == self.end:
                return [data]
            failed = UnavailableError(f"the body ended at byte {self.position} of {self.end}")
        await self._reopen(failed)
        return [data, *[chunk async for chunk in self]]

    async def aclose(self) -> None:
        """
        Give the connection back, and the place in the budget if it was kept.
        """
        try:
            await self._source.aclose()
        finally:
            await self._close_body()

    async def _next(self) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
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
                self._calls.limits.requests.release()

    async def _watched(self, items: AsyncGenerator[_Item, None]) -> AsyncGenerator[_Item, None]:
        # What has failed once is no end of the stream for who reads on.
        try:
            async with iterating(items) as source:
                async for item in source:
                    yield item
        except StorageError as exc:
            self._calls.complete(exc, "get", self._uri)
            self._failure = exc
            raise
        except GeneratorExit:
            raise
        except BaseException as exc:
            self._failure = StorageError(f"reading ended early, by {type(exc).__name__}", op="get", uri=str(self._uri))
            raise

    async def _resumed(
        self, begin: Callable[[ReadBody], AsyncIterable[_Item]], follow: Callable[[_Item], int], end: int
    ) -> AsyncGenerator[_Item, None]:
        while self._body is not None and self.position < end:
            try:
                async with iterating(begin(self._body)) as items:
                    async for item in items:
                        if item:
                            self._arrived(follow(item))
                            yield item
                failed: StorageError = UnavailableError(f"the body ended at byte {self.position} of {end}")
            except Exception as exc:
                named = self._calls.named(exc)
                if named is None:
                    raise
                if not named.retryable:
                    raise named from (None if named is exc else exc)
                failed = named
            if self.position < end:
                await self._reopen(failed)
        if self._expected is not None and self._hasher is not None:
            compare(self._expected, self._hasher.checksum())

    def _follow(self, chunk: bytes) -> int:
        if self._hasher is not None:
            self._hasher.update(chunk)
        return len(chunk)

    def _arrived(self, size: int) -> None:
        self._fruitless = -1
        self.position += size
        if self.position > self.end:
            raise IntegrityError(
                "more bytes came than were asked for", expected=str(self.end), actual=str(self.position)
            )

    async def _reopen(self, failed: StorageError) -> None:
        # Counted anew once a byte has come: a connection that breaks over and
        # over without one is a failure, a slow one with many breaks is not.
        self._fruitless += 1
        if self._fruitless >= self._calls.retry.options.attempts:
            raise failed
        await self._close_body()
        # The rest of the same version: another one would make a mixture.
        part = ByteRange(self.position, self.end)
        rest = pinned(self._options, self.info, part, self._calls.driver.capabilities)
        try:
            self._body = await self._calls.again(
                "get",
                self._uri,
                failed,
                self._calls.driver.open_read,
                self._uri,
                rest,
                keep=self._keep,
                observer=self._observer,
            )
        except (PreconditionFailedError, RangeNotSatisfiableError) as exc:
            raise SourceChangedError("the object was replaced while it was being read", provider=exc.provider) from exc
        check_pinned(self.info, self._body, self.position, self.end)


def _chunks(body: ReadBody) -> AsyncIterable[bytes]:
    return body


@asynccontextmanager
async def open_stream(
    calls: Calls,
    uri: ObjectURI,
    options: ReadOptions,
    *,
    keep: bool = False,
    verify: bool = True,
    observer: RetryObserver | None = None,
) -> AsyncIterator[ResumingStream]:
    """
    Open an object for reading.

    Args:
        keep: Count the stream as a request in flight until it is closed. For the
            engine's own reading; a caller's stream counts while it is opened only, since
            a caller may hold many and do other work meanwhile.
        verify: Compare the checksum at the end of the stream.
    """
    if options.range is not None and options.range.empty:
        info = await calls("get", uri, calls.driver.stat, uri, replace(options, range=None))
        body: ReadBody = EmptyBody(info, options.range.start)
        keep = False
    else:
        body = await calls("get", uri, calls.driver.open_read, uri, options, keep=keep, observer=observer)
    stream = ResumingStream(calls, uri, options, body, keep=keep, verify=verify, observer=observer)
    try:
        yield stream
    finally:
        await stream.aclose()
