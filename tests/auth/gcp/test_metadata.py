"""
The metadata server: allowed addresses, requests, and replies that are rejected.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from asyncstore.auth.gcp.credentials import GCPCredentials, gcp_credentials
from asyncstore.auth.gcp.metadata import HOST, is_near
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_TOKEN, Serve
from tests.servers.identity.gcp import FLAVOR, METADATA, GoogleService, google_service


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
    The variable is read when a token is requested.
    """
    credentials = gcp_credentials(AuthConfig(auth_type="metadata"))
    monkeypatch.setenv("GCE_METADATA_HOST", host_of(service.url))

    async with credentials:
        await credentials.get()
        assert credentials.source == f"the metadata server {host_of(service.url)}"
        assert credentials.setting_sources() == {"metadata_host": "GCE_METADATA_HOST"}


async def test_scopes_and_account(serve: Serve) -> None:
    """
    Scopes and account are part of the request.
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
    No proxy sees the request, whether from settings or environment.
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
    # Google's host name, resolved to this machine: loopback addresses would bypass the proxy anyway.
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    settings = {"metadata_host": f"{HOST}:{service.url.rpartition(':')[2]}"}

    await found(gcp_credentials(None, settings, http=HTTPOptions(proxy=address)))

    assert asked == []
    assert service.fetches() == 1


@pytest.mark.parametrize("host", ["10.0.0.1", "metadata.example", "metadata.google.internal.example:80"])
async def test_remote_hosts_need_allow_http(host: str) -> None:
    """
    Plain HTTP to hosts other than this machine and link-local addresses needs ``allow_http``.
    """
    with pytest.raises(ConfigurationError, match="allow_http"):
        gcp_credentials(None, {"metadata_host": host})
    gcp_credentials(None, {"metadata_host": host}, http=HTTPOptions(allow_http=True))


@pytest.mark.parametrize("host", ["127.0.0.1/x", "user@127.0.0.1", "127.0.0.1?x", "http://127.0.0.1", "a b", ""])
async def test_invalid_hosts(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An invalid host is rejected: in settings at once, in the environment when it is used.
    """
    with pytest.raises(ConfigurationError, match="metadata_host must be a host"):
        gcp_credentials(None, {"metadata_host": host})
    if host:
        monkeypatch.setenv("GCE_METADATA_HOST", host)
        with pytest.raises(ConfigurationError, match="metadata_host must be a host"):
            await found(gcp_credentials(AuthConfig(auth_type="metadata")))


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        ({"status": 302, "headers": {**FLAVOR, "Location": "/x"}}, UnavailableError, "redirect"),
        ({"text": "x" * 70_000, "headers": FLAVOR}, UnavailableError, "more than 65536"),
        ({"text": "no json", "headers": FLAVOR}, UnavailableError, "no access_token"),
        ({"text": '{"access_token": "a"}'}, UnavailableError, "not a Google metadata server"),
        ({"status": 404, "headers": FLAVOR}, UnauthenticatedError, "has no account 'default'"),
        ({"status": 403, "headers": FLAVOR}, UnauthenticatedError, "refused to issue a token"),
        ({"status": 503, "headers": FLAVOR}, UnavailableError, "refused to issue a token"),
    ],
)
async def test_rejected_replies(serve: Serve, reply: dict[str, Any], error: type[Exception], message: str) -> None:
    """
    Redirects are not followed, long replies are cut off, and replies of other servers are rejected.
    """
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(**reply)

    with pytest.raises(error, match=message):
        await found(gcp_credentials(None, {"metadata_host": host_of(await serve(answer))}))
    assert len(asked) == 1


async def test_region_of_the_machine(service: GoogleService) -> None:
    """
    The region is derived from the zone, which is requested once; the ``region`` setting overrides it.
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
    Loopback, link-local and metadata addresses are near.
    """
    assert is_near(host) is near
