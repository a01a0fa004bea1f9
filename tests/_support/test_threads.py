"""
Blocking work runs off the event loop, and no thread outlives its caller.
"""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from asyncstore._support import threads
from asyncstore._support.threads import in_thread


class Work:
    """
    Blocks a thread until it is released.
    """

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.ended = False

    def __call__(self) -> str:
        self.begun.set()
        self.may_end.wait(5)
        self.ended = True
        return "done"

    async def is_begun(self) -> None:
        while not self.begun.is_set():
            await asyncio.sleep(0.001)


async def test_results_and_errors_come_back() -> None:
    assert 5 == await in_thread(len, b"bytes")
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_it_is_another_thread() -> None:
    assert threading.get_ident() != await in_thread(threading.get_ident)


@pytest.mark.parametrize("times", [1, 5])
async def test_a_cancelled_caller_waits_for_its_thread(times: int) -> None:
    """
    Even if it is cancelled repeatedly.
    """
    work = Work()
    task = asyncio.ensure_future(in_thread(work))
    await work.is_begun()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.001)

    assert not task.done()

    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert work.ended


async def test_a_scope_waits_too() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        group.start_soon(in_thread, work)
        await work.is_begun()
        group.cancel_scope.cancel()
        threading.Timer(0.02, work.may_end.set).start()

    assert work.ended


async def test_work_of_a_caller_that_is_cancelled_already_is_done() -> None:
    """
    So it can be used for cleanup.
    """
    work = Work()
    work.may_end.set()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await in_thread(work)

    assert work.ended
    assert scope.cancelled_caught


async def test_an_error_of_a_cancelled_callers_thread_is_no_noise() -> None:
    begun = threading.Event()

    def fail() -> None:
        begun.set()
        time.sleep(0.01)
        raise ValueError

    task = asyncio.ensure_future(in_thread(fail))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_process_that_was_forked_has_threads_of_its_own() -> None:
    await in_thread(len, b"")
    receiving, sending = os.pipe()
    before = threads._executor
    child = os.fork()
    if not child:
        # Not by way of the test runner, whatever happens.
        try:
            os.write(sending, b"new" if threads._executor is None else b"old")
            pool = threads._submit(lambda: b" works")
            os.write(sending, pool.result(5))
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        assert b"new works" == await in_thread(pipe.read)
    os.waitpid(child, 0)

    assert isinstance(before, ThreadPoolExecutor)
    assert before is threads._executor
