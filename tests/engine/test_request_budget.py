"""
The number of requests in flight is found: models of services, in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from asyncstore.config import RetryOptions
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.limits import Limits
from asyncstore.engine.request_budget import RequestBudget
from asyncstore.engine.requests import Requests
from asyncstore.engine.retry import Retry
from asyncstore.engine.task_pool import AHEAD, for_each
from asyncstore.engine.upload.disk_journal import DiskJournal
from asyncstore.errors import ThrottledError
from asyncstore.options import MiB
from tests.build import KEY
from tests.virtual_time import in_virtual_time

Serve = Callable[[], Awaitable[None]]


@dataclass
class Service:
    """
    A model of a service.

    Attributes:
        delay: Seconds that a request takes, if none has to wait.
        capacity: Requests a second that it serves, one after the other.
        room: Requests at a time that it does not refuse.
        refuses: Whether it refuses a request, besides those for which it has no room.
        retry_after: What it tells those that it refuses.
    """

    delay: float
    capacity: float = float("inf")
    room: float = float("inf")
    refuses: Callable[[], bool] = lambda: False
    retry_after: float | None = None
    served: int = 0
    refused: list[float] = field(default_factory=list)
    now: int = 0
    peak: int = 0
    begun: list[float] = field(default_factory=list)
    _free: float = 0.0

    async def __call__(self) -> None:
        clock = asyncio.get_running_loop().time
        self.begun.append(clock())
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            if self.now > self.room or self.refuses():
                await asyncio.sleep(self.delay / 4)
                self.refused.append(clock())
                raise ThrottledError("SlowDown", retry_after=self.retry_after)
            self._free = max(self._free, clock()) + 1 / self.capacity
            await asyncio.sleep(self.delay + self._free - clock())
            self.served += 1
        finally:
            self.now -= 1


@dataclass
class Link:
    """
    Long bodies, in pieces of 1 MiB, over connections that share a line.

    Attributes:
        rate: Bytes a second of each connection.
        cap: Bytes a second of all.
    """

    rate: float
    cap: float = float("inf")
    _free: float = 0.0

    async def body(self, budget: RequestBudget, size: int) -> None:
        """
        Receive a body of *size* bytes.
        """
        clock = asyncio.get_running_loop().time
        budget.began_body()
        for _ in range(size // MiB):
            self._free = max(self._free, clock()) + MiB / self.cap
            await asyncio.sleep(max(MiB / self.rate, self._free - clock()))
            budget.moved(MiB)


class Client:
    """
    Sends the requests of a storage, and remembers how many were allowed at which time.
    """

    def __init__(self, most: int = 128, attempts: int = 6) -> None:
        loop = asyncio.get_running_loop()
        retry = Retry(
            RetryOptions(attempts=attempts), sleep=asyncio.sleep, clock=loop.time, jitter=lambda low, high: high / 2
        )
        journal = DiskJournal(None, "memory", "")
        self.requests = Requests(MemoryDriver("bucket"), Limits(most, 64 * MiB), retry, journal)
        self.budget = self.requests.limits.requests
        self.failed = 0

    async def send(self, serve: Serve, count: int, concurrency: int = 1000) -> float:
        """
        Send *count* requests, and return the seconds that they took.
        """

        async def one(_: int) -> None:
            try:
                await self.requests("get", KEY, serve)
            except ThrottledError:
                self.failed += 1

        clock = asyncio.get_running_loop().time
        started = clock()
        await for_each(range(count), one, max_concurrency=concurrency, ahead=AHEAD)
        seconds = clock() - started
        # A number that was being tried is given up when nobody waits any more.
        await asyncio.sleep(0.1)
        return seconds

    async def receive(self, link: Link, sizes: list[int], delay: float = 0.03) -> float:
        """
        Receive bodies, and return the seconds that they took.
        """

        async def head() -> None:
            await asyncio.sleep(delay)

        async def one(size: int) -> None:
            await self.requests("get", KEY, head, keep=True)
            await link.body(self.budget, size)
            self.budget.release()

        clock = asyncio.get_running_loop().time
        started = clock()
        await for_each(sizes, one, max_concurrency=1000, ahead=AHEAD)
        seconds = clock() - started
        # A number that was being tried is given up when nobody waits any more.
        await asyncio.sleep(0.1)
        return seconds

    async def allowed_at(self, *times: float) -> list[int]:
        """
        Return how many requests are allowed at each time.
        """
        found = []
        for time in times:
            await asyncio.sleep(time - asyncio.get_running_loop().time())
            found.append(self.budget.total)
        return found


def virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """
    Run a test in virtual time.
    """

    def run() -> None:
        in_virtual_time(test())

    run.__doc__ = test.__doc__
    return run


@virtually
async def test_a_far_service_gets_all_requests_before_it_has_answered_many() -> None:
    """
    Each 30 ms twice as many, since no place has reported yet.
    """
    client, service = Client(), Service(0.2)
    sending = asyncio.ensure_future(client.send(service, 3000))

    assert [16, 32, 64, 128] == await client.allowed_at(0.029, 0.031, 0.061, 0.091)

    await sending

    assert 128 == client.budget.total == service.peak


@virtually
async def test_the_ceiling_holds() -> None:
    client, service = Client(most=20), Service(0.2)
    await client.send(service, 400)

    assert 20 == client.budget.total == service.peak


@virtually
async def test_fewer_than_the_first_number_may_be_the_ceiling() -> None:
    client, service = Client(most=3), Service(0.2)
    await client.send(service, 30)

    assert 3 == client.budget.total == service.peak


@virtually
async def test_a_service_that_is_busy_gets_no_more_requests() -> None:
    """
    16 are enough for 3,000 a second; 32 are tried now and then, less and less often.
    """
    client, service = Client(), Service(0.001, capacity=3000)
    seconds = await client.send(service, 60_000)

    assert 16 == client.budget.total
    assert 32 == service.peak
    assert seconds == pytest.approx(20, rel=0.01)


@virtually
async def test_growing_stops_where_it_does_not_help() -> None:
    """
    10,000 a second with 5 ms each are 50 at a time; with 48 they are 96 % of that.
    """
    client, service = Client(), Service(0.005, capacity=10_000)
    seconds = await client.send(service, 50_000)

    assert 48 == client.budget.total
    assert 128 == service.peak
    assert seconds < 1.06 * 5


@virtually
async def test_long_bodies_are_measured_by_their_bytes() -> None:
    client, link = Client(), Link(rate=5e6)
    seconds = await client.receive(link, [4 * MiB] * 512)

    assert 128 == client.budget.total
    # With 128 from the start: 3.48 s.
    assert seconds < 1.05 * 3.48


@virtually
async def test_a_slow_line_gets_fewer_connections_in_time() -> None:
    """
    100 MB/s are reached with 128 at first, since nothing is known; later with 16.
    """
    client, link = Client(), Link(rate=20e6, cap=100e6)
    seconds = await client.receive(link, [8 * MiB] * 1500)

    assert 16 == client.budget.total
    assert seconds == pytest.approx(1500 * 8 * MiB / 100e6, rel=0.01)


@virtually
async def test_a_mixture_is_helped_by_either_kind() -> None:
    """
    Small requests between long bodies: more of them is growth, too.
    """
    client, link, service = Client(), Link(rate=20e6), Service(0.03)
    await asyncio.gather(client.receive(link, [16 * MiB] * 32), client.send(service, 2000))

    assert 128 == client.budget.total


@virtually
async def test_other_work_is_sought_for_again() -> None:
    """
    What was found for quick requests does not hold for those that take long.
    """
    client = Client()
    await client.send(Service(0.001, capacity=3000), 6000)

    assert 16 == client.budget.total

    await client.send(Service(1.0), 600)

    assert 128 == client.budget.total


@virtually
async def test_a_service_that_refuses_more_than_16_is_not_asked_for_more() -> None:
    """
    Growing too far costs one round of refusals; then 17 is tried after 5 s, 10 s, 20 s, ...
    """
    client, service = Client(), Service(0.1, room=16)
    seconds = await client.send(service, 16 * 10 * 60)

    assert 0 == client.failed
    assert 16 == client.budget.total
    # With 16 from the start: 60 s.
    assert seconds < 1.01 * 60
    assert [5, 10, 20] == [round(late - early) for early, late in _gaps(service.refused)]


def _gaps(times: list[float]) -> list[tuple[float, float]]:
    return [(early, late) for early, late in pairwise(times) if late - early > 1]


@virtually
async def test_no_attempt_counts_that_was_refused_because_the_budget_grew() -> None:
    """
    Not even with two attempts, while those that are served take longer than all attempts together.
    """
    client, service = Client(attempts=2), Service(30.0, room=16)
    await client.send(Service(0.001), 1)
    await client.send(service, 64)

    assert (0, 64) == (client.failed, service.served)
    assert len(service.refused) > 32


@virtually
async def test_a_service_with_more_room_is_noticed() -> None:
    client, service = Client(), Service(0.1, room=16)
    await client.send(service, 16 * 10 * 3)
    service.room = 1000
    await client.send(service, 16 * 10 * 20)

    assert 128 == client.budget.total


@virtually
async def test_a_service_with_less_room_is_noticed() -> None:
    """
    The number is halved until it fits, and the served ones go on.
    """
    client, service = Client(), Service(0.1)
    await client.send(service, 128 * 10)
    service.room = 40
    service.refused.clear()
    await client.send(service, 40 * 10 * 10)

    assert 0 == client.failed
    assert 32 <= client.budget.total <= 40
    assert len(service.refused) < 200


@virtually
async def test_an_outage_ends_without_a_stampede() -> None:
    """
    The first request after it is alone, and twice as many need at least as many successes.
    """
    client = Client(attempts=100)
    clock = asyncio.get_running_loop().time
    service = Service(0.1, refuses=lambda: 2.0 < clock() < 12.0)
    sending = asyncio.ensure_future(client.send(service, 20_000))
    await asyncio.sleep(11.9)

    assert 1 == client.budget.total

    service.peak = 0
    await asyncio.sleep(1.1)

    assert service.peak <= 10

    await sending

    assert 0 == client.failed
    assert 128 == client.budget.total


@virtually
async def test_a_few_random_refusals_do_not_stop_a_transfer() -> None:
    random = Random(1)
    client, service = Client(attempts=20), Service(0.03, refuses=lambda: random.random() < 0.02)
    seconds = await client.send(service, 5000)

    assert 0 == client.failed
    # At least what an average of 8 at a time bring.
    assert seconds < 5000 * 0.03 / 8


@virtually
async def test_retry_after_holds_for_all() -> None:
    client = Client()
    service = Service(0.1, room=16, retry_after=3.0)
    await client.send(service, 400)
    late = max(service.refused)
    told = min(service.refused)

    assert 0 == client.failed
    assert not [begun for begun in service.begun if late < begun < told + 3.0]


@virtually
async def test_pools_share_the_budget_equally() -> None:
    """
    One pool with many items does not starve another one, and neither makes more tasks than it needs.
    """
    client = Client(most=16)
    one, other = Service(0.1), Service(0.1)
    first = asyncio.ensure_future(client.send(one, 10_000))
    await asyncio.sleep(5)
    before = one.served
    second = asyncio.ensure_future(client.send(other, 10_000))
    await asyncio.sleep(10)

    assert other.served == pytest.approx(one.served - before, rel=0.1)
    assert len(asyncio.all_tasks()) <= 16 + 2 * AHEAD + 3

    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


@virtually
async def test_nothing_is_measured_while_nobody_waits() -> None:
    """
    A few requests at a time never make the number grow, however slow they are.
    """
    client, service = Client(), Service(0.2)
    for _ in range(20):
        await asyncio.gather(*(client.requests("get", KEY, service) for _ in range(10)))

    assert 16 == client.budget.total
