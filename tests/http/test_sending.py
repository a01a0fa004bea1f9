"""
Bodies of requests: whole, in chunks, refused early, stalled, cancelled.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest

from asyncstore.body import Body, BytesBody, BytesLike
from asyncstore.config import HTTPOptions
from asyncstore.errors import (
    SourceChangedError,
    StorageError,
    UnavailableError,
)
from asyncstore.http import HTTPClient
from asyncstore.http.origin import Origin
from tests.http.scripted import OK, Exchange, reply, saying, scripted, wait
from tests.http.sending import Chunks, MiB, sent
from tests.servers.tls import ThrowawayCA


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * MiB])
@pytest.mark.parametrize("kind", ["memory", "chunks", "view"])
async def test_body_arrives(kind: str, size: int) -> None:
    """
    Bytes in memory and in chunks arrive with their length, in no encoding.
    """
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    got: list[bytes] = []

    async def take(exchange: Exchange) -> None:
        got.append(await exchange.body())
        await exchange.send(OK)

    bodies: dict[str, Body] = {
        "memory": BytesBody(data),
        "view": BytesBody(memoryview(data)),
        "chunks": Chunks(*[data[start : start + MiB] for start in range(0, size, MiB)]),
    }
    async with scripted(take) as server:
        await sent(server, "PUT", bodies[kind])

        assert got == [data]
        assert server.requests[0].headers["content-length"] == str(size)
        assert "transfer-encoding" not in server.requests[0].headers


async def test_chunk_may_be_reused() -> None:
    """
    A source that fills one buffer again and again sends what was in it each time.
    """

    class Reusing(Body):
        size = 8 * MiB

        async def chunks(self) -> AsyncIterator[BytesLike]:
            buffer = bytearray(MiB)
            for number in range(8):
                buffer[:] = bytes([number]) * MiB
                yield memoryview(buffer)
                buffer[:] = b"\xff" * MiB

    got: list[bytes] = []

    async def slowly(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        got.append(await exchange.body())
        await exchange.send(OK)

    async with scripted(slowly) as server:
        await sent(server, "PUT", Reusing())

    assert got == [b"".join(bytes([number]) * MiB for number in range(8))]


async def test_upload_that_nobody_reads_is_given_up() -> None:
    """
    A server that stops reading is noticed, and nobody uses the source any more.
    """
    body = Chunks(*[b"x" * MiB] * 32)
    async with scripted(wait) as server:
        with pytest.raises(UnavailableError, match="read nothing"):
            await sent(server, "PUT", body, stall_timeout=0.2)

        assert not body.reading


async def test_slow_upload_is_not_given_up() -> None:
    """
    An upload that moves is never stopped.
    """

    async def sip(exchange: Exchange) -> None:
        left = int(exchange.headers["content-length"])
        while left:
            await asyncio.sleep(0.05)
            left -= len(await exchange.reader.read(256 * 1024))
        await exchange.send(OK)

    async with scripted(sip) as server:
        assert (await sent(server, "PUT", Chunks(*[b"x" * MiB] * 16), stall_timeout=1.5)).status == 200


@pytest.mark.parametrize("end", ["close", "abort", "cancel"])
async def test_large_body_that_ends_early_leaves_no_descriptor(end: str) -> None:
    """
    A connection that is lost while much is sent, or given up, is closed for good: the server sees its end.
    """
    began, ended = asyncio.Event(), asyncio.Event()

    async def leave(exchange: Exchange) -> None:
        await exchange.reader.readexactly(MiB)
        began.set()
        if end == "cancel":
            with contextlib.suppress(ConnectionError):
                while await exchange.reader.read(MiB):
                    pass
            ended.set()
        elif end == "abort":
            exchange.writer.transport.abort()
        else:
            exchange.writer.close()

    async with scripted(leave) as server:
        before = set(os.listdir("/proc/self/fd"))
        body = Chunks(*[b"x" * MiB] * 64)
        task = asyncio.create_task(sent(server, "PUT", body))
        await began.wait()
        if end == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(ended.wait(), 10)
        else:
            with pytest.raises(UnavailableError):
                await task

        assert not body.reading
        await asyncio.sleep(0.05)
        assert set(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("encrypted", [False, True])
async def test_large_bodies_over_one_connection(encrypted: bool, tls_ca: ThrowawayCA) -> None:
    """
    Requests that follow a large one on the same connection are in order, with TLS and without.
    """
    bodies = [os.urandom(3 * MiB + 7), b"", os.urandom(10), os.urandom(5 * MiB)]
    got: list[bytes] = []

    async def take(exchange: Exchange) -> None:
        got.append(await exchange.body())
        await exchange.send(OK)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    async with scripted(take, tls=context if encrypted else None) as server:
        client = HTTPClient(HTTPOptions(ca_file=tls_ca.ca_file))
        for data in bodies:
            found = await client.send("PUT", Origin.parse(server.url), "/", {}, BytesBody(data))
            await found.read_error()
        await client.aclose()

        assert got == bodies
        assert server.connections == 1


async def test_early_answer_is_the_answer() -> None:
    """
    A refusal that comes before the body was read is what the caller hears.
    """

    async def refuse(exchange: Exchange) -> None:
        await exchange.send(reply(403, b"no"))
        await wait(exchange)

    body = Chunks(*[b"x" * MiB] * 32)
    async with scripted(refuse) as server:
        found = await sent(server, "PUT", body)

        assert found.status == 403
        assert await found.read_error() == b"no"
        assert not body.reading


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (Chunks(b"x" * 100_000, error=SourceChangedError("gone")), SourceChangedError),
        (Chunks(b"x" * 100_000, size=200_000), SourceChangedError),
        (Chunks(b"x" * 200_000, size=100_000), SourceChangedError),
    ],
)
async def test_source_that_fails_is_named(body: Body, error: type[StorageError]) -> None:
    """
    A source that breaks, or has other bytes than it said, is the error: not the lost connection.
    """
    async with scripted(saying(OK)) as server:
        with pytest.raises(error):
            await sent(server, "PUT", body)


@pytest.mark.parametrize("direction", ["before the reply", "while sending"])
async def test_cancelled_request_leaves_nothing(direction: str) -> None:
    """
    After a cancellation no connection is open and nobody reads the source.
    """
    body = Chunks(*[b"x" * MiB] * 32) if direction == "while sending" else None
    async with scripted(wait) as server:
        client = HTTPClient(HTTPOptions())
        task = asyncio.create_task(client.send("DELETE", Origin.parse(server.url), "/", {}, body))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert body is None or not body.reading
        session = client._session
        assert session is not None
        assert isinstance(session.connector, aiohttp.TCPConnector)
        assert not session.connector._acquired
        await client.aclose()
