"""
What all OCI methods have in common: one fetch for all callers, and independent failures.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from asyncstore import connect_auth
from asyncstore.auth.factories import find_factory
from asyncstore.auth.oci.credentials import OCICredentials
from asyncstore.errors import UnauthenticatedError
from asyncstore.testing.servers.oci.errors import ServiceError
from asyncstore.testing.servers.oci.signature import check_signature
from tests.auth.cases import Case
from tests.auth.conftest import Serve
from tests.auth.oci.methods import CASES, Asked

REFRESHING = [name for name, case in CASES.items() if case.refreshes]
_KEY_ID = re.compile(r'keyId="([^"]*)"')


@pytest.fixture(params=REFRESHING)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
async def running(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Asked]:
    async with case.start(monkeypatch, tmp_path) as running:
        assert isinstance(running, Asked)
        yield running


@pytest.fixture
async def credentials(running: Asked) -> AsyncIterator[OCICredentials]:
    made = find_factory("oci")(running.auth, http=running.http)
    assert isinstance(made, OCICredentials)
    async with made:
        yield made


@pytest.mark.parametrize("name", CASES)
async def test_connect_auth(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Every method provides keys and, if they expire, their expiry; only anonymous has no keys.
    """
    async with (
        CASES[name].start(monkeypatch, tmp_path) as running,
        connect_auth(running.auth, http=running.http) as credentials,
    ):
        keys = (await credentials.get()).value
        described = credentials.describe()
        shown = repr(credentials) + str(described) + repr(credentials.setting_sources()) + repr(vars(credentials))

    assert (keys is None) == (name == "anonymous")
    assert described["method"] == CASES[name].auth_type
    assert ("expires" in described) == CASES[name].refreshes
    assert not any(secret in shown for secret in running.secrets)


async def test_closing_ends_a_fetch(credentials: OCICredentials, running: Asked) -> None:
    """
    Closing the credentials ends a running fetch with an error for its callers.
    """
    running.delay = 0.3
    waiter = asyncio.create_task(credentials.get())
    await asyncio.sleep(0.05)

    await credentials.aclose()

    with pytest.raises(UnauthenticatedError, match="closed during a refresh"):
        await waiter


class Bucket:
    """
    Rejects the first token, once all requests have arrived; checks the signatures of the others.
    """

    def __init__(self, running: Asked, together: int) -> None:
        self.statuses: list[int] = []
        self.delegations: set[str | None] = set()
        self._running = running
        self._together = together
        self._waiting = 0
        self._all_there = asyncio.Event()
        self._refused: str | None = None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self._refused = self._refused or key_id(request.headers)
        refused = key_id(request.headers) == self._refused
        status = await self._refuse() if refused else await self._check(request)
        self.statuses.append(status)
        self.delegations.add(request.headers.get("opc-obo-token"))
        return web.json_response({"code": "NotAuthenticated"} if status == 401 else {}, status=status)

    async def _refuse(self) -> int:
        self._waiting += 1
        if self._waiting == self._together:
            self._all_there.set()
        await asyncio.wait_for(self._all_there.wait(), 10)
        return 401

    async def _check(self, request: web.Request) -> int:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            signed = check_signature(
                request.method, request.raw_path, headers, self._running.service, time.time(), body_is_exempt=True
            )
        except ServiceError:
            return 403
        delegated = "opc-obo-token" in headers
        covered = delegated == ("opc-obo-token" in signed.headers)
        return 200 if covered and await request.read() == b"body" else 403


def key_id(headers: Mapping[str, str]) -> str:
    found = _KEY_ID.search(headers["Authorization"])
    assert found is not None
    return found[1]


async def test_rejected_keys_are_refreshed_once(credentials: OCICredentials, running: Asked, serve: Serve) -> None:
    """
    Twenty concurrent rejected requests refresh the keys once, and all succeed with the new ones.
    """
    bucket = Bucket(running, 20)
    url = await serve(bucket)

    async with credentials.http_client([url]) as session:

        async def put(number: int) -> int:
            async with session.put(f"{url}/n/ns/b/bucket/o/{number}", data=b"body") as reply:
                return reply.status

        statuses = await asyncio.gather(*(put(number) for number in range(20)))

    assert statuses == [200] * 20
    assert sorted(bucket.statuses) == [200] * 20 + [401] * 20
    assert running.fetches() == 2
    assert (bucket.delegations == {None}) == (running.auth.auth_type != "delegation_token")


async def test_consumed_stream_is_not_resent(credentials: OCICredentials, running: Asked, serve: Serve) -> None:
    """
    A body that cannot be read again is sent once; the next request uses new keys.
    """
    bucket = Bucket(running, 1)
    url = await serve(bucket)

    async def parts() -> AsyncIterator[bytes]:
        yield b"body"

    async with credentials.http_client([url]) as session:
        async with session.put(f"{url}/n/ns/b/bucket/o/1", data=parts()) as reply:
            assert reply.status == 401
        async with session.put(f"{url}/n/ns/b/bucket/o/1", data=b"body") as reply:
            assert reply.status == 200

    assert bucket.statuses == [401, 200]
    assert running.fetches() == 2


async def test_short_session_is_not_refreshed_by_every_request(
    credentials: OCICredentials, running: Asked, serve: Serve
) -> None:
    """
    One token that lasts 15 minutes is enough for two hundred requests.
    """
    running.ttl = 900

    async def bucket(request: web.Request) -> web.StreamResponse:
        return web.Response(status=200 if key_id(request.headers) else 403)

    url = await serve(bucket)
    async with credentials.http_client([url]) as session:
        for number in range(200):
            async with session.get(f"{url}/n/ns/b/bucket/o/{number}") as reply:
                assert reply.status == 200

    lease = credentials.current()
    assert lease is not None
    assert lease.expires_at == pytest.approx(time.monotonic() + 840, abs=20)
    assert running.fetches() == 1
