"""
Reading whole objects and ranges, in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from asyncstore.body import ReadBody
from asyncstore.checksum import COMBINABLE, compute
from asyncstore.engine.calls import Calls
from asyncstore.engine.plan import coalesce
from asyncstore.engine.pool import for_each
from asyncstore.engine.verify import check_pinned, compare, pinned
from asyncstore.errors import IntegrityError, RangeNotSatisfiableError, UnavailableError
from asyncstore.options import ByteRange, MiB, ReadOptions
from asyncstore.threads import in_thread
from asyncstore.types import Metadata
from asyncstore.uri import ObjectURI

# Of one storage.read_ranges(): spans in flight.
_RANGES_AT_ONCE = 10

# CRCs are so fast that a switch of threads costs more; a digest of more than this is not.
_DIGEST_HERE = 1 * MiB


async def read(calls: Calls, uri: ObjectURI, options: ReadOptions) -> bytes:
    """
    Return an object or a range of it, in memory.
    """
    return (await calls("read", uri, _read_once, calls, uri, options, None))[1]


async def _read(
    calls: Calls, uri: ObjectURI, options: ReadOptions, version: Metadata | None = None
) -> tuple[Metadata, bytes]:
    body, data = await calls("read", uri, _read_once, calls, uri, options, version)
    return body.info, data


async def _read_once(
    calls: Calls, uri: ObjectURI, options: ReadOptions, version: Metadata | None
) -> tuple[ReadBody, bytes]:
    # Of a small object the metadata are not even looked at: reading them takes as long as all of this.
    body = await calls.driver.open_read(uri, options)
    try:
        if version is not None and options.range is not None:
            check_pinned(version, body, options.range.start, options.range.end or version.size)
        data = await body.read()
    finally:
        await body.aclose()
    _check_size(body, len(data))
    if options.verify and (expected := body.checksum) is not None:
        if len(data) <= _DIGEST_HERE or expected.algorithm in COMBINABLE:
            actual = compute(expected.algorithm, data)
        else:
            actual = await in_thread(compute, expected.algorithm, data)
        compare(expected, actual)
    return body, data


def _check_size(body: ReadBody, size: int) -> None:
    expected = body.end - body.start
    if size < expected:
        raise UnavailableError(f"the body ended after {size} of {expected} bytes")
    if size > expected:
        raise IntegrityError("more bytes came than were asked for", expected=str(expected), actual=str(size))


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
        part = pinned(options, info, ByteRange(*span), calls.driver.capabilities)
        got[span] = (await _read(calls, uri, part, info))[1]

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
