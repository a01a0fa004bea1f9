"""
Reads return all bytes of one version, even if the connection breaks.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from asyncstore.config import StorageConfig
from asyncstore.driver.body import ReadBody
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import (
    IntegrityError,
    NotFoundError,
    NotModifiedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    SourceChangedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import ByteRange, MiB, ReadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver, instantly
from asyncstore.types import Metadata
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT, at_rest, changed, patterned

DATA = patterned(1000)


class Odd(ReadBody):
    """
    A body with the chunks of a test, whatever size it announced.
    """

    def __init__(self, info: Metadata, start: int, end: int, chunks: list[bytes | Exception]) -> None:
        self.info = info
        self.start = start
        self.end = end
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


class OddDriver(MemoryDriver):
    """
    Memory, but with wrong bodies.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: list[list[bytes | Exception]] = []
        self.asked: list[ReadOptions] = []
        self.shift = 0

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        self.asked.append(options)
        body = await super().open_read(uri, options)
        chunks: list[bytes | Exception] = self.script.pop(0) if self.script else [await body.read()]
        return Odd(body.info, body.start + self.shift, body.end, chunks)


@pytest.fixture
def odd() -> OddDriver:
    return OddDriver()


@pytest.fixture
async def odd_storage(odd: OddDriver) -> Storage:
    storage = Storage(odd, StorageConfig(uri=ROOT), sleep=instantly)
    await storage.put(KEY, DATA)
    return storage


async def got(storage: Storage, **options: Any) -> bytes:
    async with storage.get(KEY, options=ReadOptions(**options)) as body:
        return await body.read()


