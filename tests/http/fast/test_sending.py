"""
Request bodies: in memory, in chunks, refused early, stalled, cancelled.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest

from asyncstore.config import HTTPOptions
from asyncstore.driver.body import Body, BytesBody, BytesLike
from asyncstore.errors import (
    SourceChangedError,
    StorageError,
    UnavailableError,
)
from asyncstore.http import HTTPClient
from asyncstore.http.origin import Origin
from tests.http.sending import Chunks, MiB, sent
from tests.servers.scripted import OK, Exchange, Scripted, reply, saying, scripted, wait
from tests.servers.tls import ThrowawayCA


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * MiB])
@pytest.mark.parametrize("kind", ["memory", "chunks", "view"])
async def test_body_arrives(kind: str, size: int) -> None:
    """
    Bytes in memory and in chunks are sent with their length, not chunked.
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
    A source may reuse one buffer: every chunk is sent with the bytes it had when it was yielded.
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


async def test_upload_to_a_stalled_server_fails() -> None:
    """
    An upload fails if the server stops reading, and its source is closed.
    """
    body = Chunks(*[b"x" * MiB] * 32)
    async with scripted(wait) as server:
        with pytest.raises(UnavailableError, match="read nothing"):
            await sent(server, "PUT", body, stall_timeout=0.2)

        assert not body.reading


async def test_slow_upload_is_not_a_stall() -> None:
    """
    An upload that makes progress is never stopped.
    """

    async def sip(exchange: Exchange) -> None:
        left = int(exchange.headers["content-length"])
        while left:
            await asyncio.sleep(0.05)
            left -= len(await exchange.reader.read(256 * 1024))
        await exchange.send(OK)

    async with scripted(sip) as server:
        assert (await sent(server, "PUT", Chunks(*[b"x" * MiB] * 16), stall_timeout=1.5)).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say what the peer has acknowledged")
@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize(
    ("size", "stall_timeout", "encrypted"), [(3 * MiB, 1.0, False), (3 * MiB, 1.0, True), (6 * MiB, 0.3, False)]
)
async def test_acknowledged_bytes_count(
    size: int, stall_timeout: float, encrypted: bool, stops: bool, tls_ca: ThrowawayCA
) -> None:
    """
    A server that reads slowly is not a stall until it stops: the system takes a few MiB at once, here all of the
    body or more than is read in two timeouts.
    """

    async def sip(exchange: Exchange) -> None:
        left = int(exchange.headers["content-length"])
        while left:
            await asyncio.sleep(0.05)
            left -= len(await exchange.reader.readexactly(min(left, 64 * 1024)))
            if stops and left < size // 2:
                await asyncio.sleep(8)
                raise EOFError
        await exchange.send(OK)

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    listener = socket.create_server(("127.0.0.1", 0))
    # Otherwise the server's system acknowledges at once what the client's sends.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    server = Scripted([sip])
    serving = await asyncio.start_server(server.serve, sock=listener, limit=8 * 1024, ssl=tls if encrypted else None)
    origin = Origin.parse(f"http{'s' if encrypted else ''}://127.0.0.1:{listener.getsockname()[1]}")
    client = HTTPClient(HTTPOptions(ca_file=tls_ca.ca_file, stall_timeout=stall_timeout))
    sending = client.send("PUT", origin, "/", {}, BytesBody(bytes(size)))
    if stops:
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(sending, 8)
    else:
        assert 200 == (await sending).status
    await client.aclose()
    serving.close()


@pytest.mark.parametrize("end", ["close", "abort", "cancel"])
async def test_large_body_that_ends_early_leaves_no_descriptor(end: str) -> None:
    """
    A connection that is lost or cancelled while sending a large body is closed; the server sees its end.
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
    Requests after a large one on the same connection are not corrupted, with and without TLS.
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


async def test_early_reply_is_returned() -> None:
    """
    A reply that arrives before the body was read is returned to the caller.
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
async def test_error_of_the_source_is_raised(body: Body, error: type[StorageError]) -> None:
    """
    If the source fails or has another length than announced, that is the error, not the lost connection.
    """
    async with scripted(saying(OK)) as server:
        with pytest.raises(error):
            await sent(server, "PUT", body)


@pytest.mark.parametrize("direction", ["before the reply", "while sending"])
async def test_cancelled_request_leaves_nothing(direction: str) -> None:
    """
    After a cancellation no connection is open and the source is closed.
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
