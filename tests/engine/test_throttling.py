"""
A provider that serves a few requests at a time and refuses the others: every item arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncstore.config import StorageConfig
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.limits import Statistics
from asyncstore.errors import StorageError, ThrottledError
from asyncstore.options import UploadOptions
from asyncstore.storage import Storage
from asyncstore.types import Download, Upload
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT, patterned


class Busy(MemoryDriver):
    """
    Serves *room* requests at a time, each of which takes a few turns of the event loop.

    Attributes:
        refusals: Requests that were throttled.
        retry_after: What they are told.
        most: The most requests that were sent at the same time, since it was last set to 0.
    """

    def __init__(self, room: int) -> None:
        super().__init__("bucket")
        self.room = room
        self.refusals = 0
        self.retry_after: float | None = None
        self.most = 0
        self._now = 0

    async def _serve(self, send: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            if self._now > self.room:
                self.refusals += 1
                await asyncio.sleep(0)
                raise ThrottledError("reduce your request rate", code="SlowDown", retry_after=self.retry_after)
            for _ in range(5):
                await asyncio.sleep(0)
            return await send(*args)
        finally:
            self._now -= 1

    async def open_read(self, *args: Any) -> Any:
        return await self._serve(super().open_read, *args)

    async def put(self, *args: Any) -> Any:
        return await self._serve(super().put, *args)

    async def upload_part(self, *args: Any) -> Any:
        return await self._serve(super().upload_part, *args)

    async def delete_batch(self, uris: Any) -> list[StorageError | None]:
        if len(uris) <= self.room:
            return list(await super().delete_batch(uris))
        self.refusals += len(uris) - self.room
        await super().delete_batch(uris[: self.room])
        return [None] * self.room + [ThrottledError("SlowDown") for _ in uris[self.room :]]


async def instantly(seconds: float) -> None:
    await asyncio.sleep(0)


def storage_of(driver: Busy, sleep: Callable[[float], Awaitable[None]] = instantly) -> Storage:
    return Storage(driver, StorageConfig(uri=ROOT), sleep=sleep)


@pytest.fixture
def busy() -> Busy:
    return Busy(3)


def narrowed(statistics: Statistics) -> bool:
    return statistics.requests_allowed < 16 and statistics.throttled > 0


async def test_every_upload_arrives(busy: Busy, tmp_path: Any) -> None:
    """
    Although far more attempts are refused than one item has, since others succeed meanwhile.
    """
    source = tmp_path / "file"
    source.write_bytes(b"data")
    storage = storage_of(busy)
    result = await storage.bulk_upload(Upload(source, ROOT / str(number)) for number in range(200))

    assert (200, 0) == (result.done, result.failed)
    assert busy.refusals > 0
    assert narrowed(storage.statistics())


async def test_every_download_arrives(busy: Busy, tmp_path: Any) -> None:
    storage = storage_of(busy)
    for number in range(100):
        await storage.put(ROOT / str(number), b"data")
    items = [Download(ROOT / str(number), tmp_path / str(number)) for number in range(100)]
    result = await storage.bulk_download(items)

    assert (100, 0) == (result.done, result.failed)
    assert busy.refusals > 0


async def test_every_part_arrives(busy: Busy) -> None:
    storage = storage_of(busy)
    data = patterned(4000)
    await storage.put(KEY, data, options=UploadOptions(part_size=100, multipart_threshold=1, max_concurrency=20))

    assert data == await storage.read(KEY)
    assert busy.refusals > 0


async def test_every_key_of_a_batch_is_deleted(busy: Busy) -> None:
    """
    A reply that throttles some keys of a batch makes progress with the others.
    """
    storage = storage_of(busy)
    keys = [ROOT / str(number) for number in range(40)]
    for key in keys:
        await storage.put(key, b"data")
    result = await storage.bulk_delete(keys)

    assert (40, 0) == (result.done, result.failed)
    assert busy.refusals > 6 * 3


async def test_requests_in_flight_come_down_to_what_is_served(busy: Busy) -> None:
    storage = storage_of(busy)

    async def put_many() -> int:
        busy.refusals, busy.most = 0, 0
        await asyncio.gather(*(storage.put(ROOT / str(number), b"data") for number in range(300)))
        return busy.refusals

    first, most = await put_many(), busy.most
    second = await put_many()

    assert 16 == most
    # One more than are served now and then, to notice when more are.
    assert busy.most <= 2 * busy.room
    assert second < first


async def test_a_provider_that_refuses_everything_is_given_up(busy: Busy) -> None:
    """
    After as many attempts as for any other error: nothing else succeeds meanwhile.
    """
    busy.room = 0
    storage = storage_of(busy)
    keys: list[ObjectURI] = [ROOT / str(number) for number in range(4)]
    results = await asyncio.gather(*(storage.put(key, b"data") for key in keys), return_exceptions=True)

    assert [ThrottledError] * 4 == [type(result) for result in results]
    assert 4 * 6 == busy.refusals


async def test_retry_after_holds_for_all_requests(busy: Busy) -> None:
    """
    While one request waits as the provider asked, no other is sent.
    """
    slept: list[float] = []
    sent_meanwhile: list[int] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        before = storage.statistics().requests
        other = asyncio.ensure_future(storage.put(ROOT / "other", b"data"))
        for _ in range(20):
            await asyncio.sleep(0)
        sent_meanwhile.append(storage.statistics().requests - before)
        busy.room = 64
        others.append(other)

    others: list[asyncio.Future[Any]] = []
    busy.room, busy.retry_after = 0, 7.0
    storage = storage_of(busy, sleep)
    await storage.put(KEY, b"data")
    await asyncio.gather(*others)

    assert [7.0] == slept
    assert [0] == sent_meanwhile


async def test_a_wait_that_is_cancelled_lets_the_others_pass(busy: Busy) -> None:
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    busy.room, busy.retry_after = 0, 7.0
    storage = storage_of(busy, sleep)
    task = asyncio.ensure_future(storage.put(KEY, b"data"))
    await asleep.wait()
    busy.room = 64
    other = asyncio.ensure_future(storage.put(ROOT / "other", b"data"))
    task.cancel()
    await other
    with pytest.raises(asyncio.CancelledError):
        await task
