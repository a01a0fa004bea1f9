"""
Work is bounded, and its first error comes out by itself.
"""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest

from asyncstore.engine.pool import for_each, iterating, single_error


async def test_no_more_at_a_time_than_asked_for() -> None:
    now = peak = 0
    seen: list[int] = []
    full = asyncio.Event()

    async def handle(item: int) -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        if now == 7:
            full.set()
        # None goes on before seven have come; an eighth would come meanwhile.
        await full.wait()
        await asyncio.sleep(0.0001)
        seen.append(item)
        now -= 1

    await for_each(range(50), handle, max_concurrency=7)

    assert list(range(50)) == sorted(seen)
    assert 7 == peak


async def test_a_slow_item_holds_up_no_other() -> None:
    """
    A window that slides, not batches.
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


async def test_the_first_error_comes_out_with_the_others_as_notes() -> None:
    async def handle(item: int) -> None:
        try:
            await asyncio.sleep(0 if item == 0 else 10)
        finally:
            raise ValueError(item)

    with pytest.raises(ValueError, match="0") as caught:
        await for_each(range(3), handle, max_concurrency=3)

    assert {"meanwhile: ValueError(1)"} <= set(caught.value.__notes__)
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
    Like KeyboardInterrupt, but no matter to the loop.
    """


def test_who_stops_the_program_goes_first() -> None:
    with pytest.raises(Stop) as caught, single_error():
        raise BaseExceptionGroup("both", [ValueError("no"), Stop()])

    assert ["meanwhile: ValueError('no')"] == caught.value.__notes__


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


async def test_what_is_no_generator_is_left_alone() -> None:
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
