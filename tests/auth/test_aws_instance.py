"""
Keys and region from the metadata service of an instance.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from asyncstore import AuthConfig, HTTPOptions
from asyncstore.auth.aws import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.aws_service import KEYS, Service, keys_of, serving
from tests.auth.conftest import Serve

_AUTH = AuthConfig(auth_type="instance_profile")


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The service, which the environment names too."""
    async with serving(service) as url:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        yield url


async def test_second_version(url: str, service: Service) -> None:
    """
    A token, the name of the role, its keys; and the region.
    """
    async with aws_credentials(_AUTH) as credentials:
        assert (await credentials.get()).value == KEYS
        assert service.calls == [
            ("PUT", "/latest/api/token"),
            ("GET", "/latest/meta-data/iam/security-credentials/"),
            ("GET", "/latest/meta-data/iam/security-credentials/role-1"),
        ]
        assert await credentials.region() == "eu-central-2"
        assert credentials.setting_sources() == {"metadata_endpoint": "AWS_EC2_METADATA_SERVICE_ENDPOINT"}


async def test_default_chain_ends_here(url: str, service: Service) -> None:
    """
    Who has nothing else is asked for by the instance.
    """
    async with aws_credentials() as credentials:
        assert (await credentials.get()).value == KEYS
        assert credentials.source == "instance_profile: the instance's metadata service"


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9"])
async def test_proxy_is_not_asked(url: str, monkeypatch: pytest.MonkeyPatch, proxy: str | None) -> None:
    """
    Whoever is on the other side of a proxy has another metadata service.
    """
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async with aws_credentials(_AUTH, http=HTTPOptions(proxy=proxy)) as credentials:
        assert (await credentials.get()).value == KEYS


async def test_first_version_is_off(url: str, service: Service) -> None:
    """
    A service without tokens is not asked for keys, unless that is allowed.
    """
    service.first_version = True

    with pytest.raises(UnauthenticatedError, match="imds_v1"):
        await keys_of(_AUTH)
    assert service.calls == [("PUT", "/latest/api/token")]
    assert await keys_of(AuthConfig(auth_type="instance_profile", settings={"imds_v1": True})) == KEYS


async def test_variable_about_the_first_version_goes_before_the_setting(
    url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who runs the machine has the last word.
    """
    service.first_version = True
    monkeypatch.setenv("AWS_EC2_METADATA_V1_DISABLED", "true")

    with pytest.raises(UnauthenticatedError):
        await keys_of(AuthConfig(auth_type="instance_profile", settings={"imds_v1": True}))
    monkeypatch.setenv("AWS_EC2_METADATA_V1_DISABLED", "false")
    assert await keys_of(_AUTH) == KEYS


async def test_switched_off(url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With the variable that switches it off the service is not asked, for the region neither.
    """
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    async with aws_credentials(_AUTH) as credentials:
        with pytest.raises(UnauthenticatedError, match="AWS_EC2_METADATA_DISABLED is set"):
            await credentials.get()
        assert await credentials.region() is None
    assert service.calls == []


async def test_keys_that_have_ended_are_used_for_a_while(
    url: str, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A service cut off from its own source gives old keys, which AWS takes on: they last ten minutes more.
    """
    service.ttl = -5
    with caplog.at_level(logging.WARNING):
        async with aws_credentials(_AUTH) as credentials:
            lease = await credentials.get()

    assert lease.value == KEYS
    assert lease.ends_at == pytest.approx(time.monotonic() + 600, abs=20)
    assert "gives keys that have ended" in caplog.text


async def test_instance_without_a_role(serve: Serve, url: str) -> None:
    """
    No role is no credentials, and not an error of the service.
    """

    async def no_role(request: web.Request) -> web.StreamResponse:
        return web.Response(text="token") if request.method == "PUT" else web.Response(status=404)

    with pytest.raises(UnauthenticatedError, match="the instance has no role"):
        await keys_of(AuthConfig(auth_type="instance_profile", settings={"metadata_endpoint": await serve(no_role)}))


async def test_role_that_cannot_be_assumed(serve: Serve, url: str) -> None:
    """
    The service answers 200 with a code that is an error.
    """

    async def failing(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/role-1"):
            return web.json_response({"Code": "AssumeRoleUnauthorizedAccess", "Message": "FAKE"})
        return web.Response(text="role-1")

    with pytest.raises(UnauthenticatedError, match="gives no keys") as caught:
        await keys_of(metadata_endpoint=await serve(failing))
    assert "FAKE" not in str(caught.value)


async def test_service_in_trouble(url: str, service: Service) -> None:
    """
    A service that fails is told from one that is not there: the default chain does not go on as nobody.
    """
    service.status = 503

    with pytest.raises(UnavailableError, match="gives no token"):
        await keys_of()


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    """
    A machine that is no instance has no credentials by this method; asked for by name it is unavailable.
    """
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{unused_tcp_port}")

    with pytest.raises(UnavailableError, match="no answer from"):
        await keys_of(_AUTH)
    with pytest.raises(UnauthenticatedError, match="instance_profile: no answer from"):
        await keys_of()
    async with aws_credentials(_AUTH) as credentials:
        assert await credentials.region() is None


async def test_redirect_is_refused(url: str, service: Service, serve: Serve) -> None:
    """
    A metadata service never redirects.
    """

    async def redirect(request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"{url}{request.path}")

    with pytest.raises(UnavailableError, match="redirect, which is not followed"):
        await keys_of(metadata_endpoint=await serve(redirect))
    assert service.calls == []


@pytest.mark.parametrize("region", ["evil.example/", "a" * 65, "<html>", ""])
async def test_region_that_is_none(serve: Serve, url: str, region: str) -> None:
    """
    What the service calls a region becomes part of host names, so it has to look like one.
    """

    async def metadata(request: web.Request) -> web.StreamResponse:
        return web.Response(text="token" if request.method == "PUT" else region)

    async with aws_credentials(None, {"metadata_endpoint": await serve(metadata)}) as credentials:
        assert await credentials.region() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metadata_endpoint": "http://metadata.example"}, "https, or http to this machine or one of"),
        ({"metadata_endpoint": "http://169.254.170.2"}, "https, or http to this machine or one of"),
        ({"metadata_endpoint": "http://[::1"}, "metadata_endpoint is no address"),
        ({"metadata_endpoint": "ftp://127.0.0.1"}, "https, or http to this machine or one of"),
        ({"metadata_endpoint_mode": "ipv5"}, "one of ipv4, ipv6, not 'ipv5'"),
        ({"credentials_uri": "http://127.0.0.1"}, "takes no credentials_uri; it takes metadata_endpoint"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, str], message: str) -> None:
    """
    Keys are not asked for over plain HTTP from another host, and settings of others are not taken.
    """
    with pytest.raises(ConfigurationError, match=message):
        aws_credentials(AuthConfig(auth_type="instance_profile", settings=settings))


@pytest.mark.parametrize(
    "settings", [{"metadata_endpoint": "http://[fd00:ec2::254]/"}, {"metadata_endpoint_mode": "IPv6"}, {}]
)
def test_addresses_of_the_service(settings: dict[str, str]) -> None:
    """
    The addresses of the service itself are good over plain HTTP.
    """
    made = aws_credentials(AuthConfig(auth_type="instance_profile", settings=settings))

    assert made.auth_type == "instance_profile"
