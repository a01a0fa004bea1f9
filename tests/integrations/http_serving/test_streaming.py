"""
Downloads in progress: requests to the provider, clients that vanish, objects that change or are damaged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from asyncstore import Storage, UnavailableError
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import MiB, UploadOptions
from asyncstore.testing.faults import FaultyDriver
from tests.build import ROOT, at_rest, patterned
from tests.integrations.web import both, client, serving, until

DATA = patterned(300_000)


@both
@pytest.mark.parametrize(
    ("method", "headers", "calls"),
    [
        ("GET", {}, {"open_read": 1}),
        ("GET", {"Range": "bytes=5-"}, {"open_read": 1}),
        ("GET", {"Range": "bytes=-5"}, {"open_read": 1}),
        ("GET", {"Range": "bytes=0-4", "If-Range": "="}, {"open_read": 1}),
        ("GET", {"Range": "bytes=0-4", "If-Range": '"other"'}, {"open_read": 2}),
        ("GET", {"Range": "bytes=9000000-"}, {"open_read": 1, "stat": 1}),
        ("GET", {"Range": "bytes=0-4,9000-9009"}, {"stat": 1, "open_read": 2}),
        ("GET", {"If-None-Match": "="}, {"stat": 1}),
        ("GET", {"If-Match": '"other"'}, {"stat": 1}),
        ("GET", {"If-None-Match": '"other"'}, {"stat": 1, "open_read": 1}),
        ("HEAD", {}, {"stat": 1}),
        ("HEAD", {"If-None-Match": "=", "Range": "bytes=0-4"}, {"stat": 1}),
    ],
)
async def test_requests_to_the_provider(
    framework: str, storage: Storage, faults: FaultyDriver, method: str, headers: dict[str, str], calls: dict[str, int]
) -> None:
    """
    As few as there can be: one for a plain GET or HEAD, and for an answer without the object.
    """
    info = await storage.put("key", DATA)
    headers = {name: value if value != "=" else f'"{info.etag}"' for name, value in headers.items()}
    async with serving(framework, storage) as url, client() as session:
        faults.calls.clear()
        async with session.request(method, f"{url}/objects/key", headers=headers) as reply:
            await reply.read()

    assert calls == {op: count for op, count in faults.calls.items() if op != "read"}
    at_rest(storage, faults)


@asynccontextmanager
async def half_read(url: str, size: int = 1) -> AsyncIterator[asyncio.StreamReader]:
    """
    Request an object, read *size* bytes of the reply, and vanish at the end of the block.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"GET /objects/key HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readexactly(size)
        yield reader
    finally:
        writer.transport.abort()


@both
async def test_client_that_vanishes_while_the_provider_sends_nothing(
    framework: str, storage: Storage, faults: FaultyDriver
) -> None:
    """
    The connection to the provider is closed, although it never sends the byte that it owes.
    """
    await storage.put("key", DATA)
    hang = faults.hang("read", times=None, after=1)
    async with serving(framework, storage) as url:
        async with half_read(url):
            await hang.reached()
            assert faults.bodies_open == 1
        await until(lambda: faults.bodies_open == 0)

    at_rest(storage, faults)


@both
async def test_client_that_vanishes_before_the_first_byte(
    framework: str, storage: Storage, faults: FaultyDriver
) -> None:
    await storage.put("key", DATA)
    hang = faults.hang("open_read")
    async with serving(framework, storage) as url:
        async with half_read(url, 0):
            await hang.reached()
        await until(lambda: not faults.in_flight["open_read"])

    at_rest(storage, faults)


