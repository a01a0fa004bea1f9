"""
What holds for all methods of AWS: one fetch however many ask, and nobody pays for another's trouble.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from asyncstore import connect_auth
from asyncstore.auth.aws import METHODS, AWSCredentials
from asyncstore.auth.factories import find_factory
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.errors import StorageError, UnauthenticatedError
from tests.auth.aws_methods import CASES
from tests.auth.cases import Case, Running
from tests.auth.conftest import Serve
from tests.auth.sigv4_check import is_signed_by, key_id

REFRESHING = [name for name, case in CASES.items() if case.refreshes]


@pytest.fixture(params=REFRESHING)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
async def running(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Running]:
    async with case.start(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
async def credentials(running: Running) -> AsyncIterator[AWSCredentials]:
    made = find_factory("aws")(running.auth, http=running.http)
    assert isinstance(made, AWSCredentials)
    async with made:
        yield made


def test_every_method_has_a_case() -> None:
    """
    What is declared is tested, as what it is declared to be.
    """
    assert {method.auth_type: method.refreshes for method in METHODS} == {
        name: case.refreshes for name, case in CASES.items()
    }


@pytest.mark.parametrize("name", CASES)
async def test_connect_auth(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Every method gives keys at once, and says for how long; only anonymous has none.
    """
    async with (
        CASES[name].start(monkeypatch, tmp_path) as running,
        connect_auth(running.auth, http=running.http) as credentials,
    ):
        keys = (await credentials.get()).value
        described = credentials.describe()

    assert (keys is None) == (name == "anonymous")
    assert described["method"] == name
    assert ("expires" in described) == CASES[name].refreshes
    assert not any(secret in str(described) for secret in running.secrets)


async def test_fifty_callers_are_one_fetch(credentials: AWSCredentials, running: Running) -> None:
    """
    Fifty who need keys at the same time get the same ones, fetched once.
    """
    running.delay = 0.05

    leases = await asyncio.gather(*(credentials.get() for _ in range(50)))

    assert len(set(map(id, leases))) == 1
    assert leases[0].value is not None
    assert running.fetches() == 1


async def test_cancelled_waiter_takes_nobody_along(credentials: AWSCredentials, running: Running) -> None:
    """
    Cancelling the caller that started the fetch leaves it to the others.
    """
    running.delay = 0.3
    waiters = [asyncio.create_task(credentials.get()) for _ in range(5)]
    await asyncio.sleep(0.05)

    waiters[0].cancel()
    leases = await asyncio.gather(*waiters[1:])

    assert waiters[0].cancelled()
    assert len({lease.value for lease in leases}) == 1
    assert running.fetches() == 1


async def test_failing_service_is_asked_once(credentials: AWSCredentials, running: Running) -> None:
    """
    Forty callers of a service in trouble wait for one attempt; who asks then is told without another.
    """
    running.status = 500
    first = await asyncio.gather(*(credentials.get() for _ in range(40)), return_exceptions=True)
    second = await asyncio.gather(*(credentials.get() for _ in range(20)), return_exceptions=True)

    assert all(isinstance(error, StorageError) for error in [*first, *second])
    assert running.fetches() == 1


async def test_service_that_recovers_is_asked_again(credentials: AWSCredentials, running: Running) -> None:
    """
    After the back-off there is another attempt, and all is well.
    """
    running.status = 500
    with pytest.raises(StorageError):
        await credentials.get()
    running.status = 200
    await asyncio.sleep(1.05)

    assert (await credentials.get()).value is not None
    assert running.fetches() == 2


async def test_refusal_is_permanent(credentials: AWSCredentials, running: Running) -> None:
    """
    Who is refused is told at once, once, and without a secret.
    """
    running.status = 403

    with pytest.raises(UnauthenticatedError) as caught:
        await credentials.get()

    assert running.fetches() == 1
    assert not caught.value.retryable
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(credentials)
    assert not any(secret in shown for secret in running.secrets)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("status", [200, 403, 500])
