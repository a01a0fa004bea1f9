"""
Concurrency is bounded, and the first error is raised alone.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from asyncstore.engine.task_pool import for_each, iterating, single_error


async def test_concurrency_is_limited() -> None:
    now = peak = 0
    seen: list[int] = []
    full = asyncio.Event()

    async def handle(item: int) -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        if now == 7:
            full.set()
        # None continues before seven have arrived; an eighth would arrive in that time.
        await full.wait()
        await asyncio.sleep(0.0001)
        seen.append(item)
        now -= 1

    await for_each(range(50), handle, max_concurrency=7)

    assert list(range(50)) == sorted(seen)
    assert 7 == peak


async def test_a_slow_item_does_not_delay_others() -> None:
    """
    A sliding window, not batches.
    """
    seen: list[int] = []
    done = asyncio.Event()

    async def handle(item: int) -> None:
        if item == 0:
            await done.wait()
        seen.append(item)
        if len(seen) == 19:
            done.set()

    await for_each(range(20), handle, max_concurrency=2)

    assert 0 == seen[-1]


async def test_no_more_workers_than_items() -> None:
    peak = 0

    async def handle(item: int) -> None:
        nonlocal peak
        await asyncio.sleep(0)
        peak = max(peak, len(asyncio.all_tasks()))

    await for_each(range(2), handle, max_concurrency=1000)

    assert peak <= 4


async def test_the_first_error_is_raised_with_the_others_as_notes() -> None:
    async def handle(item: int) -> None:
        try:
            await asyncio.sleep(0 if item == 0 else 10)
        finally:
            raise ValueError(item)

    with pytest.raises(ValueError, match="0") as caught:
        await for_each(range(3), handle, max_concurrency=3)

    assert {"also failed: ValueError(1)"} <= set(caught.value.__notes__)
    assert caught.value.__context__ is None


async def test_the_cause_and_context_of_an_error_stay() -> None:
    async def handle(item: int) -> None:
        try:
            raise KeyError(item)
        except KeyError as exc:
            raise ValueError from exc

    with pytest.raises(ValueError, match=r"^$") as caught:
        await for_each(range(1), handle, max_concurrency=1)

    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value.__context__, KeyError)


async def test_a_group_of_the_callers_own_stays_one() -> None:
    async def handle(item: int) -> None:
        raise ExceptionGroup("mine", [ValueError(item), KeyError(item)])

    with pytest.raises(ExceptionGroup, match="mine") as caught:
        await for_each(range(1), handle, max_concurrency=1)

    assert 2 == len(caught.value.exceptions)


class Stop(BaseException):
    """
    Like KeyboardInterrupt, but the event loop does not handle it.
    """


def test_an_error_that_stops_the_program_comes_first() -> None:
    with pytest.raises(Stop) as caught, single_error():
        raise BaseExceptionGroup("both", [ValueError("no"), Stop()])

    assert ["also failed: ValueError('no')"] == caught.value.__notes__


async def test_a_generator_is_closed_in_place() -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async with iterating(numbers()) as source:
        assert 1 == await anext(source)

    assert [True] == closed


async def test_a_plain_generator_is_closed_in_place() -> None:
    """
    What it holds is released even though the error, and so the generator, is still referred to.
    """
    closed = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    async def refuse(number: int) -> None:
        raise ValueError(f"not {number}")

    source = numbers()
    with pytest.raises(ValueError, match="not 0"):
        await for_each(source, refuse, max_concurrency=2)

    assert [True] == closed


async def test_other_iterables_are_not_closed() -> None:
    class Numbers:
        def __aiter__(self) -> "Numbers":
            return self

        async def __anext__(self) -> int:
            raise StopAsyncIteration

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError

    async with iterating(Numbers()) as source:
        assert [] == [number async for number in source]


async def test_cancelled_from_outside_all_stop() -> None:
    started = stopped = 0

    async def handle(item: int) -> None:
        nonlocal started, stopped
        started += 1
        try:
            await asyncio.sleep(10)
        finally:
            stopped += 1

    with anyio.move_on_after(0.01):
        await for_each(range(100), handle, max_concurrency=5)

    assert (5, 5) == (started, stopped)
