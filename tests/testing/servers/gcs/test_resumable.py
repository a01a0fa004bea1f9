"""
Resumable uploads, as the service's documentation describes them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.servers.gcs_client import QUANTUM, random_bytes

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    async with GCSServer(buckets=["b-1"]) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def start(server: GCSServer, http: aiohttp.ClientSession, *, query: str = "", **options: Any) -> str:
    """Start a session; return its URI."""
    address = f"{server.url}/upload/storage/v1/b/b-1/o?uploadType=resumable&name=r{query}"
    async with http.post(address, **options) as reply:
        assert reply.status == 200, await reply.text()
        assert reply.headers["X-GUploader-UploadID"] in reply.headers["Location"]
        return reply.headers["Location"]


async def send(
    http: aiohttp.ClientSession, session: str, content_range: str | None, data: bytes = b"", **headers: str
) -> tuple[int, str | None, str]:
    """Send bytes; return status, ``Range`` and body."""
    if content_range is not None:
        headers["Content-Range"] = f"bytes {content_range}"
    async with http.put(session, data=data, headers=headers) as reply:
        return reply.status, reply.headers.get("Range"), await reply.text()


async def stored(server: GCSServer, http: aiohttp.ClientSession) -> bytes | None:
    async with http.get(f"{server.url}/b-1/r") as reply:
        return await reply.read() if reply.status == 200 else None


async def test_chunks_and_status(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """Each chunk is answered with 308 and the persisted range; a status query changes nothing; the last chunk
    creates the object."""
    data = random_bytes(2 * QUANTUM + 10)
    session = await start(server, http)

    assert await send(http, session, "*/*") == (308, None, "")
    assert await send(http, session, f"0-{QUANTUM - 1}/*", data[:QUANTUM]) == (308, f"bytes=0-{QUANTUM - 1}", "")
    for query in ("*/*", f"*/{len(data)}", "*/*"):
        assert await send(http, session, query) == (308, f"bytes=0-{QUANTUM - 1}", "")
    assert await stored(server, http) is None
    last = f"{QUANTUM}-{len(data) - 1}/{len(data)}"
    status, _, body = await send(http, session, last, data[QUANTUM:])
    assert status == 200
    assert await stored(server, http) == data
    # The result can still be queried, even after the object is deleted.
    assert await send(http, session, "*/*") == (200, None, body)
    async with http.delete(f"{server.url}/b-1/r") as reply:
        assert reply.status == 204
    assert await send(http, session, "*/*") == (200, None, body)


async def test_unknown_size_is_finalized_without_bytes(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A status query that states the final size finishes the upload, even of an empty object."""
    data = random_bytes(QUANTUM)
    session = await start(server, http)
    await send(http, session, f"0-{QUANTUM - 1}/*", data)
    status, _, _ = await send(http, session, f"*/{QUANTUM}")

    assert status == 200
    assert await stored(server, http) == data
    empty = await start(server, http)
    assert (await send(http, empty, "*/0"))[0] == 200
    assert await stored(server, http) == b""


