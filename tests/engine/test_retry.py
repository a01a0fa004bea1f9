"""
What is sent again, after which waits, and how often.
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
from tests.engine.build import KEY, ROOT, patterned

BROKEN = UnavailableError("reset")
REFUSED = UnavailableError("503", status=503)


class Clock:
    """
    Time that passes only by waiting, and by as much as each call is said to take.
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
    await retry.again(BROKEN, outcomes(REFUSED, REFUSED, REFUSED, None))

    assert [2.0, 4.0, 5.0, 5.0] == clock.waits


@given(attempt=st.integers(1, 5000), initial=st.floats(0, 100), longest=st.floats(0, 1000))
@settings(max_examples=100)
def test_jitter_is_full(attempt: int, initial: float, longest: float) -> None:
    """
    From nothing to the ceiling, however many attempts there were.
    """
    bounds: list[tuple[float, float]] = []

    def note(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    clock = Clock()
    retry = retrying(clock, note, attempts=1, initial_backoff=initial, max_backoff=longest)
    state: Any = type("State", (), {"outcome": None, "attempt_number": attempt})()

    assert retry._backoff(state) <= longest
    assert 0.0 == bounds[0][0]


async def test_what_the_provider_asks_for_is_waited() -> None:
    """
    Also more than the longest wait of our own.
    """
    clock = Clock()
    retry = retrying(clock, attempts=4, max_backoff=1)
    asked = [ThrottledError(retry_after=30.0), ThrottledError(retry_after=0.0), ThrottledError(retry_after=-5.0)]
    await retry.again(asked[0], outcomes(asked[1], asked[2], None))

    assert [30.0, 0.0, 0.0] == clock.waits


async def test_no_wait_passes_the_deadline() -> None:
    clock = Clock()
    retry = retrying(clock, attempts=9, deadline=10)
    error = ThrottledError(retry_after=4)
    with pytest.raises(ThrottledError) as caught:
        await retry.again(error, outcomes(error, error, error))

    assert [4, 4] == clock.waits
    assert caught.value is error


async def test_the_deadline_counts_the_first_attempt(memory: MemoryDriver) -> None:
    """
    It is for all attempts of a request, and the first may have been the long one.
    """
    clock = Clock()
    faults = FaultyDriver(memory)
    storage = faults.storage(ROOT, deadline=10, attempts=5)
    storage._calls.retry = retrying(clock, deadline=10, attempts=5)

    async def slow(*_: Any) -> str:
        clock.time += 8
        raise ThrottledError(retry_after=3)

    with pytest.raises(ThrottledError):
        await storage._calls("put", KEY, slow)

    assert [] == clock.waits


async def test_attempts_count_the_first(storage: Storage, faults: FaultyDriver) -> None:
    faults.fail("put", times=None)
    with pytest.raises(UnavailableError) as caught:
        await storage.put(KEY, b"data")

    assert 6 == faults.calls["put"]
    assert "6 attempts" in "".join(caught.value.__notes__)
    assert (6, 5) == (storage.statistics().requests, storage.statistics().retries)


async def test_one_attempt_is_no_retry(faults: FaultyDriver) -> None:
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
    Not sent again, as a negative list would have it (jd/tenacity#529).
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
    storage._calls.retry._sleep = sleep
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
    The scenarios that Google holds its own clients to.
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
