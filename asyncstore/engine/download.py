"""
Bringing one object into a local file, by several requests at once if it is large.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path

from asyncstore.checksum import COMBINABLE, Hasher, combine
from asyncstore.engine.calls import Calls
from asyncstore.engine.plan import Span, spans
from asyncstore.engine.pool import for_each
from asyncstore.engine.progress import ObjectMeter
from asyncstore.engine.sink import Directories, PartFile
from asyncstore.engine.source import CHUNK
from asyncstore.engine.stream import ResumingStream, open_stream
from asyncstore.engine.verify import check_pinned, compare, pinned, whole_checksum
from asyncstore.errors import (
    IntegrityError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    SourceChangedError,
)
from asyncstore.options import ByteRange, DownloadOptions, KiB, ReadOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

# What a range takes of the byte budget while it is read: what is being written, and what
# was received meanwhile.
_RANGE_BYTES = 2 * CHUNK

# What a whole small object takes, and the most that one may have: so many can be under way
# as there are requests. Anything up to a chunk is received whole, though.
_SMALL_BYTES = 256 * KiB


@dataclass(slots=True)
class SoFar:
    """
    What one bulk of downloads has seen, for the next one.

    Attributes:
        directories: Where files were made.
        small: Whether the last object was small, as the next one may be.
    """

    directories: Directories = field(default_factory=Directories)
    small: bool = False


async def download_file(
    calls: Calls,
    source: ObjectURI,
    target: Path,
    options: DownloadOptions,
    meter: ObjectMeter,
    so_far: SoFar | None = None,
) -> ObjectInfo:
    """
    Write one object, or the range that *options* name, to a local file.

    The first request asks for all of it and so learns size, version and checksum;
    of a large object it brings the first part, and others bring the rest, pinned to
    that version. One request does for a small one.

    Args:
        so_far: Of the bulk of downloads that this is one of.

    Raises:
        SourceChangedError: The object was replaced meanwhile.
        IntegrityError: The bytes are not those that were stored.
    """
    so_far = so_far or SoFar()
    with calls.naming("download", source):
        async with PartFile(
            target, overwrite=options.overwrite, sync=options.sync, directories=so_far.directories
        ) as file:
            return await _Download(calls, source, file, options, meter, so_far).run()


class _Download:
    def __init__(
        self,
        calls: Calls,
        source: ObjectURI,
        file: PartFile,
        options: DownloadOptions,
        meter: ObjectMeter,
        so_far: SoFar,
    ) -> None:
        self._calls = calls
        self._source = source
        self._file = file
        self._options = options
        self._meter = meter
        self._so_far = so_far
        self._start = 0
        self._algorithm: ChecksumAlgorithm | None = None
        self._sums: dict[int, tuple[Checksum, int]] = {}

    async def run(self) -> ObjectInfo:
        """
        Bring the object; one that is larger than was expected, if need be by another request.
        """
        reserved = _SMALL_BYTES if self._so_far.small else _RANGE_BYTES
        while (info := await self._bring(reserved)) is None:
            reserved = _RANGE_BYTES
        return info

    async def _bring(self, reserved: int) -> ObjectInfo | None:
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(self._calls.limits.bytes.reserve(reserved))
            stream = await opening.enter_async_context(self._open(self._options))
            info, size = stream.info, stream.end - stream.start
            self._so_far.small = size <= _SMALL_BYTES
            if not self._so_far.small and not self._reserve_more(reserved, opening):
                return None
            self._meter.expect(size)
            expected = whole_checksum(info, stream.start, stream.end, self._options)
            if size <= CHUNK:
                await self._file.put(await stream.collect(), expected)
                self._meter.advance(size)
                return info
            await self._file.allocate(size)
            self._start = stream.start
            parts = list(spans(stream.start, stream.end, self._options.part_size))
            self._algorithm = _followed(expected, parts)

            async def fetch(span: Span) -> None:
                if span.number > 1:
                    await self._range(info, span)
                    return
                await self._store(stream, span)
                # What it holds of the budgets goes to the other parts.
                await opening.aclose()

            await for_each(parts, fetch, max_concurrency=self._options.max_concurrency)
        await self._verify(expected, size)
        await self._file.publish(size)
        return info

    def _reserve_more(self, reserved: int, opening: AsyncExitStack) -> bool:
        """
        Take what a large object needs, if it is there: who holds a request does not wait for bytes.
        """
        budget = self._calls.limits.bytes
        more = min(_RANGE_BYTES, budget.total) - min(reserved, budget.total)
        if more == 0:
            return True
        if not budget.take(more):
            return False
        opening.callback(budget.release, more)
        return True

    async def _range(self, info: Metadata, span: Span) -> None:
        options = pinned(self._options, info, ByteRange(span.start, span.end), self._calls.driver.capabilities)
        async with self._calls.limits.bytes.reserve(_RANGE_BYTES):
            try:
                async with self._open(options) as stream:
                    check_pinned(info, stream, span.start, span.end)
                    await self._store(stream, span)
            except (PreconditionFailedError, RangeNotSatisfiableError) as exc:
                raise SourceChangedError(
                    "the object was replaced while it was being read",
                    op="download",
                    uri=str(self._source),
                    provider=exc.provider,
                ) from exc

    def _open(self, options: ReadOptions) -> AbstractAsyncContextManager[ResumingStream]:
        return open_stream(self._calls, self._source, options, keep=True, verify=False, observer=self._meter.retried)

    async def _store(self, stream: ResumingStream, span: Span) -> None:
        """
        Write the bytes of *span*, which is where the stream stands.
        """
        hasher = Hasher(self._algorithm) if self._algorithm else None
        sink = self._file.sink(span.start - self._start, hasher)
        async with aclosing(stream.into(sink, span.size)) as counts:
            async for count in counts:
                self._meter.advance(count)
        if stream.position < span.end:
            raise IntegrityError("the object ended early", expected=str(span.end), actual=str(stream.position))
        if hasher is not None:
            self._sums[span.number] = (hasher.checksum(), span.size)

    async def _verify(self, expected: Checksum | None, size: int) -> None:
        if expected is None:
            return
        if self._algorithm is None:
            # Of a kind that only goes from the start to the end.
            compare(expected, await self._file.checksum(expected.algorithm, size))
            return
        actual, _ = self._sums[1]
        for number in range(2, len(self._sums) + 1):
            actual = combine(actual, *self._sums[number])
        compare(expected, actual)


def _followed(expected: Checksum | None, parts: Sequence[Span]) -> ChecksumAlgorithm | None:
    if expected is None or not (len(parts) == 1 or expected.algorithm in COMBINABLE):
        return None
    return expected.algorithm
