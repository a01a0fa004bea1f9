"""
Event loops with eager tasks, which can end before they are known to whoever started them.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import NotSupportedError
from asyncstore.options import KiB, MiB
from asyncstore.testing.faults import FaultyDriver
from tests.build import KEY, ROOT, at_rest, patterned

DATA = patterned(4 * MiB)


def eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


Work = Callable[[], Coroutine[None, None, None]]


async def read_in_pieces() -> None:
    faults = FaultyDriver(MemoryDriver())
    storage = faults.storage(ROOT)
    async with storage:
        await storage.put(KEY, DATA)
        # What is fetched ahead fails at once, and is requested again when it is needed.
        faults.fail("open_read", NotSupportedError("not now"), after=1)
        async with storage.open(KEY, "rb") as file:
            pieces = [await file.read(64 * KiB) for _ in range(64)]
        assert DATA == b"".join(pieces)
        assert 1 < faults.calls["open_read"] < 64
        at_rest(storage, faults)


async def write_in_pieces() -> None:
    faults = FaultyDriver(MemoryDriver())
    storage = faults.storage(ROOT)
    async with storage:
        async with storage.open(KEY, "wb") as file:
            for start in range(0, len(DATA), 64 * KiB):
                await file.write(DATA[start : start + 64 * KiB])
        assert DATA == await storage.read(KEY)
        at_rest(storage, faults)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs the eager tasks of Python 3.12")
@pytest.mark.parametrize("work", [read_in_pieces, write_in_pieces])
def test_files(work: Work) -> None:
    with asyncio.Runner(loop_factory=eager_loop) as runner:
        runner.run(work())
