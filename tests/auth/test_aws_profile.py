"""
Profiles of the shared files, against services on this machine.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncstore import AuthConfig
from asyncstore.auth import aws_process
from asyncstore.auth.aws import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.aws_service import (
    ID,
    KEYS,
    ROLE,
    SOURCE,
    Service,
    keys_of,
    serving,
    write_profiles,
)
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.auth.processes import is_running, until, write_program

_BASE = f"[profile base]\naws_access_key_id={SOURCE.access_key_id}\naws_secret_access_key={SOURCE.secret_access_key}\n"


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """All services, which the environment names too."""
    async with serving(service) as url:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        for name in ("AWS_ENDPOINT_URL_STS", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
            monkeypatch.setenv(name, url)
        yield url


async def test_keys(aws_files: Path) -> None:
    """
    Keys of a named profile are read from the shared file.
    """
    (aws_files / "credentials").write_text(
        f"[lab]\naws_access_key_id={ID}\naws_secret_access_key={FAKE_SECRET}\naws_session_token={FAKE_TOKEN}\n"
    )

    async with aws_credentials(None, {"profile": "lab"}) as credentials:
        assert (await credentials.get()).value == KEYS
        assert credentials.source == "profile 'lab' (static)"
        assert credentials.setting_sources() == {"profile": "settings"}


async def test_shared_file_that_others_can_read(aws_files: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    A file of secrets that is open to others is worth a warning, once, with its name and the remedy.
    """
    file = aws_files / "credentials"
    file.write_text(f"[lab]\naws_access_key_id={ID}\naws_secret_access_key={FAKE_SECRET}\n")
    file.chmod(0o644)

    with caplog.at_level(logging.WARNING, "asyncstore"):
        await keys_of(profile="lab")
        await keys_of(profile="lab")

    warned = [record.getMessage() for record in caplog.records if record.name.startswith("asyncstore")]
    assert warned == [f"{file} holds secrets and others can use it: its mode is 644, make it 600"]


async def test_profile_of_the_environment(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    AWS_PROFILE names the profile, for the default chain too.
    """
    write_profiles(aws_files, _BASE)
    monkeypatch.setenv("AWS_PROFILE", "base")

    assert await keys_of(AuthConfig(auth_type="profile")) == SOURCE
    async with aws_credentials() as credentials:
        assert (await credentials.get()).value == SOURCE
        assert credentials.source == "profile: profile 'base' (static)"
        assert credentials.setting_sources() == {"profile": "AWS_PROFILE"}


@pytest.mark.parametrize("by_variable", [False, True])
async def test_missing_profile_is_named(by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A profile that does not exist is a wrong setting.
    """
    if by_variable:
        monkeypatch.setenv("AWS_PROFILE", "lab")

    with pytest.raises(ConfigurationError, match="lab"):
        await keys_of(**({} if by_variable else {"profile": "lab"}))


async def test_variables_of_a_web_identity_are_no_profile(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who asks for a profile gets a profile; the default chain prefers a web identity to the keys of the default one.
    """
    (aws_files / "token").write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(aws_files / "token"))
    write_profiles(aws_files, _BASE.replace("profile base", "default"))
    service = Service()
    async with serving(service) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)

        assert await keys_of(AuthConfig(auth_type="profile")) == SOURCE
        assert await keys_of() == KEYS
    assert service.signed_by == [None]


@pytest.mark.parametrize("auth_type", ["profile", "sso"])
async def test_nobody_names_a_profile(auth_type: str) -> None:
    """
    Without any file there is no profile, and a fallback can take over.
    """
    with pytest.raises(UnauthenticatedError, match="no AWS profile 'default'"):
        await keys_of(AuthConfig(auth_type=auth_type))


async def test_kind_that_is_not_supported(aws_files: Path) -> None:
    """
    A profile of a kind that we do not know is refused by name, not taken for one without credentials.
    """
    write_profiles(aws_files, "[profile lab]\nlogin_session = arn:aws:iam::1:user/ada\n")

    with pytest.raises(ConfigurationError, match="'lab' has a login_session, which is not supported"):
        await keys_of(profile="lab")


async def test_profile_that_says_nothing(aws_files: Path) -> None:
    """
    A profile without credentials has none, and a fallback can take over.
    """
    write_profiles(aws_files, "[profile lab]\nregion = us-west-2\n")
    auth = AuthConfig(auth_type="profile", settings={"profile": "lab"})

    with pytest.raises(UnauthenticatedError, match="'lab' has no credentials"):
        await keys_of(auth)
    assert await keys_of(dataclasses.replace(auth, fallback=AuthConfig(auth_type="anonymous"))) is None


async def test_file_that_is_none(aws_files: Path) -> None:
    """
    A file that cannot be read as one is a wrong setting, not a reason to look on.
    """
    write_profiles(aws_files, "nonsense")

    with pytest.raises(ConfigurationError, match="config is no file of AWS profiles, at line 1"):
        await keys_of()


def _hanging(directory: Path) -> None:
    script = f"import os, time; open({str(directory / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    write_profiles(directory, f"[profile lab]\ncredential_process={write_program(directory / 'program', script)}\n")


async def test_program_that_hangs_is_killed(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A program that a profile names has a time limit, and does not outlive it.
    """
    monkeypatch.setattr(aws_process, "TIMEOUT", 2.0)
    _hanging(aws_files)

    with pytest.raises(UnavailableError, match="did not end within 2 s"):
        await keys_of(profile="lab")

    await until(lambda: not is_running(aws_files / "pid"))


async def test_closing_kills_the_program(aws_files: Path) -> None:
    """
    Credentials that are closed leave no program behind.
    """
    _hanging(aws_files)
    credentials = aws_credentials(None, {"profile": "lab"})
    waiting = asyncio.create_task(credentials.get())
    await until(lambda: is_running(aws_files / "pid"))

    await credentials.aclose()

    await until(lambda: not is_running(aws_files / "pid"))
    with pytest.raises(UnauthenticatedError, match="closed"):
        await waiting


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"import sys; sys.exit('{FAKE_SECRET}')", "ended with 1"),
        (f"print('{FAKE_SECRET}')", "no valid JSON"),
    ],
)
async def test_program_that_goes_wrong_tells_nothing(aws_files: Path, script: str, message: str) -> None:
    """
    What the program wrote is not repeated.
    """
    write_profiles(aws_files, f"[profile lab]\ncredential_process={write_program(aws_files / 'program', script)}\n")

    with pytest.raises(UnauthenticatedError, match=message) as caught:
        await keys_of(profile="lab")
    assert FAKE_SECRET not in "".join(traceback.format_exception(caught.value))


async def test_sdk_is_not_needed(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Profiles are read by us: AWS's SDK can be missing.
    """
    for name in ("aiobotocore", "botocore"):
        monkeypatch.setitem(sys.modules, name, None)
    write_profiles(aws_files, f"{_BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\n")

    assert await keys_of(profile="base") == SOURCE
