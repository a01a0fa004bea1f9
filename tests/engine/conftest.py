"""
A storage over memory with faults on command, and what must hold after every test.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.engine.build import ROOT


@pytest.fixture
def memory() -> MemoryDriver:
    return MemoryDriver()


@pytest.fixture
def faults(memory: MemoryDriver) -> FaultyDriver:
    return FaultyDriver(memory)


@pytest.fixture
def storage(faults: FaultyDriver) -> Storage:
    return faults.storage(ROOT)


@pytest.fixture(autouse=True)
def nothing_blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    Nothing of the library blocks the loop; ``threads_inline`` does its file work there on purpose.
    """
    if "threads_inline" in request.fixturenames:
        yield
        return
    with blockbuster_ctx("asyncstore"):
        yield


@pytest.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    yield
    own = asyncio.current_task()

    assert [] == [task for task in asyncio.all_tasks() if task is not own]
