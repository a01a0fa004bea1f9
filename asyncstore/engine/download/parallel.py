"""
Reading one object by several concurrent requests, all of one version, to where its bytes belong.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, aclosing
from typing import Final

from asyncstore.checksum import COMBINABLE, Hasher, combine_all
from asyncstore.driver.body import Sink
from asyncstore.engine.download.stream import ResumingStream, open_stream
from asyncstore.engine.download.verify import (
    check_pinned,
    compare,
    expects_parts,
    parts_checksum,
    pinned,
    whole_checksum,
)
from asyncstore.engine.plan import Span, spans
from asyncstore.engine.progress import ObjectMeter
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import AHEAD, began, for_each
from asyncstore.errors import IntegrityError, PreconditionFailedError, RangeNotSatisfiableError, SourceChangedError
from asyncstore.options import ByteRange, DownloadOptions, KiB, ReadOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI

#: Bytes reserved for a range while it is read: those that have arrived and are not taken yet (512 KiB at most), and
#: those being taken (256 KiB). A body that threads receive holds less.
RANGE_BYTES: Final = 768 * KiB

# The number of the span that is the first to be requested as a range.
_FIRST_RANGE: Final = 2


class RangeIgnoredError(Exception):
    """
    The reply to a part has the whole object. It is known now that the server has no ranges: begin again.
    """


class ParallelRead(ABC):
    """
    One read of an object, or of the range that its options name.

    The first request is for all that is wanted; its reply has the size, version and checksum. It reads the first part,
    while others read the rest, pinned to that version.
    """

    def __init__(
        self, requests: Requests, source: ObjectURI, options: DownloadOptions, meter: ObjectMeter, op: str
    ) -> None:
        self._requests = requests
        self._source = source
        self._options = options
        self._meter = meter
        self._op = op
        self._start = 0
        self._algorithm: ChecksumAlgorithm | None = None
        self._expected: Checksum | None = None
        self._by_parts = False
        self._sums: dict[int, tuple[Checksum, int]] = {}
        self._counted = 0
        # Set when the first range was answered with a part.
        self._answered = asyncio.Event()

    @abstractmethod
    def _sink(self, span: Span, hasher: Hasher | None) -> AbstractContextManager[Sink]:
        """
        Return what takes the bytes of *span*, and updates *hasher*.
        """

    @abstractmethod
    async def _hash(self, algorithm: ChecksumAlgorithm, size: int) -> Checksum:
        """
        Return the checksum of all *size* bytes, from where they are now.
        """

    def _begin_again(self) -> None:
        # The same bytes do not count twice.
        self._counted = self._meter.done

    def _open(self, options: ReadOptions) -> AbstractAsyncContextManager[ResumingStream]:
        return open_stream(self._requests, self._source, options, keep=True, verify=False, on_retry=self._meter.retried)

    def _expect(self, info: Metadata, start: int, end: int) -> None:
        """
        Begin a read of the bytes from *start* up to *end*.
        """
        self._start = start
        self._sums = {}
        self._algorithm = None
        self._expected = whole_checksum(info, start, end, self._options)
        self._by_parts = expects_parts(info, start, end, self._options, self._requests.driver.capabilities)

    async def _fetch(self, stream: ResumingStream, opening: AsyncExitStack, part_size: int, most: int) -> None:
        """
        Read everything, with *most* requests at a time; closes *opening*, which has the first, after the first part.
        """
        parts = list(spans(stream.start, stream.end, part_size))
        if self._by_parts:
            self._algorithm = self._requests.driver.capabilities.part_checksums
        elif self._expected is not None and (len(parts) == 1 or self._expected.algorithm in COMBINABLE):
            self._algorithm = self._expected.algorithm

        async def fetch(span: Span) -> None:
            if span.number > 1:
                if span.number > _FIRST_RANGE and not self._requests.ranges_proven:
                    # A server that ignores ranges would send the whole object for each of them.
                    await self._answered.wait()
                await self._range(stream.info, span)
                return
            began()
            await self._store(stream, span)
            # Release its share of the budgets to the other parts.
            await opening.aclose()

        await for_each(parts, fetch, max_concurrency=most, ahead=AHEAD)

    async def _range(self, info: Metadata, span: Span) -> None:
        options = pinned(self._options, info, ByteRange(span.start, span.end), self._requests.driver.capabilities)
        async with self._requests.limits.bytes.reserve(RANGE_BYTES):
            try:
                async with self._open(options) as stream:
                    if stream.ignored_range:
                        raise RangeIgnoredError
                    self._requests.ranges_proven = True
                    self._answered.set()
                    check_pinned(info, stream, span.start, span.end)
                    await self._store(stream, span)
            except (PreconditionFailedError, RangeNotSatisfiableError) as exc:
                raise SourceChangedError(
                    "the object was replaced while it was read",
                    op=self._op,
                    uri=str(self._source),
                    provider=exc.provider,
                ) from exc

    async def _store(self, stream: ResumingStream, span: Span) -> None:
        """
        Pass on the bytes of *span*, where the stream is positioned.
        """
        hasher = Hasher(self._algorithm) if self._algorithm else None
        budget = self._requests.limits.requests
        budget.began_body()
        with self._sink(span, hasher) as sink:
            async with aclosing(stream.into(sink, span.size)) as counts:
                async for count in counts:
                    budget.moved(count)
                    self._count(count)
        self._stored(stream, span, hasher)

    def _stored(self, stream: ResumingStream, span: Span, hasher: Hasher | None) -> None:
        if stream.position < span.end:
            raise IntegrityError("the object ended early", expected=str(span.end), actual=str(stream.position))
        if hasher is not None:
            self._sums[span.number] = (hasher.checksum(), span.size)

    async def _whole(self, stream: ResumingStream) -> int:
        """
        Read an object whose size is known only at its end, and return that.
        """
        expected = whole_checksum(stream.info, stream.start, stream.end, self._options)
        hasher = None if expected is None else Hasher(expected.algorithm)
        self._start = stream.start
        with self._sink(Span(1, stream.start, sys.maxsize), hasher) as sink:
            async with aclosing(stream.into(sink, sys.maxsize)) as counts:
                async for count in counts:
                    self._count(count)
        if expected is not None and hasher is not None:
            compare(expected, hasher.checksum())
        size = stream.position - stream.start
        self._meter.expect(size)
        return size

    def _count(self, count: int) -> None:
        again = min(count, self._counted)
        self._counted -= again
        if count > again:
            self._meter.advance(count - again)

    async def _verify(self, info: Metadata, size: int) -> None:
        """
        Compare the checksum of all *size* bytes, when this read holds no request of the budget any more.
        """
        expected = await parts_checksum(self._requests, info) if self._by_parts else self._expected
        if expected is None:
            return
        sums = [self._sums[number] for number in sorted(self._sums)]
        # A single span may have any algorithm.
        actual = sums[0][0] if len(sums) == 1 else combine_all(sums)
        compare(expected, actual or await self._hash(expected.algorithm, size))
