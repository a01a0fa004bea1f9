"""
AWS keys without the SDK, and what drivers ask besides keys.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asyncstore.auth.aws import aws_credentials
from asyncstore.auth.credentials import Scope, Secret
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, NotSupportedError, UnauthenticatedError
from tests.auth.aws_service import ID, KEYS, keys_of, write_profiles
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN


async def _sleepy() -> str:
    return FAKE_SECRET


@pytest.mark.parametrize("secret", [FAKE_SECRET, Secret(FAKE_SECRET), lambda: Secret(FAKE_SECRET), _sleepy])
async def test_static_keys(secret: object) -> None:
    """
    Keys come as text, secrets, or functions of either kind.
    """
    assert await keys_of(access_key_id=ID, aws_secret_access_key=secret, session_token=FAKE_TOKEN) == KEYS


async def test_settings_of_others_are_left() -> None:
    """
    The factory takes what it knows out of the settings, and leaves the rest to the driver.
    """
    settings = {"access_key_id": ID, "secret_access_key": "fake", "addressing_style": "path"}

    credentials = aws_credentials(None, settings)

    assert settings == {"addressing_style": "path"}
    assert credentials.auth_type == "static"


async def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The three variables are the keys, for ``environment`` and first of all for ``default``.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", FAKE_TOKEN)

    assert await keys_of(AuthConfig(auth_type="environment")) == KEYS
    assert await keys_of() == KEYS


async def test_half_a_key_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An id without its secret is a mistake to report, not a reason to look on.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)

    with pytest.raises(ConfigurationError, match="AWS_SECRET_ACCESS_KEY"):
        await keys_of()


async def test_anonymous() -> None:
    """
    Anonymous access has no keys, and can sign no URL.
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
        (AuthConfig(auth_type="magic"), {}, "no auth_type 'magic'; it has default, static"),
        (AuthConfig(settings={"acess_key_id": "x"}), {}, "unknown settings .*acess_key_id.*access_key_id"),
        (AuthConfig(auth_type="static"), {}, "need access_key_id and secret_access_key"),
        (None, {"access_key_id": "x"}, "need secret_access_key"),
        (None, {"access_key_id": "x", "secret_access_key": "y", "anonymous": True}, "anonymous access needs no"),
        (AuthConfig(auth_type="profile"), {"secret_access_key": "y"}, "takes no secret_access_key"),
        (AuthConfig(auth_type="profile"), {"anonymous": True}, "is not anonymous"),
        (None, {"access_key_id": "x", "aws_access_key_id": "y"}, "not both"),
    ],
)
def test_wrong_settings_are_refused(auth: AuthConfig | None, settings: dict[str, Any], message: str) -> None:
    """
    What cannot be meant is refused when credentials are made, in words that help.
    """
    with pytest.raises(ConfigurationError, match=message):
        aws_credentials(auth, settings)


async def test_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A method that has nothing to offer gives way to the next; if all have none, all are named.
    """
    nothing = AuthConfig(auth_type="web_identity")
    anonymous = AuthConfig(auth_type="environment", fallback=AuthConfig(auth_type="anonymous"))

    assert await keys_of(anonymous) is None
    with pytest.raises(UnauthenticatedError, match=r"environment: .*AWS_ACCESS_KEY_ID; web_identity: AWS_ROLE_ARN"):
        await keys_of(AuthConfig(auth_type="environment", fallback=nothing))


async def test_region_order(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is given goes before AWS_REGION, that before AWS_DEFAULT_REGION, and that before the profile.
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
    The service's own variable goes before the one for all services.
    """
    credentials = aws_credentials(AuthConfig(auth_type="anonymous"))

    assert credentials.service_endpoint() is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://all.example")
    assert credentials.service_endpoint() == "https://all.example"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example")
    assert credentials.service_endpoint("s3") == "https://s3.example"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert credentials.service_endpoint() is None
