"""
The shared files are read as botocore reads them.
"""

from __future__ import annotations

import logging
from pathlib import Path

import botocore.session
import pytest

from asyncstore.auth.aws.files import read_files
from asyncstore.errors import ConfigurationError
from tests.auth.conftest import FAKE_SECRET

_CONFIG = """
# A comment.
[default]
region = eu-west-1
aws_access_key_id=from-config
[profile lab]
region=us-west-2
  # A comment with space before it.
output : json
s3 =
  addressing_style = path
[profile "with space"]
role_arn = arn:aws:iam::1:role/x=y
[without-the-word]
region = nowhere
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.example/start#/
[services here]
sts =
  endpoint_url = https://sts.example
s3 =
  endpoint_url = https://s3.example
[profile here]
services = here
endpoint_url = https://all.example
"""

_CREDENTIALS = """
[default]
aws_access_key_id = from-credentials
aws_secret_access_key = FAKE+secret/with=signs;and#more
[only-here]
AWS_ACCESS_KEY_ID = upper
"""


@pytest.fixture
def both(aws_files: Path) -> None:
    (aws_files / "config").write_text(_CONFIG)
    (aws_files / "credentials").write_text(_CREDENTIALS)
    (aws_files / "credentials").chmod(0o600)


@pytest.mark.usefixtures("both")
def test_profiles_are_those_of_botocore() -> None:
    """
    Names, values, comments, quotes and precedence are the same as in botocore.
    """
    theirs = botocore.session.Session().full_config
    ours = read_files()

    assert set(ours.profiles) == set(theirs["profiles"])
    for name, section in theirs["profiles"].items():
        # They also take apart what is nested, which we do when it is asked for.
        flat = {key: value for key, value in section.items() if isinstance(value, str)}
        assert {key: ours.profiles[name][key] for key in flat} == flat
    assert ours.sessions == theirs["sso_sessions"]
    assert ours.with_keys == {"default", "only-here"}


@pytest.mark.usefixtures("both")
def test_endpoints() -> None:
    """
    The endpoint of a service takes precedence over the endpoint for all services.
    """
    files = read_files()
    profile = files.profile("here")

    assert files.endpoint(profile, "sts") == "https://sts.example"
    assert files.endpoint(profile, "sso-oidc") == "https://all.example"
    assert files.endpoint(files.profile("lab"), "sts") is None


@pytest.mark.parametrize("name", ["config", "credentials"])
@pytest.mark.parametrize("text", [f"{FAKE_SECRET}\n", f"[default]\n{FAKE_SECRET}\n", f"[default\nx={FAKE_SECRET}\n"])
def test_invalid_file(aws_files: Path, name: str, text: str) -> None:
    """
    The error names the file and the line, but does not show the line, which can be a key.
    """
    (aws_files / name).write_text(text)

    with pytest.raises(ConfigurationError, match=rf"{name} is not a valid AWS profile file at line \d") as caught:
        read_files()
    assert FAKE_SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n"])
def test_empty_files(aws_files: Path, text: str) -> None:
    """
    Empty files have no profiles.
    """
    (aws_files / "config").write_text(text)
    (aws_files / "credentials").write_text(text)

    assert read_files().profiles == {}


@pytest.mark.parametrize(("text", "warned"), [("region=x", False), (f"aws_secret_access_key={FAKE_SECRET}", True)])
def test_warning_for_keys_in_the_config_file(
    aws_files: Path, caplog: pytest.LogCaptureFixture, text: str, warned: bool
) -> None:
    """
    The config file causes a warning only if it contains keys.
    """
    (aws_files / "config").write_text(f"[default]\n{text}\n")
    (aws_files / "config").chmod(0o644)

    with caplog.at_level(logging.WARNING, "asyncstore"):
        read_files()

    assert ("make it 600" in caplog.text) == warned


def test_files_that_are_too_long(aws_files: Path) -> None:
    """
    The number of bytes read is limited.
    """
    for name in ("config", "credentials"):
        (aws_files / name).write_text("#" * (256 * 1024 + 1))
        with pytest.raises(ConfigurationError, match=name):
            read_files()
        (aws_files / name).unlink()
