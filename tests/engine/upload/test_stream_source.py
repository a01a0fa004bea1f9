"""
Streams that use the storage that they are written to: nobody waits for bytes that are held by who waits for the stream.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asyncstore.engine.budget import Budget, Feed
from asyncstore.options import MiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.build import KEY, ROOT, at_rest, patterned, written

MEMBER = patterned(3 * MiB)
LIMIT = 4 * MiB
PARTS = UploadOptions(part_size=2 * MiB, multipart_threshold=2 * MiB)

Stream = Callable[[Storage, Path, int], AsyncIterator[bytes]]


@pytest.fixture
async def narrow(faults: FaultyDriver) -> AsyncIterator[Storage]:
    storage = faults.storage(ROOT, max_buffer_bytes=LIMIT, max_requests=1)
    await storage.put(KEY / "member", MEMBER)
    yield storage
    at_rest(storage, faults)


async def downloading(storage: Storage, directory: Path, number: int) -> AsyncIterator[bytes]:
    for _ in range(2):
        target = directory / f"{number}"
        await storage.download(KEY / "member", target)
        yield await asyncio.to_thread(target.read_bytes)


async def uploading(storage: Storage, directory: Path, number: int) -> AsyncIterator[bytes]:
    path = await asyncio.to_thread(written, directory / f"{number}", MEMBER)
    for _ in range(2):
        await storage.upload(path, KEY / f"copy-{number}", options=PARTS)
        yield MEMBER


async def reading(storage: Storage, directory: Path, number: int) -> AsyncIterator[bytes]:
    for _ in range(2):
        async with storage.get(KEY / "member") as stream:
            async for chunk in stream:
                await storage.stat(KEY / "member")
                yield chunk


async def writing_streams(storage: Storage, directory: Path, number: int) -> AsyncIterator[bytes]:
    for _ in range(2):
        await storage.put(KEY / f"copy-{number}", downloading(storage, directory, number), options=PARTS)
        yield MEMBER


async def downloading_ahead(storage: Storage, directory: Path, number: int) -> AsyncIterator[bytes]:
    async def fetch(name: str) -> bytes:
        await storage.download(KEY / "member", directory / name)
        return await asyncio.to_thread((directory / name).read_bytes)

    tasks = [asyncio.ensure_future(fetch(f"{number}-{again}")) for again in range(2)]
    for task in tasks:
        yield await task


async def finishing_late(storage: Storage, directory: Path, number: int) -> AsyncIterator[bytes]:
    yield MEMBER
    yield MEMBER
    await storage.download(KEY / "member", directory / f"{number}")


async def archives(storage: Storage, directory: Path, stream: Stream) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for number in range(4):
            data = stream(storage, directory, number)
            group.create_task(storage.put(KEY / f"{number}", data, options=PARTS))
    for number in range(4):
        assert 2 * MEMBER == await storage.read(KEY / f"{number}")


async def test_streams_that_download(narrow: Storage, tmp_path: Path) -> None:
    await archives(narrow, tmp_path, downloading)


@pytest.mark.parametrize("stream", [uploading, reading, writing_streams, downloading_ahead, finishing_late])
async def test_streams_that_use_the_storage(narrow: Storage, tmp_path: Path, stream: Stream) -> None:
    await archives(narrow, tmp_path, stream)


async def test_other_operations_do_not_overdraw(narrow: Storage, tmp_path: Path) -> None:
    """
    Neither beside a stream nor in a task that outlives it.
    """
    left: list[asyncio.Task[bool]] = []
    after = asyncio.Event()

    async def overdraws_later() -> bool:
        await after.wait()
        return Feed.in_context()

    async def leaving_a_task() -> AsyncIterator[bytes]:
        assert Feed.in_context()
        left.append(asyncio.ensure_future(overdraws_later()))
        yield MEMBER
        await asyncio.sleep(0.01)
        yield MEMBER

    async with asyncio.TaskGroup() as group:
        group.create_task(narrow.put(KEY / "1", leaving_a_task(), options=PARTS))
        for number in range(4):
            group.create_task(narrow.download(KEY / "member", tmp_path / f"{number}"))
    after.set()

    assert not await left[0]
    assert not Feed.in_context()
    assert narrow.statistics().bytes_peak <= LIMIT


@pytest.mark.parametrize("patient", [True, False], ids=["put", "open"])
async def test_streams_that_one_task_feeds_in_turn(narrow: Storage, patient: bool) -> None:
    """
    More of them than there is memory for parts: the task waits for one that waits for what the others hold.
    """
    queues: list[asyncio.Queue[bytes]] = [asyncio.Queue(1) for _ in range(6)]

    async def of(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        while chunk := await queue.get():
            yield chunk

    async def write(number: int, queue: asyncio.Queue[bytes]) -> None:
        if patient:
            await narrow.put(KEY / f"{number}", of(queue), options=PARTS)
            return
        async with narrow.open(KEY / f"{number}", "wb", options=PARTS) as file:
            async for chunk in of(queue):
                await file.write(chunk)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for number, queue in enumerate(queues):
            group.create_task(write(number, queue))
        for start in range(0, len(MEMBER), MiB // 2):
            for queue in queues:
                await queue.put(MEMBER[start : start + MiB // 2])
        for queue in queues:
            await queue.put(b"")

    assert [await narrow.read(KEY / f"{number}") == MEMBER for number in range(6)] == [True] * 6
    assert narrow.statistics().bytes_peak <= 6 * 2 * MiB


async def test_an_overdraft_holds_up_others_until_it_is_released() -> None:
    budget = Budget(2)
    await budget.acquire(2)
    feed = Feed()
    with feed.pulled():
        async with budget.reserve(2):
            assert (4, 4) == (budget.used, budget.peak)
            budget.release(2)
            assert not budget.take(1)

    assert budget.take(2)
