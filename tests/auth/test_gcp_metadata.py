"""
The metadata server: where it may be, what it is asked, and which answers are believed.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asyncstore.auth.gcp import GCPCredentials, gcp_credentials
from asyncstore.auth.gcp_metadata import HOST, is_near
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_TOKEN, Serve
from tests.auth.gcp_methods import without_own
from tests.auth.gcp_service import FLAVOR, METADATA, GoogleService, google_service


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


async def test_host_is_read_late(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variable counts as it is when a token is asked for.
    """
    credentials = gcp_credentials(AuthConfig(auth_type="metadata"))
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))

    async with credentials:
        await credentials.get()
        assert credentials.source == f"the metadata server {host_of(service.url)}"
        assert credentials.setting_sources() == {"metadata_host": "GCE_METADATA_HOST"}


async def test_scopes_and_account(serve: Serve) -> None:
    """
    Scopes and the account that is meant are part of the question.
    """
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, request.query_string, request.headers["Metadata-Flavor"]))
        return web.json_response({"access_token": FAKE_TOKEN, "expires_in": 3600}, headers=FLAVOR)

    settings = {"metadata_host": host_of(await serve(answer)), "service_account": "a@b.example", "scopes": "x,y"}
    await found(gcp_credentials(None, settings))

    assert asked == [("/computeMetadata/v1/instance/service-accounts/a@b.example/token", "scopes=x,y", "Google")]


async def test_never_through_a_proxy(service: GoogleService, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Neither a proxy of the settings nor one of the environment sees what is asked.
    """
    asked = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return web.json_response({"access_token": FAKE_TOKEN, "expires_in": 3600}, headers=FLAVOR)

    def resolve(host: str, *more: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == HOST else host, *more, **options)

    address = await serve(proxy)
    monkeypatch.setenv("HTTP_PROXY", address)
    monkeypatch.setenv("http_proxy", address)
    # A name that is Google's, but leads here: this machine itself is never asked through a proxy anyway.
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    settings = {"metadata_host": f"{HOST}:{service.url.rpartition(':')[2]}"}

    await found(gcp_credentials(None, settings, http=HTTPOptions(proxy=address)))

    assert asked == []
    assert service.fetches() == 1


@pytest.mark.parametrize("host", ["10.0.0.1", "metadata.example", "metadata.google.internal.example:80"])
async def test_other_hosts_have_to_be_allowed(host: str) -> None:
    """
    A token does not come over plain HTTP from another host than those of a machine's own link.
    """
    with pytest.raises(ConfigurationError, match="allow_http"):
        gcp_credentials(None, {"metadata_host": host})
    gcp_credentials(None, {"metadata_host": host}, http=HTTPOptions(allow_http=True))


@pytest.mark.parametrize("host", ["127.0.0.1/x", "user@127.0.0.1", "127.0.0.1?x", "http://127.0.0.1", "a b", ""])
async def test_hosts_that_are_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is no host is refused, from settings at once and from the environment when it is needed.
    """
    with pytest.raises(ConfigurationError, match="metadata_host is a host"):
        gcp_credentials(None, {"metadata_host": host})
    if host:
        monkeypatch.setenv("GCE_METADATA_HOST", host)
        with pytest.raises(ConfigurationError, match="metadata_host is a host"):
            await found(gcp_credentials(AuthConfig(auth_type="metadata")))


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        ({"status": 302, "headers": {**FLAVOR, "Location": "/x"}}, UnavailableError, "redirect"),
        ({"text": "x" * 70_000, "headers": FLAVOR}, UnavailableError, "more than 65536"),
        ({"text": "no json", "headers": FLAVOR}, UnavailableError, "no access_token"),
        ({"text": '{"access_token": "a"}'}, UnavailableError, "no metadata server of Google"),
        ({"status": 404, "headers": FLAVOR}, UnauthenticatedError, "has no account 'default'"),
        ({"status": 403, "headers": FLAVOR}, UnauthenticatedError, "gives no token"),
        ({"status": 503, "headers": FLAVOR}, UnavailableError, "gives no token"),
    ],
)
async def test_answers_that_are_none(serve: Serve, reply: dict[str, Any], error: type[Exception], words: str) -> None:
    """
    Redirects are not followed, floods are cut off, and what is not Google's is not believed.
    """
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(**reply)

    with pytest.raises(error, match=words):
        await found(gcp_credentials(None, {"metadata_host": host_of(await serve(answer))}))
    assert len(asked) == 1


async def test_region_of_the_machine(service: GoogleService) -> None:
    """
    The zone of the machine says where it is, and is asked for once; a region that is given goes before.
    """
    settings = {"metadata_host": host_of(service.url)}
    async with gcp_credentials(None, dict(settings)) as credentials:
        assert await credentials.region() is None
        await credentials.get()
        assert [await credentials.region() for _ in range(3)] == ["europe-west6"] * 3
    assert len([path for _, path in service.calls if path.endswith("/zone")]) == 1

    given = AuthConfig(auth_type="metadata", region="us-east1", settings=settings)
    assert await gcp_credentials(given).region() == "us-east1"


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("169.254.169.254", True),
        ("fd20:ce::254", True),
        ("fe80::1", True),
        ("metadata.google.internal", True),
        ("metadata.google.internal.example.com", False),
        ("10.0.0.1", False),
        ("idp.example", False),
    ],
)
def test_near(host: str, near: bool) -> None:
    """
    Near is this machine, and what a cloud's machine finds on its own link.
    """
    assert is_near(host) is near
