"""
Service account impersonation.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asyncstore.auth.gcp.credentials import GCPCredentials, gcp_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import (
    ConfigurationError,
    UnauthenticatedError,
    UnavailableError,
)
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.gcs_client import EMAIL, key_file
from tests.servers.identity.gcp import (
    CLOUD_PLATFORM,
    DELEGATE,
    IAM,
    STORAGE,
    SUBJECT,
    TARGET,
    GoogleService,
    credentials_of,
    external_document,
    google_service,
    impersonated_document,
    user_document,
)


@pytest.fixture
async def service() -> AsyncIterator[GoogleService]:
    async with google_service(IAM) as running:
        yield running


def impersonating(service: GoogleService, **settings: Any) -> GCPCredentials:
    given = {"target_principal": TARGET, "iam_endpoint": service.url, **settings}
    return gcp_credentials(AuthConfig(provider="google", settings=given))


async def token_of(credentials: GCPCredentials) -> str:
    async with credentials:
        value = (await credentials.get()).value
        assert value is not None
        return value.reveal()


def _sources(service: GoogleService, directory: Path) -> dict[str, dict[str, Any]]:
    subject = directory / "subject"
    subject.write_text(SUBJECT)
    host = service.url.removeprefix("http://")
    external = external_document(service.url, {"file": str(subject)})
    return {
        "service_account": {"credentials_json": key_file(service.url)},
        "external_account": {"credentials_json": external},
        "metadata": {"metadata_host": host},
        "token": {"token": lambda: service.issue(CLOUD_PLATFORM)},
        "source": {"source": AuthConfig(auth_type="metadata", settings={"metadata_host": host})},
        "table": {"source": {"auth_type": "service_account", "settings": {"credentials_json": key_file(service.url)}}},
        "fallback": {
            "source": AuthConfig(
                auth_type="external_account", fallback=AuthConfig(settings={"credentials_json": external})
            )
        },
        "chain": {
            "source": AuthConfig(
                settings={
                    "target_principal": TARGET,
                    "iam_endpoint": service.url,
                    "credentials_json": key_file(service.url),
                }
            )
        },
    }


@pytest.mark.parametrize(
    "source", ["service_account", "external_account", "metadata", "token", "source", "table", "fallback", "chain"]
)
async def test_any_source(service: GoogleService, source: str, tmp_path: Path) -> None:
    """
    Credentials of any method can impersonate an account; their own token is used to request the account's only.
    """
    token = await token_of(impersonating(service, **_sources(service, tmp_path)[source]))

    assert service.tokens[token] == STORAGE
    assert service.tokens[f"{FAKE_TOKEN}-0"] == CLOUD_PLATFORM
    assert service.refusals == []


async def test_default_source(service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Without a source the default chain is used, which can end at a user.
    """
    file = tmp_path / "user.json"
    file.write_text(json.dumps(user_document(service.url)))
    file.chmod(0o600)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    # The scopes of a user's tokens are fixed at login.
    monkeypatch.setattr(service, "issue", lambda scopes, issue=service.issue: issue(scopes or CLOUD_PLATFORM))

    credentials = impersonating(service)
    await token_of(credentials)

    assert credentials.auth_type == "impersonated_service_account"
    assert credentials.source == f"{TARGET}, with authorized_user ({file})"


async def test_request_for_a_token(service: GoogleService) -> None:
    """
    Delegates, scopes and lifetime are sent in Google's format.
    """
    settings = {"delegates": f"{DELEGATE}, projects/-/serviceAccounts/{EMAIL}", "lifetime": "900"}
    scopes = ["https://www.googleapis.com/auth/devstorage.full_control", CLOUD_PLATFORM]

    await token_of(impersonating(service, credentials_json=key_file(service.url), scopes=scopes, **settings))

    assert service.calls[-1] == ("POST", f"/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken")
    assert service.forms[-1] == {
        "delegates": [f"projects/-/serviceAccounts/{DELEGATE}", f"projects/-/serviceAccounts/{EMAIL}"],
        "scope": scopes,
        "lifetime": "900s",
    }


async def test_file(service: GoogleService) -> None:
    """
    A file contains the account, the delegates and the lifetime; settings override it.
    """
    more = {"delegates": [DELEGATE], "service_account_impersonation": {"token_lifetime_seconds": 1200}}
    document = impersonated_document(service.url, key_file(service.url), **more)

    await token_of(credentials_of(document))
    assert service.forms[-1] == {
        "delegates": [f"projects/-/serviceAccounts/{DELEGATE}"],
        "scope": [STORAGE],
        "lifetime": "1200s",
    }
    await token_of(credentials_of(document, delegates=[EMAIL], lifetime=600, scopes=CLOUD_PLATFORM))
    assert service.forms[-1] == {
        "delegates": [f"projects/-/serviceAccounts/{EMAIL}"],
        "scope": [CLOUD_PLATFORM],
        "lifetime": "600s",
    }


async def test_file_in_a_file(service: GoogleService) -> None:
    """
    The source credentials in a document can impersonate too, up to ten levels.
    """
    document: dict[str, Any] = key_file(service.url)
    for _ in range(3):
        document = impersonated_document(service.url, document)
    await token_of(credentials_of(document))
    assert service.fetches() == 3

    for _ in range(10):
        document = impersonated_document(service.url, document)
    async with credentials_of(document) as credentials:
        with pytest.raises(ConfigurationError, match="more than 10"):
            await credentials.get()


