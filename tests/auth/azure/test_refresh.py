"""
Refresh with every Azure method: one request for all waiters, and cancelling one does not affect the others.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from asyncstore.auth.azure.access import SASAccess, TokenAccess
from asyncstore.auth.azure.credentials import AzureCredentials, azure_credentials
from asyncstore.errors import StorageError, UnauthenticatedError
from tests.auth.azure.methods import CASES, REFRESHING
from tests.auth.cases import Case, Running
from tests.auth.conftest import FAKE_TOKEN
from tests.servers.identity.azure import serving

# Concurrent requests of a test.
CALLERS = 20

ALL = CASES | REFRESHING


@pytest.fixture(params=REFRESHING.values(), ids=list(REFRESHING))
async def running(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Running]:
    case: Case = request.param
    async with case.start(monkeypatch, tmp_path) as service:
        yield service


def opened(running: Running) -> AzureCredentials:
    return azure_credentials(running.auth, http=running.http)


def token_of(value: Any) -> str:
    assert isinstance(value, TokenAccess | SASAccess)
    return value.token if isinstance(value, TokenAccess) else value.token.rpartition("sig=")[2]


async def test_fifty_cold_callers(running: Running) -> None:
    """
    Fifty concurrent callers share the result of one request.
    """
    running.delay = 0.1
    found = []

    async def ask() -> None:
        found.append(token_of((await credentials.get()).value))

    async with opened(running) as credentials, anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)

    assert found == [f"{FAKE_TOKEN}-1"] * 50
    assert running.fetches() == 1


async def test_cancelled_waiter(running: Running) -> None:
    """
    Cancelling the caller that started the fetch does not affect the others.
    """
    running.delay = 0.4
    found = []

    async def ask() -> None:
        found.append(token_of((await credentials.get()).value))

    async with opened(running) as credentials, anyio.create_task_group() as group:
        with anyio.move_on_after(0.1) as impatient:
            for _ in range(4):
                group.start_soon(ask)
            # The first caller, which starts the fetch, is the one that is cancelled.
            await ask()

    assert impatient.cancelled_caught
    assert found == [f"{FAKE_TOKEN}-1"] * 4
    assert running.fetches() == 1


async def test_failing_service(running: Running) -> None:
    """
    Twenty concurrent callers of a failing service cause one request; twenty more right after it cause none.
    """
    running.status = 503
    running.delay = 0.05
    failures: list[StorageError] = []

    async def ask() -> None:
        try:
            await credentials.get()
        except StorageError as exc:
            failures.append(exc)

    async with opened(running) as credentials:
        for _ in range(2):
            async with anyio.create_task_group() as group:
                for _ in range(CALLERS):
                    group.start_soon(ask)

    assert len(failures) == 2 * CALLERS
    assert running.fetches() == 1


async def test_rejected_tokens_are_refreshed_once(running: Running) -> None:
    """
    Twenty concurrent rejected requests refresh the token once, and each succeeds on its second attempt.
    """
    storage = Storage()
    async with opened(running) as credentials, serving(storage) as url, credentials.http_client([url]) as session:
        statuses = []

        async def put(number: int) -> None:
            async with session.put(f"{url}/container/{number}", data=b"x" * number) as reply:
                statuses.append(reply.status)

        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                group.start_soon(put, number)

    assert statuses == [201] * CALLERS
    assert sorted(storage.written) == sorted((f"/container/{number}", number) for number in range(CALLERS))
    assert storage.asked == 2 * CALLERS
    assert running.fetches() == 2


async def test_consumed_bodies_are_not_resent(running: Running) -> None:
    """
    A body that cannot be read again is sent once: the caller gets the 401 or 403, and the next request a new token.
    """
    storage = Storage(together=1)

    async def stream() -> AsyncIterator[bytes]:
        yield b"once"

    async with opened(running) as credentials, serving(storage) as url, credentials.http_client([url]) as session:
        async with session.put(f"{url}/container/1", data=stream()) as reply:
            assert reply.status in (401, 403)
        async with session.put(f"{url}/container/2", data=b"twice") as reply:
            assert reply.status == 201

    assert storage.asked == 2
    assert running.fetches() == 2


class Storage:
    """
    Rejects the first token, for all requests at the same moment, and accepts others.
    """

    def __init__(self, together: int = CALLERS) -> None:
        self.asked = 0
        self.written: list[tuple[str, int]] = []
        self._together = together
        self._all = anyio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        body = await request.read()
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        refusal = (401, "InvalidAuthenticationInfo")
        if not scheme:
            token, refusal = request.query.get("sig", ""), (403, "AuthenticationFailed")
        if token == f"{FAKE_TOKEN}-1":
            if self.asked >= self._together:
                self._all.set()
            await self._all.wait()
            status, code = refusal
            return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>", content_type="text/xml")
        assert token == f"{FAKE_TOKEN}-2"
        assert request.headers["x-ms-version"] >= "2017-11-09"
        self.written.append((request.path, len(body)))
        return web.Response(status=201)


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
async def test_no_secret_in_output(
    case: Case, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Reprs, errors, tracebacks and logs contain no secret, on success and on failure.
    """
    caplog.set_level(logging.DEBUG)
    shown = []
    async with case.start(monkeypatch, tmp_path) as running:
        running.status = status
        shown.append(repr(running.auth))
        async with opened(running) as credentials:
            shown += [repr(credentials), str(credentials.describe()), str(credentials.setting_sources())]
            try:
                lease = await credentials.get()
                shown += [repr(lease), repr(lease.value)]
            except StorageError as exc:
                shown += [repr(exc), str(exc), "".join(traceback.format_exception(exc))]
            shown += [repr(credentials), str(credentials.describe()), str(vars(credentials))]
    shown.append("\n".join(record.getMessage() for record in caplog.records if record.name.startswith("asyncstore")))

    for secret in running.secrets:
        assert not [text for text in shown if secret in text], secret


@pytest.mark.parametrize("name", [name for name in REFRESHING if not name.startswith(("token", "sas"))])
async def test_permanent_refusals_are_not_retried(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A permanent refusal is raised after one request and is not retryable.
    """
    async with REFRESHING[name].start(monkeypatch, tmp_path) as running:
        running.status = 403
        async with opened(running) as credentials:
            with anyio.fail_after(5), pytest.raises(UnauthenticatedError) as failure:
                await credentials.get()

    assert not failure.value.retryable
    assert running.fetches() == 1


@pytest.mark.parametrize("name", [name for name in REFRESHING if name != "cli"])
async def test_short_lived_tokens_are_refreshed_in_time(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A token that lasts two seconds is refreshed before it expires and not used afterwards.
    """
    async with REFRESHING[name].start(monkeypatch, tmp_path) as running:
        running.ttl = 2
        async with opened(running) as credentials:
            first = token_of((await credentials.get()).value)
            await anyio.sleep(1.3)
            second = token_of((await credentials.get()).value)

    assert (first, second) == (f"{FAKE_TOKEN}-1", f"{FAKE_TOKEN}-2")
    assert running.fetches() == 2
