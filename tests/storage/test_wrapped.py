"""
A storage and those that wrap it share budgets and observers, and are closed in order.
"""

from __future__ import annotations

import gc

import anyio
import pytest

from asyncstore import InvalidURIError, Storage, UploadOptions
from asyncstore.driver import ForwardingDriver
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.observer import Attempt
from asyncstore.errors import UnavailableError
from asyncstore.options import MiB
from asyncstore.testing.conformance.harness import turns
from asyncstore.testing.faults import FaultyDriver
from tests.build import written


@pytest.fixture
def faults() -> FaultyDriver:
    return FaultyDriver(MemoryDriver())


@pytest.fixture
def storage(faults: FaultyDriver) -> Storage:
    return faults.storage("memory://bucket", max_requests=3)


async def test_closing_a_wrapper_leaves_the_storage_open(storage: Storage) -> None:
    wrapper = storage.wrapped(ForwardingDriver)
    await wrapper.put("a", b"data")

    await wrapper.aclose()
    await wrapper.aclose()

    assert await storage.read("a") == b"data"
    with pytest.raises(RuntimeError, match="closed"):
        await wrapper.read("a")


async def test_closing_the_storage_closes_its_wrappers(storage: Storage) -> None:
    wrapper = storage.wrapped(ForwardingDriver).wrapped(ForwardingDriver)

    await storage.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await wrapper.read("a")
    with pytest.raises(RuntimeError, match="closed"):
        storage.wrapped(ForwardingDriver)


async def test_uploads_that_a_wrapper_keeps_are_aborted_before_the_connections_close(
    storage: Storage, faults: FaultyDriver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Closing the storage ends what its wrappers have kept to be resumed.
    """
    wrapper = storage.wrapped(ForwardingDriver)
    source = written(tmp_path_factory.mktemp("source") / "file", bytes(3 * MiB))
    options = UploadOptions(part_size=MiB, multipart_threshold=MiB, resume=True)
    faults.fail("upload_part", times=None, where=lambda call: call.number == 3)
    with pytest.raises(UnavailableError):
        await wrapper.upload(source, "key", options=options)
    memory = faults.driver
    assert isinstance(memory, MemoryDriver)
    assert len(memory.uploads) == 1

    await storage.aclose()

    assert memory.uploads == {}


async def test_wrappers_are_forgotten(storage: Storage) -> None:
    """
    A wrapper that nobody uses any more takes no memory: a service can make one for each request.
    """
    for _ in range(100):
        storage.wrapped(ForwardingDriver)
    gc.collect()

    assert len(storage._wrappers) == 0


async def test_budget_is_shared(storage: Storage, faults: FaultyDriver) -> None:
    """
    All of them together have as many requests in flight as the storage allows.
    """
    wrapper = storage.wrapped(ForwardingDriver)
    await storage.put("a", b"data")

    stop = faults.hang("stat", times=None)
    async with anyio.create_task_group() as tasks:
        for one in (storage, wrapper) * 3:
            tasks.start_soon(one.exists, "a")
        await stop.reached()
        await turns(20)
        assert storage.statistics().requests_in_flight == wrapper.statistics().requests_in_flight == 3
        stop.release()
    assert faults.peak["stat"] == 3
    assert (storage.statistics().requests, wrapper.statistics().requests) == (4, 3)


async def test_observers_hear_of_wrappers_once(storage: Storage) -> None:
    """
    Who observes the storage observes its wrappers.
    """

    class Notes:
        def __init__(self) -> None:
            self.ops: list[str] = []

        def attempted(self, attempt: Attempt) -> None:
            self.ops.append(attempt.op)

        def refreshed(self, refresh: object) -> None:
            raise NotImplementedError

        def narrowed(self, narrowing: object) -> None:
            self.ops.append("narrowed")

    notes = Notes()
    storage.observe(notes)
    wrapper = storage.wrapped(ForwardingDriver).wrapped(ForwardingDriver)
    await wrapper.put("a", b"data")
    wrapper._driver.narrow("something", "a test", sign=False)

    assert notes.ops == ["put", "narrowed"]
    assert "something" in storage.describe()["narrowed"]


async def test_retries_are_those_of_the_storage(storage: Storage, faults: FaultyDriver) -> None:
    """
    One retry loop: a failed request is sent as often as without a wrapper.
    """
    faults.fail("put", times=None)

    with pytest.raises(UnavailableError):
        await storage.wrapped(ForwardingDriver).put("a", b"data")

    assert faults.calls == {"put": 6}


async def test_root_of_another_provider_is_refused(storage: Storage) -> None:
    with pytest.raises(InvalidURIError):
        storage.wrapped(ForwardingDriver, root="s3://bucket")
