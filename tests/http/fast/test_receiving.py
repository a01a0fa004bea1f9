"""
Bodies that are received directly into buffers, over real sockets.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
import trustme
from aiohttp import http_parser
from aiohttp.client_proto import ResponseHandler

from asyncstore.checksum import Hasher, compute
from asyncstore.config import HTTPOptions
from asyncstore.driver.body import MemorySink, Sink
from asyncstore.errors import UnavailableError
from asyncstore.http import HTTPClient, ReplyBody
from asyncstore.http.fast import receiving, socket_reader
from asyncstore.http.fast.watched import WatchedHandler
from asyncstore.http.origin import Origin
from asyncstore.options import MiB
from asyncstore.types import ChecksumAlgorithm, Metadata
from asyncstore.uri import parse_uri
from tests.servers.scripted import Exchange, reply, saying, scripted

NO_INFO = cast("Metadata", None)
SIZE = 5 * MiB + 12345
DATA = bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """
    Answers each request with *answer*, and counts connections and requests.
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
async def served(answer: Answer, *, tls: bool = False, stall: float = 20, **arguments: Any) -> AsyncIterator[Any]:
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
    client = HTTPClient(options, **arguments)
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
async def test_a_body_is_complete_and_its_connection_is_reused(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[int] = []

    def counted(line: socket_reader.SocketReader, sink: Sink, wanted: int) -> tuple[int, Any]:
        count, ended = socket_reader.drain(line, sink, wanted)
        drained.append(count)
        return count, ended

    monkeypatch.setattr(receiving, "drain", counted)
    async with served(whole, tls=tls) as (get, server, _client):
        for _ in range(3):
            body = await get()
            assert direct(body)
            assert await collected(body) == DATA
            # All but the bytes that arrived with the head.
            assert sum(drained) > SIZE - MiB
            drained.clear()

        assert (1, 3) == (server.connections, server.requests)


@pytest.mark.parametrize("tls", [False, True])
async def test_memory_is_received_into_without_a_copy(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Only what arrived together with the head of the reply is copied, and no view of the memory is left.
    """
    copied: list[int] = []
    copy = MemorySink.__call__

    def counted(sink: MemorySink, data: Any) -> None:
        copied.append(len(data))
        copy(sink, data)

    monkeypatch.setattr(MemorySink, "__call__", counted)
    async with served(whole, tls=tls) as (get, server, _client):
        memory, hasher = bytearray(SIZE), Hasher(ChecksumAlgorithm.CRC32C)
        body = await get()
        with memoryview(memory) as view:
            async with aclosing(body.into(MemorySink(view, hasher), SIZE)) as counts:
                assert SIZE == sum([count async for count in counts])
        await body.aclose()

        assert memory == DATA
        assert hasher.checksum() == compute(ChecksumAlgorithm.CRC32C, DATA)
        assert sum(copied) < MiB
        assert 1 == server.connections
        memory.clear()


@pytest.mark.parametrize("tls", [False, True])
async def test_a_body_broken_while_memory_is_received_into(tls: bool) -> None:
    """
    What arrived before is in the memory, and no view of it is left.
    """
    async with served(short, tls=tls) as (get, _, _client):
        memory, got = bytearray(SIZE), 0
        body = await get()
        with memoryview(memory) as view, pytest.raises(UnavailableError):
            async with aclosing(body.into(MemorySink(view), SIZE)) as counts:
                async for count in counts:
                    got += count
        await body.aclose()

        assert got > 2 * MiB
        assert memory[:got] == DATA[:got]
        memory.clear()


@pytest.mark.parametrize("tls", [False, True])
async def test_no_more_is_received_than_requested(tls: bool) -> None:
    async with served(whole, tls=tls) as (get, server, _):
        body, data = await get(), bytearray()
        async with aclosing(body.into(data.extend, 2 * MiB + 1)) as counts:
            counted = [count async for count in counts]
        await body.aclose()

        assert bytes(data) == DATA[: 2 * MiB + 1]
        assert sum(counted) == len(data)
        # The unread rest was dropped with the connection.
        assert await collected(await get()) == DATA
        assert 2 == server.connections


@pytest.mark.parametrize("tls", [False, True])
async def test_an_error_of_the_sink_is_raised(tls: bool) -> None:
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


async def test_a_chunked_body_takes_the_normal_path() -> None:
    async with served(chunked) as (get, server, _client):
        assert await collected(await get()) == DATA
        assert await collected(await get()) == DATA
        assert 1 == server.connections


@pytest.mark.parametrize("answer", [short, reset])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_broken_connection_returns_the_received_bytes_and_an_error(answer: Answer, tls: bool) -> None:
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
async def test_a_slow_connection_is_not_a_stall(tls: bool) -> None:
    async with served(trickling, tls=tls, stall=0.5) as (get, server, _):
        assert await collected(await get()) == DATA
        server.answer = whole
        assert await collected(await get()) == DATA
        assert 1 == server.connections


@pytest.mark.parametrize("tls", [False, True])
async def test_no_thread_refers_to_memory_afterwards(tls: bool) -> None:
    """
    Not even by the error that said that no more had arrived, which a thread keeps until its next work.
    """
    async with served(trickling, tls=tls) as (get, _, _client):
        memory = bytearray(SIZE)
        body = await get()
        with memoryview(memory) as view:
            async with aclosing(body.into(MemorySink(view), SIZE)) as counts:
                async for _ in counts:
                    pass
        await body.aclose()

        assert memory == DATA
        memory.clear()


@pytest.mark.parametrize("tls", [False, True])
async def test_closing_the_session_during_a_body_is_an_error(tls: bool) -> None:
    async with served(whole, tls=tls) as (get, _, client):
        body = await get()
        with pytest.raises(UnavailableError):
            async with aclosing(body.into(lambda _: None, SIZE)) as counts:
                async for _ in counts:
                    await client.aclose()
        await body.aclose()


async def test_a_stall_is_detected() -> None:
    async with served(stalled, stall=0.2) as (get, server, _):
        got = bytearray()
        async with asyncio.timeout(5):
            with pytest.raises(UnavailableError, match="stall"):
                await collected(await get(), got)
            assert 3 * MiB == len(got)
            server.answer = whole
            assert await collected(await get()) == DATA
        assert 2 == server.connections


async def test_a_slow_reader_is_not_a_stall() -> None:
    async with served(whole, stall=0.2) as (get, _, _):
        size = 0
        async with aclosing((await get()).into(lambda _: None, SIZE)) as counts:
            async for count in counts:
                size += count
                await asyncio.sleep(0.35)

        assert SIZE == size


async def test_cancelling_during_a_body_closes_the_connection() -> None:
    async with served(stalled) as (get, server, _client):
        body = await get()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await collected(body)

        server.answer = whole
        assert await collected(await get()) == DATA
        assert 2 == server.connections


async def test_unrequested_bytes_do_not_answer_the_next_request() -> None:
    async with served(excessive) as (get, server, _):
        assert await collected(await get()) == DATA
        await asyncio.sleep(0.2)
        server.answer = whole

        assert await collected(await get()) == DATA
        assert 2 == server.connections


async def test_a_body_longer_than_the_object_takes_the_normal_path() -> None:
    async with served(whole) as (get, _, _client):
        body = await get(SIZE - 1000)

        assert await collected(body) == DATA[:-1000]


async def test_a_session_of_the_caller_is_not_changed() -> None:
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
    monkeypatch.setattr("asyncstore.http.fast.receiving.asyncio.get_running_loop", object)


@pytest.mark.parametrize("change", [_python_parser, _other_loop])
async def test_other_loops_and_parsers_have_no_buffer(
    change: Callable[[Any, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Their connections are watched nevertheless.
    """
    connector = aiohttp.TCPConnector()
    async with connector:
        with monkeypatch.context() as patch:
            change(connector, patch)
            assert receiving.install(connector) is WatchedHandler


@pytest.fixture(params=["buffered", "watched"])
def connections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections of asyncio's loop, and those of other loops."""
    if request.param == "watched":
        monkeypatch.setattr(receiving, "_takes_buffers", lambda _: False)


@pytest.mark.parametrize("change", [_other_factory, _no_factory, _no_name])
async def test_nothing_is_changed_if_aiohttp_differs(
    change: Callable[[Any, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = aiohttp.TCPConnector()
    async with connector:
        with monkeypatch.context() as patch:
            change(connector, patch)
            before = vars(connector).get("_factory")

            assert not receiving.install(connector)
            assert before is vars(connector).get("_factory")


async def test_the_normal_path_returns_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "install", lambda _: None)
    async with served(whole) as (get, server, _):
        for _ in range(2):
            body = await get()
            assert not direct(body)
            assert await collected(body) == DATA
        assert 1 == server.connections


def test_the_installed_aiohttp_has_the_private_names() -> None:
    async def installed() -> bool:
        connector = aiohttp.TCPConnector()
        async with connector:
            factory: Any = connector._factory
            assert isinstance(factory, functools.partial)
            return receiving.install(connector) is receiving.Receiver

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(installed())


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(("method", "later"), [("GET", 0.0), ("GET", 0.05), ("HEAD", 0.05)])
async def test_reply_that_nobody_asked_for(method: str, later: float) -> None:
    """
    A surplus reply is never taken for that of the next request: its connection is dropped.
    """
    surplus = reply(200, b"surplus!")

    async def twice(exchange: Exchange) -> None:
        await exchange.send(
            reply(200, b"first") if method == "GET" else b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        )
        await asyncio.sleep(later)
        await exchange.send(surplus)

    async with scripted(twice, saying(reply(200, b"second"))) as server:
        client = HTTPClient(HTTPOptions())
        origin = Origin.parse(server.url)
        first = await (await client.send(method, origin, "/1", {})).read(10)
        await asyncio.sleep(0.15)
        second = await (await client.send("GET", origin, "/2", {})).read(10)
        await client.aclose()

    assert [b"first" if method == "GET" else b"", b"second"] == [first, second]
    assert 2 == server.connections


@pytest.mark.usefixtures("connections")
async def test_surplus_with_the_end_of_a_body() -> None:
    """
    A second reply in the segment that has the last bytes of the first is not the reply to the next request.
    """

    async def twice(exchange: Exchange) -> None:
        first = reply(200, b"first")
        await exchange.send(first[:-2])
        await asyncio.sleep(0.05)
        await exchange.send(first[-2:] + reply(200, b"surplus"))

    async with scripted(twice, saying(reply(200, b"second"))) as server:
        client = HTTPClient(HTTPOptions())
        origin = Origin.parse(server.url)
        found = [await (await client.send("GET", origin, "/", {})).read(10) for _ in range(2)]
        await client.aclose()

    assert [b"first", b"second"] == found
    assert 2 == server.connections


@pytest.mark.parametrize("event", ["surplus", "end"])
@pytest.mark.usefixtures("connections")
async def test_what_the_loop_has_not_noticed(event: str) -> None:
    """
    A connection on which something arrived while the loop was busy is not used again.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            first, _ = listener.accept()
            first.recv(65536)
            first.sendall(reply(200, b"first"))
            time.sleep(0.1)
            if event == "end":
                first.close()
            else:
                first.sendall(reply(200, b"surplus"))
            second, _ = listener.accept()
            with first, second:
                second.recv(65536)
                second.sendall(reply(200, b"second"))
                first.close()
                second.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client, origin = HTTPClient(HTTPOptions()), Origin.parse(f"http://127.0.0.1:{listener.getsockname()[1]}")
        found = [await (await client.send("GET", origin, "/", {})).read(10)]
        thread.join(0.3)
        found.append(await (await client.send("GET", origin, "/", {})).read(10))
        await client.aclose()
        thread.join()

    assert [b"first", b"second"] == found


@pytest.mark.usefixtures("connections")
async def test_interim_replies_are_not_surplus() -> None:
    """
    A reply may follow any 1xx, in the same segment or later.
    """
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

    async def hinted(exchange: Exchange) -> None:
        await exchange.send(hints)
        await asyncio.sleep(0.05)
        await exchange.send(hints + reply(200, b"ok"))

    async with scripted(hinted) as server:
        client = HTTPClient(HTTPOptions())
        answered = await client.send("GET", Origin.parse(server.url), "/", {})

        assert b"ok" == await answered.read(10)
        await client.aclose()


async def test_surplus_after_a_large_body() -> None:
    """
    The same holds after a body that threads received, whether the surplus is there at its end or comes later.
    """
    data = bytes(4 * MiB)

    async def twice(exchange: Exchange) -> None:
        await exchange.send(reply(200, data) + reply(200, b"surplus!"))

    async with scripted(twice, saying(reply(200, b"second"))) as server:
        client = HTTPClient(HTTPOptions())
        origin = Origin.parse(server.url)
        answered = await client.send("GET", origin, "/1", {})
        body = ReplyBody(answered, Metadata(uri=parse_uri("s3://bucket/key"), size=len(data)), 0, len(data))
        assert len(data) == sum([count async for count in body.into(lambda _: None, len(data))])
        await body.aclose()
        second = await (await client.send("GET", origin, "/2", {})).read(10)
        await client.aclose()

    assert b"second" == second
    assert 2 == server.connections
