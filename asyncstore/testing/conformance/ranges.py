"""
Reading whole objects, one range, several ranges, and streams.
"""

from __future__ import annotations

from typing import Final

import pytest

from asyncstore.errors import NotFoundError, PreconditionFailedError, RangeNotSatisfiableError
from asyncstore.options import ByteRange, MiB, ReadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, requires, together
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver

_DATA: Final = payload(1000)
_LARGE: Final = payload(3 * MiB + 5, seed=1)

_RANGES: Final = {
    "all": (ByteRange(0), _DATA),
    "all-with-its-end": (ByteRange(0, 1000), _DATA),
    "first-byte": (ByteRange(0, 1), _DATA[:1]),
    "last-byte": (ByteRange(999), _DATA[999:]),
    "last-byte-with-its-end": (ByteRange(999, 1000), _DATA[999:]),
    "middle": (ByteRange(10, 20), _DATA[10:20]),
    "to-the-end": (ByteRange(10), _DATA[10:]),
    "past-the-end": (ByteRange(990, 5000), _DATA[990:]),
    "all-and-more": (ByteRange(0, 5000), _DATA),
    "suffix": (ByteRange(-7), _DATA[-7:]),
    "suffix-of-all": (ByteRange(-1000), _DATA),
    "suffix-longer-than-all": (ByteRange(-5000), _DATA),
}
_PAST_THE_END: Final = {
    "at-the-end": ByteRange(1000),
    "at-the-end-with-an-end": ByteRange(1000, 1001),
    "far-off": ByteRange(5000, 6000),
}
_EMPTY: Final = {"start": ByteRange(0, 0), "middle": ByteRange(5, 5), "far-off": ByteRange(5000, 5000)}


