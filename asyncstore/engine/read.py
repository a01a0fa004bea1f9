"""
Reading: whole objects, ranges, and streams that survive a broken connection.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self

from asyncstore.body import EmptyBody, ReadBody
from asyncstore.checksum import Hasher, compute
from asyncstore.engine.calls import Calls
from asyncstore.engine.plan import coalesce
from asyncstore.engine.pool import for_each
from asyncstore.engine.retry import RetryObserver
from asyncstore.errors import (
    IntegrityError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    SourceChangedError,
    StorageError,
)
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.types import Checksum, Metadata
from asyncstore.uri import ObjectURI

# Of one storage.read_ranges(): spans in flight.
_RANGES_AT_ONCE = 10


async def read(calls: Calls, uri: ObjectURI, options: ReadOptions) -> bytes:
    """
    Return an object or a range of it, in memory.
    """
    return (await _read(calls, uri, options))[1]


async def _read(calls: Calls, uri: ObjectURI, options: ReadOptions) -> tuple[Metadata, bytes]:
    return await calls("read", uri, _read_once, calls, uri, options)


async def _read_once(calls: Calls, uri: ObjectURI, options: ReadOptions) -> tuple[Metadata, bytes]:
    body = await calls.driver.open_read(uri, options)
    try:
        data = await body.read()
    finally:
        await body.aclose()
    expected = whole_checksum(body, options)
    if expected is not None:
        compare(expected, compute(expected.algorithm, data))
    return body.info, data


def whole_checksum(body: ReadBody, options: ReadOptions) -> Checksum | None:
    """
    Return the checksum that the bytes of *body* must have, if one is known.
    """
    checksum = body.info.checksum
    if not options.verify or checksum is None or checksum.parts is not None:
        return None
    return checksum if body.start == 0 and body.end == body.info.size else None


def compare(expected: Checksum, actual: Checksum) -> None:
    """
    Raise :class:`IntegrityError` if two checksums of the same bytes differ.
    """
    if expected != actual:
        raise IntegrityError(
            "the bytes received are not those that were stored", expected=str(expected), actual=str(actual)
        )


def pinned(options: ReadOptions, info: Metadata, part: ByteRange) -> ReadOptions:
    """
    Return *options* for another *part* of the very version that *info* describes.
    """
    return replace(
        options,
        range=part,
        if_match=info.etag or options.if_match,
        version_id=info.version_id or options.version_id,
        if_none_match=None,
        if_modified_since=None,
        if_unmodified_since=None,
    )


class ResumingStream(AsyncIterator[bytes]):
    """
    An object being read, reopened where it broke; see :class:`~asyncstore.protocols.ReadStream`.

    Attributes:
        info: The whole object's metadata.
        start: Offset of the first byte of this stream.
        end: Offset after the last byte of this stream.
        position: Offset of the next byte.
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
        self._expected = whole_checksum(body, options) if verify else None
        self._hasher = Hasher(self._expected.algorithm) if self._expected else None
        self._source = self._chunks()
        self._rest = b""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        return await anext(self._source)

    async def read(self, size: int = -1) -> bytes:
        """
        Return up to *size* bytes, all that are left if negative, ``b""`` at the end.
        """
        if size < 0:
            return b"".join([chunk async for chunk in self])
        pieces, wanted = [], size
        while wanted:
            chunk = self._rest or await anext(self._source, b"")
            if not chunk:
                break
            pieces.append(chunk[:wanted])
            self._rest = chunk[wanted:]
            wanted -= len(pieces[-1])
        return b"".join(pieces)

    async def aclose(self) -> None:
        """
        Give the connection back, and the place in the budget if it was kept.
        """
        await self._source.aclose()
        await self._close_body()

    async def _close_body(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            if self._keep:
                self._calls.limits.requests.release()
            await body.aclose()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while self._body is not None and self.position < self.end:
            try:
                async for chunk in self._body:
                    self._fruitless = 0
                    self.position += len(chunk)
                    if self._hasher is not None:
                        self._hasher.update(chunk)
                    yield chunk
                break
            except Exception as exc:
                failed = self._calls.named(exc)
                if failed is None:
                    raise
                if not failed.retryable or self._fruitless >= self._calls.retry.options.attempts:
                    self._calls.complete(failed, "get", self._uri)
                    raise failed from (None if failed is exc else exc)
            await self._reopen(failed)
        if self._expected is not None and self._hasher is not None:
            compare(self._expected, self._hasher.checksum())

    async def _reopen(self, failed: StorageError) -> None:
        # Counted again once a byte has come: a connection that breaks over and
        # over without one is a failure, a slow one with many breaks is not.
        self._fruitless += 1
        await self._close_body()
        # The rest of the same version: another one would make a mixture.
        rest = pinned(self._options, self.info, ByteRange(self.position, self.end))
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
        except PreconditionFailedError as exc:
            raise SourceChangedError(
                "the object was replaced while it was being read", op="get", uri=str(self._uri), provider=exc.provider
            ) from exc


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


async def read_ranges(calls: Calls, uri: ObjectURI, ranges: Sequence[ByteRange], options: ReadOptions) -> list[bytes]:
    """
    Return several ranges of one version of an object, in the order asked for.

    Ranges that overlap or lie close together come by one request. The first
    request finds the version; the others are sent at once and pinned to it.
    """
    asked = [part for part in ranges if not part.empty]
    if not asked:
        return [b"" for _ in ranges]
    plain = coalesce([_bounds(part, sys.maxsize) for part in asked if part.start >= 0])
    first = _byte_range(*plain[0]) if plain else asked[0]
    info, data = await _read(calls, uri, replace(options, range=first))
    bounds = [_bounds(part, info.size) if not part.empty else (0, 0) for part in ranges]
    for part, (start, _) in zip(ranges, bounds, strict=True):
        if not part.empty and start >= info.size:
            raise RangeNotSatisfiableError(
                f"{part.header()} of {info.size} bytes", op="read_ranges", uri=str(uri), provider=calls.driver.provider
            )
    got = {_bounds(first, info.size): data}
    have = next(iter(got))
    missing = coalesce([b for b in bounds if b[0] < b[1] and not (have[0] <= b[0] and b[1] <= have[1])])

    async def fetch(span: tuple[int, int]) -> None:
        got[span] = (await _read(calls, uri, pinned(options, info, ByteRange(*span))))[1]

    await for_each(missing, fetch, max_concurrency=_RANGES_AT_ONCE)
    return [_cut(got, start, end) for start, end in bounds]


def _bounds(part: ByteRange, size: int) -> tuple[int, int]:
    if part.start < 0:
        return max(0, size + part.start), size
    return part.start, size if part.end is None else min(part.end, size)


def _byte_range(start: int, end: int) -> ByteRange:
    return ByteRange(start, None if end == sys.maxsize else end)


def _cut(spans: dict[tuple[int, int], bytes], start: int, end: int) -> bytes:
    if start == end:
        return b""
    first, data = next((span, data) for span, data in spans.items() if span[0] <= start and end <= span[1])
    return data[start - first[0] : end - first[0]]
