"""
Reading whole objects and ranges, in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from asyncstore._support.threads import in_thread
from asyncstore.checksum import COMBINABLE, compute
from asyncstore.driver.body import ReadBody
from asyncstore.engine.download.hedge import OpenRead, opener
from asyncstore.engine.download.stream import ResumingStream
from asyncstore.engine.download.verify import (
    MIN_PARTS,
    check_pinned,
    compare,
    expects_parts,
    note_ignored_range,
    parts_checksum,
    pinned,
)
from asyncstore.engine.plan import COALESCE_GAP, coalesce
from asyncstore.engine.progress import HighWater, ObjectMeter, retried_of
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import for_each, iterating
from asyncstore.errors import IntegrityError, RangeNotSatisfiableError, StorageError, UnavailableError
from asyncstore.options import ByteRange, MiB, ReadOptions
from asyncstore.types import UNKNOWN, Metadata
from asyncstore.uri import ObjectURI

# Concurrent requests of one storage.read_ranges().
_CONCURRENT_RANGES = 10

# Larger digests are computed in a thread. CRCs never are: they are faster than a thread switch.
_MAX_INLINE_DIGEST = 1 * MiB


class _Broken(NamedTuple):
    """
    A body that broke off.

    Attributes:
        chunks: What had arrived.
        error: Why it broke.
    """

    chunks: list[bytes]
    error: StorageError


class _Counter:
    """
    Counts the bytes of one read as they arrive; what a retry receives again counts once.

    Args:
        whole: Whether this read is all of the transfer, whose size it therefore tells.
    """

    def __init__(self, meter: ObjectMeter, *, whole: bool = True) -> None:
        self.meter = meter
        self._whole = whole
        self._water = HighWater(meter)
        self._position = 0

    async def collect(self, body: ReadBody, chunks: list[bytes]) -> None:
        """
        Append the chunks of *body* to *chunks* as they arrive.
        """
        if self._whole and body.end != UNKNOWN:
            self.meter.expect(body.end - body.start)
        self.restart()
        async with iterating(body) as source:
            async for chunk in source:
                chunks.append(chunk)
                self.arrived(len(chunk))

    def restart(self) -> None:
        """
        Begin at the first byte again.
        """
        self._position = 0

    def arrived(self, size: int) -> None:
        """
        Count the next *size* bytes.
        """
        self._position += size
        self._water.reached(self._position)


async def read(
    requests: Requests, uri: ObjectURI, options: ReadOptions, meter: ObjectMeter | None = None
) -> tuple[ReadBody | None, bytes]:
    """
    Return an object or a range of it, in memory, and the reply that it came with; an empty range needs none.
    """
    if options.range is not None and options.range.empty:
        if meter is not None:
            meter.expect(0)
        return None, b""
    if meter is None:
        counter = None
        body, data = await requests("read", uri, _read_once, requests, opener(requests, options), uri, options, None)
    else:
        counter = _Counter(meter)
        body, data = await requests(
            "read",
            uri,
            _read_once,
            requests,
            opener(requests, options),
            uri,
            options,
            None,
            counter,
            on_retry=meter.retried,
        )
    if not isinstance(data, bytes):
        data = await _rest(requests, uri, options, body, data, counter)
    if meter is not None:
        meter.expect(len(data))
    if len(data) > MIN_PARTS and expects_parts(body.info, body.start, body.end, options, requests.driver.capabilities):
        expected = await parts_checksum(requests, body.info)
        if expected is not None:
            compare(expected, compute(expected.algorithm, data))
    return body, data


async def read_part(requests: Requests, uri: ObjectURI, options: ReadOptions, version: Metadata) -> bytes:
    """
    Return the range in *options* of the object that *version* describes, in memory.

    Raises:
        SourceChangedError: It has another version.
    """
    return (await _read(requests, uri, options, version, None))[1]


async def _read(
    requests: Requests, uri: ObjectURI, options: ReadOptions, version: Metadata | None, meter: ObjectMeter | None
) -> tuple[Metadata, bytes]:
    counter = None if meter is None else _Counter(meter, whole=False)
    body, data = await requests(
        "read",
        uri,
        _read_once,
        requests,
        opener(requests, options),
        uri,
        options,
        version,
        counter,
        on_retry=retried_of(meter),
    )
    return body.info, data if isinstance(data, bytes) else await _rest(requests, uri, options, body, data, counter)


async def _read_once(
    requests: Requests,
    open_read: OpenRead,
    uri: ObjectURI,
    options: ReadOptions,
    version: Metadata | None,
    counter: _Counter | None = None,
) -> tuple[ReadBody, bytes | _Broken]:
    # Does not touch body.info unless needed: parsing metadata takes as long as everything here.
    body = await open_read(uri, options)
    chunks: list[bytes] = []
    try:
        if body.ignored_range:
            note_ignored_range(requests, body)
        if version is not None and options.range is not None:
            check_pinned(version, body, options.range.start, options.range.end or version.size)
        if counter is None:
            await body.collect(chunks)
        else:
            await counter.collect(body, chunks)
    except Exception as exc:
        error = requests.classify(exc)
        if error is None or not error.retryable or not any(chunks) or body.end == UNKNOWN:
            raise
        # What has arrived is kept: the read goes on at the byte where it broke.
        return body, _Broken(chunks, error)
    finally:
        await body.aclose()
    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    _check_size(body, len(data))
    if options.verify and (expected := body.checksum) is not None:
        if len(data) <= _MAX_INLINE_DIGEST or expected.algorithm in COMBINABLE:
            actual = compute(expected.algorithm, data)
        else:
            actual = await in_thread(compute, expected.algorithm, data)
        compare(expected, actual)
    return body, data


async def _rest(
    requests: Requests,
    uri: ObjectURI,
    options: ReadOptions,
    body: ReadBody,
    broken: _Broken,
    counter: _Counter | None,
) -> bytes:
    on_retry = on_bytes = None
    if counter is not None:
        # The stream counts what had arrived, too.
        counter.restart()
        on_retry, on_bytes = counter.meter.retried, counter.arrived
    with requests.error_context("read", uri):
        stream = ResumingStream(requests, uri, options, body, verify=False, on_retry=on_retry, on_bytes=on_bytes)
        try:
            rest = await stream.rest(broken.chunks, broken.error)
        finally:
            await stream.aclose()
    data = b"".join([*broken.chunks, *rest])
    if options.verify and (expected := body.checksum) is not None:
        compare(expected, await in_thread(compute, expected.algorithm, data))
    return data


def _check_size(body: ReadBody, size: int) -> None:
    expected = body.end - body.start
    if size < expected:
        raise UnavailableError(f"the body ended after {size} of {expected} bytes")
    if size > expected:
        raise IntegrityError("more bytes arrived than requested", expected=str(expected), actual=str(size))


async def read_ranges(
    requests: Requests,
    uri: ObjectURI,
    ranges: Sequence[ByteRange],
    options: ReadOptions,
    meter: ObjectMeter | None = None,
) -> list[bytes]:
    """
    Return several ranges of one version of an object, in the given order.

    Ranges that overlap or are close together share a request. The first request
    returns the version; the others run concurrently and are pinned to it.
    """
    asked = [part for part in ranges if not part.empty]
    if not asked:
        if meter is not None:
            meter.expect(0)
        return [b"" for _ in ranges]
    gap = COALESCE_GAP if requests.driver.capabilities.ranges else sys.maxsize
    plain = coalesce([_bounds(part, sys.maxsize) for part in asked if part.start >= 0], gap)
    first = _byte_range(*plain[0]) if plain else asked[0]
    info, data = await _read(requests, uri, replace(options, range=first), None, meter)
    if info.size == UNKNOWN:
        # Only all of the object tells where its last bytes are.
        first, (info, data) = ByteRange(0), await _read(requests, uri, replace(options, range=None), None, meter)
        info = replace(info, size=len(data))
    bounds = [_bounds(part, info.size) if not part.empty else (0, 0) for part in ranges]
    for part, (start, _) in zip(ranges, bounds, strict=True):
        if not part.empty and start >= info.size:
            raise RangeNotSatisfiableError(
                f"{part.header()} of {info.size} bytes",
                op="read_ranges",
                uri=str(uri),
                provider=requests.driver.provider,
            )
    got = {_bounds(first, info.size): data}
    have = next(iter(got))
    gap = COALESCE_GAP if requests.driver.capabilities.ranges else sys.maxsize
    missing = coalesce([b for b in bounds if b[0] < b[1] and not (have[0] <= b[0] and b[1] <= have[1])], gap)
    if meter is not None:
        meter.expect(meter.done + sum(end - start for start, end in missing))

    async def fetch(span: tuple[int, int]) -> None:
        part = pinned(options, info, ByteRange(*span), requests.driver.capabilities)
        got[span] = (await _read(requests, uri, part, info, meter))[1]

    await for_each(missing, fetch, max_concurrency=_CONCURRENT_RANGES)
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
