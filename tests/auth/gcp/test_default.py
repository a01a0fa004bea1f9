"""
Google's default chain, and what applies to the credentials of every method.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from asyncstore import open_storage
from asyncstore.auth.gcp import metadata
from asyncstore.auth.gcp.credentials import SETTINGS, GCPCredentials, gcp_credentials
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.auth.conftest import FAKE_TOKEN
from tests.servers.gcs_client import EMAIL, account, key_file
from tests.servers.identity.gcp import (
    FLAVOR,
    METADATA,
    GoogleService,
    credentials_of,
    external_user_document,
    google_service,
    user_document,
)
from tests.servers.tls import ThrowawayCA


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GoogleService]:
    async with google_service(METADATA) as running:
        yield running


def host_of(url: str) -> str:
    return url.removeprefix("http://")


async def found(credentials: GCPCredentials) -> str:
    async with credentials:
        await credentials.get()
        return credentials.auth_type


async def test_order(service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The named file precedes gcloud's file, which precedes the metadata server.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
    assert await found(gcp_credentials()) == "metadata"
    gcloud = tmp_path / "gcloud" / "application_default_credentials.json"
    gcloud.parent.mkdir()
    gcloud.write_text(json.dumps(user_document(service.url)))
    gcloud.chmod(0o600)
    assert await found(gcp_credentials()) == "authorized_user"
    named = tmp_path / "named.json"
    named.write_text(json.dumps(key_file(service.url)))
    named.chmod(0o600)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(named))
    credentials = gcp_credentials()
    assert await found(credentials) == "service_account"
    assert credentials.setting_sources() == {"credentials_file": "GOOGLE_APPLICATION_CREDENTIALS"}
    assert credentials.describe()["account"] == EMAIL
    assert credentials.source == str(named)


async def test_missing_named_file_stops_the_chain(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A missing file that is named explicitly is an error: the chain must not continue with another identity.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file.json")

    with pytest.raises(ConfigurationError, match=r"/no/such/file\.json"):
        await found(gcp_credentials())
    assert service.calls == []


async def test_failing_metadata_server_has_no_fallback(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A failing metadata server is not treated as missing, so the fallback is not used.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
    service.status = 503
    anonymous = AuthConfig(auth_type="anonymous")

    async with gcp_credentials(AuthConfig(fallback=anonymous)) as credentials:
        with pytest.raises(UnavailableError):
            await credentials.get()
    assert service.fetches() == 1


@pytest.mark.parametrize("auth_type", ["default", "metadata"])
async def test_metadata_server_that_comes_up_late(monkeypatch: pytest.MonkeyPatch, auth_type: str) -> None:
    """
    A server that refuses connections is asked again.
    """
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{port}")
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"access_token": FAKE_TOKEN, "expires_in": 3600}, headers=FLAVOR)

    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        stack.push_async_callback(runner.cleanup)
        waited = []

        async def start(seconds: float) -> None:
            if not seconds:
                return
            waited.append(seconds)
            if len(waited) == 2:
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", port).start()

        monkeypatch.setattr(metadata, "START_WAITS", (1.0, 2.0, 4.0))
        monkeypatch.setattr(asyncio, "sleep", start)
        assert await found(gcp_credentials(AuthConfig(auth_type=auth_type))) == "metadata"
    assert (waited, asked) == ([1.0, 2.0], 1)


async def test_only_the_first_request_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The waits for a server that does not come up are bounded, and not repeated by the next request.
    """
    waited = []

    async def count(seconds: float) -> None:
        if seconds:
            waited.append(seconds)

    monkeypatch.setattr(metadata, "START_WAITS", (1.0, 2.0, 4.0))
    monkeypatch.setattr(asyncio, "sleep", count)
    async with gcp_credentials() as credentials:
        for _ in range(2):
            with pytest.raises(UnauthenticatedError, match="anonymous=True"):
                await credentials.get()
    assert waited == [1.0, 2.0, 4.0]


