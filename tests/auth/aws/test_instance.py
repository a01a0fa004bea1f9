"""
Keys and region from the metadata service of an instance.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asyncstore import AuthConfig, HTTPOptions
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import Serve
from tests.servers.identity.aws import KEYS, Service, keys_of, serving

_AUTH = AuthConfig(auth_type="instance_profile")


async def test_second_version(url: str, service: Service) -> None:
    """
    Fetches a session token, the name of the role, its keys, and the region.
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
    The instance is the last method of the default chain.
    """
    async with aws_credentials() as credentials:
        assert (await credentials.get()).value == KEYS
        assert credentials.source == "instance_profile: the instance's metadata service"


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9"])
async def test_proxy_is_not_asked(url: str, monkeypatch: pytest.MonkeyPatch, proxy: str | None) -> None:
    """
    No proxy is used: behind it is another machine's metadata service.
    """
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async with aws_credentials(_AUTH, http=HTTPOptions(proxy=proxy)) as credentials:
        assert (await credentials.get()).value == KEYS


async def test_first_version_is_off(url: str, service: Service) -> None:
    """
    A service without session tokens is not asked for keys unless IMDSv1 is allowed.
    """
    service.first_version = True

    with pytest.raises(UnauthenticatedError, match="imds_v1"):
        await keys_of(_AUTH)
    assert service.calls == [("PUT", "/latest/api/token")]
    assert await keys_of(AuthConfig(auth_type="instance_profile", settings={"imds_v1": True})) == KEYS


async def test_variable_overrides_the_setting(url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The operator's variable takes precedence over the setting.
    """
    service.first_version = True
    monkeypatch.setenv("AWS_EC2_METADATA_V1_DISABLED", "true")

    with pytest.raises(UnauthenticatedError):
        await keys_of(AuthConfig(auth_type="instance_profile", settings={"imds_v1": True}))
    monkeypatch.setenv("AWS_EC2_METADATA_V1_DISABLED", "false")
    assert await keys_of(_AUTH) == KEYS


async def test_disabled(url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variable that disables the service applies to the region too.
    """
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    async with aws_credentials(_AUTH) as credentials:
        with pytest.raises(UnauthenticatedError, match="AWS_EC2_METADATA_DISABLED is set"):
            await credentials.get()
        assert await credentials.region() is None
    assert service.calls == []


async def test_expired_keys_stay_in_use(url: str, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """
    A service that cannot reach its own source returns expired keys, which AWS accepts: they last ten more minutes.
    """
    service.ttl = -5
    with caplog.at_level(logging.WARNING):
        async with aws_credentials(_AUTH) as credentials:
            lease = await credentials.get()

    assert lease.value == KEYS
    assert lease.ends_at == pytest.approx(time.monotonic() + 600, abs=20)
    assert "returned expired keys" in caplog.text


async def test_instance_without_a_role(serve: Serve, url: str) -> None:
    """
    An instance without a role has no credentials; that is not an error of the service.
    """

    async def no_role(request: web.Request) -> web.StreamResponse:
        return web.Response(text="token") if request.method == "PUT" else web.Response(status=404)

    with pytest.raises(UnauthenticatedError, match="the instance has no role"):
        await keys_of(AuthConfig(auth_type="instance_profile", settings={"metadata_endpoint": await serve(no_role)}))


async def test_role_that_cannot_be_assumed(serve: Serve, url: str) -> None:
    """
    The service reports an error code with status 200.
    """

    async def failing(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/role-1"):
            return web.json_response({"Code": "AssumeRoleUnauthorizedAccess", "Message": "FAKE"})
        return web.Response(text="role-1")

    with pytest.raises(UnauthenticatedError, match="issued no keys") as caught:
        await keys_of(metadata_endpoint=await serve(failing))
    assert "FAKE" not in str(caught.value)


async def test_service_that_fails(url: str, service: Service) -> None:
    """
    The default chain stops at a service that exists and fails; it does not continue anonymously.
    """
    service.status = 503

    with pytest.raises(UnavailableError, match="issued no session token"):
        await keys_of()


async def test_no_service(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    """
    The default chain skips a machine that is not an instance; named explicitly, the method is unavailable.
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
async def test_invalid_region(serve: Serve, url: str, region: str) -> None:
    """
    The region becomes part of host names, so it must look like one.
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
        ({"metadata_endpoint": "http://[::1"}, "metadata_endpoint is not a valid URL"),
        ({"metadata_endpoint": "ftp://127.0.0.1"}, "https, or http to this machine or one of"),
        ({"metadata_endpoint_mode": "ipv5"}, "one of ipv4, ipv6, not 'ipv5'"),
        ({"credentials_uri": "http://127.0.0.1"}, "takes no credentials_uri; it takes metadata_endpoint"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, str], message: str) -> None:
    """
    Plain HTTP to another host and settings of other methods are rejected.
    """
    with pytest.raises(ConfigurationError, match=message):
        aws_credentials(AuthConfig(auth_type="instance_profile", settings=settings))


@pytest.mark.parametrize(
    "settings", [{"metadata_endpoint": "http://[fd00:ec2::254]/"}, {"metadata_endpoint_mode": "IPv6"}, {}]
)
def test_addresses_of_the_service(settings: dict[str, str]) -> None:
    """
    The addresses of the service itself are accepted over plain HTTP.
    """
    made = aws_credentials(AuthConfig(auth_type="instance_profile", settings=settings))

    assert made.auth_type == "instance_profile"


@pytest.mark.parametrize("where", ["settings", "variable", "profile"])
async def test_attempts(
    url: str, service: Service, aws_files: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """
    A service that fails is asked as often as is configured, here for its session token.
    """
    service.status = 503
    settings: dict[str, Any] = {}
    if where == "settings":
        settings = {"metadata_attempts": 3}
    elif where == "variable":
        monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "3")
    else:
        (aws_files / "config").write_text("[default]\nmetadata_service_num_attempts = 3\n")
    with pytest.raises(UnavailableError):
        await keys_of(_AUTH, **settings)
    assert len(service.calls) == 3


async def test_timeout(url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An attempt ends after the configured time.
    """
    service.delay = 30
    monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "0.05")
    with pytest.raises(UnavailableError, match="no answer from"):
        await keys_of(_AUTH)


@pytest.mark.parametrize("name", ["AWS_METADATA_SERVICE_TIMEOUT", "AWS_METADATA_SERVICE_NUM_ATTEMPTS"])
@pytest.mark.parametrize("value", ["soon", "-1", "0"])
async def test_invalid_limits(
    url: str, service: Service, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """
    The error names the setting, and nothing is sent.
    """
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=r"metadata_(timeout|attempts) is a number above 0"):
        await keys_of(_AUTH)
    assert service.calls == []


async def test_profile_names_the_service(service: Service, aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The profile can name the service, and forbid its first version.
    """
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    service.first_version = True
    async with serving(service) as url:
        config = f"[default]\nec2_metadata_service_endpoint = {url}\n"
        (aws_files / "config").write_text(config)
        assert await keys_of(_AUTH, imds_v1=True) == KEYS
        (aws_files / "config").write_text(f"{config}ec2_metadata_v1_disabled = true\n")
        with pytest.raises(UnauthenticatedError, match="imds_v1"):
            await keys_of(_AUTH, imds_v1=True)
