"""
What all Google methods have in common, each tested with its own server.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from yarl import URL

from asyncstore import connect_auth
from asyncstore.auth.credentials import Scope
from asyncstore.auth.factories import AuthFactory, find_factory
from asyncstore.auth.gcp.credentials import GCPCredentials, gcp_credentials
from asyncstore.errors import StorageError, UnauthenticatedError, UnavailableError
from tests.auth.cases import Case
from tests.auth.gcp.methods import CASES
from tests.servers.identity.gcp import GoogleService

_: AuthFactory = gcp_credentials

REFRESHING = {name: case for name, case in CASES.items() if case.refreshes}


@pytest.fixture(params=REFRESHING, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return REFRESHING[request.param]


@pytest.fixture
async def service(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[GoogleService]:
    """The method's server; checks that it accepted every request."""
    async with case.start(monkeypatch, tmp_path) as running:
        assert isinstance(running, GoogleService)
        yield running
    assert running.refusals == []


@pytest.fixture
async def credentials(service: GoogleService) -> AsyncIterator[GCPCredentials]:
    async with gcp_credentials(service.auth, http=service.http) as made:
        yield made


async def test_concurrent_callers(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Fifty concurrent callers share one token.
    """
    service.delay = 0.05

    leases = await asyncio.gather(*(credentials.get() for _ in range(50)))

    assert len({id(lease) for lease in leases}) == 1
    assert service.fetches() == 1
    # No other request is repeated either.
    assert len(service.calls) == len(set(service.calls))


async def test_rejected_tokens_are_refreshed_once(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Twenty concurrent rejected requests refresh the token once, and all succeed.
    """
    first = (await credentials.get()).value
    assert first is not None
    service.revoked.add(first.reveal())
    service.crowd = 20

    async with credentials.http_client([service.url]) as session:

        async def ask() -> int:
            async with session.get(f"{service.url}/resource") as reply:
                return reply.status

        statuses = await asyncio.gather(*(ask() for _ in range(20)))

    assert statuses == [200] * 20
    assert service.fetches() == 2
    assert len(service.opened) == 40


async def test_only_replayable_bodies_are_resent(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Bytes are sent again with the new token; a consumed stream is not, and the caller gets the 401.
    """

    async def stream() -> AsyncIterator[bytes]:
        yield b"x" * 5

    async with credentials.http_client([service.url]) as session:
        service.revoked.add(_revealed(await credentials.get()))
        async with session.put(f"{service.url}/resource", data=b"x" * 1000) as reply:
            assert reply.status == 200
        assert service.opened == [1000, 1000]

        service.revoked.add(_revealed(await credentials.get()))
        async with session.put(f"{service.url}/resource", data=stream()) as reply:
            assert reply.status == 401
        assert service.opened == [1000, 1000, 5]


async def test_failing_service_gets_one_request(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Forty concurrent callers of a failing service cause one request, and later callers none during the back-off.
    """
    service.status = 503
    # Stop the clock, so that the back-off cannot end during the test.
    started = time.monotonic()
    credentials._tokens._clock = lambda: started

    failures = await asyncio.gather(*(credentials.get() for _ in range(40)), return_exceptions=True)
    with pytest.raises(UnavailableError) as again:
        await credentials.get()

    assert {type(failure) for failure in failures} == {UnavailableError}
    assert service.fetches() == 1
    assert again.value.retryable
    assert again.value.retry_after == pytest.approx(1.0)


async def test_refusal_is_final(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    A refusal is raised after one request, names the server and is not retryable.
    """
    service.status = 400
    started = time.monotonic()

    with pytest.raises(UnauthenticatedError, match=r"127\.0\.0\.1") as failure:
        await credentials.get()

    assert not failure.value.retryable
    assert failure.value.status == 400
    assert service.fetches() == 1
    assert time.monotonic() - started < 5


async def test_expiry_is_the_providers(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Credentials expire when the reply says so, and are refreshed in the background before that.
    """
    service.ttl = 1000.0
    assert credentials.expiry() is None

    lease = await credentials.get()
    end = credentials.expiry()

    assert end is not None
    assert abs((end - datetime.now(UTC)).total_seconds() - 1000) < 3
    assert lease.expires_at is not None
    assert lease.refresh_at is not None
    # Some replies have whole seconds only.
    assert abs(lease.expires_at - time.monotonic() - 940) < 3
    early = 225 if credentials.auth_type == "metadata" else 300
    assert abs(lease.refresh_at - time.monotonic() - (1000 - early)) < 3
    assert credentials.describe()["expires"] == end.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_connect_auth(case: Case, service: GoogleService) -> None:
    """
    Credentials that are opened by name apply to the provider's hosts only.
    """
    async with connect_auth(service.auth, http=service.http) as credentials:
        assert service.fetches() == 1
        for url in (
            "https://storage.googleapis.com/b",
            "https://b.storage.googleapis.com/x",
            "https://pubsub.googleapis.com",
        ):
            assert credentials.scope_of(URL(url)) == Scope("auto", "storage")
        for url in (
            service.url,
            "http://storage.googleapis.com",
            "https://storage.googleapis.com:8443",
            "https://storage.googleapis.com.example.com",
            "https://evilgoogleapis.com",
            "https://googleapis.example",
        ):
            assert credentials.scope_of(URL(url)) is None
        async with credentials.http_client() as session, session.get(f"{service.url}/resource") as reply:
            assert reply.status == 401
    assert "authorization" not in service.requests[-1]


async def test_no_secret_in_output(
    service: GoogleService, credentials: GCPCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Reprs, errors and logs contain no key, token or assertion.
    """
    caplog.set_level(logging.DEBUG)
    texts = [repr(await credentials.get()), repr(credentials), str(credentials.describe()), str(service.auth)]
    identity = await credentials._used.lookup.identity()
    texts += [str(credentials.setting_sources()), repr(vars(credentials)), repr(identity)]
    texts += [repr(credentials._used), repr(vars(credentials._used.lookup)), repr(vars(identity))]
    for status in (400, 503):
        service.status = status
        async with gcp_credentials(service.auth, http=service.http) as others:
            try:
                await others.get()
            except StorageError as exc:
                texts += [repr(exc), str(exc), repr(vars(exc)), "".join(traceback.format_exception(exc))]
    texts += [record.getMessage() for record in caplog.records if record.name.startswith("asyncstore")]

    assert len(texts) >= 15
    for secret in service.secrets:
        assert [text for text in texts if secret in text] == []


async def test_for_gcloud(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    gcloud-aio's clients share our token.
    """
    token = credentials.for_gcloud()

    assert await token.get() == _revealed(await credentials.get())
    assert await token.get() in service.tokens
    assert service.fetches() == 1


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.refreshes])
async def test_methods_without_a_server(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Fifty concurrent callers call a token function once; anonymous access has no token.
    """
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(CASES[name].start(monkeypatch, tmp_path))
        credentials = await stack.enter_async_context(find_factory("google")(service.auth))
        leases = await asyncio.gather(*(credentials.get() for _ in range(50)))

        assert len({id(lease) for lease in leases}) == 1
        assert service.fetches() == (1 if name == "token" else 0)
        assert (leases[0].value is None) is credentials.anonymous is (name == "anonymous")


def _revealed(lease: object) -> str:
    value = getattr(lease, "value", None)
    assert value is not None
    text: str = value.reveal()
    return text
