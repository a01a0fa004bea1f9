"""
What all methods of AWS must do: concurrent callers share one fetch and do not affect each other.
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
from asyncstore.auth.aws.credentials import AWSCredentials
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.auth.factories import find_factory
from asyncstore.errors import StorageError
from tests.auth.aws.methods import CASES
from tests.auth.aws.sigv4_check import is_signed_by, key_id
from tests.auth.cases import Case, Running
from tests.auth.conftest import Serve

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


@pytest.mark.parametrize("name", CASES)
async def test_connect_auth(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Every method returns keys at once with their expiry; only anonymous has none.
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


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("status", [200, 403, 500])
async def test_no_secret_is_shown(
    name: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """
    No secret appears in DEBUG logs, a repr, a description or a traceback, whether fetching succeeds or fails.
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
    Rejects the first keys as expired once it has received twenty requests; checks all others.
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


async def test_twenty_rejections_are_one_refresh(credentials: AWSCredentials, running: Running, serve: Serve) -> None:
    """
    Twenty requests rejected at the same time refresh the keys once, and all succeed with the new ones.
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


async def test_short_session_serves_many_requests(credentials: AWSCredentials, running: Running, serve: Serve) -> None:
    """
    Keys that last a quarter of an hour serve two hundred requests.
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
