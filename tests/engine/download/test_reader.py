"""
Files that read: what they fetch, what they keep, and that they never hold anybody up.
"""

import asyncio
import gc
import io
import os
import warnings
from random import Random
from typing import Any

import pytest

from asyncstore.engine.budget import Budget, Feed
from asyncstore.engine.download.reader import ObjectReader
from asyncstore.engine.download.span_cache import SpanCache
from asyncstore.errors import (
    InvalidRequestError,
    NotSupportedError,
    SourceChangedError,
    UnavailableError,
)
from asyncstore.options import ByteRange, KiB, MiB, ReadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.build import KEY, at_rest, changed, patterned, stream

DATA = patterned(5 * MiB)


class Asked:
    """
    The ranges that were requested.
    """

    def __init__(self, faults: FaultyDriver, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ranges: list[tuple[int, int | None]] = []
        send = faults.open_read

        async def noted(uri: Any, options: ReadOptions) -> Any:
            assert isinstance(options.range, ByteRange)
            self.ranges.append((options.range.start, options.range.end))
            return await send(uri, options)

        monkeypatch.setattr(faults, "open_read", noted)

    @property
    def total(self) -> int:
        return sum((end or 0) - start for start, end in self.ranges)


@pytest.fixture
async def asked(storage: Storage, faults: FaultyDriver, monkeypatch: pytest.MonkeyPatch) -> Asked:
    await storage.put(KEY, DATA)
    return Asked(faults, monkeypatch)


async def settled(file: ObjectReader) -> None:
    """
    Wait until nothing is fetched in the background.
    """
    while file._ahead is not None:
        await asyncio.wait([file._ahead.task])


async def test_random_reads_fetch_what_is_asked_for(storage: Storage, asked: Asked) -> None:
    """
    One request of just those bytes for each; a second read of the same needs none.
    """
    places = [3 * MiB, 100, 2 * MiB + 7, 4 * MiB]
    async with storage.open(KEY) as file:
        for place in [*places, *places]:
            await file.seek(place)
            assert DATA[place : place + 1000] == await file.read(1000)

        assert [(place, place + 1000) for place in places] == asked.ranges
        assert 4000 == storage.statistics().bytes_buffered


async def test_sequential_reads_fetch_more_and_more(storage: Storage, faults: FaultyDriver, asked: Asked) -> None:
    """
    The window doubles, up to what may be fetched ahead; no byte is fetched twice.
    """
    read = []
    async with storage.open(KEY, read_ahead=MiB, cache_size=2 * MiB) as file:
        while data := await file.read(64 * KiB):
            read.append(data)
            await settled(file)

    assert DATA == b"".join(read)
    assert 5 * MiB == asked.total
    sizes = [((end or 0) - start) // KiB for start, end in asked.ranges]
    # The first two reads, of which the second shows that more will follow; then half of the limit each time.
    assert [64, 64, 256, 512, 768] == sorted(sizes[:5])
    assert {512} == set(sizes[5:-1])
    at_rest(storage, faults)


async def test_a_jump_ends_the_window(storage: Storage, asked: Asked) -> None:
    async with storage.open(KEY) as file:
        for _ in range(4):
            await file.read(1000)
        await settled(file)
        asked.ranges.clear()
        await file.seek(4 * MiB)
        await file.read(1000)

        assert [(4 * MiB, 4 * MiB + 1000)] == asked.ranges


async def test_without_read_ahead_and_cache(storage: Storage, asked: Asked) -> None:
    async with storage.open(KEY, read_ahead=0, cache_size=0) as file:
        for _ in range(3):
            await file.read(10)
        await file.seek(0)
        await file.read(10)

        assert [(0, 10), (10, 20), (20, 30), (0, 10)] == asked.ranges
        assert 0 == storage.statistics().bytes_buffered


async def test_a_large_read_is_divided(storage: Storage, faults: FaultyDriver) -> None:
    """
    Into concurrent requests of 8 MiB.
    """
    data = patterned(20 * MiB)
    await storage.put(KEY, data)
    before = faults.calls["open_read"]
    async with storage.open(KEY) as file:
        assert data == await file.read()

    assert 3 == faults.calls["open_read"] - before


async def test_the_cache_is_bounded(storage: Storage, asked: Asked) -> None:
    async with storage.open(KEY, cache_size=100 * KiB, read_ahead=0) as file:
        for place in range(0, 4 * MiB, 128 * KiB):
            await file.seek(place)
            await file.read(20 * KiB)

            assert storage.statistics().bytes_buffered <= 100 * KiB
    assert 0 == storage.statistics().bytes_buffered


async def test_the_cache_holds_nobody_up(faults: FaultyDriver) -> None:
    """
    An open file with a full cache, which nobody reads, gives its bytes to an upload that needs all of them.
    """
    storage = faults.storage(KEY, max_buffer_bytes=8 * MiB)
    await storage.put(KEY, DATA)
    async with storage.open(KEY) as file:
        while await file.read(64 * KiB):
            pass
        await settled(file)
        assert storage.statistics().bytes_buffered > 4 * MiB

        async with asyncio.timeout(10):
            await storage.put(KEY.with_key("copy"), stream(patterned(12 * MiB), MiB))

        # What is read goes on without it.
        await file.seek(100)
        assert DATA[100:200] == await file.read(100)
    at_rest(storage, faults)


async def test_reading_while_the_budget_is_used_up(storage: Storage, faults: FaultyDriver) -> None:
    """
    Nothing is kept and nothing fetched ahead; lines still need no request each.
    """
    lines = b"line\n" * 100_000
    await storage.put(KEY, lines)
    budget = storage._requests.limits.bytes
    async with budget.reserve(budget.total), storage.open(KEY) as file:
        count = 0
        async for line in file:
            assert line == b"line\n"
            count += 1

    assert 100_000 == count
    assert faults.calls["open_read"] <= 500_000 // (64 * KiB) + 1
    at_rest(storage, faults)


async def test_what_is_fetched_ahead_may_fail(storage: Storage, faults: FaultyDriver) -> None:
    """
    Its failure is nobody's; a read of the same bytes sends the request again.
    """
    await storage.put(KEY, DATA)
    faults.fail("open_read", NotSupportedError("not now"), after=2)
    async with storage.open(KEY) as file:
        read = [await file.read(1000) for _ in range(2)]
        await settled(file)
        read.append(await file.read())

    assert DATA == b"".join(read)
    at_rest(storage, faults)


async def test_closing_cancels_what_is_fetched_ahead(storage: Storage, faults: FaultyDriver) -> None:
    """
    Before it has begun, and while it is under way.
    """
    await storage.put(KEY, DATA)
    for turns in (0, 5):
        faults.hang("open_read", after=2, times=None)
        async with storage.open(KEY) as file:
            await file.read(1000)
            file._fetch_ahead(1000, 1000)
            for _ in range(turns):
                await asyncio.sleep(0)
        at_rest(storage, faults)
        faults.heal()


async def test_a_cancelled_read_keeps_the_position(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    faults.hang("read")
    async with storage.open(KEY) as file:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await file.read(1000)

        assert 0 == await file.tell()
        assert DATA[:1000] == await file.read(1000)
    at_rest(storage, faults)


async def test_tasks_read_one_after_the_other(storage: Storage, asked: Asked) -> None:
    """
    Each gets the next bytes.
    """
    async with storage.open(KEY) as file:
        pieces = await asyncio.gather(*(file.read(1000) for _ in range(50)))

    assert DATA[:50_000] == b"".join(pieces)


@pytest.mark.parametrize("conditional", [True, False])
async def test_a_replaced_object(storage: Storage, faults: FaultyDriver, conditional: bool) -> None:
    """
    It is an error also where the provider has no conditional reads.
    """
    changed(faults, conditional_read=conditional)
    await storage.put(KEY, DATA)
    async with storage.open(KEY) as file:
        await storage.put(KEY, DATA[:-1])
        with pytest.raises(SourceChangedError):
            await file.read(10)
    at_rest(storage, faults)


async def test_a_broken_connection_is_resumed(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    faults.truncate(after=1000, times=3)
    async with storage.open(KEY) as file:
        assert DATA == await file.read()


async def test_readinto(storage: Storage, asked: Asked) -> None:
    """
    A buffer at the end of the object is filled in part; a resized one is not in use.
    """
    async with storage.open(KEY) as file:
        await file.seek(1000)
        await file.read(10)
        await file.seek(500)
        buffer = bytearray(1000)
        assert 1000 == await file.readinto(buffer)
        assert DATA[500:1500] == buffer
        await file.seek(-3, os.SEEK_END)
        assert 3 == await file.readinto(buffer)
        assert DATA[-3:] == buffer[:3]
        assert 0 == await file.readinto(buffer)
        buffer.clear()


async def test_lines_of_any_length(storage: Storage) -> None:
    data = b"a" * (200 * KiB) + b"\nb\n\n" + b"c" * 70_000
    await storage.put(KEY, data)
    async with storage.open(KEY) as file:
        assert [b"a" * (200 * KiB) + b"\n", b"b\n", b"\n", b"c" * 70_000] == [line async for line in file]
        await file.seek(0)
        assert (b"aaa", b"") == (await file.readline(3), await file.readline(0))
        assert 3 == await file.tell()


async def test_what_a_file_refuses(storage: Storage, asked: Asked) -> None:
    file = await storage.open(KEY)
    with pytest.raises(ValueError, match="before the start"):
        await file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        await file.seek(0, 7)
    with pytest.raises(io.UnsupportedOperation, match="'wb'"):
        await file.write(b"")
    await file.close()
    await file.close()
    for call in (file.read, file.readline, file.tell, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed file"):
            await call()
    with pytest.raises(InvalidRequestError, match="range"):
        storage.open(KEY, options=ReadOptions(range=ByteRange(0, 1)))
    with pytest.raises(ValueError, match="encoding does not apply"):
        storage.open(KEY, "rb", encoding="utf-8")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="read_ahead does not apply"):
        storage.open(KEY, "wb", read_ahead=1)  # type: ignore[call-overload]
    with pytest.raises(NotSupportedError, match="'ab'"):
        storage.open(KEY, "ab")  # type: ignore[call-overload]
    for mode in ("r+b", "rw", "", "rbb", "U"):
        with pytest.raises(ValueError, match="mode takes"):
            storage.open(KEY, mode)  # type: ignore[call-overload]


async def test_a_file_that_is_not_closed_warns(storage: Storage, asked: Asked) -> None:
    """
    What it kept is released.
    """
    file = await storage.open(KEY)
    await file.read(1000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del file
        gc.collect()

    assert ["was not closed" in str(warning.message) for warning in caught] == [True]
    assert 0 == storage.statistics().bytes_buffered


TEXT = "één\r\ntwo\rthree\n\nfünf 🙂" * 3000


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_text_is_read_as_python_reads_it(storage: Storage, newline: Any, encoding: str) -> None:
    data = TEXT.encode(encoding)
    await storage.put(KEY, data)
    with io.TextIOWrapper(io.BytesIO(data), encoding, newline=newline) as expected:
        lines = list(expected)
    async with storage.open(KEY, "r", encoding=encoding, newline=newline) as file:
        assert lines == [line async for line in file]
    async with storage.open(KEY, "r", encoding=encoding, newline=newline) as file:
        pieces = [await file.read(7), await file.readline(), await file.read(100), await file.read()]

        assert "".join(lines) == "".join(pieces)
        assert (7, 100) == (len(pieces[0]), len(pieces[2]))
        assert "" == await file.read() == await file.readline()


async def test_bytes_that_are_no_text(storage: Storage) -> None:
    await storage.put(KEY, b"abc\xff")
    async with storage.open(KEY, "r") as file:
        with pytest.raises(UnicodeDecodeError):
            await file.read()
    async with storage.open(KEY, "r", errors="replace") as file:
        assert "abc\ufffd" == await file.read()
    with pytest.raises(LookupError):
        storage.open(KEY, "r", encoding="utf-99")


async def test_a_decoded_file_cannot_be_sought_in(storage: Storage, asked: Asked) -> None:
    async with storage.open(KEY, "rb", compression="gzip") as file:
        assert not file.seekable()
        with pytest.raises(io.UnsupportedOperation, match="mode 'rb'"):
            await file.seek(0)


def test_a_cache_of_spans() -> None:
    """
    Compared with a dictionary of all bytes: it returns the right ones, and its size is that of what it keeps.
    """
    choose = Random(3)
    budget = Budget(5000)
    cache = SpanCache(4000, budget)
    for _ in range(2000):
        start = choose.randrange(10_000)
        end = start + choose.randrange(1, 900)
        at = start
        for first, data in cache.pieces(start, end):
            assert first < end
            assert first + len(data) > start
            assert DATA[first : first + len(data)] == data
            assert first >= at or first <= start
            at = first + len(data)
        first, last = cache.gap_after(start, end)
        if first < last:
            assert not cache.pieces(first, last)
            cache.add(first, DATA[first:last])
        assert cache.size == budget.used == sum(len(data) for data in cache._spans.values()) <= 4000
        assert sorted(cache._spans) == cache._starts
    cache.close()

    assert (0, []) == (budget.used, budget.on_shortage)


async def test_a_budget_is_relieved_before_anybody_waits() -> None:
    budget = Budget(10)
    cache = SpanCache(10, budget)
    cache.add(0, b"ab")
    assert 2 == budget.used

    await asyncio.wait_for(budget.acquire(10), 1)

    assert (0, 10) == (cache.size, budget.used)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.acquire(1), 0.01)
    budget.release(10)


async def test_a_budget_is_relieved_before_it_is_overdrawn() -> None:
    budget, feed = Budget(10), Feed()
    SpanCache(10, budget).add(0, b"ab")
    with feed.pulled():
        async with budget.reserve(10):
            assert 10 == budget.used
    feed.close()

    assert (0, 10) == (budget.used, budget.peak)


async def test_the_error_of_a_read_names_the_object(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    async with storage.open(KEY) as file:
        faults.fail("open_read", UnavailableError("reset"), times=None)
        with pytest.raises(UnavailableError, match=str(KEY)):
            await file.read(10)
