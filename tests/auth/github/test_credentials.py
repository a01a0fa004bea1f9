"""
Where a GitHub token comes from, and which hosts receive it.
"""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from asyncstore.auth.credentials import Secret
from asyncstore.auth.github.credentials import API_URL, GitHubCredentials, github_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from tests.auth.conftest import FAKE_TOKEN, Serve

NAMES = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GITHUB_API_URL", "GH_HOST")
ENTERPRISE = "https://git.example/api/v3"


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


async def token_of(credentials: GitHubCredentials) -> str | None:
    value = (await credentials.get()).value
    await credentials.aclose()
    return None if value is None else value.reveal()


async def _async() -> str:
    return FAKE_TOKEN


@pytest.mark.parametrize("token", [FAKE_TOKEN, f" {FAKE_TOKEN}\n", Secret(FAKE_TOKEN), lambda: FAKE_TOKEN, _async])
async def test_token_from_settings(token: Any) -> None:
    """A token can be text, a secret, or a plain or async function."""
    settings = {"token": token, "draft": True}

    credentials = github_credentials(None, settings)

    assert settings == {"draft": True}
    assert (credentials.auth_type, credentials.source) == ("token", "settings")
    assert await token_of(credentials) == FAKE_TOKEN
    assert FAKE_TOKEN not in repr(credentials)


@pytest.mark.parametrize(
    ("token", "kind"), [(7, ConfigurationError), (lambda: 7, ConfigurationError), ("", UnauthenticatedError)]
)
async def test_invalid_token(token: Any, kind: type[Exception]) -> None:
    """An invalid token is not sent."""
    with pytest.raises(kind):
        await token_of(github_credentials(None, {"token": token}))


@pytest.mark.parametrize(
    ("host", "api_url", "token"),
    [
        ("github.com", API_URL, "gh"),
        (" GitHub.com ", API_URL, "gh"),
        ("octocorp.ghe.com", "https://api.octocorp.ghe.com", "gh"),
        ("git.example", ENTERPRISE, "ghe"),
        ("git.example:8443", "https://git.example:8443/api/v3", "ghe"),
    ],
)
async def test_host_of_the_command_line(monkeypatch: pytest.MonkeyPatch, host: str, api_url: str, token: str) -> None:
    """The host in GH_HOST is used with the token that is meant for it; a URL of an API overrides it."""
    monkeypatch.setenv("GH_HOST", host)
    monkeypatch.setenv("GH_TOKEN", "gh")
    monkeypatch.setenv("GH_ENTERPRISE_TOKEN", "ghe")

    credentials = github_credentials()
    assert (credentials.service_endpoint(), await token_of(credentials)) == (api_url, token)
    monkeypatch.setenv("GITHUB_API_URL", "https://other.example/api/v3")
    assert github_credentials().service_endpoint() == "https://other.example/api/v3"


@pytest.mark.parametrize("host", ["https://git.example", "git.example/api", "user@git.example", "a b"])
def test_invalid_host(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """A URL in GH_HOST is refused."""
    monkeypatch.setenv("GH_HOST", host)

    with pytest.raises(ConfigurationError, match="GH_HOST must be a host"):
        github_credentials()


@pytest.mark.parametrize(
    ("api_url", "variables", "expected"),
    [
        (API_URL, {"GH_TOKEN": "gh", "GITHUB_TOKEN": "github"}, "gh"),
        (API_URL, {"GITHUB_TOKEN": "github"}, "github"),
        (API_URL, {"GH_TOKEN": " ", "GITHUB_TOKEN": "github"}, "github"),
        (API_URL, {"GH_ENTERPRISE_TOKEN": "ghe"}, None),
        ("https://api.o.ghe.com", {"GH_TOKEN": "gh"}, "gh"),
        ("http://127.0.0.1:7", {"GH_TOKEN": "gh"}, "gh"),
        (ENTERPRISE, {"GH_TOKEN": "gh", "GITHUB_TOKEN": "github"}, None),
        (ENTERPRISE, {"GH_TOKEN": "gh", "GITHUB_ENTERPRISE_TOKEN": "ghe2"}, "ghe2"),
        (ENTERPRISE, {"GH_ENTERPRISE_TOKEN": "ghe", "GITHUB_ENTERPRISE_TOKEN": "ghe2"}, "ghe"),
        (ENTERPRISE, {"GITHUB_TOKEN": "github", "GITHUB_API_URL": ENTERPRISE}, "github"),
        ("https://evil.example", {"GITHUB_TOKEN": "github", "GITHUB_API_URL": ENTERPRISE}, None),
        ("https://github.com.evil.example", {"GH_TOKEN": "gh"}, None),
    ],
)
@pytest.mark.parametrize("auth_type", ["default", "environment"])
async def test_token_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, api_url: str, variables: dict[str, str], expected: str | None, auth_type: str
) -> None:
    """Each host has its own variables, and a token for one host is not sent to another."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    credentials = github_credentials(AuthConfig(auth_type=auth_type), api_url=api_url)

    if expected is None and auth_type == "environment":
        with pytest.raises(UnauthenticatedError, match="is set"):
            await token_of(credentials)
    else:
        assert await token_of(credentials) == expected
        assert "anonymous" in credentials.source if expected is None else credentials.source in variables


async def test_settings_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings take precedence over the environment; anonymous uses neither."""
    monkeypatch.setenv("GH_TOKEN", "gh")

    assert await token_of(github_credentials(None, {"token": FAKE_TOKEN})) == FAKE_TOKEN
    assert await token_of(github_credentials(None, {"anonymous": True})) is None
    assert await token_of(github_credentials(AuthConfig(auth_type="anonymous"))) is None


@pytest.mark.parametrize(
    "auth",
    [
        AuthConfig(auth_type="token"),
        AuthConfig(auth_type="nonsense"),
        AuthConfig(settings={"nonsense": 1}),
        AuthConfig(auth_type="environment", settings={"token": "x"}),
        AuthConfig(auth_type="environment", settings={"anonymous": True}),
        AuthConfig(settings={"token": "x", "anonymous": True}),
        AuthConfig(fallback=AuthConfig()),
    ],
)
def test_invalid_settings(auth: AuthConfig) -> None:
    """Contradicting and unknown settings are rejected at once."""
    with pytest.raises(ConfigurationError):
        github_credentials(auth)


async def test_refresh() -> None:
    """A function is called again; text stays the same."""
    tokens = iter(["fake-one", "fake-two"])
    renewing, fixed = (
        github_credentials(None, {"token": lambda: next(tokens)}),
        github_credentials(None, {"token": "x"}),
    )
    first, same = await renewing.get(), await fixed.get()

    second = await renewing.refresh(first)

    assert second.value == Secret("fake-two")
    assert await fixed.refresh(same) is same


async def test_http_client(serve: Serve) -> None:
    """A session for any aiohttp program sends the token to GitHub and to no other host."""
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response()

    ours, other = await serve(answer), await serve(answer)
    credentials = github_credentials(None, {"token": FAKE_TOKEN}, api_url=ours)
    session: aiohttp.ClientSession = await credentials.http_client([ours])
    async with session:
        for url in (ours, other):
            async with session.get(url) as reply:
                assert reply.status == 200

    assert seen == [f"Bearer {FAKE_TOKEN}", None]
    assert "GH_TOKEN" not in os.environ
