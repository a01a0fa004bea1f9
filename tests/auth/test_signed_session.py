"""
Requests to the storage's own origins are signed, and sent once more where that can help.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, ClassVar
from urllib.parse import unquote

import aiohttp
import pytest
from aiohttp import ClientRequest, payload, web
from yarl import URL

from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.auth.aws.sigv4 import AWSKeys, encode_key, encode_query, sign_headers
from asyncstore.auth.credentials import Credentials, Lease, Scope
from asyncstore.auth.signed_session import MAX_ERROR_BODY, AuthMiddleware, error_body
from asyncstore.auth.tokens import Grant, TokenSource
from asyncstore.errors import ConfigurationError, UnavailableError
from asyncstore.http.origin import require_tls
from tests.auth.conftest import Serve


class BearerCredentials(Credentials[str]):
    """
    Issues ``token-1``, then ``token-2``, ...: the simplest credentials that can be refreshed.
    """

    provider: ClassVar[str] = "test"
    auth_type = "bearer"
    source = "a test"
    expired_codes = frozenset({"ExpiredToken"})
    skew_codes = frozenset({"RequestTimeTooSkewed"})

    def __init__(self) -> None:
        self.fetches = 0
        self.fail = False
        self.tokens: TokenSource[str] = TokenSource(self._fetch, name="bearer")

    async def _fetch(self) -> Grant[str]:
        self.fetches += 1
        await asyncio.sleep(0.01)
        if self.fail:
            raise UnavailableError("down")
        return Grant(f"token-{self.fetches}", 3600)

    def current(self) -> Lease[str] | None:
        return self.tokens.current()

    async def get(self) -> Lease[str]:
        return await self.tokens.get()

    async def refresh(self, stale: Lease[str] | None = None) -> Lease[str]:
        return await self.tokens.refresh(stale)

    def apply(self, request: ClientRequest, lease: Lease[str], clock_offset: float, scope: Scope) -> None:
        request.headers["Authorization"] = f"Bearer {lease.value}"
        request.headers["X-Time"] = str(time.time() + clock_offset)


class Origin:
    """
    Rejects the configured tokens and times, and records what it receives.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.refused: set[str] = set()
        self.refusal = (401, b"")
        self.clock = 0.0
        self.redirect: str | None = None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization", "")
        self.seen.append((authorization, await request.read()))
        headers = {"Date": formatdate(time.time() + self.clock, usegmt=True)}
        if self.redirect is not None:
            raise web.HTTPTemporaryRedirect(self.redirect)
        if abs(float(request.headers.get("X-Time", time.time())) - time.time() - self.clock) > 900:
            return web.Response(status=403, body=b"<Error><Code>RequestTimeTooSkewed</Code></Error>", headers=headers)
        if authorization in self.refused:
            status, body = self.refusal
            return web.Response(status=status, body=body, headers=headers)
        return web.Response(body=b"hello", headers=headers)


@pytest.fixture
def origin() -> Origin:
    return Origin()


@pytest.fixture
def credentials() -> BearerCredentials:
    return BearerCredentials()


@pytest.fixture
async def url(origin: Origin, serve: Serve) -> str:
    return await serve(origin)


