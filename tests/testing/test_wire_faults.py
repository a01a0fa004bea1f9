"""
Each fault of the proxy has its effect, and no other.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from asyncstore.testing.faults_proxy import (
    CannedReply,
    CorruptReply,
    CorruptRequest,
    CutReply,
    DelayReply,
    Ending,
    FaultProxy,
    LoseReply,
    RefuseConnection,
    ResetBeforeForwarding,
    SlowReply,
    StallReply,
    StallRequest,
)
from tests.servers.origin import BODY, Origin, RawClient, eventually, raw_client


class TestEndings:
    async def test_refuse_connection(self, proxy: FaultProxy) -> None:
        """The connection is reset before a request is read."""
        proxy.add(RefuseConnection())
        async with raw_client(proxy.port) as client:
            assert await client.rest() == (b"", True)

        assert proxy.requests == []
        assert proxy.connections == (0, 1)

    async def test_refusing(self, proxy: FaultProxy) -> None:
        """Inside the block the port is closed; after the block, the same port is open again."""
        async with proxy.refusing():
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)

        async with raw_client(proxy.port) as client:
            await client.send("GET", "/whole")
            assert await client.sized_reply() == (200, BODY)

    async def test_reset_before_forwarding(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """The client's connection is reset, and the upstream gets no request."""
        proxy.add(ResetBeforeForwarding())
        await client.send("PUT", "/k", body=b"body")

        assert await client.rest() == (b"", True)
        assert origin.stored == {}

    @pytest.mark.parametrize("how", [Ending.RST, Ending.FIN])
    async def test_lose_reply(self, client: RawClient, proxy: FaultProxy, origin: Origin, how: Ending) -> None:
        """The upstream handles the request; the client gets no reply."""
        proxy.add(LoseReply(how))
        await client.send("PUT", "/k", body=b"body")

        assert await client.rest() == (b"", how is Ending.RST)
        assert origin.stored == {"/k": b"body"}

    @pytest.mark.parametrize("how", [Ending.RST, Ending.FIN])
    @pytest.mark.parametrize("after", [0, 1, 12_345, len(BODY) - 1])
    async def test_cut_reply(self, client: RawClient, proxy: FaultProxy, how: Ending, after: int) -> None:
        """Exactly *after* bytes of the body arrive before the connection ends."""
        proxy.add(CutReply(after, how))
        await client.send("GET", "/whole")
        status, _ = await client.head()

        assert status == 200
        assert await client.rest() == (BODY[:after], how is Ending.RST)

    async def test_cut_waits_for_a_slow_reader(self, proxy: FaultProxy) -> None:
        """A reset does not overtake the bytes before it."""
        proxy.add(CutReply(len(BODY) - 1, Ending.RST))
        async with raw_client(proxy.port, receive_buffer=4096) as client:
            await client.send("GET", "/whole")
            await asyncio.sleep(0.1)
            await client.head()

            assert await client.rest() == (BODY[:-1], True)

    async def test_cut_in_chunked_reply(self, proxy: FaultProxy) -> None:
        """Offsets count payload, and the final chunk is not sent."""
        proxy.add(CutReply(len(BODY)))
        async with aiohttp.ClientSession() as session, session.get(f"{proxy.url}/chunked") as reply:
            received = await reply.content.readexactly(len(BODY))
            with pytest.raises(aiohttp.ClientPayloadError):
                await reply.content.read()

        assert received == BODY

    async def test_cut_beyond_the_end(self, client: RawClient, proxy: FaultProxy) -> None:
        """A body that does not reach the offset is untouched."""
        proxy.add(CutReply(len(BODY) + 1))
        await client.send("GET", "/whole")
        await client.sized_reply()
        await client.send("GET", "/whole")

        assert await client.sized_reply() == (200, BODY)

    async def test_reset_connections(self, client: RawClient, proxy: FaultProxy) -> None:
        """Idle connections can be reset on command."""
        await client.send("GET", "/whole")
        await client.sized_reply()

        await proxy.reset_connections()

        assert await client.rest() == (b"", True)
        assert proxy.connections.open == 0


