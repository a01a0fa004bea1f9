"""
The transport: requests are sent once, and failures below HTTP are mapped to errors.
"""

import asyncio
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest

from asyncstore.config import HTTPOptions
from asyncstore.driver.body import BytesBody
from asyncstore.errors import (
    ConfigurationError,
    InvalidRequestError,
    UnavailableError,
)
from asyncstore.http import HTTPClient
from asyncstore.http import client as client_module
from asyncstore.http.origin import Origin
from asyncstore.http.reply import MAX_ERROR_BODY
from tests.http.sending import MiB, sent
from tests.servers.scripted import OK, Answer, Exchange, hang_up, reply, saying, scripted, wait
from tests.servers.tls import ThrowawayCA


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("whose", ["ours", "the caller's"])
async def test_dropped_request_is_sent_once(method: str, whose: str) -> None:
    """
    aiohttp's own retry is off, also on a reused connection.
    """
    session = aiohttp.ClientSession() if whose == "the caller's" else None
    async with scripted(saying(OK), hang_up, saying(OK)) as server:
        client = HTTPClient(HTTPOptions(), session)
        origin = Origin.parse(server.url)
        await (await client.send("GET", origin, "/", {})).read(10)

        with pytest.raises(UnavailableError):
            await client.send(method, origin, "/", {}, BytesBody(b"data") if method == "PUT" else None)
        await client.aclose()

        assert len(server.requests) == 2
        assert server.connections == 1
    if session is not None:
        assert not session.closed
        await session.close()


async def test_middleware_replaces_the_private_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With private names switched off, a middleware prevents aiohttp from sending requests twice.
    """
    monkeypatch.setenv("ASYNCSTORE_FAST_HTTP", "0")
    async with scripted(saying(OK), hang_up, saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        origin = Origin.parse(server.url)
        await (await client.send("GET", origin, "/", {})).read(10)
        with pytest.raises(UnavailableError):
            await client.send("GET", origin, "/", {})
        await client.aclose()

        assert len(server.requests) == 2


async def test_private_attribute_exists() -> None:
    """
    aiohttp still has the private attribute; without it, every request would pay for the middleware.
    """
    async with aiohttp.ClientSession() as session:
        assert session._retry_connection is True


async def test_path_and_query_are_sent_unchanged() -> None:
    """
    Dots, slashes and percent-encoding are not normalised.
    """
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        path = "/b/a/../b//%2F%41/./"
        await (await client.send("GET", Origin.parse(server.url), path, {}, query="x=%2F&y=")).read(10)
        await (await client.send("GET", Origin.parse(server.url), path, {})).read(10)
        await client.aclose()

        assert [one.target for one in server.requests] == [f"{path}?x=%2F&y=", path]


async def test_headers_of_the_options() -> None:
    """
    Headers from the options and the call are sent; defaults do not ask for compression.
    """
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions(headers={"X-Team": "a"}, user_agent="mine/1"))
        await (await client.send("PUT", Origin.parse(server.url), "/", {"X-One": "1"}, BytesBody(b"x"))).read(10)
        await client.aclose()

        headers = server.requests[0].headers
        assert headers["user-agent"] == "mine/1 asyncstore"
        assert headers["x-team"] == "a"
        assert headers["x-one"] == "1"
        assert headers["accept-encoding"] == "identity"
        assert "expect" not in headers
        assert "cookie" not in headers


async def test_redirect_is_not_followed() -> None:
    """
    A redirect is a reply like any other; its target receives no request.
    """
    async with scripted(saying(OK)) as other, scripted(saying(reply(307, Location=other.url))) as server:
        assert (await sent(server)).status == 307
        assert other.requests == []


async def test_compressed_reply_stays_compressed() -> None:
    """
    An object that is stored compressed is not decompressed.
    """
    async with scripted(saying(reply(200, b"\x1f\x8bnot really", Content_Encoding="gzip"))) as server:
        assert await (await sent(server)).read(100) == b"\x1f\x8bnot really"


async def test_header_with_a_line_break_is_refused() -> None:
    """
    A line break in a value cannot inject a header; the request is not sent.
    """
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        with pytest.raises(InvalidRequestError):
            await client.send("GET", Origin.parse(server.url), "/", {"If-Match": "a\r\nX: b"})
        await client.aclose()

        assert server.requests == []


async def test_refused_connection() -> None:
    """
    A refused connection is an error that can be retried.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = HTTPClient(HTTPOptions())

    with pytest.raises(UnavailableError, match="the connection failed") as caught:
        await client.send("GET", Origin.parse(url), "/", {})
    await client.aclose()

    assert caught.value.retryable
    assert caught.value.__suppress_context__


