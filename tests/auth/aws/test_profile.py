"""
Profiles of the shared files, with local services.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
import traceback
from pathlib import Path

import pytest

from asyncstore import AuthConfig
from asyncstore.auth.aws import process as aws_process
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.auth.processes import is_running, until, write_program
from tests.servers.identity.aws import (
    BASE,
    ID,
    KEYS,
    ROLE,
    SOURCE,
    Service,
    keys_of,
    serving,
    write_profiles,
)


async def test_keys(aws_files: Path) -> None:
    """
    The keys of a named profile are read from the shared file.
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
    A secret file that other users can read causes one warning with its name and the remedy.
    """
    file = aws_files / "credentials"
    file.write_text(f"[lab]\naws_access_key_id={ID}\naws_secret_access_key={FAKE_SECRET}\n")
    file.chmod(0o644)

    with caplog.at_level(logging.WARNING, "asyncstore"):
        await keys_of(profile="lab")
        await keys_of(profile="lab")

    warned = [record.getMessage() for record in caplog.records if record.name.startswith("asyncstore")]
    assert warned == [f"{file} holds secrets and other users can access it: its mode is 644, make it 600"]


async def test_profile_of_the_environment(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    AWS_PROFILE names the profile, for the default chain too.
    """
    write_profiles(aws_files, BASE)
    monkeypatch.setenv("AWS_PROFILE", "base")

    assert await keys_of(AuthConfig(auth_type="profile")) == SOURCE
    async with aws_credentials() as credentials:
        assert (await credentials.get()).value == SOURCE
        assert credentials.source == "profile: profile 'base' (static)"
        assert credentials.setting_sources() == {"profile": "AWS_PROFILE"}


@pytest.mark.parametrize("by_variable", [False, True])
async def test_missing_profile_is_named(by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A profile that does not exist is a configuration error.
    """
    if by_variable:
        monkeypatch.setenv("AWS_PROFILE", "lab")

    with pytest.raises(ConfigurationError, match="lab"):
        await keys_of(**({} if by_variable else {"profile": "lab"}))


async def test_web_identity_variables_do_not_replace_a_profile(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The profile method uses the profile; the default chain prefers a web identity to the keys of the default profile.
    """
    (aws_files / "token").write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(aws_files / "token"))
    write_profiles(aws_files, BASE.replace("profile base", "default"))
    service = Service()
    async with serving(service) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)

        assert await keys_of(AuthConfig(auth_type="profile")) == SOURCE
        assert await keys_of() == KEYS
    assert service.signed_by == [None]


@pytest.mark.parametrize("auth_type", ["profile", "sso"])
async def test_no_profile(auth_type: str) -> None:
    """
    Without any file the profile is missing, and a fallback is used.
    """
    with pytest.raises(UnauthenticatedError, match="AWS profile 'default' does not exist"):
        await keys_of(AuthConfig(auth_type=auth_type))


async def test_profile_without_credentials(aws_files: Path) -> None:
    """
    A profile without credentials is skipped, and a fallback is used.
    """
    write_profiles(aws_files, "[profile lab]\nregion = us-west-2\n")
    auth = AuthConfig(auth_type="profile", settings={"profile": "lab"})

    with pytest.raises(UnauthenticatedError, match="'lab' has no credentials"):
        await keys_of(auth)
    assert await keys_of(dataclasses.replace(auth, fallback=AuthConfig(auth_type="anonymous"))) is None


async def test_invalid_file(aws_files: Path) -> None:
    """
    A file that cannot be parsed is a configuration error, and is not skipped.
    """
    write_profiles(aws_files, "nonsense")

    with pytest.raises(ConfigurationError, match="config is not a valid AWS profile file at line 1"):
        await keys_of()


def _hanging(directory: Path) -> None:
    script = f"import os, time; open({str(directory / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    write_profiles(directory, f"[profile lab]\ncredential_process={write_program(directory / 'program', script)}\n")


async def test_program_that_hangs_is_killed(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The program of a profile has a timeout, after which it is killed.
    """
    monkeypatch.setattr(aws_process, "MAX_TIMEOUT", 2.0)
    _hanging(aws_files)

    with pytest.raises(UnavailableError, match="did not exit within 2 s"):
        await keys_of(profile="lab")

    await until(lambda: not is_running(aws_files / "pid"))


async def test_closing_kills_the_program(aws_files: Path) -> None:
    """
    Closing the credentials kills the program.
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
        (f"import sys; sys.exit('{FAKE_SECRET}')", "exited with code 1"),
        (f"print('{FAKE_SECRET}')", "did not print a JSON"),
    ],
)
async def test_failing_program_shows_nothing(aws_files: Path, script: str, message: str) -> None:
    """
    The error does not repeat the program's output.
    """
    write_profiles(aws_files, f"[profile lab]\ncredential_process={write_program(aws_files / 'program', script)}\n")

    with pytest.raises(UnauthenticatedError, match=message) as caught:
        await keys_of(profile="lab")
    assert FAKE_SECRET not in "".join(traceback.format_exception(caught.value))


async def test_sdk_is_not_needed(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Profiles are read without AWS's SDK.
    """
    for name in ("aiobotocore", "botocore"):
        monkeypatch.setitem(sys.modules, name, None)
    write_profiles(aws_files, f"{BASE}[profile role]\nrole_arn={ROLE}\nsource_profile=base\n")

    assert await keys_of(profile="base") == SOURCE
