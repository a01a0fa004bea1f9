"""
Google's own order of looking for credentials, and what goes for whatever is found.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from asyncstore import open_storage
from asyncstore.auth.gcp import SETTINGS, GCPCredentials, gcp_credentials
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.auth.conftest import FAKE_TOKEN
from tests.auth.gcp_methods import without_own
from tests.auth.gcp_service import (
    METADATA,
    GoogleService,
    credentials_of,
    external_user_document,
    google_service,
    user_document,
)
from tests.servers.tls import ThrowawayCA
from tests.servers_check.gcs import EMAIL, account, key_file


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's user."""
    without_own(monkeypatch, tmp_path)


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
    The file that is named goes before gcloud's, and that before the metadata server.
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


async def test_named_file_that_is_missing_is_no_reason_to_look_on(
    service: GoogleService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whoever names a file means it: otherwise the work would go on as somebody else.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file.json")

    with pytest.raises(ConfigurationError, match=r"/no/such/file\.json"):
        await found(gcp_credentials())
    assert service.calls == []


async def test_default_keeps_to_what_it_found(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A metadata server in trouble is not taken for one that is not there.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
    service.status = 503
    anonymous = AuthConfig(auth_type="anonymous")

    async with gcp_credentials(AuthConfig(fallback=anonymous)) as credentials:
        with pytest.raises(UnavailableError):
            await credentials.get()
    assert service.fetches() == 1


async def test_metadata_server_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that was there and is gone is a passing trouble: the machine is still Google's.
    """
    async with google_service(METADATA) as service:
        monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
        credentials = gcp_credentials()
        lease = await credentials.get()
    async with credentials:
        with pytest.raises(UnavailableError, match="no answer") as failure:
            await credentials.refresh(lease)
    assert failure.value.retryable


async def test_nobody_there_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is no machine of Google's, what comes after the default is used.
    """
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    given = AuthConfig(auth_type="token", settings={"token": FAKE_TOKEN})
    chain = AuthConfig(auth_type="service_account", fallback=AuthConfig(fallback=given))

    assert await found(gcp_credentials(chain)) == "token"
    with pytest.raises(UnauthenticatedError, match="NO_GCE_CHECK is set"):
        await found(gcp_credentials())


async def test_fallbacks_are_checked() -> None:
    """
    Ten in a row are enough, none may come twice, and all are Google's.
    """
    circle = AuthConfig(auth_type="metadata", fallback=AuthConfig(fallback=AuthConfig(auth_type="metadata")))
    with pytest.raises(ConfigurationError, match="metadata -> default -> metadata"):
        gcp_credentials(circle)
    with pytest.raises(ConfigurationError, match="of no use"):
        gcp_credentials(AuthConfig(fallback=AuthConfig(provider="aws")))
    chain = AuthConfig()
    for number in range(10):
        chain = AuthConfig(auth_type="token", settings={"token": f"fake-{number}"}, fallback=chain)
    with pytest.raises(ConfigurationError, match="more than 10"):
        gcp_credentials(chain)


async def test_quota_project(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A project to count the use for goes with each request: set, else of the environment, else of the file.
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
    The driver sends it too, unless its own user_project says who pays.
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
    Credentials of another cloud sign for its hosts; a setting that contradicts them is an error.
    """
    document = {**key_file(service.url), "universe_domain": "cloud.example"}
    async with gcp_credentials(None, {"credentials_json": document}) as credentials:
        await credentials.get()
        assert credentials.scope_of(URL("https://storage.cloud.example/b")) is not None
        assert credentials.scope_of(URL("https://storage.googleapis.com/b")) is None
    auth = AuthConfig(settings={"credentials_json": document, "universe_domain": "googleapis.com"})
    async with gcp_credentials(auth) as credentials:
        with pytest.raises(ConfigurationError, match=r"of the cloud cloud\.example"):
            await credentials.get()


async def test_subject(service: GoogleService) -> None:
    """
    A service account can speak for a user of its domain.
    """
    settings = {"credentials_json": key_file(service.url), "subject": "a@b.example"}

    await found(gcp_credentials(None, settings))

    assert service.forms[0]["subject"] == "a@b.example"


async def test_subject_of_somebody_else(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who cannot speak for a user does not work as somebody else instead.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))
    settings = {"subject": "a@b.example"}

    with pytest.raises(ConfigurationError, match="only a service_account"):
        await found(gcp_credentials(None, {**settings, "credentials_json": user_document(service.url)}))
    with pytest.raises(UnauthenticatedError, match="speaks for no subject"):
        await found(gcp_credentials(None, settings))
    assert service.calls == []


async def test_refresh_token_of_a_workforce_pool_is_replaced(service: GoogleService) -> None:
    """
    The refresh token that came with a token is the one to use next.
    """
    async with credentials_of(external_user_document(service.url)) as credentials:
        lease = await credentials.get()
        await credentials.refresh(lease)

    assert [form["refresh_token"] for form in service.forms] == service.refresh_tokens[:2]
    assert len(set(service.refresh_tokens)) == 3


async def test_user_has_to_sign_in_again(service: GoogleService) -> None:
    """
    A refresh token that was revoked is told, with what helps.
    """
    document = {**user_document(service.url), "refresh_token": f"{FAKE_TOKEN}-revoked"}

    with pytest.raises(UnauthenticatedError, match="gcloud auth application-default login") as failure:
        await found(gcp_credentials(None, {"credentials_json": document}))
    assert FAKE_TOKEN not in str(failure.value)


def test_made_before_there_is_a_loop(service: GoogleService) -> None:
    """
    Credentials can be made before the loop runs that they are used in.
    """
    credentials = gcp_credentials(AuthConfig(auth_type="token", settings={"token": FAKE_TOKEN}))

    assert asyncio.run(found(credentials)) == "token"


def test_service_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Only Cloud Storage has a variable for its address, which is for emulators.
    """
    credentials = gcp_credentials(AuthConfig(auth_type="anonymous"))

    assert credentials.service_endpoint() is None
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:9")
    assert credentials.service_endpoint() == "http://localhost:9"
    assert credentials.service_endpoint("pubsub") is None


async def test_private_authorities(service: GoogleService, tls_ca: ThrowawayCA, tmp_path: Path) -> None:
    """
    Tokens are asked for over TLS from whom the settings trust, and from nobody else.
    """
    settings = Settings(tokens=[], accounts=[account()])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    async with GCSServer(tls=context, settings=settings) as server:
        document = key_file(server.url)
        with pytest.raises(UnavailableError, match="Certificate"):
            await found(gcp_credentials(None, {"credentials_json": document}))
        trusting = HTTPOptions(ca_file=tls_ca.ca_file)
        assert await found(gcp_credentials(None, {"credentials_json": document}, http=trusting)) == "service_account"


def test_settings_are_listed() -> None:
    """
    Names of settings are those that the factory takes.
    """
    assert len(set(SETTINGS)) == len(SETTINGS)
    settings = dict.fromkeys(SETTINGS)
    gcp_credentials(AuthConfig(auth_type="anonymous"), settings, http=HTTPOptions())
    assert settings == {}