async def test_untrusted_certificate_is_not_retried(tls_ca: ThrowawayCA) -> None:
    """
    An untrusted certificate is a permanent error.
    """
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=_server_context(tls_ca))
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = HTTPClient(HTTPOptions())

    with pytest.raises(UnavailableError, match="certificate") as caught:
        await client.send("GET", Origin.parse(url), "/", {})
    await client.aclose()
    server.close()

    assert not caught.value.retryable


def _server_context(ca: ThrowawayCA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca.cert_file, ca.key_file)
    return context


@pytest.mark.parametrize("answer", [hang_up, saying(b"what?\r\n\r\n"), saying(reply(200, X="y" * 20_000))])
async def test_invalid_reply(answer: Answer) -> None:
    """
    A closed connection, a reply that is not HTTP, and oversized headers raise UnavailableError.
    """
    async with scripted(answer) as server:
        with pytest.raises(UnavailableError):
            await sent(server)

        assert len(server.requests) == 1


async def test_silent_server_times_out() -> None:
    """
    If no byte arrives within stall_timeout, the request fails and its connection is closed.
    """
    async with scripted(wait) as server:
        with pytest.raises(UnavailableError, match="stall_timeout"):
            await sent(server, stall_timeout=0.2)

        assert await server.settled() == 0


async def test_slow_reply_does_not_time_out() -> None:
    """
    A transfer that makes progress is never stopped, however long it takes.
    """

    async def drip(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.1)
            await exchange.send(b"x")

    async with scripted(drip) as server:
        assert await (await sent(server, stall_timeout=0.4)).read(10) == b"x" * 8


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_switch_to_another_protocol(method: str) -> None:
    """
    A 101 that nobody asked for is an error, and its connection is closed.
    """
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    async with scripted(saying(upgrade), saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        with pytest.raises(UnavailableError, match="another protocol"):
            await client.send(
                method, Origin.parse(server.url), "/", {}, BytesBody(b"data") if method == "PUT" else None
            )
        assert 0 == await server.settled()
        await client.aclose()


async def test_patience_applies_to_one_request() -> None:
    """
    The next request on the same connection has its own timeout, not the longer one of the request before.
    """
    async with scripted(saying(OK), wait) as server:
        client = HTTPClient(HTTPOptions(stall_timeout=0.3))
        try:
            await (await client.send("POST", Origin.parse(server.url), "/", {}, patience=100.0)).read(10)
            started = time.monotonic()
            with pytest.raises(UnavailableError, match="stall_timeout"):
                await client.send("GET", Origin.parse(server.url), "/", {})
        finally:
            await client.aclose()

        assert 0.2 < time.monotonic() - started < 3
        assert server.connections == 1


async def test_idle_connection_does_not_time_out() -> None:
    """
    Idle time between two requests is not a stall, and the connection is reused.
    """
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions(stall_timeout=0.2))
        try:
            for _ in range(3):
                await (await client.send("GET", Origin.parse(server.url), "/", {})).read(10)
                await asyncio.sleep(0.5)
        finally:
            await client.aclose()

        assert (len(server.requests), server.connections) == (3, 1)


async def test_huge_error_body_is_truncated() -> None:
    """
    At most 64 KiB of an error body are read.
    """
    async with scripted(saying(reply(500, b"e" * (4 * MiB)))) as server:
        found = await sent(server)

        assert len(await found.read_error()) == MAX_ERROR_BODY


async def test_reply_longer_than_the_limit() -> None:
    """
    A document that is longer than the limit is an error.
    """
    async with scripted(saying(reply(200, b"e" * MiB))) as server:
        client = HTTPClient(HTTPOptions())
        found = await client.send("GET", Origin.parse(server.url), "/", {})
        with pytest.raises(UnavailableError, match="longer than 1000 bytes"):
            await found.read(1000)
        await client.aclose()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", 7.0), ("in a minute", 60.0), ("soon", None)],
)
async def test_retry_after(text: str, expected: float | None) -> None:
    """
    Retry-After may be seconds or a date; other values are ignored.
    """
    if text == "in a minute":
        text = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    async with scripted(saying(reply(503, Retry_After=text))) as server:
        assert (await sent(server)).retry_after == (expected if expected is None else pytest.approx(expected, abs=5))