@pytest.mark.parametrize("every", [1, 7, 250, 999])
async def test_a_broken_body_resumes_where_it_broke(storage: Storage, faults: FaultyDriver, every: int) -> None:
    """
    One more request for each break, and no byte twice.
    """
    await storage.put(KEY, DATA)
    faults.truncate(after=every, times=None)

    assert DATA == await got(storage)
    assert -(-1000 // every) == faults.calls["open_read"]
    at_rest(storage, faults)


async def test_a_break_after_the_last_byte_is_ignored(odd: OddDriver, odd_storage: Storage) -> None:
    odd.script = [[DATA, UnavailableError("reset")]]

    assert DATA == await got(odd_storage)
    assert 1 == len(odd.asked)


async def test_a_body_that_ends_early_without_an_error(odd: OddDriver, odd_storage: Storage) -> None:
    odd.script = [[DATA[:300]], [], [DATA[300:600]]]

    assert DATA == await got(odd_storage)
    assert [None, 300, 300, 600] == [options.range and options.range.start for options in odd.asked]


async def test_a_short_read_is_read_again(odd: OddDriver, odd_storage: Storage) -> None:
    odd.script = [[DATA[:300]]]

    assert DATA == await odd_storage.read(KEY)
    assert 2 == len(odd.asked)


@pytest.mark.parametrize("way", ["get", "read"])
async def test_more_bytes_than_requested(odd: OddDriver, odd_storage: Storage, way: str) -> None:
    odd.script = [[DATA[:100], b"more"]]
    options = ReadOptions(range=ByteRange(0, 100))
    with pytest.raises(IntegrityError, match="more bytes"):
        await (odd_storage.read(KEY, options=options) if way == "read" else got(odd_storage, range=ByteRange(0, 100)))


async def test_empty_chunks_are_neither_progress_nor_the_end(odd: OddDriver, odd_storage: Storage) -> None:
    odd.script = [[b"", DATA[:500], b"", DATA[500:], b""]]
    async with odd_storage.get(KEY) as body:
        chunks = [chunk async for chunk in body]

    assert [DATA[:500], DATA[500:]] == chunks

    odd.script = [[b"", UnavailableError("reset")] for _ in range(100)]
    with pytest.raises(UnavailableError):
        await got(odd_storage)

    assert 94 == len(odd.script)


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_breaks_without_a_byte_fail(memory: MemoryDriver, attempts: int) -> None:
    faults = FaultyDriver(memory)
    storage = faults.storage(ROOT, attempts=attempts)
    await storage.put(KEY, DATA)
    faults.truncate(after=0, times=None)
    with pytest.raises(UnavailableError) as caught:
        await got(storage)

    assert attempts == faults.calls["open_read"]
    assert ("get", str(KEY), "memory") == (caught.value.op, caught.value.uri, caught.value.provider)
    at_rest(storage, faults)


async def test_a_failed_stream_keeps_raising(storage: Storage, faults: FaultyDriver) -> None:
    """
    Reading on raises the error again, and never looks like the end of the object.
    """
    await storage.put(KEY, DATA)
    faults.truncate(after=10)
    faults.fail("open_read", NotFoundError("gone"), after=1)
    async with storage.get(KEY) as body:
        assert DATA[:10] == await body.read(10)
        for _ in range(2):
            with pytest.raises(NotFoundError):
                await body.read(10)
        with pytest.raises(NotFoundError):
            await anext(aiter(body))


async def test_a_cancelled_read_does_not_look_like_the_end(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    faults.hang("read")
    async with storage.get(KEY) as body:
        with anyio.move_on_after(0.01):
            await body.read()
        with pytest.raises(StorageError, match="CancelledError"):
            await body.read()

    at_rest(storage, faults)


async def test_reading_in_pieces(storage: Storage) -> None:
    await storage.put(KEY, DATA)
    async with storage.get(KEY) as body:
        pieces = [await body.read(size) for size in (0, 1, 300, 698, 5, 5)]

    assert [0, 1, 300, 698, 1, 0] == [len(piece) for piece in pieces]
    assert DATA == b"".join(pieces)


async def test_pieces_and_chunks_together(storage: Storage) -> None:
    await storage.put(KEY, DATA)
    async with storage.get(KEY) as body:
        first = await body.read(10)
        rest = [chunk async for chunk in body]

    assert DATA == first + b"".join(rest)


async def test_small_reads_do_not_copy_the_rest_of_a_chunk(memory: MemoryDriver) -> None:
    """
    They share the memory of the chunk that arrived, so a small read costs the same in any object.
    """
    storage = FaultyDriver(memory).storage(ROOT)
    data = patterned(MiB)
    await storage.put(KEY, data)
    async with storage.get(KEY) as body:
        pieces = [await body.read(64)]
        chunk = body._rest.obj  # type: ignore[attr-defined]
        for _ in range(100):
            pieces.append(await body.read(64))

            assert chunk is body._rest.obj  # type: ignore[attr-defined]
        async for piece in body:
            pieces.append(piece)

            assert isinstance(piece, bytes)

    assert data == b"".join(pieces)


async def test_an_object_replaced_during_the_read(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    faults.truncate(after=10)
    async with storage.get(KEY) as body:
        await body.read(10)
        await storage.put(KEY, DATA)
        with pytest.raises(SourceChangedError):
            await body.read()


@pytest.mark.parametrize("new", [DATA, DATA[:500], DATA * 2])
async def test_an_object_replaced_without_conditional_reads(storage: Storage, faults: FaultyDriver, new: bytes) -> None:
    """
    Conditions that the provider does not support are not sent; the reply is checked instead.
    """
    changed(faults, conditional_read=False)
    await storage.put(KEY, DATA)
    faults.truncate(after=600)
    async with storage.get(KEY) as body:
        await body.read(600)
        await storage.put(KEY, new)
        with pytest.raises(SourceChangedError):
            await body.read()


async def test_unsupported_conditions_are_not_sent(odd: OddDriver, odd_storage: Storage) -> None:
    changed(odd, conditional_read=False, versions=False)
    odd.script = [[DATA[:300]]]
    await got(odd_storage)

    assert [None, None] == [options.if_match for options in odd.asked]


async def test_another_range_than_requested(odd: OddDriver, odd_storage: Storage) -> None:
    odd.script = [[DATA[:300]]]
    async with odd_storage.get(KEY) as body:
        odd.shift = 1
        with pytest.raises(IntegrityError, match="another range"):
            await body.read()


async def test_wrong_bytes(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    for _ in range(2):
        faults.corrupt("read")
    with pytest.raises(IntegrityError):
        await got(storage)
    with pytest.raises(IntegrityError) as caught:
        await storage.read(KEY)

    assert caught.value.expected != caught.value.actual
    assert 2 == faults.calls["open_read"]


async def test_wrong_bytes_without_verification(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    faults.corrupt("read")

    assert DATA != await got(storage, verify=False)


async def test_the_callers_own_error_is_raised_unchanged(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, DATA)
    with pytest.raises(ZeroDivisionError):
        async with storage.get(KEY):
            1 / 0  # noqa: B018

    at_rest(storage, faults)


async def test_leaving_early_releases_the_connection(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, bytes(3 * MiB))
    async with storage.get(KEY) as body:
        async for _ in body:
            break

    at_rest(storage, faults)


async def test_an_empty_object_and_an_empty_range(storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, b"")

    assert b"" == await got(storage)
    assert b"" == await got(storage, range=ByteRange(5, 5))
    assert b"" == await storage.read(KEY, options=ReadOptions(range=ByteRange(5, 5)))
    assert 1 == faults.calls["open_read"]


@pytest.mark.parametrize(
    ("wanted", "data"),
    [
        (ByteRange(0, 10), DATA[:10]),
        (ByteRange(990), DATA[990:]),
        (ByteRange(990, 2000), DATA[990:]),
        (ByteRange(-10), DATA[-10:]),
        (ByteRange(-5000), DATA),
    ],
)
async def test_ranges(storage: Storage, faults: FaultyDriver, wanted: ByteRange, data: bytes) -> None:
    """
    Also for bodies that break.
    """
    await storage.put(KEY, DATA)

    assert data == await storage.read(KEY, options=ReadOptions(range=wanted))

    faults.truncate(after=4, times=None)

    assert data == await got(storage, range=wanted)


async def test_conditions(storage: Storage) -> None:
    info = await storage.put(KEY, DATA)
    with pytest.raises(NotModifiedError):
        await storage.read(KEY, options=ReadOptions(if_none_match=info.etag))
    with pytest.raises(PreconditionFailedError):
        await got(storage, if_match="other")

    assert DATA == await got(storage, if_match=info.etag)


class TestRanges:
    """
    Several ranges of one version.
    """

    @pytest.fixture(autouse=True)
    async def stored(self, storage: Storage) -> None:
        await storage.put(KEY, patterned(6 * MiB))

    async def test_any_order_and_overlap(self, storage: Storage, faults: FaultyDriver) -> None:
        data = patterned(6 * MiB)
        asked = [ByteRange(5 * MiB, 6 * MiB), ByteRange(10, 20), ByteRange(15, 30), ByteRange(-3), ByteRange(4, 4)]
        found = await storage.read_ranges(KEY, [*asked, asked[0]])

        assert [data[part.start : part.end] for part in asked] == [*found[:4], b""]
        assert found[0] == found[5]
        assert 2 == faults.calls["open_read"]

    async def test_all_of_them_empty_needs_no_request(self, storage: Storage, faults: FaultyDriver) -> None:
        assert [b"", b""] == await storage.read_ranges(KEY, [ByteRange(0, 0), ByteRange(9, 9)])
        assert 0 == faults.calls["open_read"]

    async def test_only_from_the_end(self, storage: Storage) -> None:
        assert [patterned(6 * MiB)[-1:], patterned(6 * MiB)[-2:]] == await storage.read_ranges(
            KEY, [ByteRange(-1), ByteRange(-2)]
        )

    async def test_one_past_the_end(self, storage: Storage) -> None:
        for asked in ([ByteRange(7 * MiB)], [ByteRange(0, 1), ByteRange(7 * MiB)]):
            with pytest.raises(RangeNotSatisfiableError):
                await storage.read_ranges(KEY, asked)

    @pytest.mark.parametrize("conditional", [True, False])
    async def test_replaced_in_between(self, storage: Storage, faults: FaultyDriver, conditional: bool) -> None:
        changed(faults, conditional_read=conditional)
        stop = faults.hang("open_read", after=1)
        task = asyncio.ensure_future(storage.read_ranges(KEY, [ByteRange(0, 1), ByteRange(5 * MiB)]))
        await stop.reached()
        await storage.put(KEY, patterned(6 * MiB))
        stop.release()
        with pytest.raises(PreconditionFailedError if conditional else SourceChangedError):
            await task

    async def test_with_room_for_one_request(self, memory: MemoryDriver) -> None:
        faults = FaultyDriver(memory)
        storage = faults.storage(ROOT, max_requests=1)
        found = await storage.read_ranges(KEY, [ByteRange(n * 2 * MiB, n * 2 * MiB + 1) for n in range(3)])

        assert [1, 1, 1] == [len(part) for part in found]
        assert 1 == faults.peak["all"]
