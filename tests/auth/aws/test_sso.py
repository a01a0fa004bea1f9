"""
Single sign-on: the token stored by ``aws sso login`` is exchanged for keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asyncstore import AuthConfig
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.aws.methods import sign_in
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.identity.aws import FAKE_REFRESH_TOKEN, KEYS, Service, ends, keys_of, serving, write_profiles

_AUTH = AuthConfig(auth_type="sso")

_REGISTERED = {
    "refreshToken": FAKE_REFRESH_TOKEN,
    "clientId": "FAKE-client",
    "clientSecret": "FAKE0client0secret",
    "registrationExpiresAt": ends(86_400),
    "region": "us-east-1",
    "startUrl": "https://sso.example/start",
}


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The portal and the service that refreshes sign-ons."""
    async with serving(service) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO_OIDC", url)
        yield url


async def test_token_is_exchanged_for_keys(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The token of a sign-on is exchanged for the keys of a role, with ``sso`` and with ``profile``.
    """
    sign_in(aws_files, monkeypatch)

    assert await keys_of(_AUTH, profile="work") == KEYS
    async with aws_credentials(None, {"profile": "work"}) as credentials:
        assert (await credentials.get()).value == service.issued[1]
        assert credentials.source == "profile 'work' (sso)"
        assert credentials.expiry() is not None


async def test_sign_on_is_refreshed(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An expired sign-on is refreshed if possible and stored for other programs, readable by its owner only.
    """
    file = sign_in(aws_files, monkeypatch, accessToken="FAKE-old", expiresAt=ends(-60), **_REGISTERED)

    assert await keys_of(_AUTH, profile="work") == KEYS
    assert service.calls == [("POST", "/token"), ("GET", "/federation/credentials")]
    (kept,) = file.parent.iterdir()
    assert kept == file
    assert json.loads(kept.read_text())["accessToken"] == FAKE_TOKEN
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_expired_sign_on(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error tells the user to sign in again, and is permanent.
    """
    sign_in(aws_files, monkeypatch, expiresAt=ends(-60))

    with pytest.raises(UnauthenticatedError, match="'corp' has expired: run aws sso login"):
        await keys_of(_AUTH, profile="work")


async def test_not_signed_in(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a sign-on there are no keys.
    """
    sign_in(aws_files, monkeypatch).unlink()

    with pytest.raises(UnauthenticatedError, match="not signed in to 'corp': run aws sso login"):
        await keys_of(_AUTH, profile="work")


@pytest.mark.parametrize(("status", "kind"), [(401, UnauthenticatedError), (503, UnavailableError)])
async def test_portal_that_refuses(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch, status: int, kind: Any
) -> None:
    """
    A rejection is permanent, a failure is not, and neither shows a secret.
    """
    sign_in(aws_files, monkeypatch)
    service.status = status

    with pytest.raises(kind) as caught:
        await keys_of(_AUTH, profile="work")
    assert len(service.calls) == 1
    assert FAKE_SECRET not in repr(caught.value)
    assert FAKE_TOKEN not in repr(caught.value)


async def test_profile_without_sso(aws_files: Path, url: str) -> None:
    """
    A profile without single sign-on is an error.
    """
    (aws_files / "config").write_text(f"[profile work]\naws_access_key_id=x\naws_secret_access_key={FAKE_SECRET}\n")

    with pytest.raises(ConfigurationError, match="needs sso_account_id, sso_role_name"):
        await keys_of(_AUTH, profile="work")


def test_settings_of_other_methods() -> None:
    """
    The method accepts a profile and no other setting.
    """
    with pytest.raises(ConfigurationError, match="takes no role_arn; it takes profile"):
        aws_credentials(AuthConfig(auth_type="sso", settings={"role_arn": "x"}))


@pytest.mark.parametrize("status", [400, 503])
async def test_refresh_that_fails(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """
    A sign-on that is still valid for a minute is used if it cannot be refreshed; an expired one is not.
    """
    service.renewal_status = status
    file = sign_in(aws_files, monkeypatch, expiresAt=ends(60), **_REGISTERED)
    kept = file.read_text()

    assert await keys_of(_AUTH, profile="work") == KEYS
    assert service.calls == [("POST", "/token"), ("GET", "/federation/credentials")]
    assert file.read_text() == kept
    file.write_text(kept.replace(json.loads(kept)["expiresAt"], ends(-1)))
    with pytest.raises((UnauthenticatedError, UnavailableError), match="did not refresh the sign-on 'corp'") as caught:
        await keys_of(_AUTH, profile="work")
    assert caught.value.status == status
    assert "FAKE" not in str(caught.value)


async def test_expired_registration(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A sign-on whose client registration has expired cannot be refreshed.
    """
    ended = {**_REGISTERED, "registrationExpiresAt": ends(-60)}
    sign_in(aws_files, monkeypatch, expiresAt=ends(-60), **ended)

    with pytest.raises(UnauthenticatedError, match="has expired: run aws sso login"):
        await keys_of(_AUTH, profile="work")


async def test_legacy_sign_on(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A profile without a session names everything itself, its file is named after the URL, and its times end in UTC.
    """
    file = sign_in(aws_files, monkeypatch, expiresAt=ends().replace("Z", "UTC"))
    start = "https://sso.example/start"
    file.rename(file.with_name(f"{hashlib.sha1(start.encode()).hexdigest()}.json"))
    write_profiles(
        aws_files,
        f"[profile work]\nsso_start_url={start}\nsso_region=us-east-1\nsso_account_id=1\nsso_role_name=r\n",
    )

    assert await keys_of(_AUTH, profile="work") == KEYS


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"accessToken": 1}'])
async def test_invalid_token_file(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """
    A file that is not valid is not a sign-on.
    """
    sign_in(aws_files, monkeypatch).write_text(content)

    with pytest.raises(UnauthenticatedError, match="does not hold a sign-on token"):
        await keys_of(_AUTH, profile="work")


async def test_file_that_others_can_read(
    aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The token of a sign-on is a secret too.
    """
    file = sign_in(aws_files, monkeypatch)
    file.chmod(0o644)

    await keys_of(_AUTH, profile="work")

    assert f"{file} holds secrets and other users can access it" in caplog.text


async def test_missing_session_and_region(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error names a session or a region that does not exist.
    """
    sign_in(aws_files, monkeypatch)
    config = (aws_files / "config").read_text()
    write_profiles(aws_files, config.replace("sso_session=corp", "sso_session=other"))
    with pytest.raises(ConfigurationError, match=r"sso-session 'other' does not exist; known are \['corp'\]"):
        await keys_of(_AUTH, profile="work")
    write_profiles(aws_files, config)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", "http://[::1")
    with pytest.raises(ConfigurationError, match="the endpoint of sso is not a valid URL"):
        await keys_of(_AUTH, profile="work")
    monkeypatch.delenv("AWS_ENDPOINT_URL_SSO")
    write_profiles(aws_files, config.replace("us-east-1", "evil.example/"))
    with pytest.raises(ConfigurationError, match=r"'evil\.example/' is not an AWS region"):
        await keys_of(_AUTH, profile="work")


async def test_redirect_is_refused(aws_files: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The token is not sent to the target of a redirect.
    """

    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("/other")

    sign_in(aws_files, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", await serve(redirect))

    with pytest.raises(UnavailableError, match="redirect, which is not followed") as caught:
        await keys_of(_AUTH, profile="work")
    assert FAKE_TOKEN not in str(caught.value)


async def test_sign_on_that_another_process_refreshed(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A refresh token is good for one use: whoever comes second reads what the first has stored.
    """
    file = sign_in(aws_files, monkeypatch, accessToken="FAKE-old", expiresAt=ends(-60), **_REGISTERED)
    service.renewal_status = 400
    service.delay = 0.05
    asked = asyncio.create_task(keys_of(_AUTH, profile="work"))
    while not service.calls:
        await asyncio.sleep(0.005)
    document = json.loads(file.read_text())
    await asyncio.to_thread(
        file.write_text, json.dumps({**document, "accessToken": FAKE_TOKEN, "expiresAt": ends(3600)})
    )
    assert await asked == KEYS
    assert service.calls == [("POST", "/token"), ("GET", "/federation/credentials")]


async def test_revoked_sign_on_that_was_replaced(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    When the portal rejects a token, a newer one in the file is used, once.
    """
    file = sign_in(aws_files, monkeypatch, accessToken="FAKE-old", expiresAt=ends(3600))
    service.delay = 0.05
    asked = asyncio.create_task(keys_of(_AUTH, profile="work"))
    while not service.calls:
        await asyncio.sleep(0.005)
    await asyncio.to_thread(file.write_text, json.dumps({"accessToken": FAKE_TOKEN, "expiresAt": ends(3600)}))
    assert await asked == KEYS
    assert len(service.calls) == 2
