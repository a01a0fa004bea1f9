"""
Many clients at once, of which a third vanish at random moments: nothing is leaked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest

from asyncstore import Storage, open_storage
from asyncstore.options import KiB, MiB
from tests.build import open_files
from tests.conformance.s3 import settings
from tests.integrations.web import both, client, serving, until
from tests.servers.s3 import S3Server, fresh_bucket

DATA = random.Random(1).randbytes(2 * MiB)
READERS, UPLOADS = 60, 20


@asynccontextmanager
async def opened(provider: str, request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    uri, keys = "memory://bucket", {}
    if provider == "seaweed":
        server: S3Server = request.getfixturevalue("seaweed")
        uri, keys = f"s3://{fresh_bucket(server)}", settings(server)
    more: Any = {**keys, "max_buffer_bytes": 64 * MiB}
    async with open_storage(uri, **more) as storage:
        yield storage


@both
@pytest.mark.parametrize("provider", ["memory", "seaweed"])
async def test_nothing_is_leaked(framework: str, provider: str, request: pytest.FixtureRequest) -> None:
    """
    Who stays gets the right bytes; no upload, connection, task, place or buffered byte is left of who vanishes.
    """
    chance = random.Random(38)
    before = sockets()
    async with opened(provider, request) as storage:
        await storage.put("key", DATA)
        async with serving(framework, storage) as url:
            async with client() as session, anyio.create_task_group() as group:
                for number in range(READERS):
                    group.start_soon(read, url, session, chance.randrange(len(DATA)), vanishing(number, chance))
                for number in range(UPLOADS):
                    group.start_soon(upload, url, session, number, vanishing(number, chance))
            await until(lambda: at_rest(storage))
        stored = {info.name: info.size async for info in storage.list()}
        uploads = [upload async for upload in storage.list_multipart_uploads()]
        tasks = len(asyncio.all_tasks())

        assert stored == {"key": len(DATA)} | {f"up/{n}": size_of(n) for n in range(UPLOADS) if n % 3}
        assert uploads == []
        assert tasks == 1
        assert storage.statistics().bytes_peak <= 64 * MiB
    await until(lambda: sockets() <= before)


def sockets() -> set[str]:
    return {name for name in open_files() if "socket" in name}


def vanishing(number: int, chance: random.Random) -> float | None:
    """
    Return the share of its transfer after which a client vanishes, for every third one.
    """
    return None if number % 3 else chance.random()


def size_of(number: int) -> int:
    # Half of them are multipart uploads.
    return 18 * MiB if number % 10 == 0 else (number + 1) * 64 * KiB


def at_rest(storage: Storage) -> bool:
    now = storage.statistics()
    return not (now.requests_in_flight or now.requests_waiting or now.bytes_buffered)


async def read(url: str, session: aiohttp.ClientSession, start: int, until_share: float | None) -> None:
    async with session.get(f"{url}/objects/key", headers={"Range": f"bytes={start}-"}) as reply:
        assert reply.status == 206
        if until_share is None:
            same = await reply.read() == DATA[start:]
            assert same
            return
        left = int((len(DATA) - start) * until_share)
        while left > 0 and (chunk := await reply.content.read(left)):
            left -= len(chunk)
        reply.close()


async def upload(url: str, session: aiohttp.ClientSession, number: int, until_share: float | None) -> None:
    size = size_of(number)
    if until_share is None:
        async with session.put(f"{url}/objects/up/{number}", data=chunks(size)) as reply:
            assert reply.status == 201
        return
    host, _, port = url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"PUT /objects/up/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
    writer.write(bytes(int(size * until_share)))
    await writer.drain()
    writer.transport.abort()


async def chunks(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 256 * KiB):
        yield bytes(min(256 * KiB, size - start))