class Ranges(Harness):
    """
    Every way to read.
    """

    @pytest.mark.parametrize(("part", "expected"), _RANGES.values(), ids=_RANGES)
    async def test_range(self, storage: Storage, part: ByteRange, expected: bytes) -> None:
        """
        A range returns the same bytes as a slice.
        """
        await storage.put(storage.root / "key", _DATA)

        assert await storage.read(storage.root / "key", options=ReadOptions(range=part)) == expected

    @pytest.mark.parametrize(("part", "expected"), _RANGES.values(), ids=_RANGES)
    async def test_range_of_a_stream(self, storage: Storage, part: ByteRange, expected: bytes) -> None:
        """
        A stream of a range has its start and end, and the size of the whole object.
        """
        await storage.put(storage.root / "key", _DATA)

        async with storage.get(storage.root / "key", options=ReadOptions(range=part)) as stream:
            place = (stream.start, stream.end)
            whole = stream.info.size
            data = await stream.read()

        assert data == expected
        assert whole == 1000
        assert _DATA[slice(*place)] == expected

    @pytest.mark.parametrize("part", _PAST_THE_END.values(), ids=_PAST_THE_END)
    async def test_range_past_the_end(self, storage: Storage, part: ByteRange) -> None:
        """
        A range that starts at or after the end of the object is an error, for reads and for streams.
        """
        await storage.put(storage.root / "key", _DATA)
        options = ReadOptions(range=part)

        with pytest.raises(RangeNotSatisfiableError):
            await storage.read(storage.root / "key", options=options)
        with pytest.raises(RangeNotSatisfiableError):
            async with storage.get(storage.root / "key", options=options):
                pass

    @pytest.mark.parametrize("part", [ByteRange(0), ByteRange(0, 1), ByteRange(-1)], ids=["all", "byte", "suffix"])
    async def test_range_of_an_empty_object(self, storage: Storage, part: ByteRange) -> None:
        """
        Every range of an empty object is an error.
        """
        await storage.put(storage.root / "key", b"")

        with pytest.raises(RangeNotSatisfiableError):
            await storage.read(storage.root / "key", options=ReadOptions(range=part))

    @pytest.mark.parametrize("part", _EMPTY.values(), ids=_EMPTY)
    async def test_empty_range_needs_no_request(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, part: ByteRange
    ) -> None:
        """
        An empty range is read without a request.
        """
        await storage.put(storage.root / "key", _DATA)

        assert await faulty.read(faulty.root / "key", options=ReadOptions(range=part)) == b""
        assert not faults.calls

    async def test_empty_range_of_a_stream(self, storage: Storage) -> None:
        """
        A stream of an empty range still has the metadata of the object.
        """
        await storage.put(storage.root / "key", _DATA)

        async with storage.get(storage.root / "key", options=ReadOptions(range=ByteRange(5, 5))) as stream:
            assert await stream.read() == b""
            assert stream.info.size == 1000

    @pytest.mark.parametrize("size", [0, 1, 1000, len(_LARGE)])
    async def test_stream_in_chunks(self, storage: Storage, size: int) -> None:
        """
        The chunks of a stream join to the object, and no chunk is empty.
        """
        data = _LARGE[:size]
        await storage.put(storage.root / "key", data)

        async with storage.get(storage.root / "key") as stream:
            chunks = [chunk async for chunk in stream]

        assert b"".join(chunks) == data
        assert all(chunks)

    async def test_stream_in_pieces(self, storage: Storage) -> None:
        """
        ``read(n)`` returns n bytes until fewer are left, then the rest, then none.
        """
        await storage.put(storage.root / "key", _LARGE)
        sizes = [1, 0, 70_000, 3, 1_500_000]

        async with storage.get(storage.root / "key") as stream:
            pieces = [await stream.read(size) for size in sizes]
            rest = await stream.read()
            after = (await stream.read(), await stream.read(5))

        assert [len(piece) for piece in pieces] == sizes
        assert b"".join(pieces) + rest == _LARGE
        assert after == (b"", b"")

    async def test_stream_read_and_iterated(self, storage: Storage) -> None:
        """
        Iteration continues where ``read(n)`` stopped.
        """
        await storage.put(storage.root / "key", _LARGE)

        async with storage.get(storage.root / "key") as stream:
            head = await stream.read(10)
            rest = b"".join([chunk async for chunk in stream])

        assert head + rest == _LARGE

    async def test_stream_left_early(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A stream that is closed early releases its connection.
        """
        await storage.put(storage.root / "key", _LARGE)

        async with faulty.get(faulty.root / "key") as stream:
            await stream.read(1)

        assert is_idle(faulty, faults)

    async def test_callers_error_passes_through_a_stream(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        An error that the caller raises while reading is raised unchanged, and the connection is released.
        """
        await storage.put(storage.root / "key", _LARGE)

        async def fail() -> None:
            async with faulty.get(faulty.root / "key") as stream:
                await stream.read(1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()

        assert is_idle(faulty, faults)

    async def test_missing_object(self, storage: Storage) -> None:
        """
        Every kind of read of a missing object raises NotFoundError.
        """
        missing = storage.root / "missing"

        with pytest.raises(NotFoundError):
            await storage.read(missing)
        with pytest.raises(NotFoundError):
            await storage.stat(missing)
        with pytest.raises(NotFoundError):
            async with storage.get(missing):
                pass
        with pytest.raises(NotFoundError):
            await storage.read_ranges(missing, [ByteRange(0, 1)])

    @pytest.mark.parametrize(
        "ranges",
        [
            [],
            [(0, 10)],
            [(0, 10), (5, 20)],
            [(500, 510), (0, 10)],
            [(0, 10), (0, 10)],
            [(3, 3), (0, 10), (7, 7)],
            [(0, 1), (3_000_000, 3_000_010), (1_500_000, 1_500_001)],
            [(3_000_000, 9_000_000)],
            [(2_000_000, None), (0, 5)],
        ],
        ids=["none", "one", "overlap", "unsorted", "twice", "empty", "far-apart", "clipped", "open"],
    )
    async def test_ranges(self, storage: Storage, ranges: list[tuple[int, int | None]]) -> None:
        """
        The results are in the order of the requested ranges.
        """
        await storage.put(storage.root / "key", _LARGE)

        found = await storage.read_ranges(storage.root / "key", [ByteRange(*bounds) for bounds in ranges])

        assert list(found) == [_LARGE[start:end] for start, end in ranges]

    async def test_ranges_from_the_end(self, storage: Storage) -> None:
        """
        Suffixes can be mixed with other ranges.
        """
        await storage.put(storage.root / "key", _LARGE)
        wanted = [ByteRange(-5), ByteRange(0, 5), ByteRange(-len(_LARGE) - 9)]

        assert list(await storage.read_ranges(storage.root / "key", wanted)) == [_LARGE[-5:], _LARGE[:5], _LARGE]

    async def test_one_of_the_ranges_past_the_end(self, storage: Storage) -> None:
        """
        One range that starts after the end of the object fails the whole call.
        """
        await storage.put(storage.root / "key", _DATA)

        with pytest.raises(RangeNotSatisfiableError):
            await storage.read_ranges(storage.root / "key", [ByteRange(0, 10), ByteRange(1000, 1001)])

    async def test_near_ranges_are_merged(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        Ranges that are close together are read by one request.
        """
        await storage.put(storage.root / "key", _DATA)

        await faulty.read_ranges(faulty.root / "key", [ByteRange(900, 910), ByteRange(0, 10), ByteRange(300, 700)])

        assert faults.calls["open_read"] == 1

    @requires("conditional_read")
    async def test_ranges_of_one_version(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        If the object is replaced between requests, the call fails: it never mixes two versions.
        """
        await storage.put(storage.root / "key", _LARGE)
        stop = faults.hang("open_read", after=1)

        async def replace() -> None:
            await stop.reached()
            await storage.put(storage.root / "key", bytes(len(_LARGE)))
            stop.release()

        with pytest.raises(PreconditionFailedError):
            await together(replace(), faulty.read_ranges(faulty.root / "key", [ByteRange(0, 9), ByteRange(-9)]))
