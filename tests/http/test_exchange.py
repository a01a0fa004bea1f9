"""
The exchange: which refusals it recovers from, how often, and which requests it never sends again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest

from asyncstore.auth.tokens import Lease
from asyncstore.config import HTTPOptions
from asyncstore.driver.body import Body, BytesBody
from asyncstore.errors import InvalidRequestError, NotFoundError, StorageError, UnauthenticatedError, UnavailableError
from asyncstore.http import Exchange, HTTPClient, Origin, Reply, Request
from asyncstore.http.errors import error_kind, service_error
from asyncstore.http.exchange import Anonymous
from tests.servers.scripted import OK, Scripted, reply, saying, scripted
from tests.servers.scripted import Exchange as ScriptedExchange

EXPIRED = reply(401, b"Expired")


class Tokens:
    """
    Credentials that count: each refresh gives the next number, up to *last*.
    """

    expired_codes = frozenset({"Expired"})
    skew_codes = frozenset({"Skewed"})

    def __init__(self, last: int = 9) -> None:
        self.last = last
        self.lease: Lease[str | None] = Lease("token-1")
        self.challenges: list[str | None] = []
        self.closed = 0

    def current(self) -> Lease[str | None] | None:
        return self.lease

    async def get(self) -> Lease[str | None]:
        return self.lease

    async def refresh(self, stale: Any = None) -> Lease[str | None]:
        if stale is self.lease and stale.value is not None:
            number = int(stale.value.removeprefix("token-"))
            self.lease = Lease(f"token-{min(number + 1, self.last)}")
        return self.lease

    def note_challenge(self, headers: Mapping[str, str]) -> None:
        self.challenges.append(headers.get("WWW-Authenticate"))

    async def aclose(self) -> None:
        self.closed += 1


class Lab(Exchange["str | None"]):
    """
    A provider whose codes are the bodies of its refusals.
    """

    max_recoveries = 2
    recoverable = frozenset({301, 401, 403})
    client_id_header = "X-Client-Id"

    def __init__(self, origin: Origin, credentials: Any) -> None:
        super().__init__(HTTPClient(HTTPOptions()), credentials)
        self.origin = origin
        self.bucket = "/old"
        self.asked = False

    def locate(self, request: Request) -> tuple[Origin, str] | None:
        return (self.origin, self.bucket + request.path) if self.asked else None

    async def find(self, request: Request) -> tuple[Origin, str]:
        self.asked = True
        return self.origin, self.bucket + request.path

    def sign(self, request: Request, origin: Origin, path: str, keys: str | None) -> tuple[Mapping[str, str], str]:
        signed = {} if keys is None else {"Authorization": keys, "X-Time": str(int(self.clock.now()))}
        return {**request.headers, **signed}, request.query

    def explain(self, request: Request, reply: Reply, body: bytes) -> StorageError:
        code = body.decode() or None
        kind = error_kind(reply.status, code, {"Gone": NotFoundError})
        return service_error(kind, "", provider="lab", code=code, status=reply.status)

    def relocate(self, request: Request, reply: Reply, body: bytes) -> bool:
        moved = reply.status == 301 and self.bucket != "/new"
        self.bucket = "/new" if moved else self.bucket
        return moved


@asynccontextmanager
async def lab(*answers: bytes, credentials: Any = None) -> AsyncIterator[tuple[Lab, Scripted]]:
    async with scripted(*map(saying, answers)) as server:
        exchange = Lab(Origin.parse(server.url), credentials or Tokens())
        try:
            yield exchange, server
        finally:
            await exchange.aclose()


def shown(server: Scripted) -> list[str | None]:
    return [request.headers.get("authorization") for request in server.requests]


async def test_expired_token_is_refreshed_once() -> None:
    """
    A rejected token is refreshed, after its challenge was noted, and the request is sent again with the new one.
    """
    challenged = reply(401, b"Expired", WWW_Authenticate="Bearer realm=lab")
    async with lab(challenged, OK) as (exchange, server):
        answered = await exchange.send(Request("GET", "/key", "a=1"))

        assert 200 == answered.status
        assert ["token-1", "token-2"] == shown(server)
        assert ["/old/key?a=1"] * 2 == [request.target for request in server.requests]
        assert ["Bearer realm=lab"] == exchange._credentials.challenges  # type: ignore[attr-defined]


async def test_same_token_is_not_sent_twice() -> None:
    """
    If a refresh returns the same token, the request is not sent again.
    """
    async with lab(EXPIRED, OK, credentials=Tokens(last=1)) as (exchange, server):
        with pytest.raises(UnauthenticatedError):
            await exchange.send(Request("GET", "/key"))

        assert 1 == len(server.requests)


async def test_recoveries_are_bounded() -> None:
    """
    A server that rejects every token receives three requests: the first one and two recoveries.
    """
    async with lab(EXPIRED) as (exchange, server):
        with pytest.raises(UnauthenticatedError):
            await exchange.send(Request("GET", "/key"))

        assert ["token-1", "token-2", "token-3"] == shown(server)


async def test_clock_skew_is_learned() -> None:
    """
    A rejection because of clock skew corrects the clock, and does not refresh credentials.
    """
    ahead = formatdate(time.time() + 3600, usegmt=True)
    async with lab(reply(403, b"Skewed", Date=ahead), OK) as (exchange, server):
        await exchange.send(Request("GET", "/key"))

        first, second = [int(request.headers["x-time"]) for request in server.requests]
        assert 3590 <= second - first <= 3610
        assert ["token-1", "token-1"] == shown(server)
        assert [] == exchange._credentials.challenges  # type: ignore[attr-defined]


async def test_bucket_that_moved() -> None:
    """
    A redirect is not followed; the provider decides whether it names a new location, which is remembered.
    """
    async with lab(reply(301), OK) as (exchange, server):
        await exchange.send(Request("GET", "/key"))
        await exchange.send(Request("GET", "/key"))

        assert ["/old/key", "/new/key", "/new/key"] == [request.target for request in server.requests]


@pytest.mark.parametrize(("replayable", "sent"), [(True, 2), (False, 1)])
async def test_body_is_replayed_only_if_it_can_be(replayable: bool, sent: int) -> None:
    """
    A request whose body cannot be read again is not sent again, even if its token could be refreshed.
    """
    body: Body = BytesBody(b"data")
    body.replayable = replayable
    async with lab(EXPIRED, OK) as (exchange, server):
        if replayable:
            await exchange.send(Request("PUT", "/key", body=body))
        else:
            with pytest.raises(UnauthenticatedError):
                await exchange.send(Request("PUT", "/key", body=body))

        assert sent == len(server.requests)


async def test_anonymous_requests_are_not_repeated() -> None:
    """
    Without credentials there is nothing to refresh.
    """
    async with lab(EXPIRED, OK, credentials=Anonymous()) as (exchange, server):
        with pytest.raises(UnauthenticatedError):
            await exchange.send(Request("GET", "/key"))

        assert [None] == shown(server)


async def test_other_refusals_are_errors_at_once() -> None:
    """
    A status without a recovery is explained and raised; an accepted one is a success.
    """
    async with lab(reply(404, b"Gone"), reply(409, b"Busy"), reply(308)) as (exchange, server):
        with pytest.raises(NotFoundError) as missing:
            await exchange.send(Request("GET", "/key"))
        with pytest.raises(InvalidRequestError):
            await exchange.send(Request("GET", "/key"))

        assert 308 == (await exchange.send(Request("GET", "/key", accept=308))).status
        assert ("lab", "Gone", 404) == (missing.value.provider, missing.value.code, missing.value.status)
        assert 3 == len(server.requests)


@pytest.mark.parametrize("answer", [b"not HTTP\r\n\r\n", reply(404, b"Gone")])
async def test_errors_have_the_id_that_was_sent(answer: bytes) -> None:
    """
    An error without a request id from the provider has the id that was sent with the request.
    """
    async with lab(answer) as (exchange, _):
        with pytest.raises(StorageError) as caught:
            await exchange.send(Request("GET", "/key", headers={"X-Client-Id": "ours"}))

    assert caught.value.request_id == "ours"


async def test_recovery_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """
    A recovery is one DEBUG line, which shows no token.
    """
    caplog.set_level(logging.DEBUG, "asyncstore")
    async with lab(EXPIRED, OK) as (exchange, _):
        await exchange.send(Request("GET", "/key"))

    assert ["sending GET again after 401 Expired: the credentials were refreshed"] == caplog.messages


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000])
async def test_reply_that_is_not_json(body: bytes) -> None:
    """
    A success whose body is not JSON, or too deeply nested, is a StorageError.
    """
    async with lab(reply(200, body)) as (exchange, _):
        with pytest.raises(UnavailableError):
            await exchange.read_json(Request("GET", "/key"))


async def test_close() -> None:
    """
    Closing closes connections and credentials, and may be repeated.
    """
    async with lab(OK) as (exchange, server):
        await (await exchange.send(Request("GET", "/key"))).read(10)
        await exchange.aclose()
        await exchange.aclose()

        assert 0 == await server.settled()
        assert 2 == exchange._credentials.closed  # type: ignore[attr-defined]


async def test_clock_corrected_by_another_request() -> None:
    """
    All requests that were signed before the clock was corrected are sent again, not only the one that corrected it.
    """
    ahead = formatdate(time.time() + 3600, usegmt=True)
    skewed = saying(reply(403, b"Skewed", Date=ahead))
    waiting = asyncio.Event()

    async def hold(exchange: ScriptedExchange) -> None:
        await waiting.wait()
        await skewed(exchange)

    async with scripted(hold, hold, saying(OK)) as server:
        exchange = Lab(Origin.parse(server.url), Tokens())
        sending = [asyncio.ensure_future(exchange.send(Request("GET", "/key"))) for _ in range(2)]
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        waiting.set()

        assert [200, 200] == [(await one).status for one in sending]
        assert 4 == len(server.requests)
        await exchange.aclose()