async def test_rejected_source_token_is_refreshed(service: GoogleService) -> None:
    """
    If the source's own token is rejected, it is refreshed and the account's token requested once more.
    """
    async with impersonating(service, credentials_json=key_file(service.url)) as credentials:
        lease = await credentials.get()
        service.revoked.update(service.tokens)
        renewed = await credentials.refresh(lease)

        assert renewed.value is not None
        assert renewed.value.reveal() not in service.revoked
    assert [path.rpartition("/")[2] for _, path in service.calls] == [
        "token",
        f"{TARGET}{IAM}",
        f"{TARGET}{IAM}",
        "token",
        f"{TARGET}{IAM}",
    ]


async def test_expiry_uses_the_servers_clock(serve: Serve) -> None:
    """
    The lifetime is computed from the reply's own date, not from our clock.
    """

    async def answer(request: web.Request) -> web.Response:
        document = {"accessToken": FAKE_TOKEN, "expireTime": "2001-01-01T01:00:00.123456789Z"}
        return web.json_response(document, headers={"Date": "Mon, 01 Jan 2001 00:30:00 GMT"})

    credentials = gcp_credentials(
        None, {"token": FAKE_TOKEN, "target_principal": TARGET, "iam_endpoint": await serve(answer)}
    )
    async with credentials:
        lease = await credentials.get()
        assert lease.ends_at is not None
        assert lease.expires_at is not None
        assert abs(lease.ends_at - lease.expires_at - 60) < 0.1
        end = credentials.expiry()
    assert end is not None
    assert abs(end.timestamp() - time.time() - 1800) < 3


@pytest.mark.parametrize(
    ("status", "document", "error", "message"),
    [
        (403, {"error": {"message": "denied", "status": "PERMISSION_DENIED"}}, UnauthenticatedError, "denied"),
        (404, {"error": {"message": "no such account"}}, UnauthenticatedError, "no such account"),
        (429, {"error": {"message": "slower"}}, UnavailableError, "slower"),
        (200, {}, UnavailableError, "no accessToken"),
        (200, {"accessToken": FAKE_TOKEN}, UnavailableError, "no expireTime"),
        (200, {"accessToken": FAKE_TOKEN, "expireTime": "soon"}, UnavailableError, "no expireTime"),
        (
            200,
            {"accessToken": "a\r\nb", "expireTime": "2999-01-01T00:00:00Z"},
            UnauthenticatedError,
            "not valid in a header",
        ),
        (
            200,
            {"accessToken": FAKE_TOKEN, "expireTime": "2001-01-01T00:00:00Z"},
            UnauthenticatedError,
            "have already expired",
        ),
    ],
)
async def test_refusals(
    serve: Serve, status: int, document: dict[str, Any], error: type[Exception], message: str
) -> None:
    """
    The error has the service's message, and its class shows whether a retry can help.
    """
    calls = []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.json_response(document, status=status)

    settings = {"token": FAKE_SECRET, "target_principal": TARGET, "iam_endpoint": await serve(answer)}
    async with gcp_credentials(None, settings) as credentials:
        with pytest.raises(error, match=message) as failure:
            await credentials.get()
    assert len(calls) == 1
    assert FAKE_SECRET not in str(failure.value)
    assert FAKE_TOKEN not in str(failure.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_principal": "a/b"}, "not a service account"),
        ({"target_principal": TARGET, "delegates": ["x y"]}, "not a service account"),
        ({"target_principal": TARGET, "lifetime": 0}, "1 to 43200"),
        ({"target_principal": TARGET, "lifetime": 43201}, "1 to 43200"),
        ({"target_principal": TARGET, "lifetime": "long"}, "number of seconds"),
        ({"target_principal": TARGET, "source": 7}, "AuthConfig"),
        ({"target_principal": TARGET, "source": {"kind": "x"}}, "AuthConfig"),
        ({"target_principal": TARGET, "source": {"provider": "aws"}}, "not for 'gcs'"),
        ({"target_principal": TARGET, "source": AuthConfig(), "token": "x"}, "set source or token, not both"),
        ({"target_principal": TARGET, "token": "x", "credentials_json": {}}, "set only one of"),
        ({"target_principal": TARGET, "subject": "a@b.example"}, "takes no subject"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str) -> None:
    """
    Invalid settings are rejected before anything is read or sent.
    """
    with pytest.raises(ConfigurationError, match=message):
        gcp_credentials(AuthConfig(settings=settings))


def test_source_without_a_target() -> None:
    """
    A source needs ``target_principal``.
    """
    auth = AuthConfig(auth_type="impersonated_service_account", settings={"source": AuthConfig()})

    with pytest.raises(ConfigurationError, match="set target_principal"):
        gcp_credentials(auth)


async def test_anonymous_source(service: GoogleService) -> None:
    """
    Anonymous credentials cannot impersonate.
    """
    credentials = impersonating(service, source=AuthConfig(auth_type="anonymous"))

    async with credentials:
        with pytest.raises(ConfigurationError, match="anonymous"):
            await credentials.get()
    assert service.calls == []