@pytest.fixture
async def client(credentials: BearerCredentials, url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with credentials, credentials.http_client([url]) as session:
        yield session


async def _status(client: aiohttp.ClientSession, url: str | URL, method: str = "GET", **options: Any) -> int:
    async with client.request(method, url, **options) as reply:
        await reply.read()
        return reply.status


async def test_cold_storm_fetches_once(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin
) -> None:
    """
    Thirty first requests share one lease.
    """
    statuses = await asyncio.gather(*(_status(client, url) for _ in range(30)))

    assert statuses == [200] * 30
    assert credentials.fetches == 1
    assert {authorization for authorization, _ in origin.seen} == {"Bearer token-1"}


async def test_storm_of_401_renews_once(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin
) -> None:
    """
    Twenty requests rejected at the same time cause one refresh and twenty successes.
    """
    origin.refused = {"Bearer token-1"}

    statuses = await asyncio.gather(*(_status(client, url) for _ in range(20)))

    assert statuses == [200] * 20
    assert credentials.fetches == 2
    assert len(origin.seen) == 40


@pytest.mark.parametrize("status", [400, 403])
async def test_expired_code_renews(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin, status: int
) -> None:
    """
    A provider can report an expired token in the body of another status.
    """
    origin.refused = {"Bearer token-1"}
    origin.refusal = (status, b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code></Error>")

    assert await _status(client, url, "PUT", data=b"x" * 1000) == 200
    assert [len(body) for _, body in origin.seen] == [1000, 1000]


async def test_head_without_a_code_renews_on_400(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin
) -> None:
    """
    S3 cannot report an error code in its reply to HEAD.
    """
    origin.refused = {"Bearer token-1"}
    origin.refusal = (400, b"")

    assert await _status(client, url, "HEAD") == 200


async def test_other_refusals_are_the_callers(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin
) -> None:
    """
    A request without permission is not sent again, and the caller can read the body.
    """
    origin.refused = {"Bearer token-1"}
    origin.refusal = (403, b"<Error><Code>AccessDenied</Code></Error>")

    async with client.get(url) as reply:
        assert (reply.status, await reply.read()) == (403, origin.refusal[1])
        assert await error_body(reply) == origin.refusal[1]
    assert credentials.fetches == 1
    assert len(origin.seen) == 1


async def test_provider_that_refuses_all_gets_two_requests(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin
) -> None:
    """
    The caller gets the second rejection.
    """
    origin.refused = {"Bearer token-1", "Bearer token-2"}

    assert await _status(client, url) == 401
    assert len(origin.seen) == 2


async def test_stream_is_not_sent_again(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin
) -> None:
    """
    A body that can be read only once is sent once; the caller gets the rejection, and the next request succeeds.
    """
    origin.refused = {"Bearer token-1"}

    async def stream() -> AsyncIterator[bytes]:
        yield b"hello"

    assert await _status(client, url, "PUT", data=stream()) == 401
    assert [body for _, body in origin.seen] == [b"hello"]
    assert await _status(client, url) == 200
    assert len(origin.seen) == 2


async def test_replayable_payload_is_sent_again(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin
) -> None:
    """
    A replayable payload is sent a second time, completely.
    """
    origin.refused = {"Bearer token-1"}

    class Replayable(payload.Payload):
        replayable = True

        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
            raise AssertionError("a payload that is sent is not decoded")

        async def write(self, writer: Any) -> None:
            await writer.write(b"part one, ")
            await writer.write(b"part two")

    assert await _status(client, url, "PUT", data=Replayable(None)) == 200
    assert [body for _, body in origin.seen] == [b"part one, part two"] * 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("clock", [-4000.0, 4000.0])
async def test_wrong_clock_is_learnt_from_the_reply(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin, clock: float, method: str
) -> None:
    """
    Clock skew costs each of the first requests one repetition, and no refresh.
    """
    origin.clock = clock

    statuses = await asyncio.gather(*(_status(client, url, method) for _ in range(10)))
    assert statuses == [200] * 10
    assert len(origin.seen) == 20

    assert await _status(client, url, method) == 200
    assert len(origin.seen) == 21
    assert credentials.fetches == 1


async def test_foreign_origin_sees_no_credentials(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin, serve: Serve
) -> None:
    """
    A redirect to another server is followed without credentials.
    """
    foreign = Origin()
    origin.redirect = await serve(foreign)

    assert await _status(client, url, allow_redirects=True) == 200

    assert origin.seen == [("Bearer token-1", b"")]
    assert foreign.seen == [("", b"")]


async def test_scope_of_other_hosts(credentials: BearerCredentials, url: str, origin: Origin) -> None:
    """
    Requests to other hosts are signed if the credentials know a scope for them.
    """
    own = URL(url).host
    middleware = AuthMiddleware(
        credentials, Scope("r"), [], scope_of=lambda asked: Scope("r") if asked.host == own else None
    )

    async with aiohttp.ClientSession(middlewares=(middleware,)) as client:
        assert await _status(client, url) == 200

    assert origin.seen == [("Bearer token-1", b"")]


async def test_failed_renewal_is_the_error(
    client: aiohttp.ClientSession, credentials: BearerCredentials, url: str, origin: Origin
) -> None:
    """
    If the refresh fails the caller gets its error, and the connection is released.
    """
    origin.refused = {"Bearer token-1"}
    await credentials.get()
    credentials.fail = True

    with pytest.raises(UnavailableError, match="down"):
        await _status(client, url)


async def test_long_error_body_is_cut(serve: Serve, credentials: BearerCredentials) -> None:
    """
    At most 64 KiB of an error are read, however much the server sends.
    """

    async def endless(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(status=403)
        await reply.prepare(request)
        with pytest.raises((ConnectionError, aiohttp.ClientConnectionError)):
            for _ in range(100_000):
                await reply.write(b"x" * 65536)
        raise ConnectionResetError

    url = await serve(endless)
    async with credentials.http_client([url]) as client, client.get(url) as reply:
        assert len(await error_body(reply)) == MAX_ERROR_BODY


async def test_static_keys_are_not_tried_twice(serve: Serve, origin: Origin) -> None:
    """
    Keys that cannot change cause no second request.
    """

    async def refuse(request: web.Request) -> web.StreamResponse:
        origin.seen.append((request.headers["Authorization"], b""))
        return web.Response(status=403, body=b"<Error><Code>InvalidToken</Code></Error>")

    url = await serve(refuse)
    credentials = aws_credentials(None, {"access_key_id": "AKIDFAKE", "secret_access_key": "fake"})
    async with credentials, credentials.http_client([url]) as client:
        assert await _status(client, url) == 403

    assert len(origin.seen) == 1


@pytest.mark.parametrize("key", ["a/../b//./c", "..", "é/日 +%2F?#~&=;:@!$'()*,", "/", "%", 'a\\b"<>^`{|}'])
async def test_what_is_signed_is_what_is_sent(serve: Serve, key: str) -> None:
    """
    The server computes the same signature from what it received.
    """
    seen: list[tuple[str, bool]] = []

    async def verify(request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        when = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        signed = request.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        headers = [(name, value) for name, value in request.headers.items() if name.lower() in signed]
        expected = sign_headers(request.method, path, query, headers, keys=keys, scope=Scope("r"), when=when)
        seen.append((unquote(path), request.headers["Authorization"] == expected["Authorization"]))
        return web.Response()

    keys = AWSKeys("AKIDFAKE", "fake", "fake-token")
    settings = {"access_key_id": "AKIDFAKE", "secret_access_key": "fake", "session_token": "fake-token"}
    url = await serve(verify)
    target = URL(f"{url}/bucket/{encode_key(key)}?{encode_query([('prefix', key), ('acl', '')])}", encoded=True)
    async with aws_credentials(None, settings) as credentials, credentials.http_client([url], region="r") as client:
        await _status(client, target, "PUT", data=b"x", headers={"x-amz-meta-a": "two  spaces", "Content-MD5": "x"})

    assert seen == [(f"/bucket/{key}", True)]


async def test_anonymous_requests_go_out_bare(serve: Serve, origin: Origin) -> None:
    """
    Anonymous access adds no header.
    """
    url = await serve(origin)
    credentials = aws_credentials(None, {"anonymous": True})
    async with credentials, credentials.http_client([url]) as client:
        assert await _status(client, url) == 200

    assert origin.seen == [("", b"")]


@pytest.mark.parametrize(
    "url", ["https://store.example", "http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost"]
)
def test_credentials_travel_over_tls_or_stay_here(url: str) -> None:
    """
    Credentials are sent over TLS, or without it only on this machine.
    """
    require_tls(url)


@pytest.mark.parametrize(
    "url", ["http://store.example", "http://127.0.0.1.store.example", "http://10.0.0.1", "ftp://x"]
)
def test_credentials_do_not_travel_in_the_clear(url: str) -> None:
    """
    Plain HTTP to another machine is an error unless it is allowed.
    """
    with pytest.raises(ConfigurationError, match="allow_http"):
        require_tls(url)
    require_tls(url, allow_http=True)
