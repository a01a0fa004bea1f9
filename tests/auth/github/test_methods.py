"""
What all GitHub methods have in common, and the requests of apps.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from asyncstore import connect_auth, open_storage
from asyncstore.auth.credentials import Secret
from asyncstore.auth.factories import find_factory
from asyncstore.auth.github.credentials import GitHubCredentials, github_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import (
    ConfigurationError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.github import App, GitHubServer
from tests.auth.conftest import Serve
from tests.auth.github.methods import (
    APP_ID,
    CASES,
    INSTALLATION,
    LOGIN,
    Asked,
    app_key,
    app_public_key,
    clear,
    github,
    new_app,
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    app_public_key()
    clear(monkeypatch)


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Asked]:
    async with CASES["app"].start(monkeypatch, tmp_path) as running:
        assert isinstance(running, Asked)
        yield running


@pytest.fixture
async def credentials(running: Asked) -> AsyncIterator[GitHubCredentials]:
    made = find_factory("github")(running.auth, http=running.http)
    assert isinstance(made, GitHubCredentials)
    async with made:
        yield made


@pytest.mark.parametrize("name", CASES)
async def test_connect_auth(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Every method returns a token at once with its expiry; only anonymous has none.
    """
    async with (
        CASES[name].start(monkeypatch, tmp_path) as running,
        connect_auth(running.auth, http=running.http) as credentials,
    ):
        token = (await credentials.get()).value
        described = credentials.describe()
        shown = repr(credentials) + str(described) + repr(credentials.setting_sources()) + repr(vars(credentials))

    assert (token is None) == (name == "anonymous")
    assert described["method"] == name
    assert ("expires" in described) == CASES[name].refreshes
    assert not any(secret in shown for secret in running.secrets)


async def test_refusal_is_permanent(credentials: GitHubCredentials, running: Asked) -> None:
    """
    A rejection is reported at once, after one attempt and without secrets.
    """
    running.status = 403

    with pytest.raises(UnauthenticatedError, match="no token for installation 42: No to") as caught:
        await credentials.get()

    assert running.fetches() == 1
    assert not caught.value.retryable
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(credentials)
    assert not any(secret in shown for secret in running.secrets)


async def test_twenty_rejections_are_one_refresh(credentials: GitHubCredentials, running: Asked, serve: Serve) -> None:
    """
    Twenty requests rejected at the same time refresh the token once, and all succeed with the new one.
    """
    refused = (await credentials.get()).value
    together = asyncio.Barrier(20)
    statuses: list[int] = []

    async def api(request: web.Request) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token == (refused.reveal() if refused else ""):
            await asyncio.wait_for(together.wait(), 10)
            statuses.append(401)
        else:
            known = (await credentials.get()).value
            same = known is not None and token == known.reveal() and await request.read() == b"body"
            statuses.append(200 if same else 403)
        return web.json_response({"message": "Bad credentials"}, status=statuses[-1])

    url = await serve(api)
    async with credentials.http_client([url]) as session:

        async def put(number: int) -> int:
            async with session.put(f"{url}/{number}", data=b"body") as reply:
                return reply.status

        replies = await asyncio.gather(*(put(number) for number in range(20)))

    assert replies == [200] * 20
    assert sorted(statuses) == [200] * 20 + [401] * 20
    assert running.fetches() == 2


async def test_http_client_of_its_own(credentials: GitHubCredentials, running: Asked, serve: Serve) -> None:
    """
    Without origins, a session sends the token only to the API that the settings name.
    """
    seen: list[str | None] = []

    async def other(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response()

    url = await serve(other)
    async with credentials.http_client() as session:
        async with session.get(f"{running.server.api_url}/user") as reply:
            assert (await reply.json())["login"] == LOGIN
        async with session.get(url) as reply:
            assert reply.status == 200

    assert seen == [None]


@pytest.mark.parametrize(
    ("api_url", "url", "ours"),
    [
        ("https://api.github.com", "https://api.github.com/user", True),
        ("https://api.github.com", "https://uploads.github.com/repos", True),
        ("https://api.github.com", "https://github.com/o/r", False),
        ("https://api.github.com", "http://api.github.com/user", False),
        ("https://api.github.com", "https://api.github.com:8443/user", False),
        ("https://api.github.com", "https://objects.githubusercontent.com/x", False),
        ("https://api.github.com", "https://uploads.github.com.evil.example/", False),
        ("https://api.o.ghe.com", "https://uploads.o.ghe.com/repos", True),
        ("https://git.example/api/v3", "https://git.example/api/uploads", True),
        ("https://git.example/api/v3", "https://api.github.com/user", False),
        ("http://git.example/api/v3", "http://git.example/api/v3/user", False),
        ("http://127.0.0.1:7", "http://127.0.0.1:7/user", True),
    ],
)
def test_scope(api_url: str, url: str, ours: bool) -> None:
    """
    The API's own hosts are those for releases, and no others of the same owner.
    """
    credentials = github_credentials(github("token", token="fake", base_url=api_url))

    assert (credentials.scope_of(URL(url)) is not None) == ours


@pytest.fixture
async def server() -> AsyncIterator[GitHubServer]:
    async with GitHubServer(base_path="/api/v3") as server:
        yield server


def asking(server: GitHubServer, **settings: Any) -> GitHubCredentials:
    own = {"app_id": APP_ID, "private_key": Secret(app_key()), "base_url": server.api_url, **settings}
    return github_credentials(github("app", **{name: value for name, value in own.items() if value is not None}))


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"repository": "octocat/hello"}, ["/repos/octocat/hello/installation"]),
        ({"organization": "acme"}, ["/orgs/acme/installation"]),
        ({"organization": "octocat"}, ["/orgs/octocat/installation", "/users/octocat/installation"]),
        ({"installation_id": INSTALLATION}, []),
        ({"installation_id": str(INSTALLATION), "organization": "ignored"}, []),
    ],
)
async def test_installation(server: GitHubServer, settings: dict[str, Any], paths: list[str]) -> None:
    """
    An installation is named, or looked up once by a repository, an organization or a user.
    """
    installed = {INSTALLATION: LOGIN, 7: "acme"}
    app = server.add_app(new_app(installations=installed, organizations=frozenset({"acme"})))
    async with asking(server, **settings) as credentials:
        await credentials.refresh(await credentials.get())

    found = 7 if settings.get("organization") == "acme" else INSTALLATION
    asked = f"/api/v3/app/installations/{found}/access_tokens"
    assert [one.path for one in server.requests] == [*(f"/api/v3{path}" for path in paths), asked, asked]
    assert app.asked == [{}, {}]