async def test_proxy_is_not_for_loopback() -> None:
    """
    Requests to this machine do not use the proxy.
    """
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions(proxy="http://proxy.invalid:3128"))
        assert (await client.send("GET", Origin.parse(server.url), "/", {})).status == 200
        await client.aclose()


async def test_proxy_is_used_for_other_hosts() -> None:
    """
    Requests to other machines use the proxy.
    """
    async with scripted(saying(OK)) as proxy:
        client = HTTPClient(HTTPOptions(proxy=proxy.url))
        assert (await client.send("GET", Origin.parse("http://elsewhere.invalid"), "/k", {})).status == 200
        await client.aclose()

        assert proxy.requests[0].target == "http://elsewhere.invalid/k"


async def test_closed_session_of_the_caller() -> None:
    """
    A session that is already closed is refused at once.
    """
    async with aiohttp.ClientSession() as session:
        pass
    with pytest.raises(ConfigurationError):
        HTTPClient(HTTPOptions(), session)


@pytest.mark.parametrize("url", ["host", "ftp://host", "https://", "https://u:p@host", "https://host?x=1", "http://["])
def test_invalid_origin(url: str) -> None:
    """
    An endpoint consists of scheme, host, port and an optional path.
    """
    with pytest.raises(ConfigurationError):
        Origin.parse(url)


def test_origin() -> None:
    """
    The host is normalised for the Host header, and the path has no trailing slash.
    """
    assert Origin.parse("https://Host.example:443/base/").host == "host.example"
    assert Origin.parse("https://host.example/base/").path == "/base"
    assert Origin.parse("http://[::1]:80").loopback
    assert not Origin.parse("http://10.0.0.1").loopback


async def test_session_that_raises_for_status() -> None:
    """
    The replies to errors are read whatever the caller's session is set to.
    """
    async with scripted(saying(reply(404, b"gone"))) as server, aiohttp.ClientSession(raise_for_status=True) as session:
        client = HTTPClient(HTTPOptions(), session)
        answered = await client.send("GET", Origin.parse(server.url), "/", {})

        assert (404, b"gone") == (answered.status, await answered.read_error())


async def test_closed_client_stays_closed() -> None:
    """
    A request that starts after the client was closed does not open another session.
    """
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        await client.aclose()
        with pytest.raises(UnavailableError, match="closed") as refused:
            await client.send("GET", Origin.parse(server.url), "/", {})

        assert not refused.value.retryable
        assert 0 == server.connections


async def test_client_that_is_closed_while_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A request that waits for the certificate file of a client does not open a session once that is closed.
    """
    reading, go = threading.Event(), threading.Event()

    def slowly(options: HTTPOptions) -> bool:
        reading.set()
        go.wait(10)
        return True

    monkeypatch.setattr(client_module, "needs_file", lambda options: True)
    monkeypatch.setattr(client_module, "tls_of", slowly)
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        request = asyncio.create_task(client.send("GET", Origin.parse(server.url), "/", {}))
        while not reading.is_set():
            await asyncio.sleep(0)
        await client.aclose()
        go.set()
        with pytest.raises(UnavailableError, match="closed"):
            await request

        assert 0 == server.connections


def test_client_of_another_event_loop() -> None:
    """
    A second event loop gets one clear error, and nothing is sent.
    """
    requests = []

    async def use(client: HTTPClient, close: bool) -> None:
        async with scripted(saying(OK)) as server:
            try:
                await (await client.send("GET", Origin.parse(server.url), "/", {})).read(10)
            finally:
                requests.append(len(server.requests))
                if close:
                    await client.aclose()

    async def main() -> HTTPClient:
        client = HTTPClient(HTTPOptions())
        await use(client, close=True)
        return client

    client = asyncio.run(main())
    with pytest.raises(ConfigurationError, match="another event loop"):
        asyncio.run(use(client, close=False))

    assert [1, 0] == requests