async def test_nothing_secret_is_told(
    name: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """
    With every logger at DEBUG no secret is in a log, a repr, a description or a traceback, in success and in failure.
    """
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    async with CASES[name].start(monkeypatch, tmp_path) as running:
        running.status = status
        async with find_factory("aws")(running.auth, http=running.http) as credentials:
            try:
                lease = await credentials.get()
                shown += [repr(lease), repr(lease.value), str(lease)]
            except StorageError as exc:
                shown += traceback.format_exception(exc)
                shown += [repr(exc), str(vars(exc))]
            shown += [repr(running.auth), repr(credentials), str(credentials.describe())]
            shown += [str(credentials.setting_sources()), repr(credentials.current())]

    printed = "\n".join([*shown, caplog.text, *capfd.readouterr()])
    assert [secret for secret in running.secrets if secret in printed] == []


class Bucket:
    """
    Refuses the first keys that it sees as expired, once twenty requests are there; checks all others.
    """

    def __init__(self, credentials: AWSCredentials, together: int) -> None:
        self.statuses: list[int] = []
        self._credentials = credentials
        self._together = together
        self._waiting = 0
        self._all_there = asyncio.Event()
        self._refused: str | None = None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self._refused = self._refused or key_id(request)
        status = await self._refuse() if key_id(request) == self._refused else await self._check(request)
        self.statuses.append(status)
        return web.Response(status=status, text="<Error><Code>ExpiredToken</Code></Error>" if status == 400 else "")

    async def _refuse(self) -> int:
        self._waiting += 1
        if self._waiting == self._together:
            self._all_there.set()
        await asyncio.wait_for(self._all_there.wait(), 10)
        return 400

    async def _check(self, request: web.Request) -> int:
        keys = (await self._credentials.get()).value
        assert isinstance(keys, AWSKeys)
        signed = await is_signed_by(request, keys)
        return 200 if signed and await request.read() == b"body" else 403


async def test_twenty_refusals_are_one_renewal(credentials: AWSCredentials, running: Running, serve: Serve) -> None:
    """
    Twenty requests refused at the same moment renew the keys once, and all succeed with the new ones.
    """
    bucket = Bucket(credentials, 20)
    url = await serve(bucket)

    async with credentials.http_client([url], region="eu-west-1") as session:

        async def put(number: int) -> int:
            async with session.put(f"{url}/bucket/{number}", data=b"body") as reply:
                return reply.status

        statuses = await asyncio.gather(*(put(number) for number in range(20)))

    assert statuses == [200] * 20
    assert sorted(bucket.statuses) == [200] * 20 + [400] * 20
    assert running.fetches() == 2


async def test_stream_is_not_sent_twice(credentials: AWSCredentials, running: Running, serve: Serve) -> None:
    """
    A body that cannot be read again is sent once; the next request has new keys.
    """
    bucket = Bucket(credentials, 1)
    url = await serve(bucket)

    async def parts() -> AsyncIterator[bytes]:
        yield b"body"

    async with credentials.http_client([url], region="eu-west-1") as session:
        async with session.put(f"{url}/bucket/1", data=parts()) as reply:
            assert reply.status == 400
        async with session.put(f"{url}/bucket/1", data=b"body") as reply:
            assert reply.status == 200

    assert bucket.statuses == [400, 200]
    assert running.fetches() == 2


async def test_short_session_is_not_renewed_by_every_request(
    credentials: AWSCredentials, running: Running, serve: Serve
) -> None:
    """
    Keys of a quarter of an hour serve two hundred requests.
    """
    running.ttl = 900

    async def bucket(request: web.Request) -> web.StreamResponse:
        return web.Response(status=200 if key_id(request) else 403)

    url = await serve(bucket)
    async with credentials.http_client([url], region="eu-west-1") as session:
        for number in range(200):
            async with session.get(f"{url}/bucket/{number}") as reply:
                assert reply.status == 200

    lease = credentials.current()
    assert lease is not None
    assert lease.expires_at == pytest.approx(time.monotonic() + 840, abs=20)
    assert running.fetches() == 1
