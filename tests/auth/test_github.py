"""
Where a GitHub token comes from, and whom it is shown to.
"""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from asyncstore.auth.credentials import Secret
from asyncstore.auth.github import API_URL, GitHubCredentials, github_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from tests.auth.conftest import FAKE_TOKEN, Serve

NAMES = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GITHUB_API_URL")
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
    """A token comes as text, a secret, or from a function of either kind."""
    settings = {"token": token, "draft": True}

    credentials = github_credentials(None, settings)

    assert settings == {"draft": True}
    assert (credentials.auth_type, credentials.source) == ("token", "settings")
    assert await token_of(credentials) == FAKE_TOKEN
    assert FAKE_TOKEN not in repr(credentials)


@pytest.mark.parametrize(
    ("token", "kind"), [(7, ConfigurationError), (lambda: 7, ConfigurationError), ("", UnauthenticatedError)]
)
async def test_token_that_is_none(token: Any, kind: type[Exception]) -> None:
    """What is no token is not shown as one."""
    with pytest.raises(kind):
        await token_of(github_credentials(None, {"token": token}))


@pytest.mark.parametrize(
    ("api_url", "given", "expected"),
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
    monkeypatch: pytest.MonkeyPatch, api_url: str, given: dict[str, str], expected: str | None, auth_type: str
) -> None:
    """Each host has its own variables, and a token for one is not shown to another."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    credentials = github_credentials(AuthConfig(auth_type=auth_type), api_url=api_url)

    if expected is None and auth_type == "environment":
        with pytest.raises(UnauthenticatedError, match="is set"):
            await token_of(credentials)
    else:
        assert await token_of(credentials) == expected
        assert "anonymous" in credentials.source if expected is None else credentials.source in given


async def test_settings_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said goes before what is around; and anonymous is without any."""
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
def test_what_does_not_fit(auth: AuthConfig) -> None:
    """Settings that contradict each other, or that nobody knows, are refused at once."""
    with pytest.raises(ConfigurationError):
        github_credentials(auth)


async def test_refresh() -> None:
    """A function is asked again; text stays what it is."""
    given = iter(["fake-one", "fake-two"])
    renewing, fixed = github_credentials(None, {"token": lambda: next(given)}), github_credentials(None, {"token": "x"})
    first, same = await renewing.get(), await fixed.get()

    second = await renewing.refresh(first)

    assert second.value == Secret("fake-two")
    assert await fixed.refresh(same) is same


async def test_http_client(serve: Serve) -> None:
    """Any aiohttp program has a session with the token, for GitHub and for nobody else."""
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
