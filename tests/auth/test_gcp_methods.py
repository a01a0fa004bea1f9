"""
What all of Google's methods have in common, each with a service of its own.
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
from asyncstore.auth.gcp import METHODS, GCPCredentials, gcp_credentials
from asyncstore.errors import StorageError, UnauthenticatedError, UnavailableError
from tests.auth.cases import Case
from tests.auth.gcp_methods import CASES
from tests.auth.gcp_service import GoogleService

_: AuthFactory = gcp_credentials

REFRESHING = {name: case for name, case in CASES.items() if case.refreshes}


@pytest.fixture(params=REFRESHING, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return REFRESHING[request.param]


@pytest.fixture
async def service(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[GoogleService]:
    """The service of the method, which was sent nothing but what it takes."""
    async with case.start(monkeypatch, tmp_path) as running:
        assert isinstance(running, GoogleService)
        yield running
    assert running.refusals == []


@pytest.fixture
async def credentials(service: GoogleService) -> AsyncIterator[GCPCredentials]:
    async with gcp_credentials(service.auth, http=service.http) as made:
        yield made


def test_every_method_has_a_case() -> None:
    """
    No method is left out of the tests.
    """
    assert {method.auth_type for method in METHODS} == {case.auth_type for case in CASES.values()}


async def test_cold_callers_ask_once(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Fifty who need a token at the same time cost one.
    """
    service.delay = 0.05

    leases = await asyncio.gather(*(credentials.get() for _ in range(50)))

    assert len({id(lease) for lease in leases}) == 1
    assert service.fetches() == 1
    # Those of the accounts that lead there, too.
    assert len(service.calls) == len(set(service.calls))


async def test_tokens_refused_at_once_are_renewed_once(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Twenty requests that are refused at the same time cost one new token, and all succeed.
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


async def test_only_bodies_that_can_be_are_sent_again(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Bytes are sent again with the new token; a stream that is used up is not, and the refusal comes out.
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


async def test_one_who_gives_up_takes_nobody_along(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    A caller who is cancelled while waiting leaves the others their token.
    """
    service.delay = 0.05
    tasks = [asyncio.ensure_future(credentials.get()) for _ in range(5)]
    await asyncio.sleep(0.02)

    tasks[0].cancel()
    leases = [await task for task in tasks[1:]]

    assert tasks[0].cancelled()
    assert len({id(lease) for lease in leases}) == 1
    assert service.fetches() == 1


async def test_service_in_trouble_is_asked_once(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Forty callers of a service that fails cost one request, and so do those who come soon after.
    """
    service.status = 503
    # However slow this machine is, the back-off is not over.
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
    What is refused is told at once, with who refused it, and is not worth another attempt.
    """
    service.status = 400
    started = time.monotonic()

    with pytest.raises(UnauthenticatedError, match=r"127\.0\.0\.1") as failure:
        await credentials.get()

    assert not failure.value.retryable
    assert failure.value.status == 400
    assert service.fetches() == 1
    assert time.monotonic() - started < 5


async def test_service_that_recovers(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    After the back-off the service is asked again.
    """
    service.status = 503
    with pytest.raises(UnavailableError):
        await credentials.get()
    service.status = 200
    credentials._tokens._retry_at = 0.0

    assert (await credentials.get()).value is not None
    assert service.fetches() == 2


async def test_expiry_is_the_providers(service: GoogleService, credentials: GCPCredentials) -> None:
    """
    Credentials end when the reply says so, and are renewed in the background before.
    """
    service.ttl = 1000.0
    assert credentials.expiry() is None

    lease = await credentials.get()
    end = credentials.expiry()

    assert end is not None
    assert abs((end - datetime.now(UTC)).total_seconds() - 1000) < 3
    assert lease.expires_at is not None
    assert lease.refresh_at is not None
    # Some replies tell the end in whole seconds.
    assert abs(lease.expires_at - time.monotonic() - 940) < 3
    early = 225 if credentials.auth_type == "metadata" else 300
    assert abs(lease.refresh_at - time.monotonic() - (1000 - early)) < 3
    assert credentials.describe()["expires"] == end.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_connect_auth(case: Case, service: GoogleService) -> None:
    """
    Opened by the provider's name, credentials sign for the provider's hosts and for no others.
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


async def test_nothing_secret_is_shown(
    service: GoogleService, credentials: GCPCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    """
    No text about credentials, no error and no log holds a key, a token or an assertion.
    """
    caplog.set_level(logging.DEBUG)
    texts = [repr(await credentials.get()), repr(credentials), str(credentials.describe()), str(service.auth)]
    texts += [str(credentials.setting_sources()), repr(vars(credentials)), repr(await credentials._used.identity())]
    texts += [repr(vars(await credentials._used.identity()))]
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
    gcloud-aio's clients get the token that there is, renewed as everybody else's.
    """
    token = credentials.for_gcloud()

    assert await token.get() == _revealed(await credentials.get())
    assert await token.get() in service.tokens
    assert service.fetches() == 1


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.refreshes])
async def test_methods_that_ask_nobody(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Fifty callers call a function once; anonymous access has no token at all.
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
