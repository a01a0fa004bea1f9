"""
Tokens of an account, for somebody who may have them.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asyncstore.auth.gcp import GCPCredentials, gcp_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import (
    ConfigurationError,
    UnauthenticatedError,
    UnavailableError,
)
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.auth.gcp_methods import without_own
from tests.auth.gcp_service import (
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
from tests.servers_check.gcs import EMAIL, key_file


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's user."""
    without_own(monkeypatch, tmp_path)


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
    Whatever gives tokens can ask for those of an account; its own are for asking, the account's for working.
    """
    token = await token_of(impersonating(service, **_sources(service, tmp_path)[source]))

    assert service.tokens[token] == STORAGE
    assert service.tokens[f"{FAKE_TOKEN}-0"] == CLOUD_PLATFORM
    assert service.refusals == []


async def test_default_source(service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Without a source the default asks, which can be a user who has signed in.
    """
    file = tmp_path / "user.json"
    file.write_text(json.dumps(user_document(service.url)))
    file.chmod(0o600)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    # A user's tokens are for what they signed in for.
    monkeypatch.setattr(service, "issue", lambda scopes, issue=service.issue: issue(scopes or CLOUD_PLATFORM))

    credentials = impersonating(service)
    await token_of(credentials)

    assert credentials.auth_type == "impersonated_service_account"
    assert credentials.source == f"{TARGET}, with authorized_user ({file})"


async def test_what_is_asked_for(service: GoogleService) -> None:
    """
    Delegates, scopes and lifetime go along, as Google writes them.
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
    A file says who is meant, by whom and for how long; settings go before it.
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
    The source of a file can be such a file itself, but not without end.
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


async def test_source_token_that_is_refused_is_renewed(service: GoogleService) -> None:
    """
    If the source's own token was revoked, it is renewed and the account's asked for again, once.
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


async def test_expiry_is_by_the_clock_of_the_service(serve: Serve) -> None:
    """
    What a reply says of the end counts from its own date, whatever our clock says.
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
    ("status", "document", "error", "words"),
    [
        (403, {"error": {"message": "denied", "status": "PERMISSION_DENIED"}}, UnauthenticatedError, "denied"),
        (404, {"error": {"message": "no such account"}}, UnauthenticatedError, "no such account"),
        (429, {"error": {"message": "slower"}}, UnavailableError, "slower"),
        (200, {}, UnavailableError, "no accessToken"),
        (200, {"accessToken": FAKE_TOKEN}, UnavailableError, "no expireTime"),
        (200, {"accessToken": FAKE_TOKEN, "expireTime": "soon"}, UnavailableError, "no expireTime"),
        (200, {"accessToken": "a\r\nb", "expireTime": "2999-01-01T00:00:00Z"}, UnauthenticatedError, "no header"),
        (200, {"accessToken": FAKE_TOKEN, "expireTime": "2001-01-01T00:00:00Z"}, UnauthenticatedError, "have expired"),
    ],
)
async def test_refusals(
    serve: Serve, status: int, document: dict[str, Any], error: type[Exception], words: str
) -> None:
    """
    What the service answers comes out, as an error that tells whether to try again.
    """
    calls = []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.json_response(document, status=status)

    settings = {"token": FAKE_SECRET, "target_principal": TARGET, "iam_endpoint": await serve(answer)}
    async with gcp_credentials(None, settings) as credentials:
        with pytest.raises(error, match=words) as failure:
            await credentials.get()
    assert len(calls) == 1
    assert FAKE_SECRET not in str(failure.value)
    assert FAKE_TOKEN not in str(failure.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target_principal": "a/b"}, "no service account"),
        ({"target_principal": TARGET, "delegates": ["x y"]}, "no service account"),
        ({"target_principal": TARGET, "lifetime": 0}, "1 to 43200"),
        ({"target_principal": TARGET, "lifetime": 43201}, "1 to 43200"),
        ({"target_principal": TARGET, "lifetime": "long"}, "number of seconds"),
        ({"target_principal": TARGET, "source": 7}, "AuthConfig"),
        ({"target_principal": TARGET, "source": {"kind": "x"}}, "AuthConfig"),
        ({"target_principal": TARGET, "source": {"provider": "aws"}}, "of no use"),
        ({"target_principal": TARGET, "source": AuthConfig(), "token": "x"}, "leave out source or token"),
        ({"target_principal": TARGET, "token": "x", "credentials_json": {}}, "give one of"),
        ({"target_principal": TARGET, "subject": "a@b.example"}, "takes no subject"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], words: str) -> None:
    """
    What cannot be meant is refused before anything is read or sent.
    """
    with pytest.raises(ConfigurationError, match=words):
        gcp_credentials(AuthConfig(settings=settings))


def test_a_source_without_a_target() -> None:
    """
    A source alone does not say whose tokens are wanted.
    """
    auth = AuthConfig(auth_type="impersonated_service_account", settings={"source": AuthConfig()})

    with pytest.raises(ConfigurationError, match="set target_principal"):
        gcp_credentials(auth)


async def test_anonymous_source(service: GoogleService) -> None:
    """
    Nobody has no tokens of anybody.
    """
    credentials = impersonating(service, source=AuthConfig(auth_type="anonymous"))

    async with credentials:
        with pytest.raises(ConfigurationError, match="anonymous"):
            await credentials.get()
    assert service.calls == []
