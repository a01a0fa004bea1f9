"""
Keys from the agents of ECS and EKS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from asyncstore import AuthConfig, HTTPOptions
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.identity.aws import KEYS, Service, keys_of, serving

_NONE_NEAR = HTTPOptions(proxy="http://127.0.0.1:9")


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    async with serving(service) as url:
        yield url


async def test_token_file_is_read_each_time(url: str, service: Service, tmp_path: Path) -> None:
    """
    EKS replaces the token file: the next refresh uses the new token.
    """
    file = tmp_path / "token"
    file.write_text(f"{FAKE_TOKEN}\n")
    settings = {"credentials_uri": f"{url}/v1/credentials?x=1", "authorization_token_file": file}

    async with aws_credentials(None, settings) as credentials:
        lease = await credentials.get()
        file.write_text("FAKE-next")
        service.token = "FAKE-next"
        renewed = await credentials.refresh(lease)

    assert [lease.value, renewed.value] == service.issued
    assert service.calls == [("GET", "/v1/credentials")] * 2


async def test_environment(url: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variables of the agents are read; a token file takes precedence over a token.
    """
    (tmp_path / "token").write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", FAKE_TOKEN)

    async with aws_credentials(AuthConfig(auth_type="container")) as credentials:
        assert (await credentials.get()).value == KEYS
        assert credentials.setting_sources() == {
            "credentials_uri": "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "authorization_token": "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        }
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "FAKE-other")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    assert await keys_of() == service.issued[1]


async def test_proxy_is_not_asked(url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The agent is local: neither a configured proxy nor one of the environment sees the token.
    """
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    settings = {"credentials_uri": f"{url}/creds", "authorization_token": FAKE_TOKEN}

    async with aws_credentials(None, settings, http=_NONE_NEAR) as credentials:
        assert (await credentials.get()).value == KEYS


@pytest.mark.parametrize(
    "uri",
    [
        "http://agent.example/creds",
        "http://169.254.169.254/creds",
        "http://127.0.0.1:80@agent.example/creds",
        "http://10.0.0.1/creds",
        "http://0x7f.1/creds",
        "ftp://127.0.0.1/creds",
        "file:///etc/passwd",
        "127.0.0.1/creds",
    ],
)
@pytest.mark.parametrize("by_variable", [False, True])
async def test_other_hosts_are_refused(uri: str, by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The token is sent over plain HTTP only to this machine and the agents of ECS and EKS.
    """
    settings = {} if by_variable else {"credentials_uri": uri}
    if by_variable:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)

    with pytest.raises(ConfigurationError, match=r"https, or http to this machine or one of 169\.254\.170\.2, "):
        await keys_of(AuthConfig(auth_type="container"), **settings)


@pytest.mark.parametrize("host", ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "[FD00:EC2:0::23]", "localhost"])
def test_addresses_of_agents(host: str) -> None:
    """
    The addresses of the agents are accepted over plain HTTP in any spelling.
    """
    assert aws_credentials(None, {"credentials_uri": f"http://{host}/creds"}).auth_type == "container"


async def test_relative_uri() -> None:
    """
    A relative URI leads to the agent of ECS and takes precedence; anything but a path is rejected.
    """
    with pytest.raises(ConfigurationError, match="starts with /"):
        await keys_of(credentials_relative_uri="@agent.example/creds")


@pytest.mark.parametrize("uri", ["http://[::1/creds", "http://127.0.0.1:port/creds"])
def test_invalid_url(uri: str) -> None:
    """
    A URL that is not valid is a configuration error.
    """
    with pytest.raises(ConfigurationError, match="credentials_uri is not a valid URL"):
        aws_credentials(None, {"credentials_uri": uri})


async def test_redirect_is_refused(url: str, service: Service, serve: Serve) -> None:
    """
    The token is not sent to the target of a redirect.
    """

    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"{url}/creds")

    with pytest.raises(UnavailableError, match="redirect, which is not followed"):
        await keys_of(credentials_uri=f"{await serve(redirect)}/creds", authorization_token=FAKE_TOKEN)
    assert service.calls == []


async def test_endless_reply_is_not_read(serve: Serve) -> None:
    """
    At most 64 KiB are read.
    """

    async def endless(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        for _ in range(1000):
            try:
                await reply.write(b"x" * 1024)
            except ConnectionError:
                break
        return reply

    with pytest.raises(UnavailableError, match="more than 65536 bytes"):
        await keys_of(credentials_uri=await serve(endless))


async def test_refusal_shows_only_its_code(url: str) -> None:
    """
    The error shows the agent's code and nothing else of its reply.
    """
    with pytest.raises(UnauthenticatedError, match="issued no keys") as caught:
        await keys_of(credentials_uri=f"{url}/creds?secret=FAKE-query", authorization_token="FAKE-other")
    assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)
    assert "FAKE" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "<html>", "{}", '{"AccessKeyId": 1, "SecretAccessKey": "x"}'])
async def test_reply_without_keys(serve: Serve, text: str) -> None:
    """
    A document without keys causes a clear error.
    """

    async def agent(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    with pytest.raises(UnauthenticatedError, match="returned no AccessKeyId"):
        await keys_of(credentials_uri=await serve(agent))


async def test_invalid_expiration(serve: Serve) -> None:
    """
    An expiration that cannot be parsed is an error, not a missing expiration.
    """

    async def agent(_: web.Request) -> web.StreamResponse:
        return web.json_response({"AccessKeyId": "x", "SecretAccessKey": FAKE_SECRET, "Expiration": "soon"})

    with pytest.raises(UnauthenticatedError, match="not an ISO 8601 time"):
        await keys_of(credentials_uri=await serve(agent))


async def test_token_with_a_line_break(url: str, service: Service) -> None:
    """
    A token with a line break would be another header: it is rejected.
    """
    with pytest.raises(ConfigurationError, match="characters that HTTP forbids in headers") as caught:
        await keys_of(credentials_uri=url, authorization_token="FAKE\r\nX-Other: 1")
    assert "FAKE" not in str(caught.value)
    assert service.calls == []
