"""
Bodies that are received straight into slots, over real sockets.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
import trustme
from aiohttp import http_parser
from aiohttp.client_proto import ResponseHandler

from asyncstore.body import Sink
from asyncstore.config import HTTPOptions
from asyncstore.errors import UnavailableError
from asyncstore.http import HTTPClient, ReplyBody, lines, receiving
from asyncstore.http.origin import Origin
from asyncstore.options import MiB
from asyncstore.types import Metadata

NO_INFO = cast("Metadata", None)
SIZE = 5 * MiB + 12345
DATA = bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """
    Answers each request as it is told to, and counts connections and requests.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = self.requests = self.lost = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self.answer(writer)
        except (OSError, EOFError):
            self.lost += 1
        finally:
            writer.close()


def head(*lines: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode()


async def whole(writer: asyncio.StreamWriter) -> None:
    writer.write(head(f"Content-Length: {SIZE}") + DATA)
    await writer.drain()


async def chunked(writer: asyncio.StreamWriter) -> None:
    writer.write(head("Transfer-Encoding: chunked") + b"%x\r\n" % SIZE + DATA + b"\r\n0\r\n\r\n")
    await writer.drain()


async def short(writer: asyncio.StreamWriter) -> None:
    writer.write(head(f"Content-Length: {SIZE}") + DATA[: 3 * MiB])
    await writer.drain()
    raise EOFError


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.write(head(f"Content-Length: {SIZE}") + DATA[: 3 * MiB])
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()


async def stalled(writer: asyncio.StreamWriter) -> None:
    writer.write(head(f"Content-Length: {SIZE}") + DATA[: 3 * MiB])
    await writer.drain()
    await asyncio.sleep(3600)


async def excessive(writer: asyncio.StreamWriter) -> None:
    writer.write(head(f"Content-Length: {SIZE}") + DATA)
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(head("Content-Length: 5") + b"false")
    await writer.drain()


@asynccontextmanager
async def served(answer: Answer, *, tls: bool = False, stall: float = 20, **given: Any) -> AsyncIterator[Any]:
    options, server_side = HTTPOptions(stall_timeout=stall), None
    if tls:
        authority = trustme.CA()
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(server_side)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        options = HTTPOptions(stall_timeout=stall, ssl_context=trusting)
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "localhost", 0, ssl=server_side)
    port = listening.sockets[0].getsockname()[1]
    client = HTTPClient(options, **given)
    origin = Origin.parse(f"{'https' if tls else 'http'}://localhost:{port}")

    async def get(size: int = SIZE) -> ReplyBody:
        reply = await client.send("GET", origin, "/", {})
        return ReplyBody(reply, NO_INFO, 0, size)

    try:
        yield get, server, client
    finally:
        await client.aclose()
        listening.close()
        await asyncio.sleep(0)


async def collected(body: ReplyBody, into: bytearray | None = None) -> bytes:
    data = bytearray() if into is None else into
    async with aclosing(body.into(data.extend, body.end)) as counts:
        total = 0
        async for count in counts:
            total += count
            assert total == len(data)
    await body.aclose()
    return bytes(data)


