"""
The fault proxy does the harm it was asked for, and none besides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest
from blockbuster import blockbuster_ctx

from asyncstore.testing.faults_proxy import (
    CannedReply,
    CorruptReply,
    CorruptRequest,
    CutReply,
    DelayReply,
    Ending,
    Fault,
    FaultProxy,
    LoseReply,
    RefuseConnection,
    ResetBeforeForwarding,
    SlowReply,
    StallReply,
    StallRequest,
    When,
)
from tests.testing.origin import BODY, Origin, RawClient, raw_client, running_origin


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[None]:
    with blockbuster_ctx():
        yield


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with running_origin() as running:
        yield running


@pytest.fixture
async def proxy(origin: Origin) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", origin.port) as running:
        yield running


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[RawClient]:
    async with raw_client(proxy.port) as connected:
        yield connected


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


class TestForwarding:
    async def test_requests_on_one_connection_are_recorded(self, client: RawClient, proxy: FaultProxy) -> None:
        """Method, raw target, headers, length and connection are what went over the wire."""
        await client.send("PUT", "/a%2Fb?x=%20", "X-Odd: 1", body=b"12345")
        await client.sized_reply()
        await client.send("GET", "/whole")
        _, body = await client.sized_reply()

        put, get = proxy.requests
        assert body == BODY
        assert (put.number, put.connection, put.method, put.target) == (1, 1, "PUT", "/a%2Fb?x=%20")
        assert (put.body_length, put.status, put.header("x-odd")) == (5, 200, "1")
        assert (get.number, get.connection, get.body_length) == (2, 1, 0)
        assert proxy.connections == (1, 1)

    async def test_host_is_unchanged(self, client: RawClient) -> None:
        """The upstream sees the Host header that the client signed."""
        await client.send("PUT", "/k", body=b"")

        assert await client.sized_reply() == (200, b"origin.example:81")

    @pytest.mark.parametrize("path", ["/whole", "/chunked", "/until-close"])
    async def test_every_framing_of_a_reply(self, proxy: FaultProxy, path: str) -> None:
        """A body arrives whole however its end is told."""
        async with aiohttp.ClientSession() as session, session.get(proxy.url + path) as reply:
            assert await reply.read() == BODY

    async def test_chunked_request(self, proxy: FaultProxy, origin: Origin) -> None:
        """A chunked body arrives whole, and its payload is what is counted."""

        async def chunks() -> AsyncIterator[bytes]:
            yield BODY
            yield b"more"

        async with aiohttp.ClientSession() as session, session.put(f"{proxy.url}/k", data=chunks()) as reply:
            assert reply.status == 200

        assert origin.stored["/k"] == BODY + b"more"
        assert proxy.requests[0].body_length == len(BODY) + 4

    @pytest.mark.parametrize(("method", "path"), [("HEAD", "/whole"), ("GET", "/empty")])
    async def test_replies_without_body(self, client: RawClient, method: str, path: str) -> None:
        """After a reply that has no body, whatever its headers say, the connection goes on."""
        await client.send(method, path)
        await client.head()
        await client.send("GET", "/whole")

        assert await client.sized_reply() == (200, BODY)

    async def test_body_after_100_continue(self, client: RawClient, origin: Origin) -> None:
        """The upstream's invitation is passed on before the body."""
        await client.send("PUT", "/k", "Expect: 100-continue", "Content-Length: 4")
        invited, _ = await client.head()
        client.writer.write(b"body")
        status, _ = await client.sized_reply()

        assert (invited, status, origin.stored["/k"]) == (100, 200, b"body")

    async def test_refused_before_100_continue(self, client: RawClient) -> None:
        """When the body is not wanted the connection is still good for another request."""
        await client.send("PUT", "/refuse", "Expect: 100-continue", "Content-Length: 4")
        refused, _ = await client.sized_reply()
        await client.send("GET", "/whole")
        status, _ = await client.sized_reply()

        assert (refused, status) == (403, 200)

    async def test_unreachable_upstream(self) -> None:
        """A server that is not there is a 502 that says so."""
        async with FaultProxy("127.0.0.1", 1) as proxy, raw_client(proxy.port) as client:
            await client.send("GET", "/")
            status, body = await client.sized_reply()

        assert status == 502
        assert b"UpstreamUnreachable" in body

    async def test_client_that_leaves_is_noticed(self, proxy: FaultProxy) -> None:
        """A connection is not counted as open after its client went, even while a reply is held back."""
        proxy.add(DelayReply(60))
        async with raw_client(proxy.port) as client:
            await client.send("GET", "/whole")
            await eventually(lambda: len(proxy.requests) == 1)

        await eventually(lambda: proxy.connections == (0, 1))


