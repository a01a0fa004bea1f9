"""
A storage over memory with faults on command, and what must hold after every test.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx

from asyncstore import threads
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine import download, given, pieces, source, upload
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.engine.build import ROOT
from tests.engine.stepping import inline


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


@pytest.fixture
def threads_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_submit", inline)
    monkeypatch.setattr(threads, "_submit_patiently", inline)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """
    Files are read and written by 1,000 bytes, so that small ones have many chunks.
    """
    for module in (source, given, upload, pieces, download):
        monkeypatch.setattr(module, "CHUNK", 1000)
    return 1000
