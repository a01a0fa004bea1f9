"""
Calls of one turn of the loop share a thread; each has its own outcome.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from asyncstore._support import threads
from asyncstore._support.threads import Together


async def test_calls_of_one_turn_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    They run in their order, and each returns or raises what is its own.
    """
    submitted = 0
    submit: Callable[[Any], Future[Any]] = threads._submit

    def counting(work: Any) -> Future[Any]:
        nonlocal submitted
        submitted += 1
        return submit(work)

    monkeypatch.setattr(threads, "_submit", counting)
    together, order = Together(), []

    def work(number: int) -> int:
        order.append((number, threading.get_ident()))
        if number == 3:
            raise FileNotFoundError(number)
        return number

    results = await asyncio.gather(*(together(partial(work, n)) for n in range(5)), return_exceptions=True)
    assert [0, 1, 2, 4] == [result for result in results if isinstance(result, int)]
    assert isinstance(results[3], FileNotFoundError)
    assert [0, 1, 2, 3, 4] == [number for number, _ in order]
    assert len({thread for _, thread in order} - {threading.get_ident()}) == 1
    assert submitted == 1
    assert await together(lambda: work(6)) == 6
    assert submitted == 2


async def test_cancelled_before_the_thread_starts() -> None:
    """
    The call is never made; those beside it are.
    """
    made: list[int] = []
    together = Together()
    coroutines = [together(partial(made.append, n)) for n in range(3)]
    for coroutine in coroutines:
        coroutine.send(None)
    with pytest.raises(asyncio.CancelledError):
        coroutines[1].throw(asyncio.CancelledError())
    while len(made) < 2:
        await asyncio.sleep(0.001)
    assert made == [0, 2]
    for coroutine in (coroutines[0], coroutines[2]):
        coroutine.close()


@pytest.mark.parametrize("times", [1, 3])
async def test_cancelled_while_the_thread_works(times: int) -> None:
    """
    The thread ends first, however often it is cancelled.
    """
    together = Together()
    begun, goes_on = threading.Event(), threading.Event()
    made = []

    def slow() -> None:
        begun.set()
        goes_on.wait(30)
        made.append(1)

    task = asyncio.ensure_future(together(slow))
    beside = asyncio.ensure_future(together(lambda: made.append(2)))
    await asyncio.to_thread(begun.wait, 30)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.01)
    assert not task.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await beside
    assert made == [1, 2]


async def test_the_interpreter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No thread can be started: every call raises.
    """

    def refusing(_: object) -> Future[Any]:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(threads, "_submit", refusing)
    together = Together()
    results = await asyncio.gather(*(together(int) for _ in range(3)), return_exceptions=True)
    assert [RuntimeError] * 3 == [type(result) for result in results]
