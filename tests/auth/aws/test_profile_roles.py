"""
Roles of profiles and their sources, with local services.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from asyncstore import HTTPOptions
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_TOKEN, Serve
from tests.servers.identity.aws import (
    BASE,
    ID,
    KEYS,
    ROLE,
    SOURCE,
    Service,
    keys_of,
    write_profiles,
)


async def test_role(aws_files: Path, url: str, service: Service) -> None:
    """
    The role of a profile is assumed with the keys of its source and all settings of the profile.
    """
    write_profiles(
        aws_files,
        f"{BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\nexternal_id=ext-1\n"
        "role_session_name=lab-1\nduration_seconds=900\n",
    )

    assert await keys_of(profile="role") == KEYS
    assert service.signed_by == [SOURCE.access_key_id]
    assert service.form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "lab-1",
        "ExternalId": "ext-1",
        "DurationSeconds": "900",
    }


async def test_role_of_a_role(aws_files: Path, url: str, service: Service) -> None:
    """
    The source of a role can itself be a role.
    """
    write_profiles(
        aws_files,
        f"{BASE}[profile a]\nrole_arn={ROLE}/a\nsource_profile=base\n"
        f"[profile b]\nrole_arn={ROLE}/b\nsource_profile=a\n",
    )

    assert await keys_of(profile="b") == service.issued[1]
    assert service.signed_by == [SOURCE.access_key_id, ID]


async def test_roles_in_a_circle(aws_files: Path) -> None:
    """
    Profiles that form a circle are a configuration error.
    """
    write_profiles(
        aws_files,
        f"[profile a]\nrole_arn={ROLE}\nsource_profile=b\n[profile b]\nrole_arn={ROLE}\nsource_profile=a\n",
    )

    with pytest.raises(ConfigurationError, match="circle: a -> b -> a"):
        await keys_of(profile="a")


@pytest.mark.parametrize("first_version", [False, True])
async def test_role_of_the_instance(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch, first_version: bool
) -> None:
    """
    The source can be the metadata service: IMDSv2, never through a proxy.
    """
    service.first_version = first_version
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    write_profiles(aws_files, f"[profile role]\nrole_arn={ROLE}\ncredential_source=Ec2InstanceMetadata\n")

    if first_version:
        with pytest.raises(UnauthenticatedError, match="imds_v1"):
            await keys_of(profile="role")
        assert service.calls == [("PUT", "/latest/api/token")]
    else:
        assert await keys_of(profile="role") == service.issued[1]
        assert service.signed_by == [ID]


async def test_role_of_the_container(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The source can be the container's agent.
    """
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", FAKE_TOKEN)
    write_profiles(aws_files, f"[profile role]\nrole_arn={ROLE}\ncredential_source=EcsContainer\n")

    assert await keys_of(profile="role") == service.issued[1]
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://agent.example/creds")
    with pytest.raises(ConfigurationError, match="https, or http to this machine"):
        await keys_of(profile="role")


async def test_web_identity(aws_files: Path, url: str, service: Service) -> None:
    """
    A profile can name a token file.
    """
    (aws_files / "token").write_text(FAKE_TOKEN)
    write_profiles(aws_files, f"[profile pod]\nrole_arn={ROLE}\nweb_identity_token_file={aws_files / 'token'}\n")

    assert await keys_of(profile="pod") == KEYS
    assert service.form["WebIdentityToken"] == FAKE_TOKEN
    assert service.signed_by == [None]


