"""
Budgets are shared fairly and never overdrawn.
"""

import asyncio
from contextlib import suppress
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncstore.engine.budget import PATIENCE, Budget
from asyncstore.engine.request_budget import RequestBudget
from tests.virtual_time import in_virtual_time


async def waiting(budget: Budget, amount: int = 1) -> asyncio.Task[int]:
    task = asyncio.ensure_future(budget.acquire(amount))
    await asyncio.sleep(0)
    return task


async def test_units_are_taken_and_released() -> None:
    budget = Budget(3)
    await budget.acquire(2)
    budget.release(2)

    assert (0, 2) == (budget.used, budget.peak)


async def test_first_come_first_served() -> None:
    """
    A small reservation does not overtake a large one.
    """
    budget = Budget(4)
    await budget.acquire(3)
    much = await waiting(budget, 4)
    little = await waiting(budget, 1)

    assert not budget.take(1)
    assert not little.done()

    budget.release(3)
    await much
    budget.release(4)
    await little

    assert 1 == budget.used


async def test_a_release_wakes_all_that_fit() -> None:
    budget = Budget(5)
    await budget.acquire(5)
    tasks = [await waiting(budget, amount) for amount in (2, 3, 1)]
    budget.release(5)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert [True, True, False] == [task.done() for task in tasks]

    budget.release(2)
    await tasks[2]

    assert 4 == budget.used


async def test_a_caller_cancelled_while_waiting_has_taken_nothing() -> None:
    budget = Budget(1)
    await budget.acquire()
    task = await waiting(budget)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert (1, 0) == (budget.used, budget.waiting)


async def test_a_cancelled_head_lets_the_others_pass() -> None:
    budget = Budget(2)
    await budget.acquire(1)
    head = await waiting(budget, 2)
    behind = await waiting(budget, 1)
    head.cancel()
    await behind

    assert 2 == budget.used
    assert head.cancelled()


async def test_granted_and_cancelled_in_one_iteration_releases_it() -> None:
    budget = Budget(1)
    await budget.acquire()
    task = await waiting(budget)
    other = await waiting(budget)
    budget.release()
    task.cancel()
    await other

    assert (1, 0) == (budget.used, budget.waiting)
    assert task.cancelled()


async def test_cancelled_and_released_in_one_iteration() -> None:
    """
    A release between a cancellation and its delivery is neither lost nor granted.
    """
    budget = Budget(1)
    await budget.acquire()
    task = await waiting(budget)
    task.cancel()
    budget.release()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (0, 0) == (budget.used, budget.waiting)


async def test_scopes_cancel_waiting() -> None:
    budget = Budget(1)
    await budget.acquire()
    with anyio.move_on_after(0) as scope:
        await budget.acquire()

    assert scope.cancelled_caught
    assert (1, 0) == (budget.used, budget.waiting)


def test_streams_that_have_stopped_hold_up_nobody() -> None:
    """
    Once nothing but them is in use, one caller after the other exceeds the total; while one moves, all wait.
    """

    async def scenario() -> None:
        budget = Budget(4)
        await budget.acquire(4)
        with budget.filling(2) as first, budget.filling(2):
            task = await waiting(budget)
            for _ in range(10):
                first.moved()
                await asyncio.sleep(0.6)
            assert not task.done()

            await asyncio.sleep(2 * PATIENCE)
            assert task.done()
            late = await waiting(budget)
            await asyncio.sleep(10 * PATIENCE)
            assert not late.done()
            budget.release()
            await late
            first.moved()
            budget.release()
            assert not budget.take()
            last = await waiting(budget)
            await asyncio.sleep(0)
            assert not last.done()
            last.cancel()
        budget.release(4)
        assert (0, 5) == (budget.used, budget.peak)

    in_virtual_time(scenario())


async def test_files_count_as_stopped_at_once() -> None:
    budget = Budget(4)
    await budget.acquire(4)
    task = await waiting(budget)
    with budget.filling(4, patience=0) as filling:
        filling.moved()
        await asyncio.sleep(0)
        assert task.done()
    budget.release()
    assert not budget.take()
    budget.release(4)
    assert budget.take(4)


