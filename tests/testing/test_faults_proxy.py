"""
The fault proxy forwards requests unchanged, follows its rules, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from asyncstore.testing.faults_proxy import (
    CannedReply,
    DelayReply,
    Fault,
    FaultProxy,
    RefuseConnection,
    SlowReply,
    StallReply,
    StallRequest,
    When,
)
from tests.servers.origin import BODY, Origin, RawClient, eventually, raw_client


class TestForwarding:
    async def test_requests_on_one_connection_are_recorded(self, client: RawClient, proxy: FaultProxy) -> None:
        """Records have the method, raw target, headers, length and connection as sent over the wire."""
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
        """A reply arrives whole, whether it is sized, chunked or ends with the connection."""
        async with aiohttp.ClientSession() as session, session.get(proxy.url + path) as reply:
            assert await reply.read() == BODY

    async def test_chunked_request(self, proxy: FaultProxy, origin: Origin) -> None:
        """A chunked request arrives whole, and only its payload is counted."""

        async def chunks() -> AsyncIterator[bytes]:
            yield BODY
            yield b"more"

        async with aiohttp.ClientSession() as session, session.put(f"{proxy.url}/k", data=chunks()) as reply:
            assert reply.status == 200

        assert origin.stored["/k"] == BODY + b"more"
        assert proxy.requests[0].body_length == len(BODY) + 4

    @pytest.mark.parametrize(("method", "path"), [("HEAD", "/whole"), ("GET", "/empty")])
    async def test_replies_without_body(self, client: RawClient, method: str, path: str) -> None:
        """After a reply that has no body, whatever its headers say, the connection stays usable."""
        await client.send(method, path)
        await client.head()
        await client.send("GET", "/whole")

        assert await client.sized_reply() == (200, BODY)

    async def test_body_after_100_continue(self, client: RawClient, origin: Origin) -> None:
        """The upstream's 100 Continue is forwarded before the body."""
        await client.send("PUT", "/k", "Expect: 100-continue", "Content-Length: 4")
        interim, _ = await client.head()
        client.writer.write(b"body")
        status, _ = await client.sized_reply()

        assert (interim, status, origin.stored["/k"]) == (100, 200, b"body")

    async def test_refused_before_100_continue(self, client: RawClient) -> None:
        """After a refusal without 100 Continue, the connection takes another request."""
        await client.send("PUT", "/refuse", "Expect: 100-continue", "Content-Length: 4")
        refused, _ = await client.sized_reply()
        await client.send("GET", "/whole")
        status, _ = await client.sized_reply()

        assert (refused, status) == (403, 200)

    async def test_refused_after_100_continue(self, client: RawClient, proxy: FaultProxy) -> None:
        """A body sent after 100 Continue is not parsed as the next request, even if it follows the reply."""
        await client.send("PUT", "/invite-and-refuse", "Expect: 100-continue", "Content-Length: 4")
        interim, _ = await client.head()
        refused, _ = await client.sized_reply()
        client.writer.write(b"body")
        await client.send("GET", "/whole")
        status, _ = await client.sized_reply()

        assert (interim, refused, status) == (100, 403, 200)
        assert [record.body_length for record in proxy.requests] == [4, 0]

    async def test_early_refusal(self) -> None:
        """A reply that arrives while the body is still being sent reaches the client."""

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with FaultProxy("127.0.0.1", port) as proxy, raw_client(proxy.port) as client:
                await client.send("PUT", "/k", "Content-Length: 100000000")
                client.writer.write(b"GET /not-a-request HTTP/1.1\r\n\r\n" * 500_000)
                status, _ = await client.head()
                await client.rest()
                await eventually(lambda: proxy.connections.open == 0)

        assert status == 413
        assert len(proxy.requests) == 1

    async def test_unreachable_upstream(self) -> None:
        """An unreachable server results in a 502 that says so."""
        async with FaultProxy("127.0.0.1", 1) as proxy, raw_client(proxy.port) as client:
            await client.send("GET", "/")
            status, body = await client.sized_reply()

        assert status == 502
        assert b"UpstreamUnreachable" in body

    async def test_client_that_leaves_is_noticed(self, proxy: FaultProxy) -> None:
        """A connection is not counted as open after its client has closed it, even while a reply is delayed."""
        proxy.add(DelayReply(60))
        async with raw_client(proxy.port) as client:
            await client.send("GET", "/whole")
            await eventually(lambda: len(proxy.requests) == 1)

        await eventually(lambda: proxy.connections == (0, 1))


class TestRules:
    async def statuses(self, client: RawClient, *requests: tuple[str, str]) -> list[int]:
        statuses = []
        for method, target in requests:
            await client.send(method, target, body=b"" if method == "PUT" else None)
            statuses.append((await client.sized_reply())[0])
        return statuses

    async def test_method_and_target(self, client: RawClient, proxy: FaultProxy) -> None:
        """A fault applies only to requests that match both."""
        rule = proxy.add(CannedReply(), when=When(method="PUT", target="partNumber=2"), times=None)

        statuses = await self.statuses(
            client, ("PUT", "/k?partNumber=1"), ("PUT", "/k?partNumber=2"), ("GET", "/k?partNumber=2")
        )

        assert statuses == [200, 503, 200]
        assert (rule.matched, rule.fired) == (1, 1)
        assert [record.fault for record in proxy.requests] == [None, rule.fault, None]

    async def test_nth_and_times(self, client: RawClient, proxy: FaultProxy) -> None:
        """A fault starts with the nth matching request, and applies *times* times."""
        proxy.add(CannedReply(), when=When(method="GET", nth=2), times=2)

        assert await self.statuses(client, *[("GET", "/")] * 5) == [200, 503, 503, 200, 200]

    async def test_first_added_is_used_first(self, client: RawClient, proxy: FaultProxy) -> None:
        """Faults for the same requests apply in the order in which they were added."""
        proxy.add(CannedReply(500), times=1)
        proxy.add(CannedReply(503), times=None)
        faulty = await self.statuses(client, ("GET", "/"), ("GET", "/"))
        proxy.clear()

        assert faulty == [500, 503]
        assert await self.statuses(client, ("GET", "/")) == [200]

    async def test_refusal_has_no_request(self, proxy: FaultProxy) -> None:
        """RefuseConnection cannot depend on a method or target."""
        with pytest.raises(ValueError, match="before a request has a method"):
            proxy.add(RefuseConnection(), when=When(method="GET"))


@pytest.mark.parametrize("fault", [Fault(), StallReply(), StallReply(5), StallRequest(1), DelayReply(60), SlowReply(1)])
async def test_closing_leaves_no_task(origin: Origin, fault: Fault) -> None:
    """Leaving the proxy ends every task that it started, in the middle of any fault."""
    before = asyncio.all_tasks()

    async with FaultProxy("127.0.0.1", origin.port) as proxy, raw_client(proxy.port) as client:
        proxy.add(fault)
        await client.send("PUT", "/k", body=b"body")
        await eventually(lambda: len(proxy.requests) == 1)
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.02)  # Let the server see that its connection is closed.

    assert [task for task in asyncio.all_tasks() - before if "faults" in repr(task)] == []
    assert proxy.connections.open == 0