async def test_machine_without_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the name of the server does not exist, nothing waits.
    """
    asked = []

    def resolve(host: str, *more: Any, **options: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.delenv("GCE_METADATA_HOST")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with gcp_credentials() as credentials:
        with pytest.raises(UnauthenticatedError, match="anonymous=True"):
            await credentials.get()
    assert asked == ["metadata.google.internal"]


async def test_metadata_server_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the server answered before, it being unreachable is a retryable error.
    """
    async with google_service(METADATA) as service:
        monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
        credentials = gcp_credentials()
        lease = await credentials.get()
    async with credentials:
        with pytest.raises(UnavailableError, match="no answer") as failure:
            await credentials.refresh(lease)
    assert failure.value.retryable


async def test_no_metadata_server_uses_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If this is not a Google machine, the fallback of the default chain is used.
    """
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    given = AuthConfig(auth_type="token", settings={"token": FAKE_TOKEN})
    chain = AuthConfig(auth_type="service_account", fallback=AuthConfig(fallback=given))

    assert await found(gcp_credentials(chain)) == "token"
    with pytest.raises(UnauthenticatedError, match="NO_GCE_CHECK is set"):
        await found(gcp_credentials())


async def test_fallbacks_are_checked() -> None:
    """
    At most ten fallbacks are allowed, none may repeat, and all must be Google's.
    """
    circle = AuthConfig(auth_type="metadata", fallback=AuthConfig(fallback=AuthConfig(auth_type="metadata")))
    with pytest.raises(ConfigurationError, match="metadata -> default -> metadata"):
        gcp_credentials(circle)
    with pytest.raises(ConfigurationError, match="not for 'gcs'"):
        gcp_credentials(AuthConfig(fallback=AuthConfig(provider="aws")))
    chain = AuthConfig()
    for number in range(10):
        chain = AuthConfig(auth_type="token", settings={"token": f"fake-{number}"}, fallback=chain)
    with pytest.raises(ConfigurationError, match="more than 10"):
        gcp_credentials(chain)


async def test_quota_project(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The quota project is sent with every request: that of the settings, the environment or the file, in this order.
    """
    document = {**user_document(service.url), "quota_project_id": "of-the-file"}

    resource = f"{service.url}/resource"

    async def sent(**settings: Any) -> str | None:
        async with AsyncExitStack() as stack:
            made = gcp_credentials(None, {"credentials_json": document, **settings})
            credentials = await stack.enter_async_context(made)
            session = await stack.enter_async_context(credentials.http_client([service.url]))
            await session.get(resource, headers={"x-goog-user-project": "of-the-request"})
            assert service.requests[-1]["x-goog-user-project"] == "of-the-request"
            await session.get(resource)
            assert credentials.describe()["quota_project"] == service.requests[-1]["x-goog-user-project"]
        return service.requests[-1].get("x-goog-user-project")

    assert await sent() == "of-the-file"
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "of-the-environment")
    assert await sent() == "of-the-environment"
    assert await sent(quota_project="set") == "set"


async def test_quota_project_of_a_storage(service: GoogleService) -> None:
    """
    The driver sends it too, unless its ``user_project`` is set.
    """
    document = {**user_document(service.url), "quota_project_id": "of-the-file"}
    async with GCSServer(buckets=["bucket"], settings=Settings(tokens=service.tokens)) as server:
        cases: list[tuple[dict[str, Any], str | None, bool]] = [
            ({}, "of-the-file", False),
            ({"user_project": "pays"}, None, True),
        ]
        for more, header, query in cases:
            storage = open_storage("gs://bucket", endpoint_url=server.url, credentials_json=document, **more)
            async with storage:
                await storage.put(storage.root / "x", b"data")
            assert server.requests[-1].headers.get("x-goog-user-project") == header
            assert ("userProject=pays" in server.requests[-1].path) is query