async def test_more_than_the_total_is_an_error() -> None:
    """
    Waiting for it would never end.
    """
    budget = Budget(2)
    with pytest.raises(ValueError, match="cannot take 3 units: there are only 2"):
        await budget.acquire(3)

    assert (0, 0) == (budget.used, budget.waiting)


async def test_a_reservation_of_more_counts_as_all() -> None:
    budget = Budget(2)
    async with budget.reserve(5):
        assert 2 == budget.used

    assert 0 == budget.used


@given(seed=st.integers(0, 2**32), total=st.integers(1, 6))
@settings(max_examples=60)
def test_no_schedule_overdraws(seed: int, total: int) -> None:
    """
    The total is right after any order of taking, cancelling and releasing.
    """
    asyncio.run(_random_schedule(Random(seed), total))


async def _random_schedule(random: Random, total: int) -> None:
    budget = Budget(total)
    held = 0

    async def hold(amount: int, turns: int) -> None:
        nonlocal held
        await budget.acquire(amount)
        held += amount
        try:
            assert held == budget.used or budget.used > held
            assert budget.used <= total
            for _ in range(turns):
                await asyncio.sleep(0)
        finally:
            held -= amount
            budget.release(amount)

    tasks = []
    for _ in range(30):
        tasks.append(asyncio.ensure_future(hold(random.randint(1, total), random.randint(0, 3))))
        if random.random() < 0.3:
            random.choice(tasks).cancel()
        if random.random() < 0.5:
            await asyncio.sleep(0)
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task

    assert (0, 0) == (budget.used, budget.waiting)
    assert budget.peak <= total


async def throttled_at(budget: RequestBudget, in_flight: int) -> None:
    """
    Take *in_flight* places that are known to be served, of which each request is throttled.
    """
    budget.total = budget.served = max(in_flight, budget.total)
    epoch = budget.epoch
    for _ in range(in_flight):
        assert budget.take()
    for place in range(in_flight):
        budget.refuse(epoch, place + 1)
        budget.release()


async def test_throttling_halves_the_requests_in_flight_once() -> None:
    """
    Not once for each of the requests that were in flight together.
    """
    budget = RequestBudget(64)
    await throttled_at(budget, 48)

    assert 24 == budget.total

    await throttled_at(budget, 24)

    assert 12 == budget.total
    assert 72 == budget.throttled


async def test_throttling_leaves_one_request() -> None:
    budget = RequestBudget(64)
    for _ in range(10):
        await throttled_at(budget, 1)

    assert 1 == budget.total
    assert budget.take()


async def test_a_request_from_before_does_not_halve_again() -> None:
    budget = RequestBudget(64)
    old = budget.epoch
    await throttled_at(budget, 64)
    budget.refuse(old, 1)

    assert 32 == budget.total


async def test_one_refusal_among_many_successes_changes_nothing() -> None:
    """
    A service fails for other reasons, too.
    """
    budget = RequestBudget(64)
    budget.served = 16
    budget.successes = 20
    budget.refuse(budget.epoch, 16)

    assert 16 == budget.total

    budget.successes += 19
    budget.refuse(budget.epoch, 16)

    assert 8 == budget.total


async def test_what_is_served_is_not_given_up_when_more_is_refused() -> None:
    budget = RequestBudget(64)
    budget.total, budget.served = 40, 30
    for _ in range(40):
        budget.take()
    budget.refuse(0, 33)
    budget.refuse(0, 31)

    assert (30, 31, 2) == (budget.total, budget.refused, budget.overreached)


async def test_nothing_starts_while_the_provider_asked_to_wait() -> None:
    """
    Until the last of those who were asked has waited.
    """
    budget = RequestBudget(4)
    with budget.held():
        with budget.held():
            task = await waiting(budget)
        await asyncio.sleep(0)

        assert not budget.take()
        assert not task.done()

    await task

    assert 1 == budget.used