@both
async def test_client_that_does_not_read(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    What it does not take stays at the provider, apart from what sockets hold, and is released when it vanishes.
    """
    size = 64 * MiB
    await storage.put("key", bytes(size))
    faults.slow("read", 0)
    async with serving(framework, storage) as url:
        async with half_read(url):
            await until(lambda: faults.bodies_open == 1)
            taken = -1
            while taken != faults.calls["read"]:
                taken = faults.calls["read"]
                await asyncio.sleep(0.2)
            # Of 64 KiB each, or more.
            assert taken < size // (64 * 1024) // 2
        await until(lambda: faults.bodies_open == 0)


@both
async def test_damaged_object_does_not_arrive_completely(
    framework: str, storage: Storage, faults: FaultyDriver, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The client notices, since the body is shorter than announced, and the log says why.
    """
    await storage.put("key", DATA)
    faults.corrupt("read", times=None)
    caplog.set_level(logging.ERROR)
    async with serving(framework, storage) as url, client() as session, session.get(f"{url}/objects/key") as reply:
        assert reply.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()

    assert "do not match the stored checksum" in caplog.text
    at_rest(storage, faults)


@both
async def test_provider_that_breaks_off(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    The read resumes where it broke, and the client sees nothing of it.
    """
    await storage.put("key", DATA)
    faults.truncate(after=1000)
    async with serving(framework, storage) as url, client() as session, session.get(f"{url}/objects/key") as reply:
        assert await reply.read() == DATA

    assert faults.calls["open_read"] == 2


@both
async def test_object_that_is_replaced_while_it_is_sent(
    framework: str, storage: Storage, faults: FaultyDriver, memory: MemoryDriver
) -> None:
    """
    The client gets bytes of one version, or a body that breaks off; never a mixture.
    """
    await storage.put("key", DATA)
    faults.truncate(after=1000)
    hang = faults.hang("open_read", after=1)
    async with serving(framework, storage) as url, client() as session, session.get(f"{url}/objects/key") as reply:
        await hang.reached()
        await memory_put(memory, b"new" * 100_000)
        hang.release()
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()


@both
async def test_object_that_is_replaced_between_comparison_and_read(
    framework: str, storage: Storage, faults: FaultyDriver, memory: MemoryDriver
) -> None:
    """
    The request starts over, with the new version.
    """
    await storage.put("key", DATA)
    hang = faults.hang("open_read")
    async with serving(framework, storage) as url, client() as session:
        task = asyncio.ensure_future(session.get(f"{url}/objects/key", headers={"If-None-Match": '"other"'}))
        await hang.reached()
        info = await memory_put(memory, b"new")
        hang.release()
        async with await task as reply:
            assert (reply.status, await reply.read()) == (200, b"new")
            assert reply.headers["ETag"] == f'"{info}"'


async def memory_put(memory: MemoryDriver, data: bytes) -> str:
    """
    Replace the object beside the storage, whose requests hang, and return its ETag.
    """
    info = await memory.put(ROOT / "key", BytesBody(data), UploadOptions())
    assert info.etag is not None
    return info.etag


@both
async def test_provider_that_cannot_be_reached(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    A 503 with the wait that the provider asks for, and without its own words.
    """
    await storage.put("key", DATA)
    faults.fail("open_read", UnavailableError("down at 10.0.0.1", retry_after=1.2), times=None)
    async with serving(framework, storage) as url, client() as session, session.get(f"{url}/objects/key") as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
        assert b"10.0.0.1" not in await reply.read()


@both
async def test_presentation(framework: str, storage: Storage) -> None:
    """
    What is stored with the object is sent with it.
    """
    await storage.put(
        "key",
        b"<p>",
        content_type="text/html",
        cache_control="max-age=60",
        content_language="de",
        content_encoding="gzip",
        content_disposition="inline",
    )
    async with serving(framework, storage) as url, client() as session:
        async with session.get(f"{url}/objects/key") as reply:
            headers = reply.headers
        async with session.get(f"{url}/objects/key", headers={"If-None-Match": "*"}) as reply:
            assert reply.headers["Cache-Control"] == "max-age=60"

    assert headers["Content-Type"] == "text/html"
    assert headers["Content-Disposition"] == "inline"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Language"] == "de"


@both
async def test_presentation_of_ones_own(framework: str, storage: Storage) -> None:
    await storage.put("key", b"data", content_type="text/html", content_disposition="inline")
    shown: dict[str, Any] = {
        "filename": "ä.csv",
        "disposition": "inline",
        "content_type": "text/csv",
        "cache_control": "no-cache",
    }
    async with (
        serving(framework, storage, **shown) as url,
        client() as session,
        session.get(f"{url}/objects/key") as reply,
    ):
        headers = reply.headers

    assert headers["Content-Type"] == "text/csv"
    assert headers["Content-Disposition"] == "inline; filename=\"_.csv\"; filename*=UTF-8''%C3%A4.csv"
    assert headers["Cache-Control"] == "no-cache"


@both
async def test_redirect(framework: str, storage: Storage) -> None:
    """
    The client is sent to the provider with a URL that works, and that no cache keeps.
    """
    async with storage, serving(framework, storage) as url, client() as session:
        await storage.put("key", DATA)
        async with session.get(f"{url}/links/key", allow_redirects=False) as reply:
            assert (reply.status, reply.headers["Cache-Control"]) == (307, "no-store")
        async with session.get(f"{url}/links/key") as reply:
            assert (reply.status, await reply.read()) == (200, DATA)
            assert not str(reply.url).startswith(url)
