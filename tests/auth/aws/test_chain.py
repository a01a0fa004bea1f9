"""
The default chain of AWS, and fallbacks: their order and their errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore import AuthConfig
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.aws import ID, ROLE, SOURCE, SOURCE_SETTINGS, Service, keys_of, serving, write_profiles


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    async with serving(service) as url:
        yield url


async def test_order(aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each method takes precedence over those above it, and a role of a profile over a web identity, as in boto3.
    """

    async def source() -> str:
        async with aws_credentials() as credentials:
            await credentials.get()
            return credentials.source.partition(":")[0]

    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
    assert await source() == "instance_profile"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", FAKE_TOKEN)
    assert await source() == "container"
    write_profiles(aws_files, f"[default]\naws_access_key_id=x\naws_secret_access_key={FAKE_SECRET}\n")
    assert await source() == "profile"
    (aws_files / "token").write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(aws_files / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    assert await source() == "web_identity"
    write_profiles(aws_files, f"[default]\nrole_arn={ROLE}\ncredential_source=Ec2InstanceMetadata\n")
    assert await source() == "profile"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
    assert await source() == "environment"


async def test_no_credentials() -> None:
    """
    The error lists where credentials were searched and why each method was skipped.
    """
    with pytest.raises(UnauthenticatedError) as caught:
        await keys_of()

    told = str(caught.value)
    for reason in (
        "environment: AWS_ACCESS_KEY_ID is not set",
        "profile: neither ",
        "web_identity: AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE are not set",
        "container: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor",
        "instance_profile: AWS_EC2_METADATA_DISABLED is set",
    ):
        assert reason in told


async def test_rejection_stops_the_default_chain(url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The default chain does not continue under another identity: a container whose agent refuses is an error.
    """
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "FAKE-other")

    with pytest.raises(UnauthenticatedError, match="issued no keys"):
        await keys_of()
    assert service.calls == [("GET", "/creds")]


async def test_link_that_had_credentials_is_asked_again(
    url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The identity stays the same, even if another method has keys later.
    """
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", FAKE_TOKEN)
    async with aws_credentials() as credentials:
        lease = await credentials.get()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
        renewed = await credentials.refresh(lease)

    assert renewed.value == service.issued[1]


async def test_fallback_after_a_rejection(url: str, service: Service) -> None:
    """
    A configured fallback replaces a role that is rejected, and is described as the method in use.
    """
    service.signers.clear()
    auth = AuthConfig(
        auth_type="assume_role",
        settings={"role_arn": ROLE, "sts_endpoint": url, **SOURCE_SETTINGS},
        fallback=AuthConfig(auth_type="static", settings=SOURCE_SETTINGS),
    )

    async with aws_credentials(auth) as credentials:
        assert (await credentials.get()).value == SOURCE
        assert (credentials.auth_type, credentials.source) == ("static", "settings")
    assert len(service.calls) == 1


async def test_no_fallback_from_a_service_that_fails(url: str, service: Service) -> None:
    """
    A service that exists and fails for a moment does not change the identity.
    """
    service.status = 503
    auth = AuthConfig(
        auth_type="assume_role",
        settings={"role_arn": ROLE, "sts_endpoint": url, **SOURCE_SETTINGS},
        fallback=AuthConfig(auth_type="static", settings=SOURCE_SETTINGS),
    )

    with pytest.raises(UnavailableError):
        await keys_of(auth)


async def test_error_lists_all_fallbacks(url: str, service: Service) -> None:
    """
    If no fallback has credentials, the error lists the reason of each.
    """
    service.status = 403
    auth = AuthConfig(
        auth_type="web_identity",
        fallback=AuthConfig(
            auth_type="container",
            settings={"credentials_uri": f"{url}/creds"},
            fallback=AuthConfig(auth_type="environment"),
        ),
    )

    with pytest.raises(
        UnauthenticatedError,
        match=r"web_identity: AWS_ROLE_ARN .* are not set; container: .* issued no keys .*; environment: AWS_ACC",
    ):
        await keys_of(auth)


def _chain(length: int) -> AuthConfig:
    auth: Any = None
    for number in range(length):
        auth = AuthConfig(auth_type="profile", settings={"profile": f"p{number}"}, fallback=auth)
    assert isinstance(auth, AuthConfig)
    return auth


def test_length_of_a_chain() -> None:
    """
    Ten configurations are accepted, eleven are not; neither are two equal ones.
    """
    assert aws_credentials(_chain(10)).auth_type == "profile"
    with pytest.raises(ConfigurationError, match=r"more than 10 configurations .*profile -> profile"):
        aws_credentials(_chain(11))
    same = AuthConfig(auth_type="environment", fallback=AuthConfig(auth_type="environment"))
    with pytest.raises(ConfigurationError, match="circle: environment -> environment"):
        aws_credentials(same)


async def test_closing_closes_the_sources_too(url: str, service: Service) -> None:
    """
    Closing credentials closes the source credentials of a role.
    """
    service.delay = 600
    source = AuthConfig(auth_type="assume_role", settings={"role_arn": ROLE, "sts_endpoint": url, **SOURCE_SETTINGS})
    credentials = aws_credentials(None, {"role_arn": ROLE, "sts_endpoint": url, "source": source})
    inner = credentials._methods[0].source_credentials
    assert inner is not None

    await credentials.aclose()
    await credentials.aclose()

    for closed in (credentials, inner):
        with pytest.raises(RuntimeError, match="closed"):
            await closed.get()


async def test_settings_of_the_storage_are_for_the_first(aws_files: Path) -> None:
    """
    Flat settings apply to the first configuration, not to its fallbacks.
    """
    write_profiles(aws_files, "[profile lab]\nregion=us-west-2\n")
    settings = {"profile": "lab", "addressing_style": "path"}
    auth = AuthConfig(auth_type="profile", fallback=AuthConfig(auth_type="static", settings=SOURCE_SETTINGS))

    async with aws_credentials(auth, settings) as credentials:
        assert (await credentials.get()).value == SOURCE
        assert credentials.auth_type == "static"
    assert settings == {"addressing_style": "path"}