async def test_without_content_range(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A body without Content-Range is the whole object, with or without Content-Length."""
    data = random_bytes(QUANTUM + 1)

    async def chunks() -> AsyncIterator[bytes]:
        yield data[:100]
        yield data[100:]

    for body in (data, chunks()):
        session = await start(server, http)
        async with http.put(session, data=body) as reply:
            assert reply.status == 200
        assert await stored(server, http) == data


async def test_chunks_of_other_sizes(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A chunk under 256 KiB is refused unless it is the last; from others, whole multiples are kept."""
    data = random_bytes(3 * QUANTUM)
    session = await start(server, http)
    status, _, text = await send(http, session, "0-99/*", data[:100])

    assert status == 400
    assert "equal or greater than 262144" in text
    size = QUANTUM + 100
    assert await send(http, session, f"0-{size - 1}/*", data[:size]) == (308, f"bytes=0-{QUANTUM - 1}", "")


async def test_offsets(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A gap is refused; bytes that are already persisted are skipped without comparison."""
    data = random_bytes(2 * QUANTUM)
    session = await start(server, http)
    await send(http, session, f"0-{QUANTUM - 1}/*", data[:QUANTUM])
    gap = await send(http, session, f"{QUANTUM + 1}-{2 * QUANTUM}/*", data[QUANTUM:])

    assert gap[0] == 400
    assert "exceeds already uploaded size" in gap[2]
    again = await send(http, session, f"0-{2 * QUANTUM - 1}/{2 * QUANTUM}", bytes(QUANTUM) + data[QUANTUM:])
    assert again[0] == 200
    assert await stored(server, http) == data


@pytest.mark.parametrize("content_range", ["0-9", "5-4/10", "0-10/10", "a-b/c", "0-9/-1", "*"])
async def test_malformed_ranges(server: GCSServer, http: aiohttp.ClientSession, content_range: str) -> None:
    """A malformed Content-Range is refused."""
    session = await start(server, http)

    assert (await send(http, session, content_range, b"0123456789"))[0] == 400


async def test_contradictory_sizes(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """The size stated at the start is binding, and a body must be as long as its range."""
    session = await start(server, http, headers={"X-Upload-Content-Length": "10"})

    assert (await send(http, session, "0-4/5", b"01234"))[0] == 400
    assert (await send(http, session, "0-9/10", b"01234"))[0] == 400

    async def chunks() -> AsyncIterator[bytes]:
        yield b"01234"

    async with http.put(session, data=chunks()) as reply:
        assert reply.status == 400
    assert (await send(http, session, "0-9/10", b"0123456789"))[0] == 200
    longer = await start(server, http)
    assert (await send(http, longer, f"0-{QUANTUM - 1}/*", bytes(2 * QUANTUM)))[0] == 400
    assert await send(http, longer, "*/*") == (308, None, "")


async def test_connection_cut(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """After a broken connection, whole multiples of 256 KiB are kept, and the upload resumes from there."""
    data = random_bytes(3 * QUANTUM + 7)
    session = await start(server, http)
    path = session.removeprefix(server.url)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"PUT {path} HTTP/1.1\r\nHost: {server.url[7:]}\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data[: 2 * QUANTUM + 5])
    await writer.drain()
    for _ in range(200):
        status, persisted, _ = await send(http, session, "*/*")
        if persisted == f"bytes=0-{2 * QUANTUM - 1}":
            break
        await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()

    assert (status, persisted) == (308, f"bytes=0-{2 * QUANTUM - 1}")
    rest = f"{2 * QUANTUM}-{len(data) - 1}/{len(data)}"
    assert (await send(http, session, rest, data[2 * QUANTUM :]))[0] == 200
    assert await stored(server, http) == data


async def test_cancelled_sessions(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A cancelled session refuses further requests."""
    session = await start(server, http)
    async with http.delete(session) as reply:
        assert reply.status == 499

    assert (await send(http, session, "*/*"))[0] == 499
    assert (await send(http, session, None, b"late"))[0] == 499
    assert await stored(server, http) is None


async def test_expired_and_unknown_sessions(http: aiohttp.ClientSession) -> None:
    """A session expires after its lifetime; an unknown session is not found."""
    async with GCSServer(buckets=["b-1"], settings=Settings(session_lifetime=-1)) as server:
        session = await start(server, http)
        assert (await send(http, session, "*/*"))[0] == 410
        assert (await send(http, session.replace("upload_id=", "upload_id=0"), "*/*"))[0] == 404


async def test_conditions_are_checked_at_start_and_end(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A condition is checked when the session starts, and again when the object is written."""
    session = await start(server, http, query="&ifGenerationMatch=0")
    async with http.put(f"{server.url}/b-1/r", data=b"other") as reply:
        assert reply.status == 200

    assert (await send(http, session, None, b"mine"))[0] == 412
    assert await stored(server, http) == b"other"
    address = f"{server.url}/upload/storage/v1/b/b-1/o?uploadType=resumable&name=r&ifGenerationMatch=0"
    async with http.post(address) as reply:
        assert reply.status == 412


async def test_checksums(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A checksum sent at the start or with the last bytes is compared with the whole object's."""
    right = base64.b64encode(hashlib.md5(b"body", usedforsecurity=False).digest()).decode()
    wrong = base64.b64encode(bytes(16)).decode()
    at_start = await start(server, http, json={"md5Hash": wrong})
    assert (await send(http, at_start, None, b"body"))[0] == 400
    at_end = await start(server, http)
    assert (await send(http, at_end, None, b"body", **{"X-Goog-Hash": f"md5={wrong}"}))[0] == 400
    assert await stored(server, http) is None

    good = await start(server, http, json={"md5Hash": right, "contentType": "text/x-test"})
    assert (await send(http, good, None, b"body", **{"X-Goog-Hash": f"md5={right}"}))[0] == 200


async def test_session_needs_no_token(http: aiohttp.ClientSession) -> None:
    """A session's URI works without a token; starting a session needs one."""
    async with GCSServer(buckets=["b-1"], settings=Settings(tokens={"fake-token"})) as server:
        session = await start(server, http, headers={"Authorization": "Bearer fake-token"})
        assert (await send(http, session, None, b"body"))[0] == 200
        async with http.post(f"{server.url}/upload/storage/v1/b/b-1/o?uploadType=resumable&name=r") as reply:
            assert reply.status == 401
        # The session's URI gives no other access.
        query = session.partition("?")[2]
        for path in (
            "/storage/v1/b/b-1/o/r",
            "/storage/v1/b/b-1/o",
            "/download/storage/v1/b/b-1/o/r",
            "/b-1",
            "/",
            "//r",
        ):
            async with http.get(f"{server.url}{path}?{query}") as reply:
                assert reply.status == 401
        for path in ("/b-1/r", "/upload/storage/v1/b/b-1/o"):
            async with http.get(f"{server.url}{path}?{query}") as reply:
                assert reply.status == 405


async def test_sessions_of_the_xml_api(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A POST with x-goog-resumable starts a session that works the same way."""
    headers = {"x-goog-resumable": "start", "x-goog-meta-colour": "blue", "Content-Type": "text/x-test"}
    async with http.post(f"{server.url}/b-1/r", headers=headers) as reply:
        assert reply.status == 201
        session = reply.headers["Location"]

    assert await send(http, session, "*/*") == (308, None, "")
    assert (await send(http, session, "0-3/4", b"body"))[0] == 200
    async with http.get(f"{server.url}/b-1/r") as reply:
        assert (await reply.read(), reply.headers["x-goog-meta-colour"]) == (b"body", "blue")


@asynccontextmanager
async def sending(server: GCSServer, session: str, size: int) -> AsyncIterator[Streams]:
    """Start a request that announces *size* bytes, and send the first 100."""
    path = session.removeprefix(server.url)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        head = f"PUT {path} HTTP/1.1\r\nHost: {server.url[7:]}\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode() + bytes(100))
        async with asyncio.timeout(5):
            while server.world.sessions[path.rpartition("=")[2]].turn == 0:
                await asyncio.sleep(0.01)
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_later_request_takes_over_the_session(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """When two requests send bytes at once, the later one wins, and the earlier one's bytes are discarded."""
    data = random_bytes(2 * QUANTUM)
    session = await start(server, http)
    async with sending(server, session, len(data)) as (reader, writer):
        assert (await send(http, session, None, data))[0] == 200
        writer.write(bytes(len(data) - 100))
        assert b" 503 " in await reader.readline()

    assert await stored(server, http) == data


async def test_cancelled_during_an_upload(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """Cancelling the session during an upload creates no object."""
    session = await start(server, http)
    async with sending(server, session, QUANTUM) as (reader, writer):
        async with http.delete(session) as reply:
            assert reply.status == 499
        writer.write(bytes(QUANTUM - 100))
        assert b" 503 " in await reader.readline()

    assert await stored(server, http) is None
