"""
Single sign-on: what ``aws sso login`` left is traded for keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asyncstore import AuthConfig
from asyncstore.auth.aws import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.aws_methods import sign_in
from tests.auth.aws_service import FAKE_REFRESH_TOKEN, KEYS, Service, ends, keys_of, serving, write_profiles
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve

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
    """The portal and the service that renews sign-ons."""
    async with serving(service) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO_OIDC", url)
        yield url


async def test_sign_on_is_traded_for_keys(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The token of a sign-on is traded for the keys of a role, for ``sso`` and for ``profile``.
    """
    sign_in(aws_files, monkeypatch)

    assert await keys_of(_AUTH, profile="work") == KEYS
    async with aws_credentials(None, {"profile": "work"}) as credentials:
        assert (await credentials.get()).value == service.issued[1]
        assert credentials.source == "profile 'work' (sso)"
        assert credentials.expiry() is not None


async def test_sign_on_is_renewed(aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A sign-on that has ended is renewed where it can be, and kept for the next program, for its owner only.
    """
    file = sign_in(aws_files, monkeypatch, accessToken="FAKE-old", expiresAt=ends(-60), **_REGISTERED)

    assert await keys_of(_AUTH, profile="work") == KEYS
    assert service.calls == [("POST", "/token"), ("GET", "/federation/credentials")]
    (kept,) = file.parent.iterdir()
    assert kept == file
    assert json.loads(kept.read_text())["accessToken"] == FAKE_TOKEN
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_sign_on_that_has_ended(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever has to sign in again is told so, and that is permanent.
    """
    sign_in(aws_files, monkeypatch, expiresAt=ends(-60))

    with pytest.raises(UnauthenticatedError, match="'corp' has expired: run aws sso login"):
        await keys_of(_AUTH, profile="work")


async def test_nobody_has_signed_in(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a sign-on there are no keys.
    """
    sign_in(aws_files, monkeypatch).unlink()

    with pytest.raises(UnauthenticatedError, match="nobody has signed in to 'corp': run aws sso login"):
        await keys_of(_AUTH, profile="work")


@pytest.mark.parametrize(("status", "kind"), [(401, UnauthenticatedError), (503, UnavailableError)])
async def test_portal_that_refuses(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch, status: int, kind: Any
) -> None:
    """
    A refusal is permanent, trouble is not, and neither shows a secret.
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
    A profile of another kind is not what was asked for.
    """
    (aws_files / "config").write_text(f"[profile work]\naws_access_key_id=x\naws_secret_access_key={FAKE_SECRET}\n")

    with pytest.raises(ConfigurationError, match="no sign-on without sso_account_id and sso_role_name"):
        await keys_of(_AUTH, profile="work")


def test_settings_of_others_are_not_taken() -> None:
    """
    A sign-on takes a profile, and nothing else.
    """
    with pytest.raises(ConfigurationError, match="takes no role_arn; it takes profile"):
        aws_credentials(AuthConfig(auth_type="sso", settings={"role_arn": "x"}))


@pytest.mark.parametrize("status", [400, 503])
async def test_renewal_that_fails_early(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """
    A sign-on that still lasts a minute is used if it cannot be renewed; one that has ended is not.
    """
    service.renewal_status = status
    file = sign_in(aws_files, monkeypatch, expiresAt=ends(60), **_REGISTERED)
    kept = file.read_text()

    assert await keys_of(_AUTH, profile="work") == KEYS
    assert service.calls == [("POST", "/token"), ("GET", "/federation/credentials")]
    assert file.read_text() == kept
    file.write_text(kept.replace(json.loads(kept)["expiresAt"], ends(-1)))
    with pytest.raises((UnauthenticatedError, UnavailableError), match="does not renew the sign-on 'corp'") as caught:
        await keys_of(_AUTH, profile="work")
    assert caught.value.status == status
    assert "FAKE" not in str(caught.value)


async def test_registration_that_has_ended(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A sign-on whose registration has ended cannot be renewed.
    """
    ended = {**_REGISTERED, "registrationExpiresAt": ends(-60)}
    sign_in(aws_files, monkeypatch, expiresAt=ends(-60), **ended)

    with pytest.raises(UnauthenticatedError, match="has expired: run aws sso login"):
        await keys_of(_AUTH, profile="work")


async def test_sign_on_of_an_older_kind(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A profile without a session names all itself, its file is named after the address, and its times end in UTC.
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
async def test_file_that_holds_no_token(
    aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """
    A file that is broken is no sign-on.
    """
    sign_in(aws_files, monkeypatch).write_text(content)

    with pytest.raises(UnauthenticatedError, match="holds no token of a sign-on"):
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

    assert f"{file} holds secrets and others can use it" in caplog.text


async def test_session_that_is_not_there(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A session that no file has is named, and so is a region that is none.
    """
    sign_in(aws_files, monkeypatch)
    config = (aws_files / "config").read_text()
    write_profiles(aws_files, config.replace("sso_session=corp", "sso_session=other"))
    with pytest.raises(ConfigurationError, match=r"no sso-session 'other'; there are \['corp'\]"):
        await keys_of(_AUTH, profile="work")
    write_profiles(aws_files, config)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", "http://[::1")
    with pytest.raises(ConfigurationError, match="the endpoint of sso is no address"):
        await keys_of(_AUTH, profile="work")
    monkeypatch.delenv("AWS_ENDPOINT_URL_SSO")
    write_profiles(aws_files, config.replace("us-east-1", "evil.example/"))
    with pytest.raises(ConfigurationError, match=r"'evil\.example/' is no region"):
        await keys_of(_AUTH, profile="work")


async def test_redirect_is_refused(aws_files: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The token does not follow a redirect.
    """

    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("/other")

    sign_in(aws_files, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", await serve(redirect))

    with pytest.raises(UnavailableError, match="redirect, which is not followed") as caught:
        await keys_of(_AUTH, profile="work")
    assert FAKE_TOKEN not in str(caught.value)
