"""
AWS keys without the SDK, and the other facts that drivers need.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.auth.credentials import Scope, Secret
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, NotSupportedError, UnauthenticatedError
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.aws import ID, KEYS, keys_of, write_profiles


async def _sleepy() -> str:
    return FAKE_SECRET


@pytest.mark.parametrize("secret", [FAKE_SECRET, Secret(FAKE_SECRET), lambda: Secret(FAKE_SECRET), _sleepy])
async def test_static_keys(secret: object) -> None:
    """
    Keys can be text, secrets, or plain or async functions.
    """
    assert await keys_of(access_key_id=ID, aws_secret_access_key=secret, session_token=FAKE_TOKEN) == KEYS


async def test_settings_of_others_are_left() -> None:
    """
    The factory removes the settings that it knows and leaves the rest for the driver.
    """
    settings = {"access_key_id": ID, "secret_access_key": "fake", "addressing_style": "path"}

    credentials = aws_credentials(None, settings)

    assert settings == {"addressing_style": "path"}
    assert credentials.auth_type == "static"


async def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The three variables provide the keys, for ``environment`` and as the first method of ``default``.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", FAKE_TOKEN)

    assert await keys_of(AuthConfig(auth_type="environment")) == KEYS
    assert await keys_of() == KEYS


async def test_half_a_key_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A key id without its secret is reported as an error, not skipped.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)

    with pytest.raises(ConfigurationError, match="AWS_SECRET_ACCESS_KEY"):
        await keys_of()


async def test_anonymous() -> None:
    """
    Anonymous access has no keys and cannot presign URLs.
    """
    async with aws_credentials(AuthConfig(auth_type="anonymous")) as credentials:
        lease = await credentials.get()

        assert credentials.anonymous
        assert lease.value is None
        with pytest.raises(NotSupportedError):
            credentials.presign("GET", "https://h/k", lease, Scope("r"), expires=timedelta(hours=1))


@pytest.mark.parametrize(
    ("auth", "settings", "message"),
    [
        (AuthConfig(auth_type="magic"), {}, "no auth_type 'magic'. It has default, static"),
        (AuthConfig(settings={"acess_key_id": "x"}), {}, "no setting 'acess_key_id'. Did you mean 'access_key_id'"),
        (AuthConfig(auth_type="static"), {}, "need access_key_id and secret_access_key"),
        (None, {"access_key_id": "x"}, "need secret_access_key"),
        (
            None,
            {"access_key_id": "x", "secret_access_key": "y", "anonymous": True},
            "anonymous access takes no access",
        ),
        (AuthConfig(auth_type="profile"), {"secret_access_key": "y"}, "takes no secret_access_key"),
        (AuthConfig(auth_type="profile"), {"anonymous": True}, "is not anonymous"),
        (None, {"access_key_id": "x", "aws_access_key_id": "y"}, "not both"),
    ],
)
def test_wrong_settings_are_refused(auth: AuthConfig | None, settings: dict[str, Any], message: str) -> None:
    """
    Invalid settings are rejected with a helpful message when credentials are created.
    """
    with pytest.raises(ConfigurationError, match=message):
        aws_credentials(auth, settings)


async def test_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A method that does not apply is skipped; if none applies, the error lists all.
    """
    nothing = AuthConfig(auth_type="web_identity")
    anonymous = AuthConfig(auth_type="environment", fallback=AuthConfig(auth_type="anonymous"))

    assert await keys_of(anonymous) is None
    with pytest.raises(
        UnauthenticatedError, match=r"environment: AWS_ACCESS_KEY_ID is not set; web_identity: AWS_ROLE"
    ):
        await keys_of(AuthConfig(auth_type="environment", fallback=nothing))


async def test_region_order(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The given region takes precedence over AWS_REGION, then AWS_DEFAULT_REGION, then the profile.
    """
    keys = {"access_key_id": ID, "secret_access_key": "fake"}

    async def region(given: str | None = None) -> str | None:
        return await aws_credentials(None, dict(keys), region=given).region()

    assert await region() is None
    write_profiles(aws_files, "[default]\nregion = from-profile\n")
    assert await region() == "from-profile"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "from-default-variable")
    assert await region() == "from-default-variable"
    monkeypatch.setenv("AWS_REGION", "from-variable")
    assert await region() == "from-variable"
    assert await region("given") == "given"


def test_service_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variable of the service takes precedence over the one for all services.
    """
    credentials = aws_credentials(AuthConfig(auth_type="anonymous"))

    assert credentials.service_endpoint() is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://all.example")
    assert credentials.service_endpoint() == "https://all.example"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example")
    assert credentials.service_endpoint("s3") == "https://s3.example"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert credentials.service_endpoint() is None