async def test_key_of_the_environment(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An app can be configured by variables, in which a key has escaped line breaks.
    """
    server.add_app(new_app())
    for name, value in {
        "APP_ID": APP_ID,
        "APP_PRIVATE_KEY": app_key().replace("\n", "\\n"),
        "APP_INSTALLATION_ID": str(INSTALLATION),
        "API_URL": server.api_url,
    }.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    async with github_credentials(AuthConfig(auth_type="app")) as credentials:
        assert (await credentials.get()).value is not None
        assert credentials.setting_sources()["private_key"] == "GITHUB_APP_PRIVATE_KEY"


async def test_token_is_restricted(server: GitHubServer) -> None:
    """
    A token can be restricted to repositories and permissions.
    """
    app = server.add_app(new_app())
    settings = {"repositories": "octocat/hello, other", "permissions": {"contents": "read"}}
    async with asking(server, installation_id=INSTALLATION, **settings) as credentials:
        await credentials.get()

    assert app.asked == [{"repositories": ["hello", "other"], "permissions": {"contents": "read"}}]


@pytest.mark.parametrize("offset", [-3600, 3600])
async def test_clock_skew(server: GitHubServer, offset: float) -> None:
    """
    Clock skew is learned from the rejection and costs one more request; the lifetime of the lease is right.
    """
    server.add_app(new_app(clock_offset=offset))
    async with asking(server, installation_id=INSTALLATION) as credentials:
        lease = await credentials.get()

    assert lease.ends_at == pytest.approx(time.monotonic() + 3600, abs=10)
    assert len(server.requests) == 2


async def test_rate_limit(server: GitHubServer) -> None:
    """
    An exceeded rate limit is not a rejection: the error says when to retry.
    """
    server.add_app(new_app())
    server.inject(Fault(status=403, headers={"Retry-After": "17"}, body=b'{"message": "secondary rate limit"}'))
    async with asking(server, installation_id=INSTALLATION) as credentials:
        with pytest.raises(ThrottledError, match="secondary rate limit") as caught:
            await credentials.get()

    assert caught.value.retry_after == 17


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"{}",
        b'{"token": "ghs_fake", "expires_at": "soon"}',
        b'{"token": "ghs\\n_fake", "expires_at": "2030-01-01T00:00:00Z"}',
    ],
)
async def test_answer_without_a_token(server: GitHubServer, body: bytes) -> None:
    """
    A reply without a token is an error that can be retried.
    """
    server.add_app(new_app())
    server.inject(Fault(status=201, body=body))
    async with asking(server, installation_id=INSTALLATION) as credentials:
        with pytest.raises(UnavailableError, match="answered without a token"):
            await credentials.get()


async def test_lookup_that_is_refused(server: GitHubServer) -> None:
    """
    An error during the lookup of the installation is reported as such.
    """
    server.add_app(new_app())
    server.inject(Fault(status=502, path="/installation$", body=b'{"message": "Bad gateway"}'))
    async with asking(server, repository="octocat/hello") as credentials:
        with pytest.raises(UnavailableError, match="GitHub did not return the installation: Bad gateway"):
            await credentials.get()


async def test_hourly_limit(server: GitHubServer) -> None:
    """
    The hourly limit says when it is reset, by GitHub's clock; no request is sent before.
    """
    server.add_app(new_app())
    headers = {
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int(time.time()) + 1000),
        "Date": formatdate(time.time() + 900, usegmt=True),
    }
    server.inject(Fault(status=403, headers=headers, body=b'{"message": "API rate limit exceeded"}', times=None))
    async with asking(server, installation_id=INSTALLATION) as credentials:
        for _ in range(2):
            with pytest.raises(ThrottledError, match="limit exceeded") as caught:
                await credentials.get()

    assert caught.value.retry_after == pytest.approx(100, abs=3)
    assert len(server.requests) == 1


async def test_app_that_is_not_installed(server: GitHubServer) -> None:
    """
    The error says where the app is not installed.
    """
    server.add_app(new_app(installations={}))
    async with asking(server, repository="octocat/hello") as credentials:
        with pytest.raises(UnauthenticatedError, match="not installed for repos/octocat/hello"):
            await credentials.get()


async def test_key_of_another_app(server: GitHubServer) -> None:
    """
    A key of another app is rejected with GitHub's own message.
    """
    server.add_app(new_app())
    async with asking(server, app_id="Iv1.other", installation_id=INSTALLATION) as credentials:
        with pytest.raises(UnauthenticatedError, match="JSON web token could not be decoded"):
            await credentials.get()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"installation_id": 1, "private_key": None},
            "needs private_key or private_key_file, in the settings or the environment",
        ),
        ({"installation_id": 1, "app_id": None}, "needs app_id"),
        ({}, "needs installation_id, repository or organization"),
        ({"installation_id": 1, "private_key": "no key"}, "the private key of the GitHub App is not a private key"),
    ],
)
async def test_incomplete_app(server: GitHubServer, settings: dict[str, Any], message: str) -> None:
    """
    The error names what is missing before anything is sent.
    """
    async with asking(server, **settings) as credentials:
        with pytest.raises(ConfigurationError, match=message):
            await credentials.get()
    assert server.requests == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repository": "hello"}, "repository is owner/repo, not 'hello'"),
        ({"repository": "o/r", "organization": "o"}, "not both"),
        ({"private_key": "a", "private_key_file": "b"}, "not both"),
        ({"permissions": "contents"}, "permissions is a mapping"),
        ({"token": "fake"}, "takes no token; it takes app_id, private_key"),
        ({"app_id": "a", "client_id": "b"}, "not both"),
        ({"base_url": "http://git.example/api/v3"}, "unencrypted"),
        ({"base_url": "git.example"}, "is the URL of an API"),
        ({"anonymous": True, "app_id": "a"}, "leave out"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str) -> None:
    """
    Invalid settings are rejected at once.
    """
    with pytest.raises(ConfigurationError, match=message):
        github_credentials(github("app", **settings))


def test_token_for_another_api() -> None:
    """
    A token for one server is not sent to another.
    """
    with pytest.raises(ConfigurationError, match=r"base_url https://git\.example and the endpoint .* differ"):
        github_credentials(
            github("token", token="fake", base_url="https://git.example"), api_url="https://other.example"
        )


async def test_fallback(server: GitHubServer) -> None:
    """
    An app can be the fallback if no variable is set.
    """
    server.add_app(new_app())
    app = {"app_id": APP_ID, "private_key": app_key(), "repository": "octocat/hello"}
    auth = AuthConfig(
        provider="github",
        auth_type="environment",
        settings={"base_url": server.api_url},
        fallback=AuthConfig(auth_type="app", settings=app),
    )
    async with connect_auth(auth) as credentials:
        assert credentials.auth_type == "app"
        assert credentials.expiry() is not None


async def test_storage(server: GitHubServer) -> None:
    """
    A storage looks the installation up by its own repository, and works while tokens expire.
    """
    app: App = server.add_app(new_app(token_seconds=2.0))
    async with open_storage(
        "github://octocat/hello/releases/v1/",
        app_id=APP_ID,
        private_key=app_key(),
        base_url=server.api_url,
        create_release=True,
    ) as storage:
        for number in range(4):
            await storage.put(storage.root / f"{number}.bin", b"data")
            await asyncio.sleep(0.4)
        assert await storage.read(storage.root / "3.bin") == b"data"

    assert sum(one.path.endswith("/repos/octocat/hello/installation") for one in server.requests) == 1
    assert len(app.asked) >= 2


async def test_stand_in_with_pygithub(server: GitHubServer) -> None:
    """
    The stand-in serves PyGithub, GitHub's most used library, as it serves us.
    """
    from github import Auth, GithubIntegration

    server.add_app(new_app())

    def ask() -> tuple[int, str]:
        integration = GithubIntegration(auth=Auth.AppAuth(APP_ID, app_key()), base_url=server.api_url)
        try:
            found = integration.get_repo_installation("octocat", "hello")
            return found.id, integration.get_access_token(found.id).token
        finally:
            integration.close()

    number, token = await asyncio.to_thread(ask)

    assert number == INSTALLATION
    async with (
        github_credentials(github("token", token=token, base_url=server.api_url)) as credentials,
        credentials.http_client() as session,
        session.get(f"{server.api_url}/user") as reply,
    ):
        assert (await reply.json())["login"] == LOGIN
