"""
Reading one object into the caller's memory, with several concurrent requests if it is large.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Final

from asyncstore._support.threads import in_thread
from asyncstore.checksum import Hasher
from asyncstore.driver.body import MemorySink
from asyncstore.engine.download.parallel import RANGE_BYTES, ParallelRead, RangeIgnoredError
from asyncstore.engine.download.stream import ResumingStream
from asyncstore.engine.plan import Span, sized
from asyncstore.engine.progress import ObjectMeter
from asyncstore.engine.requests import Requests
from asyncstore.errors import InvalidRequestError
from asyncstore.options import DownloadOptions, MiB
from asyncstore.types import UNKNOWN, Checksum, ChecksumAlgorithm
from asyncstore.uri import ObjectURI

# Objects of up to this size are not worth a thread.
_SMALL: Final = 1 * MiB

# Bytes that one thread call hashes again.
_HASHED: Final = 16 * MiB


class ReadInto(ParallelRead):
    """
    One read into *memory*, writable bytes that belong to the caller.

    When :meth:`run` returns or raises, also because it was cancelled, no thread writes to the memory any more, and no
    view of it is left.
    """

    def __init__(
        self, requests: Requests, source: ObjectURI, memory: memoryview, options: DownloadOptions, meter: ObjectMeter
    ) -> None:
        super().__init__(requests, source, options, meter, "read_into")
        self._memory = memory

    async def run(self) -> int:
        """
        Read, and return how many bytes.

        Raises:
            InvalidRequestError: The memory is too small.
            SourceChangedError: The object was replaced between the requests.
            IntegrityError: The bytes received do not match the stored checksum.
        """
        if self._options.range is not None and self._options.range.empty:
            self._meter.expect(0)
            return 0
        with self._requests.error_context("read_into", self._source):
            try:
                return await self._read()
            except RangeIgnoredError:
                self._begin_again()
                return await self._read()

    async def _read(self) -> int:
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(self._requests.limits.bytes.reserve(RANGE_BYTES))
            stream = await opening.enter_async_context(self._open(self._options))
            info, size = stream.info, stream.end - stream.start
            if stream.end == UNKNOWN:
                return await self._whole(stream)
            if size > len(self._memory):
                raise InvalidRequestError(
                    f"the buffer has {len(self._memory)} bytes, and {size} are to be read: "
                    "pass a larger one, or a range"
                )
            self._meter.expect(size)
            self._expect(info, stream.start, stream.end)
            most = self._requests.at_a_time(self._options.max_concurrency)
            options = sized(self._options, size, self._requests.driver.capabilities, most)
            await self._fetch(stream, opening, options.part_size or max(size, 1), most)
        await self._verify(info, size)
        return size

    async def _store(self, stream: ResumingStream, span: Span) -> None:
        if (stream.start, stream.end) != (span.start, span.end) or span.size > _SMALL:
            await super()._store(stream, span)
            return
        hasher = Hasher(self._algorithm) if self._algorithm else None
        with self._sink(span, hasher) as sink:
            for chunk in await stream.collect():
                sink(chunk)
                self._count(len(chunk))
        self._stored(stream, span, hasher)

    @contextmanager
    def _sink(self, span: Span, hasher: Hasher | None) -> Iterator[MemorySink]:
        with self._memory[span.start - self._start : span.end - self._start] as room:
            yield MemorySink(room, hasher)

    async def _hash(self, algorithm: ChecksumAlgorithm, size: int) -> Checksum:
        hasher = Hasher(algorithm)
        for start in range(0, size, _HASHED):
            with self._memory[start : min(start + _HASHED, size)] as piece:
                await in_thread(hasher.update, piece)
        return hasher.checksum()
