"""
Fixtures: a storage in memory with injected faults, and checks after every test.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from asyncstore._support import threads
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.download import download
from asyncstore.engine.upload import file_source, stream_source, upload
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.blocking import no_blocking
from tests.build import ROOT
from tests.stepping import inline


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
    The library never blocks the loop, except with ``threads_inline``, which runs file work there.
    """
    if "threads_inline" in request.fixturenames:
        yield
        return
    with no_blocking():
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
    Read and write files in chunks of 1,000 bytes, so that small files have many chunks.
    """
    for module in (file_source, stream_source, upload, download):
        monkeypatch.setattr(module, "CHUNK", 1000)
    return 1000
