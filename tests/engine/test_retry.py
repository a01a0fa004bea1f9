"""
What is retried, after which waits, and how often.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncstore.config import RetryOptions
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.retry import Retry, is_retryable
from asyncstore.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.options import UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.build import KEY, ROOT, patterned

BROKEN = UnavailableError("reset")
REFUSED = UnavailableError("503", status=503)


class Clock:
    """
    A clock that only advances by waiting, and by what a test adds.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


def highest(low: float, high: float) -> float:
    return high


def retrying(clock: Clock, jitter: Callable[[float, float], float] = highest, **options: Any) -> Retry:
    return Retry(RetryOptions(**options), sleep=clock.sleep, clock=clock, jitter=jitter)


def outcomes(*errors: BaseException | None) -> Callable[[], Awaitable[str]]:
    left = list(errors)

    async def call() -> str:
        error = left.pop(0)
        if error is not None:
            raise error
        return "done"

    return call


async def test_waits_double_up_to_the_longest() -> None:
    clock = Clock()
    retry = retrying(clock, attempts=5, initial_backoff=1, max_backoff=5)
    await retry.run_after(BROKEN, outcomes(REFUSED, REFUSED, REFUSED, None))

    assert [2.0, 4.0, 5.0, 5.0] == clock.waits


@given(attempt=st.integers(1, 5000), initial=st.floats(0, 100), longest=st.floats(0, 1000))
@settings(max_examples=100)
def test_jitter_is_full(attempt: int, initial: float, longest: float) -> None:
    """
    From zero to the ceiling, after any number of attempts.
    """
    bounds: list[tuple[float, float]] = []

    def note(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    clock = Clock()
    retry = retrying(clock, note, attempts=1, initial_backoff=initial, max_backoff=longest)

    assert retry.backoff(BROKEN, attempt) <= longest
    assert 0.0 == bounds[0][0]


async def test_the_providers_wait_is_respected() -> None:
    """
    Even if it exceeds our longest wait.
    """
    clock = Clock()
    retry = retrying(clock, attempts=4, max_backoff=1)
    asked = [ThrottledError(retry_after=30.0), ThrottledError(retry_after=0.0), ThrottledError(retry_after=-5.0)]
    await retry.run_after(asked[0], outcomes(asked[1], asked[2], None))

    assert [30.0, 0.0, 0.0] == clock.waits


async def test_no_wait_passes_the_deadline() -> None:
    """
    The error says what failed last, and when.
    """
    clock = Clock()
    retry = retrying(clock, attempts=9, deadline=10)
    error = ThrottledError("slow down", retry_after=4, status=503, code="SlowDown", request_id="7f3a")
    with pytest.raises(DeadlineExceededError, match=r"deadline of 10 s.*slow down") as caught:
        await retry.run_after(error, outcomes(error, error, error))

    assert [4, 4] == clock.waits
    assert caught.value.__cause__ is error
    assert (503, "SlowDown", "7f3a") == (caught.value.status, caught.value.code, caught.value.request_id)


async def test_without_a_deadline_retries_end_after_five_minutes() -> None:
    """
    With the error of the last attempt: no time of the caller's has run out.
    """
    clock = Clock()
    retry = retrying(clock, attempts=9)
    error = ThrottledError(retry_after=140)
    with pytest.raises(ThrottledError) as caught:
        await retry.run_after(error, outcomes(error, error, error))

    assert [140, 140] == clock.waits
    assert caught.value is error


async def test_the_deadline_counts_the_first_attempt(memory: MemoryDriver) -> None:
    """
    It covers all attempts of a request, including a slow first one.
    """
    clock = Clock()
    faults = FaultyDriver(memory)
    storage = faults.storage(ROOT, deadline=10, attempts=5)
    storage._requests.retry = retrying(clock, deadline=10, attempts=5)

    async def slow(*_: Any) -> str:
        clock.time += 8
        raise ThrottledError(retry_after=3)

    with pytest.raises(DeadlineExceededError):
        await storage._requests("put", KEY, slow)

    assert [] == clock.waits


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_the_deadline_ends_the_attempt_under_way(memory: MemoryDriver, number: int) -> None:
    """
    Whichever attempt it is: it is cancelled, gives its place back and is not followed by another.
    """
    faults = FaultyDriver(memory)
    storage = faults.storage(ROOT, deadline=0.05, attempts=9, initial_backoff=0)
    calls = 0

    async def send() -> None:
        nonlocal calls
        calls += 1
        if calls < number:
            raise BROKEN
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceededError) as caught:
        await storage._requests("put", KEY, send)

    assert number == calls
    assert 0 == storage.statistics().requests_in_flight
    assert ("put", str(KEY), "memory") == (caught.value.op, caught.value.uri, caught.value.provider)
    assert caught.value.__cause__ is (BROKEN if number > 1 else None)


