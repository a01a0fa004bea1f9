"""
Rates are kept exactly, and a wait can be cancelled. No test waits: the clock is the test's own.
"""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from asyncstore import ConfigurationError, Storage, UploadOptions, open_storage
from asyncstore.config import StorageConfig
from asyncstore.engine.ceilings import Ceilings, Rate, ThrottledDriver, requests_fed
from asyncstore.options import KiB, MiB
from asyncstore.testing.faults import FaultyDriver
from tests.build import patterned, stream


class Clock:
    """
    Time that passes when somebody sleeps.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    def rate(self, per_second: float | None) -> Rate:
        return Rate("rate", per_second, clock=self, sleep=self.sleep)

    def wrap(self, storage: Storage, **per_second: float | None) -> Storage:
        ceilings = Ceilings(**per_second, rate=lambda _, given: self.rate(given))
        return storage.wrapped(partial(ThrottledDriver, ceilings=ceilings))


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_one_second_at_once_then_the_rate(storage: Storage, faults: FaultyDriver, clock: Clock) -> None:
    """
    Four requests a second: the first four do not wait, each further one waits a quarter.
    """
    slow = clock.wrap(storage, requests_per_second=4)

    for _ in range(7):
        await slow.exists("key")

    assert clock.slept == [0.25, 0.25, 0.25]
    assert faults.calls == {"stat": 7}


async def test_idle_time_saves_one_second_only(storage: Storage, clock: Clock) -> None:
    slow = clock.wrap(storage, requests_per_second=2)
    await slow.exists("key")
    clock.now += 3600

    for _ in range(3):
        await slow.exists("key")

    assert clock.slept == [0.5]


async def test_retries_and_pages_count(storage: Storage, faults: FaultyDriver, clock: Clock) -> None:
    slow = clock.wrap(storage, requests_per_second=1)
    faults.fail("stat", times=2)
    await slow.exists("key")

    assert clock.slept == [1.0, 1.0]


@pytest.mark.parametrize("size", [1000, 3 * MiB + 5])
async def test_bytes_in_both_directions(storage: Storage, clock: Clock, size: int) -> None:
    """
    Every byte sent or received counts once, whatever the verb and the size.
    """
    data = patterned(size)
    slow = clock.wrap(storage, bytes_per_second=size)
    options = UploadOptions(part_size=MiB, multipart_threshold=MiB)
    buffer = bytearray(size)

    await slow.put("key", data)
    assert clock.now == pytest.approx(100)
    await slow.put("key", stream(data, MiB // 3), options=options)
    assert clock.now == pytest.approx(101)
    assert await slow.read("key") == data
    async with slow.get("key") as body:
        assert b"".join([chunk async for chunk in body]) == data
    assert await slow.read_into("key", buffer) == size
    assert buffer == data
    assert clock.now == pytest.approx(104)


async def test_directions_are_counted_apart(storage: Storage, clock: Clock) -> None:
    """
    A ceiling of one direction leaves the other alone.
    """
    data = patterned(3 * MiB)
    slow = clock.wrap(storage, upload_bytes_per_second=MiB, download_bytes_per_second=3 * MiB)

    await slow.put("key", data)
    assert clock.now == pytest.approx(102)
    clock.slept.clear()
    assert await slow.read("key") == data
    assert clock.slept == []
    assert await slow.read("key") == data
    assert clock.now == pytest.approx(103)


async def test_a_body_is_paced_as_it_flows(storage: Storage, clock: Clock) -> None:
    """
    A large body does not go at full speed and then wait: it waits a piece at a time, of a 16th of a second.
    """
    slow = clock.wrap(storage, bytes_per_second=MiB)

    await slow.put("key", bytes(2 * MiB))

    assert clock.slept == [0.0625] * 16


async def test_a_cancelled_wait_takes_nothing(clock: Clock) -> None:
    """
    Whoever gives up leaves their turn to the others.
    """
    rate = Rate("rate", 1, clock=clock, sleep=anyio.sleep)
    await rate.take(1)
    with anyio.move_on_after(0):
        await rate.take(50)

    again = clock.rate(1)
    again._paid = rate._paid
    await again.take(1)

    assert clock.slept == [1.0]


async def test_without_a_limit_nothing_waits(storage: Storage, clock: Clock) -> None:
    slow = clock.wrap(storage)

    for _ in range(100):
        await slow.exists("key")

    assert clock.slept == []


async def test_settings_of_a_storage() -> None:
    """
    The settings hold for the whole storage, and closing it closes what it opened.
    """
    async with open_storage("memory://ceilings-of-a-storage", requests_per_second=1000) as storage:
        assert isinstance(storage._driver, ThrottledDriver)
        inner = storage._driver.driver
        await storage.put("key", b"data")
        assert await storage.read("key") == b"data"
    assert not isinstance(inner, ThrottledDriver)
    async with open_storage("memory://ceilings-of-a-storage") as storage:
        assert not isinstance(storage._driver, ThrottledDriver)


@pytest.mark.parametrize(
    "name", ["requests_per_second", "bytes_per_second", "upload_bytes_per_second", "download_bytes_per_second"]
)
def test_settings_that_allow_nothing_are_refused(name: str) -> None:
    """
    Zero is more likely a mistake than a wish.
    """
    with pytest.raises(ConfigurationError, match=f"{name} must be above 0"):
        StorageConfig.build("memory://bucket", {name: 0})


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, 128),
        ({"upload_bytes_per_second": KiB}, 128),
        ({"bytes_per_second": 640 * KiB}, 10),
        ({"upload_bytes_per_second": 640 * KiB, "download_bytes_per_second": 1280 * KiB}, 20),
        ({"bytes_per_second": KiB}, 4),
        ({"bytes_per_second": 1e9}, 128),
    ],
)
def test_requests_in_flight_that_the_rates_can_feed(rates: dict[str, float], expected: int) -> None:
    """
    Too many connections would each wait so long for their turn that servers close them.
    """
    assert requests_fed(StorageConfig.build("memory://bucket", rates)) == expected
