"""
The transport: one request is one request, and what goes wrong below HTTP is named.
"""

import asyncio
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest

from asyncstore.body import BytesBody
from asyncstore.config import HTTPOptions
from asyncstore.errors import (
    ConfigurationError,
    InvalidRequestError,
    UnavailableError,
)
from asyncstore.http import HTTPClient
from asyncstore.http.origin import Origin
from asyncstore.http.reply import MAX_ERROR_BODY
from tests.http.scripted import OK, Answer, Exchange, hang_up, reply, saying, scripted, wait
from tests.http.sending import MiB, sent
from tests.servers.tls import ThrowawayCA


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("whose", ["ours", "the caller's"])
async def test_dropped_request_is_sent_once(method: str, whose: str) -> None:
    """
    aiohttp's own second attempt is off, also on a connection that was used before.
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


async def test_middleware_stands_in_for_the_private_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Were aiohttp to rename its attribute, requests would still not be sent twice.
    """
    monkeypatch.setattr("asyncstore.http.session.hasattr", lambda *_: False, raising=False)
    async with scripted(saying(OK), hang_up, saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        origin = Origin.parse(server.url)
        await (await client.send("GET", origin, "/", {})).read(10)
        with pytest.raises(UnavailableError):
            await client.send("GET", origin, "/", {})
        await client.aclose()

        assert len(server.requests) == 2


async def test_attribute_that_stops_aiohttp_is_still_there() -> None:
    """
    The private attribute exists; if not, the middleware pays for it on every request.
    """
    async with aiohttp.ClientSession() as session:
        assert session._retry_connection is True


async def test_path_and_query_go_out_as_they_are() -> None:
    """
    Nothing is normalised on the way: not dots, not slashes, not what is encoded.
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
    Extra headers go along, ours first where nobody gave another; nothing is asked to be compressed.
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
    A redirect is a reply like any other: nothing goes where it points.
    """
    async with scripted(saying(OK)) as other, scripted(saying(reply(307, Location=other.url))) as server:
        assert (await sent(server)).status == 307
        assert other.requests == []


async def test_compressed_reply_stays_compressed() -> None:
    """
    What was stored compressed arrives as it was stored.
    """
    async with scripted(saying(reply(200, b"\x1f\x8bnot really", Content_Encoding="gzip"))) as server:
        assert await (await sent(server)).read(100) == b"\x1f\x8bnot really"


async def test_forbidden_header_is_refused() -> None:
    """
    A line feed cannot smuggle a header in; nothing is sent.
    """
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        with pytest.raises(InvalidRequestError):
            await client.send("GET", Origin.parse(server.url), "/", {"If-Match": "a\r\nX: b"})
        await client.aclose()

        assert server.requests == []


async def test_nobody_listens() -> None:
    """
    A refused connection can be tried again.
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


async def test_certificate_that_nobody_trusts_is_not_tried_again(tls_ca: ThrowawayCA) -> None:
    """
    A certificate does not get better by waiting.
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
async def test_reply_that_is_none(answer: Answer) -> None:
    """
    No reply, one that is not HTTP, and one with headers without end: each is unavailable.
    """
    async with scripted(answer) as server:
        with pytest.raises(UnavailableError):
            await sent(server)

        assert len(server.requests) == 1


async def test_silent_server_is_given_up() -> None:
    """
    No byte within the stall timeout ends the request, and its connection.
    """
    async with scripted(wait) as server:
        with pytest.raises(UnavailableError, match="stall timeout"):
            await sent(server, stall_timeout=0.2)

        assert await server.settled() == 0


async def test_slow_reply_is_not_given_up() -> None:
    """
    A transfer that moves is never stopped, however long it takes.
    """

    async def drip(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.1)
            await exchange.send(b"x")

    async with scripted(drip) as server:
        assert await (await sent(server, stall_timeout=0.4)).read(10) == b"x" * 8


async def test_patience_ends_with_its_request() -> None:
    """
    On a connection that was waited for patiently, the next request has no more time than its own.
    """
    async with scripted(saying(OK), wait) as server:
        client = HTTPClient(HTTPOptions(stall_timeout=0.3))
        try:
            await (await client.send("POST", Origin.parse(server.url), "/", {}, patience=100.0)).read(10)
            started = time.monotonic()
            with pytest.raises(UnavailableError, match="stall timeout"):
                await client.send("GET", Origin.parse(server.url), "/", {})
        finally:
            await client.aclose()

        assert 0.2 < time.monotonic() - started < 3
        assert server.connections == 1


async def test_idle_connection_is_not_given_up() -> None:
    """
    Between two requests nothing is waited for, so nothing stalls: the connection is used again.
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


async def test_huge_error_body_is_cut() -> None:
    """
    Of an error nobody reads more than 64 KiB, and its connection is not used again.
    """
    async with scripted(saying(reply(500, b"e" * (4 * MiB)))) as server:
        found = await sent(server)

        assert len(await found.read_error()) == MAX_ERROR_BODY


async def test_long_reply_where_a_short_one_was_expected() -> None:
    """
    A document is read up to a limit.
    """
    async with scripted(saying(reply(200, b"e" * MiB))) as server:
        client = HTTPClient(HTTPOptions())
        found = await client.send("GET", Origin.parse(server.url), "/", {})
        with pytest.raises(UnavailableError, match="more than 1000 bytes"):
            await found.read(1000)
        await client.aclose()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", 7.0), ("in a minute", 60.0), ("soon", None)],
)
async def test_retry_after(text: str, expected: float | None) -> None:
    """
    Seconds or a date, or nothing that we know.
    """
    if text == "in a minute":
        text = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    async with scripted(saying(reply(503, Retry_After=text))) as server:
        assert (await sent(server)).retry_after == (expected if expected is None else pytest.approx(expected, abs=5))


async def test_proxy_is_not_for_loopback() -> None:
    """
    What is on this machine is asked directly, whatever the proxy.
    """
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions(proxy="http://proxy.invalid:3128"))
        assert (await client.send("GET", Origin.parse(server.url), "/", {})).status == 200
        await client.aclose()


async def test_proxy_is_asked_for_others() -> None:
    """
    Another machine is asked through the proxy.
    """
    async with scripted(saying(OK)) as proxy:
        client = HTTPClient(HTTPOptions(proxy=proxy.url))
        assert (await client.send("GET", Origin.parse("http://elsewhere.invalid"), "/k", {})).status == 200
        await client.aclose()

        assert proxy.requests[0].target == "http://elsewhere.invalid/k"


async def test_closed_session_of_the_caller() -> None:
    """
    A session that is closed already is refused at once.
    """
    async with aiohttp.ClientSession() as session:
        pass
    with pytest.raises(ConfigurationError):
        HTTPClient(HTTPOptions(), session)


@pytest.mark.parametrize("url", ["host", "ftp://host", "https://", "https://u:p@host", "https://host?x=1", "http://["])
def test_what_is_no_origin(url: str) -> None:
    """
    An endpoint is scheme, host and port, and perhaps a path.
    """
    with pytest.raises(ConfigurationError):
        Origin.parse(url)


def test_origin() -> None:
    """
    The host is what goes into the header of that name.
    """
    assert Origin.parse("https://Host.example:443/base/").host == "host.example"
    assert Origin.parse("https://host.example/base/").path == "/base"
    assert Origin.parse("http://[::1]:80").loopback
    assert not Origin.parse("http://10.0.0.1").loopback
