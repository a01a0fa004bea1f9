"""
The small requests for credentials: what they trust, follow and read.
"""

from __future__ import annotations

import asyncio
import ssl
import traceback

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from asyncstore import HTTPOptions
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import NoLocalServiceError
from asyncstore.errors import ConfigurationError, StorageError, UnavailableError
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.tls import ThrowawayCA

_DEAD = "http://127.0.0.1:9"


async def _answer(request: web.Request) -> web.StreamResponse:
    return web.json_response({"path": request.path_qs, "cookie": request.headers.get("Cookie")}, status=418)


async def test_reply_has_any_status_and_hides_its_body(serve: Serve) -> None:
    """
    A rejection is an ordinary reply, and its ``repr`` does not show the body.
    """
    url = await serve(_answer)

    answer = await TokenService().send("GET", f"{url}/a%2Fb?token={FAKE_TOKEN}", {"X-Secret": FAKE_SECRET})

    assert (answer.status, answer.transient) == (418, False)
    assert answer.document()["path"] == f"/a%2Fb?token={FAKE_TOKEN}"
    assert answer.place == f"{url}/a%2Fb"
    assert "FAKE" not in repr(answer)


@pytest.mark.parametrize("near", [False, True])
async def test_this_machine_is_never_asked_through_a_proxy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, near: bool
) -> None:
    """
    Services of this machine are asked without a proxy, configured or from the environment.
    """
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, _DEAD)

    answer = await TokenService(HTTPOptions(proxy=_DEAD)).send("GET", await serve(_answer), near=near)

    assert answer.status == 418


async def test_others_are_asked_through_the_proxy_that_is_set(serve: Serve) -> None:
    """
    All other services are asked through the configured proxy.
    """
    seen = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        seen.append(str(request.url))
        return web.Response()

    http = HTTPOptions(proxy=await serve(proxy), allow_http=True)

    await TokenService(http).send("GET", "http://tokens.example/x")

    assert seen == ["http://tokens.example/x"]


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(serve: Serve, near: bool, status: int) -> None:
    """
    Secrets are meant for one service only.
    """
    seen = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.Response(status=status, headers={"Location": "/other"})

    with pytest.raises(UnavailableError, match="redirect, which is not followed"):
        await TokenService().send("GET", f"{await serve(redirect)}/first", near=near)
    assert seen == ["/first"]


@pytest.mark.parametrize("size", [65_536, 65_537])
async def test_replies_are_bounded(serve: Serve, size: int) -> None:
    """
    At most 64 KiB are read.
    """

    async def long(_: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(size))

    url = await serve(long)
    if size == 65_536:
        assert len((await TokenService().send("GET", url)).body) == size
    else:
        with pytest.raises(UnavailableError, match="more than 65536 bytes"):
            await TokenService().send("GET", url)


async def test_unknown_certificate(tls_ca: ThrowawayCA) -> None:
    """
    A service whose certificate is not trusted receives no request; a later attempt may succeed.
    """
    app = web.Application()
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=_context(tls_ca))
    try:
        with pytest.raises(UnavailableError, match="certificate is not trusted"):
            await TokenService().send("GET", str(server.make_url("/")))
    finally:
        await server.close()


def _context(tls_ca: ThrowawayCA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    return context


@pytest.mark.parametrize("near", [False, True])
async def test_no_answer(unused_tcp_port: int, near: bool) -> None:
    """
    A service of this machine that does not answer does not exist; any other service is unavailable.
    """
    with pytest.raises(UnavailableError) as caught:
        await TokenService().send("GET", f"http://127.0.0.1:{unused_tcp_port}", near=near)
    assert isinstance(caught.value, NoLocalServiceError) == near


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999999/", "ftp://127.0.0.1/", "http://"])
async def test_invalid_url(url: str) -> None:
    """
    A URL that is not valid is a configuration error.
    """
    with pytest.raises(ConfigurationError):
        await TokenService().send("GET", url, near=True)


async def test_plain_http_is_for_this_machine() -> None:
    """
    Secrets are not sent without TLS unless that is allowed.
    """
    with pytest.raises(ConfigurationError, match="unencrypted"):
        await TokenService().send("GET", "http://tokens.example")


async def test_invalid_header(serve: Serve) -> None:
    """
    A secret with a line break is neither sent nor shown.
    """
    with pytest.raises(StorageError) as caught:
        await TokenService().send("GET", await serve(_answer), {"X-Secret": f"{FAKE_SECRET}\r\nX-Other: 1"})
    assert FAKE_SECRET not in "".join(traceback.format_exception(caught.value))


async def test_connections_are_closed() -> None:
    """
    Cancelling a caller closes its connection: the service notices.
    """
    there, gone = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        there.set()
        # The server cancels this when the connection closes.
        try:
            await asyncio.sleep(600)
        finally:
            gone.set()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/", slow)
    server = TestServer(app)
    await server.start_server()
    try:
        asking = asyncio.create_task(TokenService().send("GET", str(server.make_url("/"))))
        await asyncio.wait_for(there.wait(), 10)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.wait_for(gone.wait(), 10)
    finally:
        await server.close()
    assert asking.cancelled()
