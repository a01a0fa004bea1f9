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

from asyncstore.engine.limits import Budget


async def waiting(budget: Budget, amount: int = 1) -> asyncio.Task[None]:
    task = asyncio.ensure_future(budget.acquire(amount))
    await asyncio.sleep(0)
    return task


async def test_units_are_taken_and_given_back() -> None:
    budget = Budget(3)
    await budget.acquire(2)
    budget.release(2)

    assert (0, 2) == (budget.used, budget.peak)


async def test_who_comes_first_is_served_first() -> None:
    """
    One that wants little does not overtake one that wants much.
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


async def test_who_is_cancelled_while_waiting_has_taken_nothing() -> None:
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


async def test_granted_and_cancelled_in_one_turn_gives_it_back() -> None:
    budget = Budget(1)
    await budget.acquire()
    task = await waiting(budget)
    other = await waiting(budget)
    budget.release()
    task.cancel()
    await other

    assert (1, 0) == (budget.used, budget.waiting)
    assert task.cancelled()


async def test_cancelled_and_released_in_one_turn() -> None:
    """
    A release between a cancellation and its delivery neither grants nor disturbs.
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


async def test_more_than_there_is_can_never_be_taken() -> None:
    """
    Waiting for it would last for ever.
    """
    budget = Budget(2)
    with pytest.raises(ValueError, match="3 of 2"):
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
    Whatever is taken, cancelled and given back in whatever order, the sum holds.
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
