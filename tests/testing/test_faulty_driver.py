"""
Faults come when they are asked for, and only then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from asyncstore import (
    IntegrityError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    ReadOptions,
    RetryOptions,
    Storage,
    UnavailableError,
    UploadOptions,
)
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.testing.faults import OPERATIONS, FaultyDriver

ONCE = RetryOptions(attempts=1)


@pytest.fixture
def memory() -> MemoryDriver:
    return MemoryDriver()


@pytest.fixture
def faults(memory: MemoryDriver) -> FaultyDriver:
    return FaultyDriver(memory)


@pytest.fixture
async def storage(faults: FaultyDriver) -> AsyncIterator[Storage]:
    """A storage that does not try again, so that each fault is seen."""
    async with faults.storage("memory://bucket", retry=ONCE) as storage:
        yield storage


async def test_without_faults_all_is_passed_on(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    What nobody asked to fail works, and is counted.
    """
    await storage.put(storage.root / "key", b"data")

    assert await storage.read(storage.root / "key") == b"data"
    assert (faults.provider, faults.capabilities) == (memory.provider, memory.capabilities)
    assert faults.calls == {"put": 1, "open_read": 1, "read": 1}
    assert memory.objects == {"key": b"data"}


def test_all_requests_of_a_driver_are_wrapped() -> None:
    """
    A method that a driver gains is one that can fail.
    """
    local = {"native", "describe", "classify", "aclose"}
    public = {name for name, value in vars(FaultyDriver.__base__).items() if callable(value) and name[0] != "_"}

    assert public - local == OPERATIONS - {"read", "write"}
    assert public <= vars(FaultyDriver).keys()


async def test_fail_after_and_times(faults: FaultyDriver, storage: Storage) -> None:
    """
    So many calls pass, so many fail, the rest pass again.
    """
    faults.fail("stat", PermissionDeniedError("refused"), after=1, times=2)
    outcomes = []
    for _ in range(5):
        try:
            await storage.stat(storage.root / "key")
        except (NotFoundError, PermissionDeniedError) as exc:
            outcomes.append(type(exc))

    assert outcomes == [NotFoundError, PermissionDeniedError, PermissionDeniedError, NotFoundError, NotFoundError]


async def test_where(faults: FaultyDriver, storage: Storage) -> None:
    """
    A fault can be for some objects only.
    """
    faults.fail("put", times=None, where=lambda call: call.uri.key == "bad")

    await storage.put(storage.root / "good", b"data")
    with pytest.raises(UnavailableError):
        await storage.put(storage.root / "bad", b"data")


async def test_where_by_part(faults: FaultyDriver, storage: Storage) -> None:
    """
    A fault can be for one part.
    """
    faults.fail("upload_part", PermissionDeniedError("refused"), where=lambda call: call.number == 2)
    options = UploadOptions(part_size=10, multipart_threshold=10, max_concurrency=1)

    with pytest.raises(PermissionDeniedError):
        await storage.put(storage.root / "key", bytes(30), options=options)
    assert faults.calls["upload_part"] == 2


async def test_lose_reply_does_it(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    The request is carried out, and the caller is not told.
    """
    faults.lose_reply("put")

    with pytest.raises(UnavailableError) as failure:
        await storage.put(storage.root / "key", b"data")

    assert failure.value.status is None
    assert memory.objects == {"key": b"data"}


async def test_hang_until_released(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    A call stands still before it is carried out, and goes on when it is released.
    """
    stop = faults.hang("put")
    task = asyncio.ensure_future(storage.put(storage.root / "key", b"data"))
    await stop.reached()
    before = dict(memory.objects)
    standing = (stop.waiting, faults.in_flight["put"], faults.in_flight["all"])

    stop.release()
    await task

    assert before == {}
    assert standing == (1, 1, 1)
    assert memory.objects == {"key": b"data"}


async def test_hang_until_cancelled(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    A call that is cancelled where it hangs was never carried out.
    """
    stop = faults.hang("put")
    task = asyncio.ensure_future(storage.put(storage.root / "key", b"data"))
    await stop.reached()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert memory.objects == {}
    assert not any(faults.in_flight.values())


async def test_hang_reply_closes_what_nobody_takes(faults: FaultyDriver, storage: Storage) -> None:
    """
    A body whose reader was cancelled before it got it is closed.
    """
    await storage.put(storage.root / "key", b"data")
    stop = faults.hang_reply("open_read")
    task = asyncio.ensure_future(storage.read(storage.root / "key"))
    await stop.reached()
    opened = faults.bodies_open
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert (opened, faults.bodies_open) == (1, 0)


async def test_corrupt_both_ways(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    One bit is changed, on the way in or out; the checksum is that of the right bytes.
    """
    faults.corrupt("put")
    with pytest.raises(IntegrityError):
        await storage.put(storage.root / "key", b"data")
    await storage.put(storage.root / "key", b"data")
    faults.corrupt("read")
    with pytest.raises(IntegrityError):
        await storage.read(storage.root / "key")

    assert memory.objects == {"key": b"data"}


async def test_truncate(faults: FaultyDriver, storage: Storage) -> None:
    """
    A body breaks after so many bytes, which are good.
    """
    await storage.put(storage.root / "key", b"0123456789")
    faults.truncate(after=4)
    body = await faults.open_read(storage.root / "key", ReadOptions())
    received = await anext(aiter(body))
    with pytest.raises(UnavailableError):
        await body.read()
    await body.aclose()

    assert received == b"0123"
    assert faults.bodies_open == 0


async def test_write_is_the_middle_of_the_bytes(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    A request can fail when half of its bytes are out.
    """
    faults.fail("write", PermissionDeniedError("refused"))

    with pytest.raises(PermissionDeniedError):
        await storage.put(storage.root / "key", b"data")

    assert faults.calls == {"put": 1, "write": 1}
    assert memory.objects == {}


async def test_slow_and_peak(faults: FaultyDriver, storage: Storage) -> None:
    """
    Slow calls pile up, and the peak tells how many.
    """
    faults.slow("put", 0.01)
    tasks = [asyncio.ensure_future(storage.put(storage.root / f"{number}", b"")) for number in range(5)]
    for task in tasks:
        await task

    assert (faults.peak["put"], faults.peak["all"], faults.in_flight["all"]) == (5, 5, 0)


async def test_heal(faults: FaultyDriver, storage: Storage) -> None:
    """
    All faults can be taken back.
    """
    faults.fail("put", times=None)
    faults.heal()

    await storage.put(storage.root / "key", b"data")


def test_faults_that_cannot_be(faults: FaultyDriver) -> None:
    """
    A misspelt operation would be a test that tests nothing.
    """
    with pytest.raises(ValueError, match="no operation"):
        faults.fail("upload")
    with pytest.raises(ValueError, match="corrupt"):
        faults.corrupt("stat")
    with pytest.raises(ValueError, match="read"):
        faults.truncate("put", after=1)


def test_what_the_driver_has_not(faults: FaultyDriver) -> None:
    """
    What is refused below is refused here.
    """
    with pytest.raises(NotSupportedError):
        faults.native()
    assert faults.describe() == {}
    assert faults.classify(ValueError()) is None