def direct(body: ReplyBody) -> bool:
    connection = body._response.connection
    return connection is not None and isinstance(connection.protocol, receiving.Receiver)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_body_arrives_whole_and_its_connection_is_used_again(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained: list[int] = []

    def counted(line: lines.Line, sink: Sink, wanted: int) -> tuple[int, Any]:
        count, ended = lines.drain(line, sink, wanted)
        drained.append(count)
        return count, ended

    monkeypatch.setattr(receiving, "drain", counted)
    async with served(whole, tls=tls) as (get, server, _client):
        for _ in range(3):
            body = await get()
            assert direct(body)
            assert await collected(body) == DATA
            # All but what came with the head.
            assert sum(drained) > SIZE - MiB
            drained.clear()

        assert (1, 3) == (server.connections, server.requests)


@pytest.mark.parametrize("tls", [False, True])
async def test_no_more_is_taken_than_was_asked_for(tls: bool) -> None:
    async with served(whole, tls=tls) as (get, server, _):
        body, data = await get(), bytearray()
        async with aclosing(body.into(data.extend, 2 * MiB + 1)) as counts:
            counted = [count async for count in counts]
        await body.aclose()

        assert bytes(data) == DATA[: 2 * MiB + 1]
        assert sum(counted) == len(data)
        # What was left of it went with the connection.
        assert await collected(await get()) == DATA
        assert 2 == server.connections


@pytest.mark.parametrize("tls", [False, True])
async def test_what_a_sink_raises_comes_out(tls: bool) -> None:
    def full(_: object) -> None:
        raise OSError(28, "no room, in this test")

    async with served(whole, tls=tls) as (get, server, _):
        body = await get()
        with pytest.raises(OSError, match="in this test"):
            async with aclosing(body.into(full, SIZE)) as counts:
                await anext(counts)
        await body.aclose()

        assert await collected(await get()) == DATA
        assert 2 == server.connections


async def test_a_chunked_body_is_read_in_the_ordinary_way() -> None:
    async with served(chunked) as (get, server, _client):
        assert await collected(await get()) == DATA
        assert await collected(await get()) == DATA
        assert 1 == server.connections


@pytest.mark.parametrize("answer", [short, reset])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_connection_that_breaks_gives_what_came_and_an_error(answer: Answer, tls: bool) -> None:
    async with served(answer, tls=tls) as (get, _, _client):
        body, got = await get(), bytearray()
        with pytest.raises(UnavailableError):
            await collected(body, got)

        assert DATA.startswith(bytes(got))
        assert len(got) > (0 if answer is reset else 2 * MiB)


async def trickling(writer: asyncio.StreamWriter) -> None:
    writer.write(head(f"Content-Length: {SIZE}") + DATA[:MiB])
    for start in range(MiB, SIZE, 300_000):
        await asyncio.sleep(0.1)
        writer.write(DATA[start : start + 300_000])
        await writer.drain()


@pytest.mark.parametrize("tls", [False, True])
async def test_a_slow_connection_is_no_stall(tls: bool) -> None:
    async with served(trickling, tls=tls, stall=0.5) as (get, server, _):
        assert await collected(await get()) == DATA
        server.answer = whole
        assert await collected(await get()) == DATA
        assert 1 == server.connections


@pytest.mark.parametrize("tls", [False, True])
async def test_a_session_that_is_closed_in_mid_body_is_an_error(tls: bool) -> None:
    async with served(whole, tls=tls) as (get, _, client):
        body = await get()
        with pytest.raises(UnavailableError):
            async with aclosing(body.into(lambda _: None, SIZE)) as counts:
                async for _ in counts:
                    await client.aclose()
        await body.aclose()


async def test_a_stall_is_noticed() -> None:
    async with served(stalled, stall=0.2) as (get, server, _):
        got = bytearray()
        async with asyncio.timeout(5):
            with pytest.raises(UnavailableError, match="stall"):
                await collected(await get(), got)
            assert 3 * MiB == len(got)
            server.answer = whole
            assert await collected(await get()) == DATA
        assert 2 == server.connections


async def test_a_reader_that_takes_its_time_is_no_stall() -> None:
    async with served(whole, stall=0.2) as (get, _, _):
        size = 0
        async with aclosing((await get()).into(lambda _: None, SIZE)) as counts:
            async for count in counts:
                size += count
                await asyncio.sleep(0.35)

        assert SIZE == size


async def test_cancelled_in_mid_body_it_closes_the_connection() -> None:
    async with served(stalled) as (get, server, _client):
        body = await get()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await collected(body)

        server.answer = whole
        assert await collected(await get()) == DATA
        assert 2 == server.connections


async def test_bytes_that_nobody_asked_for_are_no_answer_to_the_next_request() -> None:
    async with served(excessive) as (get, server, _):
        assert await collected(await get()) == DATA
        await asyncio.sleep(0.2)
        server.answer = whole

        assert await collected(await get()) == DATA
        assert 2 == server.connections


async def test_a_body_longer_than_announced_for_the_object_is_read_in_the_ordinary_way() -> None:
    async with served(whole) as (get, _, _client):
        body = await get(SIZE - 1000)

        assert await collected(body) == DATA[:-1000]


async def test_a_session_of_the_caller_is_left_as_it_is() -> None:
    async with aiohttp.ClientSession() as session, served(whole, session=session) as (get, _, _):
        body = await get()

        assert not direct(body)
        assert await collected(body) == DATA


def _other_factory(connector: Any, _: pytest.MonkeyPatch) -> None:
    connector._factory = lambda: None


def _no_factory(connector: Any, _: pytest.MonkeyPatch) -> None:
    del connector._factory


def _python_parser(_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_parser, "HttpResponseParser", http_parser.HttpResponseParserPy)


def _no_name(_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ResponseHandler, "_drop_timeout")


def _other_loop(_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncstore.http.receiving.asyncio.get_running_loop", object)


@pytest.mark.parametrize("change", [_other_factory, _no_factory, _python_parser, _no_name, _other_loop])
async def test_where_aiohttp_or_the_loop_are_different_nothing_is_changed(
    change: Callable[[Any, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = aiohttp.TCPConnector()
    async with connector:
        with monkeypatch.context() as patch:
            change(connector, patch)
            before = vars(connector).get("_factory")

            assert not receiving.install(connector)
            assert before is vars(connector).get("_factory")


async def test_not_installed_the_same_bytes_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "install", lambda _: False)
    async with served(whole) as (get, server, _):
        for _ in range(2):
            body = await get()
            assert not direct(body)
            assert await collected(body) == DATA
        assert 1 == server.connections


def test_the_names_are_there_in_the_aiohttp_that_is_installed() -> None:
    async def installed() -> bool:
        connector = aiohttp.TCPConnector()
        async with connector:
            factory: Any = connector._factory
            assert isinstance(factory, functools.partial)
            return receiving.install(connector)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(installed())