class TestStalls:
    async def test_stall_before_the_head(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """The upstream handles the request; the client waits until the proxy closes."""
        proxy.add(StallReply())
        await client.send("PUT", "/k", body=b"body")
        await eventually(lambda: origin.stored == {"/k": b"body"})

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.reader.read(1)
        await proxy.aclose()
        assert await client.rest() == (b"", False)

    async def test_stall_in_the_body(self, client: RawClient, proxy: FaultProxy) -> None:
        """*after* bytes arrive, then nothing, and the connection stays open."""
        proxy.add(StallReply(1000))
        await client.send("GET", "/whole")
        await client.head()

        assert await client.reader.readexactly(1000) == BODY[:1000]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.reader.read(1)

    async def test_stalled_client_that_leaves_is_noticed(self, proxy: FaultProxy) -> None:
        """The connection is held open only until the client closes it."""
        proxy.add(StallReply())
        async with raw_client(proxy.port) as client:
            await client.send("GET", "/whole")
            await eventually(lambda: proxy.requests[0].status == 200 if proxy.requests else False)
            assert proxy.connections == (1, 1)

        await eventually(lambda: proxy.connections == (0, 1))

    async def test_stall_request(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """The client's writes block, and the upstream gets only *after* bytes of the body."""
        proxy.add(StallRequest(1000))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await client.send("PUT", "/k", body=bytes(32 * 1024 * 1024))
        assert proxy.requests[0].body_length == 1000
        await proxy.aclose()
        await eventually(lambda: origin.cut_off == [1000])
        assert origin.stored == {}


class TestPace:
    async def test_delay_reply(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """The first byte arrives late, after the upstream has handled the request."""
        proxy.add(DelayReply(1))
        start = time.monotonic()
        await client.send("PUT", "/k", body=b"body")
        await eventually(lambda: "/k" in origin.stored)
        handled = time.monotonic() - start
        await client.reader.readexactly(1)

        assert handled < 1 <= time.monotonic() - start

    async def test_slow_reply(self, client: RawClient, proxy: FaultProxy) -> None:
        """The whole body arrives, at the given rate."""
        proxy.add(SlowReply(len(BODY) / 0.3))
        start = time.monotonic()
        await client.send("GET", "/whole")

        assert await client.sized_reply() == (200, BODY)
        assert time.monotonic() - start >= 0.25


class TestCannedReplies:
    @pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
    async def test_drained(self, client: RawClient, proxy: FaultProxy, origin: Origin, status: int, code: str) -> None:
        """The body is read, the error is returned, and the connection stays usable."""
        proxy.add(CannedReply(status, code, retry_after="7"))
        await client.send("PUT", "/k", body=BODY)
        canned, head = await client.head()
        await client.reader.readuntil(b"</Error>")
        await client.send("GET", "/whole")

        assert (canned, proxy.requests[0].status, proxy.requests[0].body_length) == (status, status, len(BODY))
        assert "Retry-After: 7" in head
        assert (await client.sized_reply())[0] == 200
        assert origin.stored == {}

    async def test_body_names_the_code(self, client: RawClient, proxy: FaultProxy) -> None:
        """The default body is an error of S3."""
        proxy.add(CannedReply(code="SlowDown"))
        await client.send("GET", "/whole")
        _, body = await client.sized_reply()

        assert b"<Error><Code>SlowDown</Code></Error>" in body

    async def test_body_of_another_provider(self, client: RawClient, proxy: FaultProxy) -> None:
        """The body can be any bytes, with their content type."""
        proxy.add(CannedReply(429, body=b'{"error": "slow down"}', content_type="application/json"))
        await client.send("GET", "/whole")
        status, head = await client.head()

        assert status == 429
        assert "Content-Type: application/json" in head
        assert await client.reader.readexactly(22) == b'{"error": "slow down"}'

    async def test_head_has_no_body(self, client: RawClient, proxy: FaultProxy) -> None:
        """The error for a HEAD request has a length but no body."""
        proxy.add(CannedReply())
        await client.send("HEAD", "/whole")
        await client.head()
        await client.send("GET", "/whole")

        assert (await client.head())[0] == 200

    async def test_drained_after_100_continue(self, client: RawClient, proxy: FaultProxy) -> None:
        """The proxy sends 100 Continue before it reads a body that waits for it."""
        proxy.add(CannedReply())
        await client.send("PUT", "/k", "Expect: 100-continue", "Content-Length: 4")
        interim, _ = await client.head()
        client.writer.write(b"body")
        status, _ = await client.sized_reply()

        assert (interim, status, proxy.requests[0].body_length) == (100, 503, 4)

    async def test_undrained(self, client: RawClient, proxy: FaultProxy) -> None:
        """The error is returned before the body is read, and the connection ends."""
        proxy.add(CannedReply(drain=False, linger=0.1))
        await client.send("PUT", "/k", "Content-Length: 1000000")
        client.writer.write(bytes(500_000))
        status, head = await client.head()
        await client.rest()
        await eventually(lambda: proxy.connections.open == 0)

        assert (status, proxy.requests[0].body_length) == (503, 0)
        assert "Connection: close" in head


class TestCorruption:
    @pytest.mark.parametrize("path", ["/whole", "/chunked"])
    @pytest.mark.parametrize("at", [0, 70_000, len(BODY) - 1])
    async def test_corrupt_reply(self, proxy: FaultProxy, path: str, at: int) -> None:
        """Exactly one byte of the reply differs."""
        proxy.add(CorruptReply(at))
        async with aiohttp.ClientSession() as session, session.get(proxy.url + path) as reply:
            received = await reply.read()

        assert [at] == [i for i, (sent, came) in enumerate(zip(BODY, received, strict=True)) if sent != came]

    async def test_corrupt_request(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """Exactly one byte of the request differs."""
        proxy.add(CorruptRequest(2))
        await client.send("PUT", "/k", body=b"body")
        await client.sized_reply()

        assert origin.stored == {"/k": b"bo\x9by"}
