"""
Copies that take several requests: each step is sent, retried and undone by the engine.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from asyncstore.driver import Pending
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    PermissionDeniedError,
    StorageError,
    ThrottledError,
    UnavailableError,
)
from asyncstore.options import CopyOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT, at_rest

COPY = ROOT / "copy"


class Slow(MemoryDriver):
    """
    Memory, but a copy takes three steps, and two to undo.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []
        self.outcome: Callable[[], StorageError | None] = lambda: None

    # Memory itself needs one request.
    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> Any:
        self.steps.append("start")
        return Pending(target, (source, options, 1), wait=0.25)

    async def advance(self, pending: Pending[Any]) -> Any:
        source, options, number = pending.state
        self.steps.append(f"advance {number}")
        if number < 3:
            return Pending(pending.target, (source, options, number + 1), wait=0.5)
        return self.outcome() or await super().copy(source, pending.target, options)

    async def undo(self, pending: Pending[Any], error: BaseException) -> Pending[Any] | None:
        *_, number = pending.state
        self.steps.append(f"abort {number}")
        return Pending(pending.target, ("", "", "again")) if number != "again" else None


@pytest.fixture
def memory() -> Slow:
    return Slow()


@pytest.fixture(autouse=True)
async def source(storage: Storage) -> None:
    await storage.put(KEY, b"data")


async def test_steps_follow_one_another(storage: Storage, faults: FaultyDriver, memory: Slow) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    storage._requests.retry.sleep = sleep
    info = await storage.copy(KEY, COPY)

    assert (COPY, 4) == (info.uri, info.size)
    assert ["start", "advance 1", "advance 2", "advance 3"] == memory.steps
    assert [0.25, 0.5, 0.5] == waits
    assert b"data" == await storage.read(COPY)
    at_rest(storage, faults)


async def test_no_request_slot_is_held_between_steps(faults: FaultyDriver, memory: Slow) -> None:
    storage = faults.storage(ROOT, max_requests=1)

    async def sleep(_: float) -> None:
        assert 0 == storage.statistics().requests_in_flight

    storage._requests.retry.sleep = sleep
    await storage.copy(KEY, COPY)

    assert 4 == len(memory.steps)


@pytest.mark.parametrize("step", [0, 1, 2])
async def test_a_step_whose_reply_was_lost_is_sent_again_alone(
    storage: Storage, faults: FaultyDriver, memory: Slow, step: int
) -> None:
    faults.lose_reply("advance", after=step)
    await storage.copy(KEY, COPY)

    numbers = [1, 2, 3]
    numbers.insert(step, step + 1)
    assert ["start", *(f"advance {number}" for number in numbers)] == memory.steps


async def test_a_step_that_keeps_failing_undoes_the_copy(storage: Storage, faults: FaultyDriver, memory: Slow) -> None:
    """
    Attempts do not multiply: the copy is not restarted.
    """
    faults.fail("advance", times=None, after=1)
    with pytest.raises(UnavailableError):
        await storage.copy(KEY, COPY)

    assert ["start", "advance 1", "abort 2", "abort again"] == memory.steps
    assert 1 + 6 == faults.calls["advance"]
    at_rest(storage, faults)


async def test_a_refused_step_undoes_the_copy(storage: Storage, faults: FaultyDriver, memory: Slow) -> None:
    faults.fail("advance", PermissionDeniedError("no"), after=2)
    with pytest.raises(PermissionDeniedError) as caught:
        await storage.copy(KEY, COPY)

    assert ["abort 3", "abort again"] == memory.steps[3:]
    assert ("copy", str(KEY)) == (caught.value.op, caught.value.uri)


async def test_a_copy_aborted_by_the_provider_is_restarted(
    storage: Storage, faults: FaultyDriver, memory: Slow
) -> None:
    errors = [ThrottledError("later")]
    memory.outcome = lambda: errors.pop() if errors else None
    await storage.copy(KEY, COPY)

    attempt = ["start", "advance 1", "advance 2", "advance 3"]
    assert [*attempt, "abort 3", "abort again", *attempt] == memory.steps
    assert 1 == storage.statistics().retries


async def test_a_copy_that_the_provider_keeps_aborting(storage: Storage, faults: FaultyDriver, memory: Slow) -> None:
    memory.outcome = lambda: ThrottledError("later")
    with pytest.raises(ThrottledError) as caught:
        await storage.copy(KEY, COPY)

    assert 6 == memory.steps.count("start")
    assert 6 == memory.steps.count("abort again")
    assert ("copy", str(KEY), "memory") == (caught.value.op, caught.value.uri, caught.value.provider)


async def test_a_failed_step_of_a_restarted_copy_is_final(storage: Storage, faults: FaultyDriver, memory: Slow) -> None:
    memory.outcome = lambda: ThrottledError("later")
    faults.fail("advance", times=None, after=3)
    with pytest.raises(UnavailableError):
        await storage.copy(KEY, COPY)

    assert 2 == memory.steps.count("start")
    assert 3 + 6 == faults.calls["advance"]


async def test_a_copy_rejected_by_the_provider(storage: Storage, memory: Slow) -> None:
    memory.outcome = lambda: InvalidRequestError("no")
    with pytest.raises(InvalidRequestError) as caught:
        await storage.copy(KEY, COPY)

    assert ["advance 3", "abort 3", "abort again"] == memory.steps[-3:]
    assert "copy" == caught.value.op


@pytest.mark.parametrize("where", ["step", "wait"])
async def test_a_cancelled_copy_is_undone(storage: Storage, faults: FaultyDriver, memory: Slow, where: str) -> None:
    reached = asyncio.Event()
    if where == "wait":

        async def sleep(seconds: float) -> None:
            if seconds == 0.5:
                reached.set()
                await asyncio.Event().wait()

        storage._requests.retry.sleep = sleep
    else:
        stop = faults.hang("advance", after=1)
    task = asyncio.ensure_future(storage.copy(KEY, COPY))
    await (reached.wait() if where == "wait" else stop.reached())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ["start", "advance 1", "abort 2", "abort again"] == memory.steps
    assert {"dir/key": b"data"} == memory.objects
    at_rest(storage, faults)


async def test_an_abort_that_fails_is_a_note(storage: Storage, faults: FaultyDriver, memory: Slow) -> None:
    faults.fail("advance", PermissionDeniedError("no"))
    faults.fail("undo", InvalidRequestError("not this either"))
    with pytest.raises(PermissionDeniedError) as caught:
        await storage.copy(KEY, COPY)

    assert "not this either" in "".join(caught.value.__notes__)


async def test_a_conditional_copy_after_a_lost_reply(storage: Storage, faults: FaultyDriver, memory: Slow) -> None:
    """
    The last step took place, so when it is repeated the target exists: it is our own copy.
    """
    faults.lose_reply("advance", after=2)
    info = await storage.copy(KEY, COPY, options=CopyOptions(if_none_match="*"))

    assert (COPY, 4) == (info.uri, info.size)


async def test_a_conditional_copy_onto_another_object(storage: Storage, faults: FaultyDriver, memory: Slow) -> None:
    await storage.put(COPY, b"other bytes")
    with pytest.raises(AlreadyExistsError) as failure:
        await storage.copy(KEY, COPY, options=CopyOptions(if_none_match="*"))

    assert failure.value.uri == str(COPY)
    assert b"other bytes" == await storage.read(COPY)
