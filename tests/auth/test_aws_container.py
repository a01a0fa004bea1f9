"""
Keys from the agents of ECS and EKS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from asyncstore import AuthConfig, HTTPOptions
from asyncstore.auth.aws import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.aws_service import KEYS, Service, keys_of, serving
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve

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
    EKS replaces the token: the next renewal has the new one.
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
    The variables of the agents are read; a token file goes before a token.
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
    The agent is on this machine: neither a proxy that is set nor one of the environment sees the token.
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
    The token goes over plain HTTP to this machine and to the agents of ECS and EKS only.
    """
    settings = {} if by_variable else {"credentials_uri": uri}
    if by_variable:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)

    with pytest.raises(ConfigurationError, match=r"https, or http to this machine or one of 169\.254\.170\.2, "):
        await keys_of(AuthConfig(auth_type="container"), **settings)


@pytest.mark.parametrize("host", ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "[FD00:EC2:0::23]", "localhost"])
def test_agents_are_taken(host: str) -> None:
    """
    The addresses of the agents are good over plain HTTP, however they are written.
    """
    assert aws_credentials(None, {"credentials_uri": f"http://{host}/creds"}).auth_type == "container"


async def test_relative_address_is_at_the_agent_of_ecs() -> None:
    """
    A path goes to the agent of ECS, before any address; something else than a path is refused.
    """
    with pytest.raises(ConfigurationError, match="starts with /"):
        await keys_of(credentials_relative_uri="@agent.example/creds")


@pytest.mark.parametrize("uri", ["http://[::1/creds", "http://127.0.0.1:port/creds"])
def test_what_is_no_address(uri: str) -> None:
    """
    An address that cannot be read is a wrong setting.
    """
    with pytest.raises(ConfigurationError, match="credentials_uri is no address"):
        aws_credentials(None, {"credentials_uri": uri})


async def test_redirect_is_refused(url: str, service: Service, serve: Serve) -> None:
    """
    The token does not follow a redirect.
    """

    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"{url}/creds")

    with pytest.raises(UnavailableError, match="redirect, which is not followed"):
        await keys_of(credentials_uri=f"{await serve(redirect)}/creds", authorization_token=FAKE_TOKEN)
    assert service.calls == []


async def test_endless_reply_is_not_read(serve: Serve) -> None:
    """
    No more than 64 KiB are read.
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


async def test_refusal_is_told_without_its_text(url: str) -> None:
    """
    The agent's code is shown, and nothing else of what it says.
    """
    with pytest.raises(UnauthenticatedError, match="gives no keys") as caught:
        await keys_of(credentials_uri=f"{url}/creds?secret=FAKE-query", authorization_token="FAKE-other")
    assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)
    assert "FAKE" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "<html>", "{}", '{"AccessKeyId": 1, "SecretAccessKey": "x"}'])
async def test_reply_that_holds_no_keys(serve: Serve, text: str) -> None:
    """
    Something else than a document with keys is an error that says so.
    """

    async def agent(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    with pytest.raises(UnauthenticatedError, match="gave no AccessKeyId"):
        await keys_of(credentials_uri=await serve(agent))


async def test_expiration_that_is_no_time(serve: Serve) -> None:
    """
    An end that cannot be read is not taken for none.
    """

    async def agent(_: web.Request) -> web.StreamResponse:
        return web.json_response({"AccessKeyId": "x", "SecretAccessKey": FAKE_SECRET, "Expiration": "soon"})

    with pytest.raises(UnauthenticatedError, match="no ISO 8601 time"):
        await keys_of(credentials_uri=await serve(agent))


async def test_token_that_no_header_takes(url: str, service: Service) -> None:
    """
    A token with a line end inside would be another header: it is refused.
    """
    with pytest.raises(ConfigurationError, match="characters that no header takes") as caught:
        await keys_of(credentials_uri=url, authorization_token="FAKE\r\nX-Other: 1")
    assert "FAKE" not in str(caught.value)
    assert service.calls == []