async def test_plain_http_is_for_this_machine(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A signed request is not sent over plain HTTP to another host.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.example")
    write_profiles(aws_files, f"{BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\n")

    with pytest.raises(ConfigurationError, match=r"unencrypted to http://sts\.example"):
        await keys_of(profile="role")


async def test_proxy_that_is_set_is_used(aws_files: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The token service is asked through the configured proxy, not through that of the environment.
    """
    seen = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        seen.append(str(request.url))
        return web.Response(status=502)

    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.example")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    write_profiles(aws_files, f"{BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\n")
    http = HTTPOptions(proxy=await serve(proxy), allow_http=True)

    async with aws_credentials(None, {"profile": "role"}, http=http) as credentials:
        with pytest.raises(UnavailableError):
            await credentials.get()

    assert seen == ["http://sts.example/"]


async def test_mfa(aws_files: Path, url: str, service: Service) -> None:
    """
    A function returns the code of the device; it runs on the caller's loop.
    """
    write_profiles(aws_files, f"{BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\nmfa_serial=serial-1234\n")
    loops = []

    async def mfa_token() -> str:
        loops.append(asyncio.get_running_loop())
        return "123456"

    assert await keys_of(profile="role", mfa_token=mfa_token) == KEYS
    assert (service.form["SerialNumber"], service.form["TokenCode"]) == ("serial-1234", "123456")
    assert loops == [asyncio.get_running_loop()]


async def test_mfa_does_not_prompt(aws_files: Path) -> None:
    """
    A library never prompts for input.
    """
    write_profiles(aws_files, f"{BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\nmfa_serial=serial-1234\n")

    with pytest.raises(ConfigurationError, match="MFA"):
        await keys_of(profile="role")


async def test_closing_does_not_wait_for_mfa(aws_files: Path) -> None:
    """
    Closing credentials does not wait for the MFA code.
    """
    write_profiles(aws_files, f"{BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\nmfa_serial=serial-1234\n")
    asked, stopped = asyncio.Event(), asyncio.Event()

    async def mfa_token() -> str:
        asked.set()
        try:
            await asyncio.sleep(600)
        finally:
            stopped.set()
        return "123456"

    credentials = aws_credentials(None, {"profile": "role", "mfa_token": mfa_token})
    waiting = asyncio.create_task(credentials.get())
    await asyncio.wait_for(asked.wait(), 10)
    await credentials.aclose()

    await asyncio.wait_for(stopped.wait(), 10)
    with pytest.raises(UnauthenticatedError, match="closed"):
        await waiting


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("", "needs either source_profile or credential_source"),
        ("source_profile=base\ncredential_source=Environment", "needs either source_profile or credential_source"),
        ("credential_source=Magic", "one of Environment, Ec2InstanceMetadata, EcsContainer, not 'Magic'"),
        ("source_profile=other", "AWS profile 'other' does not exist"),
        ("source_profile=empty", "'role' cannot use its source: AWS profile 'empty' has no credentials"),
        ("source_profile=role", "circle: role -> role"),
        ("source_profile=base\nduration_seconds=1", "900 to 43200 seconds"),
        ("source_profile=half", "need secret_access_key"),
    ],
)
async def test_invalid_profiles(aws_files: Path, profile: str, message: str) -> None:
    """
    Invalid profiles are rejected by name before anything is sent.
    """
    write_profiles(
        aws_files,
        f"{BASE}[profile empty]\nregion=us-east-1\n[profile half]\naws_access_key_id=x\n"
        f"[profile role]\nrole_arn={ROLE}\n{profile}\n",
    )

    with pytest.raises(ConfigurationError, match=message):
        await keys_of(profile="role")


async def test_role_with_its_own_keys(aws_files: Path, url: str, service: Service) -> None:
    """
    A profile can be the source of its own role: its keys sign.
    """
    write_profiles(aws_files, BASE.replace("base]", "role]") + f"role_arn={ROLE}\nsource_profile=role\n")

    assert await keys_of(profile="role") == KEYS
    assert service.signed_by == [SOURCE.access_key_id]


async def test_role_of_the_environment(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The keys of the environment can assume the role of a profile.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SOURCE.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SOURCE.secret_access_key)
    write_profiles(aws_files, f"[profile role]\nrole_arn={ROLE}\ncredential_source=Environment\n")

    assert await keys_of(profile="role") == KEYS
    assert service.signed_by == [SOURCE.access_key_id]


@pytest.mark.parametrize("of_service", [False, True])
async def test_endpoint_of_a_profile(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch, of_service: bool
) -> None:
    """
    A profile can name the token service; variables take precedence and can disable it.
    """
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    where = "services = lab\n[services lab]\nsts =\n  endpoint_url = {0}\n" if of_service else "endpoint_url = {0}\n"
    role = f"{BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\n"
    write_profiles(aws_files, role + where.format(url))
    assert await keys_of(profile="role") == KEYS
    write_profiles(aws_files, role + where.format("http://127.0.0.1:9"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert await keys_of(profile="role") == service.issued[1]
