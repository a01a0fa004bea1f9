"""
Two threads work while writes are quick, more while they are slow.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from asyncstore._support.crew import Crew

QUICK = 0.0005
SLOW = 0.03


def meeting(crew: Crew, count: int, seconds: float) -> list[Future[int]]:
    """
    Submit *count* works that each write once, and then wait for all the others.
    """
    together = threading.Barrier(count)

    def work() -> int:
        crew.wrote(seconds)
        return together.wait(5)

    return [crew.submit(work) for _ in range(count)]


def threads(name: str) -> int:
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


def test_slow_writes_run_at_the_same_time() -> None:
    works = meeting(Crew("slow"), 16, SLOW)

    assert set(range(16)) == {work.result(5) for work in works}


def test_quick_writes_have_two_threads() -> None:
    crew = Crew("quick")
    most = now = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        crew.wrote(QUICK)
        with lock:
            now -= 1

    for ended in [crew.submit(work) for _ in range(2000)]:
        ended.result(5)

    assert most <= 2
    assert threads("quick") <= 2


def test_quick_writes_end_the_growth() -> None:
    crew = Crew("both")
    for work in meeting(crew, 8, SLOW):
        work.result(5)
    assert crew.allowed > 2
    for _ in range(100):
        crew.wrote(QUICK)

    assert 2 == crew.allowed
    assert {0, 1} == {work.result(5) for work in meeting(crew, 2, QUICK)}


def test_the_number_of_threads_is_limited() -> None:
    crew = Crew("limited")
    for _ in range(20):
        crew.wrote(SLOW)

    assert 64 == crew.allowed


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_are_raised_where_the_result_is_awaited(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    crew = Crew("failing")
    calls: list[Callable[[], None]] = [fail] * 3
    for ended in [crew.submit(call) for call in calls]:
        with pytest.raises(error):
            ended.result(5)

    assert 1 == crew.submit(lambda: 1).result(5)
