"""
Reading into the caller's memory.
"""

from __future__ import annotations

from array import array
from typing import Final

import pytest

from asyncstore.errors import (
    InvalidRequestError,
    NotFoundError,
    RangeNotSatisfiableError,
    SourceChangedError,
)
from asyncstore.options import ByteRange, DownloadOptions, KiB, MiB
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, together
from asyncstore.testing.conformance.interrupts import INTERRUPTS, Interrupt
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver

_PARTS: Final = DownloadOptions(part_size=1536 * KiB, max_concurrency=3)

#: Sizes around one chunk and around parts of 1.5 MiB.
_SIZES: Final = [0, 1, MiB, MiB + 1, 1536 * KiB, 1536 * KiB + 1, 3 * MiB + 1]

_RANGES: Final = {
    "start": ByteRange(0, 5),
    "several-parts": ByteRange(100, 3 * MiB + 7),
    "past-the-end": ByteRange(3 * MiB, 9 * MiB),
    "to-the-end": ByteRange(MiB),
    "suffix": ByteRange(-2 * MiB),
    "empty": ByteRange(7, 7),
}


class ReadingInto(Harness):
    """
    The bytes of an object, all of one version and verified, in memory that is free again afterwards.
    """

    @pytest.mark.parametrize("size", _SIZES)
    async def test_read_into(self, storage: Storage, size: int) -> None:
        """
        The buffer has the bytes of the object, and is unchanged after them; it can be resized again.
        """
        data = payload(size)
        await storage.put(storage.root / "key", data)
        buffer = bytearray(b"\xee" * (size + 10))

        assert await storage.read_into(storage.root / "key", buffer, options=_PARTS) == size

        assert buffer == data + b"\xee" * 10
        buffer.clear()

    @pytest.mark.parametrize("part", _RANGES.values(), ids=_RANGES)
    async def test_read_into_of_a_range(self, storage: Storage, part: ByteRange) -> None:
        """
        A range has the same bytes as a slice; one that ends past the object is clipped.
        """
        data = payload(4 * MiB)
        await storage.put(storage.root / "key", data)
        buffer = bytearray(9 * MiB)

        count = await storage.read_into(storage.root / "key", buffer, range=part, options=_PARTS)

        assert buffer[:count] == data[part.start : part.end]
        assert not any(buffer[count:])

    async def test_read_into_memory_of_other_items(self, storage: Storage) -> None:
        """
        The buffer need not have bytes as items.
        """
        await storage.put(storage.root / "key", array("d", [1.5, -2.0, 3.25]).tobytes())
        numbers = array("d", [0.0] * 4)

        assert await storage.read_into(storage.root / "key", numbers) == 24

        assert numbers.tolist() == [1.5, -2.0, 3.25, 0.0]

    async def test_buffer_too_small_for_a_range(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A buffer that is smaller than the range is refused before anything is sent.
        """
        with pytest.raises(InvalidRequestError, match="the buffer has 9 bytes"):
            await faulty.read_into(faulty.root / "key", bytearray(9), range=ByteRange(0, 10))
        assert not faults.calls

    async def test_buffer_too_small_for_the_object(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        A buffer that is smaller than the object is refused before it is written to.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))
        buffer = bytearray(3 * MiB - 1)

        with pytest.raises(InvalidRequestError):
            await faulty.read_into(faulty.root / "key", buffer)

        assert not any(buffer)
        assert faults.calls["open_read"] == 1
        assert is_idle(faulty, faults)

    async def test_read_into_of_a_missing_object(self, storage: Storage) -> None:
        """
        A missing object, and a range after the end, are the errors of any read; the buffer is free.
        """
        buffer = bytearray(10)
        with pytest.raises(NotFoundError):
            await storage.read_into(storage.root / "missing", buffer)
        await storage.put(storage.root / "key", b"data")
        with pytest.raises(RangeNotSatisfiableError):
            await storage.read_into(storage.root / "key", buffer, range=ByteRange(5, 6))
        buffer.clear()

    async def test_replaced_while_it_is_read_into_a_buffer(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        An object that is replaced between the requests fails the read.
        """
        await storage.put(storage.root / "key", payload(4 * MiB))
        stop = faults.hang("open_read", after=1)

        async def replace_it() -> None:
            await stop.reached()
            await storage.put(storage.root / "key", payload(4 * MiB, seed=1))
            stop.release()

        with pytest.raises(SourceChangedError):
            await together(replace_it(), faulty.read_into(faulty.root / "key", bytearray(4 * MiB), options=_PARTS))
        assert is_idle(faulty, faults)

    @pytest.mark.parametrize("op", ["open_read", "read"])
    @pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS)
    async def test_cancelled_read_into(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str, interrupt: Interrupt
    ) -> None:
        """
        Once a cancelled read has returned, nothing refers to the buffer any more.
        """
        await storage.put(storage.root / "key", payload(4 * MiB))
        buffer = bytearray(4 * MiB)
        stop = faults.hang(op, after=1)

        await interrupt(faulty.read_into(faulty.root / "key", buffer, options=_PARTS), stop)

        # A view that is still in use would make this fail.
        buffer.clear()
        assert is_idle(faulty, faults)