async def test_universe(service: GoogleService) -> None:
    """
    Credentials of another universe apply to its hosts; a contradicting setting is an error.
    """
    document = {**key_file(service.url), "universe_domain": "cloud.example"}
    async with gcp_credentials(None, {"credentials_json": document}) as credentials:
        await credentials.get()
        assert credentials.scope_of(URL("https://storage.cloud.example/b")) is not None
        assert credentials.scope_of(URL("https://storage.googleapis.com/b")) is None
    auth = AuthConfig(settings={"credentials_json": document, "universe_domain": "googleapis.com"})
    async with gcp_credentials(auth) as credentials:
        with pytest.raises(ConfigurationError, match=r"universe_domain cloud\.example, which contradicts"):
            await credentials.get()


async def test_subject(service: GoogleService) -> None:
    """
    A service account can act for a user of its domain.
    """
    settings = {"credentials_json": key_file(service.url), "subject": "a@b.example"}

    await found(gcp_credentials(None, settings))

    assert service.forms[0]["subject"] == "a@b.example"


async def test_subject_needs_a_service_account(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Credentials that cannot act for a subject are rejected, not used without it.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
    settings = {"subject": "a@b.example"}

    with pytest.raises(ConfigurationError, match="subject requires a service_account"):
        await found(gcp_credentials(None, {**settings, "credentials_json": user_document(service.url)}))
    with pytest.raises(UnauthenticatedError, match="cannot act for a subject"):
        await found(gcp_credentials(None, settings))
    assert service.calls == []


async def test_refresh_token_of_a_workforce_pool_is_replaced(service: GoogleService) -> None:
    """
    The refresh token in a reply replaces the previous one.
    """
    async with credentials_of(external_user_document(service.url)) as credentials:
        lease = await credentials.get()
        await credentials.refresh(lease)

    assert [form["refresh_token"] for form in service.forms] == service.refresh_tokens[:2]
    assert len(set(service.refresh_tokens)) == 3


async def test_revoked_refresh_token(service: GoogleService) -> None:
    """
    The error for a revoked refresh token says how to log in again.
    """
    document = {**user_document(service.url), "refresh_token": f"{FAKE_TOKEN}-revoked"}

    with pytest.raises(UnauthenticatedError, match="gcloud auth application-default login") as failure:
        await found(gcp_credentials(None, {"credentials_json": document}))
    assert FAKE_TOKEN not in str(failure.value)


def test_created_without_a_loop(service: GoogleService) -> None:
    """
    Credentials can be created before the event loop runs.
    """
    credentials = gcp_credentials(AuthConfig(auth_type="token", settings={"token": FAKE_TOKEN}))

    assert asyncio.run(found(credentials)) == "token"


def test_service_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``STORAGE_EMULATOR_HOST`` applies to Cloud Storage only.
    """
    credentials = gcp_credentials(AuthConfig(auth_type="anonymous"))

    assert credentials.service_endpoint() is None
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:9")
    assert credentials.service_endpoint() == "http://localhost:9"
    assert credentials.service_endpoint("pubsub") is None


async def test_private_ca(service: GoogleService, tls_ca: ThrowawayCA, tmp_path: Path) -> None:
    """
    The token endpoint's certificate is checked against ``ca_file``.
    """
    settings = Settings(tokens=[], accounts=[account()])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    async with GCSServer(tls=context, settings=settings) as server:
        document = key_file(server.url)
        with pytest.raises(UnavailableError, match="certificate is not trusted"):
            await found(gcp_credentials(None, {"credentials_json": document}))
        trusting = HTTPOptions(ca_file=tls_ca.ca_file)
        assert await found(gcp_credentials(None, {"credentials_json": document}, http=trusting)) == "service_account"


def test_settings_are_listed() -> None:
    """
    ``SETTINGS`` are the names that the factory removes.
    """
    assert len(set(SETTINGS)) == len(SETTINGS)
    settings = dict.fromkeys(SETTINGS)
    gcp_credentials(AuthConfig(auth_type="anonymous"), settings, http=HTTPOptions())
    assert settings == {}