async def test_the_deadline_does_not_count_the_wait_for_a_place(memory: MemoryDriver) -> None:
    """
    Requests that wait for others of this program have not begun.
    """
    clock = Clock()
    storage = FaultyDriver(memory).storage(ROOT, deadline=10, max_requests=1)
    storage._requests.retry = retrying(clock, deadline=10)

    async def slow() -> float:
        clock.time += 8
        await asyncio.sleep(0)
        return clock.time

    ended = await asyncio.gather(*(storage._requests("put", KEY, slow) for _ in range(3)))

    assert [8.0, 16.0, 24.0] == ended


async def test_a_timeout_of_the_caller_is_not_the_deadline(memory: MemoryDriver) -> None:
    storage = FaultyDriver(memory).storage(ROOT, deadline=60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await storage._requests("put", KEY, asyncio.Event().wait)


async def test_a_throttled_attempt_counts_only_if_nothing_else_succeeds() -> None:
    """
    While the provider answers others, it is busy, not broken.
    """
    successes = 0
    clock = Clock()
    retry = retrying(clock, attempts=3, initial_backoff=1)
    busy = ThrottledError()
    attempts = 0

    async def call() -> None:
        nonlocal attempts, successes
        attempts += 1
        successes += attempts < 8
        raise busy

    with pytest.raises(ThrottledError):
        await retry.run_after(busy, call, progress=lambda: successes)

    assert 8 + 1 == attempts
    assert [2.0] * 8 + [4.0] == clock.waits


async def test_other_failures_count_while_others_succeed() -> None:
    ticks = iter(range(100))
    retry = retrying(Clock(), attempts=3)
    with pytest.raises(UnavailableError) as caught:
        await retry.run_after(BROKEN, outcomes(BROKEN, BROKEN), progress=lambda: next(ticks))

    assert "gave up after 3 attempts" in "".join(caught.value.__notes__)


async def test_attempts_count_the_first(storage: Storage, faults: FaultyDriver) -> None:
    faults.fail("put", times=None)
    with pytest.raises(UnavailableError) as caught:
        await storage.put(KEY, b"data")

    assert 6 == faults.calls["put"]
    assert "6 attempts" in "".join(caught.value.__notes__)
    assert (6, 5) == (storage.statistics().requests, storage.statistics().retries)


async def test_one_attempt_is_not_retried(faults: FaultyDriver) -> None:
    storage = faults.storage(ROOT, attempts=1)
    faults.fail("put")
    with pytest.raises(UnavailableError):
        await storage.put(KEY, b"data")

    assert 1 == faults.calls["put"]


async def test_success_at_once_never_enters_the_loop(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.AsyncRetrying.__init__", None)
    await storage.put(KEY, b"data")

    assert b"data" == await storage.read(KEY)


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KeyboardInterrupt(), ValueError(), TimeoutError(), OSError()]
)
def test_only_what_is_listed_is_retried(error: BaseException) -> None:
    assert not is_retryable(error)


async def test_a_cancelled_attempt_is_the_last(storage: Storage, faults: FaultyDriver) -> None:
    """
    A list of what not to retry would retry it (jd/tenacity#529).
    """
    faults.fail("put")
    stop = faults.hang("put")
    task = asyncio.ensure_future(storage.put(KEY, b"data"))
    await stop.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert 2 == faults.calls["put"]


