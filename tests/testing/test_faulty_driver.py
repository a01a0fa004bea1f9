"""
FaultyDriver injects the faults that a test asks for, and no others.
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
from asyncstore.driver import Driver, ForwardingDriver
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
    """A storage without retries, so that each fault is visible."""
    async with faults.storage("memory://bucket", retry=ONCE) as storage:
        yield storage


async def test_without_faults_calls_are_forwarded(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    Without faults, calls are forwarded and counted.
    """
    await storage.put(storage.root / "key", b"data")

    assert await storage.read(storage.root / "key") == b"data"
    assert (faults.provider, faults.capabilities) == (memory.provider, memory.capabilities)
    assert faults.calls == {"put": 1, "open_read": 1, "read": 1}
    assert memory.objects == {"key": b"data"}


def test_all_requests_of_a_driver_are_wrapped() -> None:
    """
    Every request of the driver contract can have faults, including future ones.
    """
    without_requests = {"native", "describe", "classify", "aclose", "narrow", "service_time", "prepare", "check_target"}
    public = {name for name, value in vars(Driver).items() if callable(value) and name[0] != "_"}

    assert public - without_requests == OPERATIONS - {"read", "write"}
    assert public <= vars(FaultyDriver).keys() | vars(ForwardingDriver).keys()


async def test_fail_after_and_times(faults: FaultyDriver, storage: Storage) -> None:
    """
    *after* calls pass, *times* calls fail, and the rest pass again.
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
    A fault can apply to some objects only.
    """
    faults.fail("put", times=None, where=lambda call: call.uri.key == "bad")

    await storage.put(storage.root / "good", b"data")
    with pytest.raises(UnavailableError):
        await storage.put(storage.root / "bad", b"data")


async def test_where_by_part(faults: FaultyDriver, storage: Storage) -> None:
    """
    A fault can apply to one part.
    """
    faults.fail("upload_part", PermissionDeniedError("refused"), where=lambda call: call.number == 2)
    options = UploadOptions(part_size=10, multipart_threshold=10, max_concurrency=1)

    with pytest.raises(PermissionDeniedError):
        await storage.put(storage.root / "key", bytes(30), options=options)
    assert faults.calls["upload_part"] == 2


async def test_lose_reply_makes_the_call(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    The request is carried out, and the caller gets an error.
    """
    faults.lose_reply("put")

    with pytest.raises(UnavailableError) as failure:
        await storage.put(storage.root / "key", b"data")

    assert failure.value.status is None
    assert memory.objects == {"key": b"data"}


async def test_hang_until_released(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    A call hangs before it is carried out, and continues when it is released.
    """
    stop = faults.hang("put")
    task = asyncio.ensure_future(storage.put(storage.root / "key", b"data"))
    await stop.reached()
    before = dict(memory.objects)
    hanging = (stop.waiting, faults.in_flight["put"], faults.in_flight["all"])

    stop.release()
    await task

    assert before == {}
    assert hanging == (1, 1, 1)
    assert memory.objects == {"key": b"data"}


async def test_hang_until_cancelled(faults: FaultyDriver, memory: MemoryDriver, storage: Storage) -> None:
    """
    A call that is cancelled while it hangs is never carried out.
    """
    stop = faults.hang("put")
    task = asyncio.ensure_future(storage.put(storage.root / "key", b"data"))
    await stop.reached()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert memory.objects == {}
    assert not any(faults.in_flight.values())


async def test_cancelled_hang_reply_closes_the_body(faults: FaultyDriver, storage: Storage) -> None:
    """
    A body whose reader was cancelled before receiving it is closed.
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
    One bit changes when sending or receiving; the checksum is still that of the original bytes.
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
    A body breaks after *after* bytes, which are unchanged.
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
    A request can fail after half of its bytes were sent.
    """
    faults.fail("write", PermissionDeniedError("refused"))

    with pytest.raises(PermissionDeniedError):
        await storage.put(storage.root / "key", b"data")

    assert faults.calls == {"put": 1, "write": 1}
    assert memory.objects == {}


async def test_slow_and_peak(faults: FaultyDriver, storage: Storage) -> None:
    """
    Slow calls overlap, and the peak counts them.
    """
    faults.slow("put", 0.01)
    tasks = [asyncio.ensure_future(storage.put(storage.root / f"{number}", b"")) for number in range(5)]
    for task in tasks:
        await task

    assert (faults.peak["put"], faults.peak["all"], faults.in_flight["all"]) == (5, 5, 0)


async def test_heal(faults: FaultyDriver, storage: Storage) -> None:
    """
    ``heal`` removes all faults.
    """
    faults.fail("put", times=None)
    faults.heal()

    await storage.put(storage.root / "key", b"data")


def test_impossible_faults_are_refused(faults: FaultyDriver) -> None:
    """
    A misspelled operation would make a test that tests nothing.
    """
    with pytest.raises(ValueError, match="not an operation"):
        faults.fail("upload")
    with pytest.raises(ValueError, match="corrupt"):
        faults.corrupt("stat")
    with pytest.raises(ValueError, match="read"):
        faults.truncate("put", after=1)


def test_features_that_the_driver_lacks(faults: FaultyDriver) -> None:
    """
    What the wrapped driver does not support is not supported.
    """
    with pytest.raises(NotSupportedError):
        faults.native()
    assert faults.describe() == {}
    assert faults.classify(ValueError()) is None