class TestEndings:
    async def test_refuse_connection(self, proxy: FaultProxy) -> None:
        """The connection is reset and no request is seen."""
        proxy.add(RefuseConnection())
        async with raw_client(proxy.port) as client:
            assert await client.rest() == (b"", True)

        assert proxy.requests == []
        assert proxy.connections == (0, 1)

    async def test_refusing(self, proxy: FaultProxy) -> None:
        """Inside the block the port is closed; after it, the same port is open."""
        async with proxy.refusing():
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)

        async with raw_client(proxy.port) as client:
            await client.send("GET", "/whole")
            assert await client.sized_reply() == (200, BODY)

    async def test_reset_before_forwarding(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """The client is reset and the upstream never hears of it."""
        proxy.add(ResetBeforeForwarding())
        await client.send("PUT", "/k", body=b"body")

        assert await client.rest() == (b"", True)
        assert origin.stored == {}

    @pytest.mark.parametrize("how", [Ending.RST, Ending.FIN])
    async def test_lose_reply(self, client: RawClient, proxy: FaultProxy, origin: Origin, how: Ending) -> None:
        """The upstream has done it; the client hears nothing."""
        proxy.add(LoseReply(how))
        await client.send("PUT", "/k", body=b"body")

        assert await client.rest() == (b"", how is Ending.RST)
        assert origin.stored == {"/k": b"body"}

    @pytest.mark.parametrize("how", [Ending.RST, Ending.FIN])
    @pytest.mark.parametrize("after", [0, 1, 12_345, len(BODY) - 1])
    async def test_cut_reply(self, client: RawClient, proxy: FaultProxy, how: Ending, after: int) -> None:
        """Exactly so many bytes of the body arrive before the end."""
        proxy.add(CutReply(after, how))
        await client.send("GET", "/whole")
        status, _ = await client.head()

        assert status == 200
        assert await client.rest() == (BODY[:after], how is Ending.RST)

    async def test_cut_in_chunked_reply(self, proxy: FaultProxy) -> None:
        """Offsets count payload, and the chunk that would end the body is not sent."""
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
        """Idle connections can be reset at will."""
        await client.send("GET", "/whole")
        await client.sized_reply()

        await proxy.reset_connections()

        assert await client.rest() == (b"", True)
        assert proxy.connections.open == 0


class TestStalls:
    async def test_stall_before_the_head(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """The upstream has done it; the client waits, and closing the proxy ends it."""
        proxy.add(StallReply())
        await client.send("PUT", "/k", body=b"body")
        await eventually(lambda: origin.stored == {"/k": b"body"})

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.reader.read(1)
        await proxy.aclose()
        assert await client.rest() == (b"", False)

    async def test_stall_in_the_body(self, client: RawClient, proxy: FaultProxy) -> None:
        """So many bytes arrive, then nothing, not even an end."""
        proxy.add(StallReply(1000))
        await client.send("GET", "/whole")
        await client.head()

        assert await client.reader.readexactly(1000) == BODY[:1000]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.reader.read(1)

    async def test_stalled_client_that_leaves_is_noticed(self, proxy: FaultProxy) -> None:
        """The connection is held until the client closes it, and no longer."""
        proxy.add(StallReply())
        async with raw_client(proxy.port) as client:
            await client.send("GET", "/whole")
            await eventually(lambda: proxy.requests[0].status == 200 if proxy.requests else False)
            assert proxy.connections == (1, 1)

        await eventually(lambda: proxy.connections == (0, 1))

    async def test_stall_request(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """Writing blocks, and the upstream is left with so much of the body."""
        proxy.add(StallRequest(1000))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.send("PUT", "/k", body=bytes(32 * 1024 * 1024))
        assert proxy.requests[0].body_length == 1000
        await proxy.aclose()
        await eventually(lambda: origin.cut_off == [1000])
        assert origin.stored == {}


class TestPace:
    async def test_delay_reply(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """The first byte comes late, after the upstream has acted."""
        proxy.add(DelayReply(0.2))
        begun = time.monotonic()
        await client.send("PUT", "/k", body=b"body")
        await eventually(lambda: "/k" in origin.stored)
        acted = time.monotonic() - begun
        await client.reader.readexactly(1)

        assert acted < 0.2 <= time.monotonic() - begun

    async def test_slow_reply(self, client: RawClient, proxy: FaultProxy) -> None:
        """All of the body comes, in the time its rate says."""
        proxy.add(SlowReply(len(BODY) / 0.3))
        begun = time.monotonic()
        await client.send("GET", "/whole")

        assert await client.sized_reply() == (200, BODY)
        assert time.monotonic() - begun >= 0.25


class TestCannedReplies:
    @pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
    async def test_drained(self, client: RawClient, proxy: FaultProxy, origin: Origin, status: int, code: str) -> None:
        """The body is read, the error comes, and the connection goes on."""
        proxy.add(CannedReply(status, code, retry_after="7"))
        await client.send("PUT", "/k", body=BODY)
        answered, head = await client.head()
        await client.reader.readuntil(b"</Error>")
        await client.send("GET", "/whole")

        assert (answered, proxy.requests[0].status, proxy.requests[0].body_length) == (status, status, len(BODY))
        assert "Retry-After: 7" in head
        assert (await client.sized_reply())[0] == 200
        assert origin.stored == {}

    async def test_body_names_the_code(self, client: RawClient, proxy: FaultProxy) -> None:
        """The error can be read as S3's errors are."""
        proxy.add(CannedReply(code="SlowDown"))
        await client.send("GET", "/whole")
        _, body = await client.sized_reply()

        assert b"<Error><Code>SlowDown</Code></Error>" in body

    async def test_head_has_no_body(self, client: RawClient, proxy: FaultProxy) -> None:
        """An error in answer to HEAD has a length but no body."""
        proxy.add(CannedReply())
        await client.send("HEAD", "/whole")
        await client.head()
        await client.send("GET", "/whole")

        assert (await client.head())[0] == 200

    async def test_drained_after_100_continue(self, client: RawClient, proxy: FaultProxy) -> None:
        """A body that waits to be invited is invited before it is read."""
        proxy.add(CannedReply())
        await client.send("PUT", "/k", "Expect: 100-continue", "Content-Length: 4")
        invited, _ = await client.head()
        client.writer.write(b"body")
        status, _ = await client.sized_reply()

        assert (invited, status, proxy.requests[0].body_length) == (100, 503, 4)

    async def test_undrained(self, client: RawClient, proxy: FaultProxy) -> None:
        """The error comes with the body still unread, and the connection ends."""
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
        """That byte of the reply differs, and no other."""
        proxy.add(CorruptReply(at))
        async with aiohttp.ClientSession() as session, session.get(proxy.url + path) as reply:
            received = await reply.read()

        assert [at] == [i for i, (sent, came) in enumerate(zip(BODY, received, strict=True)) if sent != came]

    async def test_corrupt_request(self, client: RawClient, proxy: FaultProxy, origin: Origin) -> None:
        """That byte of the request differs, and no other."""
        proxy.add(CorruptRequest(2))
        await client.send("PUT", "/k", body=b"body")
        await client.sized_reply()

        assert origin.stored == {"/k": b"bo\x9by"}


class TestRules:
    async def answers(self, client: RawClient, *requests: tuple[str, str]) -> list[int]:
        statuses = []
        for method, target in requests:
            await client.send(method, target, body=b"" if method == "PUT" else None)
            statuses.append((await client.sized_reply())[0])
        return statuses

    async def test_method_and_target(self, client: RawClient, proxy: FaultProxy) -> None:
        """Only what matches both is spoilt."""
        rule = proxy.add(CannedReply(), when=When(method="PUT", target="partNumber=2"), times=None)

        statuses = await self.answers(
            client, ("PUT", "/k?partNumber=1"), ("PUT", "/k?partNumber=2"), ("GET", "/k?partNumber=2")
        )

        assert statuses == [200, 503, 200]
        assert (rule.matched, rule.fired) == (1, 1)
        assert [record.fault for record in proxy.requests] == [None, rule.fault, None]

    async def test_nth_and_times(self, client: RawClient, proxy: FaultProxy) -> None:
        """It begins with the nth that matches and stops after so many."""
        proxy.add(CannedReply(), when=When(method="GET", nth=2), times=2)

        assert await self.answers(client, *[("GET", "/")] * 5) == [200, 503, 503, 200, 200]

    async def test_first_added_is_used_first(self, client: RawClient, proxy: FaultProxy) -> None:
        """Faults for the same requests come in the order they were added."""
        proxy.add(CannedReply(500), times=1)
        proxy.add(CannedReply(503), times=None)
        spoilt = await self.answers(client, ("GET", "/"), ("GET", "/"))
        proxy.clear()

        assert spoilt == [500, 503]
        assert await self.answers(client, ("GET", "/")) == [200]

    async def test_refusal_has_no_request(self, proxy: FaultProxy) -> None:
        """A connection cannot be refused for what it has not yet asked."""
        with pytest.raises(ValueError, match="before it has a method"):
            proxy.add(RefuseConnection(), when=When(method="GET"))


@pytest.mark.parametrize("fault", [Fault(), StallReply(), StallReply(5), StallRequest(1), DelayReply(60), SlowReply(1)])
async def test_closing_leaves_no_task(origin: Origin, fault: Fault) -> None:
    """Whatever the proxy is in the middle of, leaving it ends every task it began."""
    before = asyncio.all_tasks()

    async with FaultProxy("127.0.0.1", origin.port) as proxy, raw_client(proxy.port) as client:
        proxy.add(fault)
        await client.send("PUT", "/k", body=b"body")
        await eventually(lambda: len(proxy.requests) == 1)
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.02)  # For the server to see that its connection is gone.

    assert [task for task in asyncio.all_tasks() - before if "faults" in repr(task)] == []
    assert proxy.connections.open == 0