async def test_cancelled_while_it_waits(faults: FaultyDriver) -> None:
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    storage = faults.storage(ROOT)
    storage._requests.retry.sleep = sleep
    faults.fail("put")
    task = asyncio.ensure_future(storage.put(KEY, b"data"))
    await waiting.wait()

    assert 0 == storage.statistics().requests_in_flight

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert 1 == faults.calls["put"]


class TestScenarios:
    """
    The retry scenarios of Google's own clients.
    """

    @pytest.mark.parametrize("errors", [(REFUSED, REFUSED), (BROKEN, BROKEN), (BROKEN, REFUSED)])
    @pytest.mark.parametrize("op", ["stat", "open_read", "list_page", "put", "delete", "copy"])
    async def test_idempotent_ones_succeed_after_two_failures(
        self, storage: Storage, faults: FaultyDriver, op: str, errors: tuple[StorageError, ...]
    ) -> None:
        await storage.put(KEY, b"data")
        before = faults.calls[op]
        for error in errors:
            faults.fail(op, error)
        await perform(storage, op)

        assert 3 == faults.calls[op] - before

    @pytest.mark.parametrize("errors", [(REFUSED, REFUSED), (BROKEN, BROKEN), (BROKEN, REFUSED)])
    async def test_conditional_ones_are_sent_again(
        self, storage: Storage, faults: FaultyDriver, errors: tuple[StorageError, ...]
    ) -> None:
        for error in errors:
            faults.fail("put", error)
        await storage.put(KEY, b"data", options=UploadOptions(if_none_match="*"))

        assert 3 == faults.calls["put"]

    @pytest.mark.parametrize(
        "kind",
        [InvalidRequestError, UnauthenticatedError, PermissionDeniedError, NotFoundError, PreconditionFailedError],
    )
    async def test_refusals_are_final(self, storage: Storage, faults: FaultyDriver, kind: type[StorageError]) -> None:
        faults.fail("put", kind("no"))
        with pytest.raises(kind):
            await storage.put(KEY, b"data")

        assert 1 == faults.calls["put"]

    async def test_a_refusal_after_a_failure_is_final(self, storage: Storage, faults: FaultyDriver) -> None:
        faults.fail("put", REFUSED)
        faults.fail("put", InvalidRequestError("400"))
        with pytest.raises(InvalidRequestError) as caught:
            await storage.put(KEY, b"data")

        assert 2 == faults.calls["put"]
        assert ("put", str(KEY), "memory") == (caught.value.op, caught.value.uri, caught.value.provider)

    async def test_uploads_survive_failures_at_every_request(
        self, storage: Storage, faults: FaultyDriver, memory: MemoryDriver
    ) -> None:
        data = patterned(3000)
        for op in ("initiate_multipart_upload", "upload_part", "complete_multipart_upload"):
            faults.fail(op, BROKEN)
            faults.fail(op, REFUSED)
        await storage.put(KEY, data, options=UploadOptions(part_size=1000, multipart_threshold=0))

        assert {"dir/key": data} == memory.objects

    async def test_reads_survive_a_stream_that_breaks_twice(self, storage: Storage, faults: FaultyDriver) -> None:
        data = patterned(3000)
        await storage.put(KEY, data)
        faults.truncate(after=0)
        faults.truncate(after=1000)
        async with storage.get(KEY) as body:
            assert data == await body.read()

        assert 3 == faults.calls["open_read"]


async def perform(storage: Storage, op: str) -> object:
    match op:
        case "stat":
            return await storage.stat(KEY)
        case "open_read":
            return await storage.read(KEY)
        case "list_page":
            return [info async for info in storage.list()]
        case "put":
            return await storage.put(KEY, b"data")
        case "delete":
            await storage.delete(KEY)
            return None
        case _:
            return await storage.copy(KEY, ROOT / "copy")
