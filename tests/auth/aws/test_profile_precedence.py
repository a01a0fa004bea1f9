"""
Which of its credentials a profile uses: compared with botocore.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import botocore.session
import pytest

from asyncstore.auth.aws.files import read_files
from asyncstore.auth.aws.methods import TABLE
from asyncstore.auth.aws.profile import ProfileReader
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.tokens import MissingCredentialsError
from tests.auth.conftest import FAKE_SECRET
from tests.auth.processes import write_program
from tests.servers.identity.aws import ROLE

_OURS = {
    "assume-role": "assume_role",
    "assume-role-with-web-identity": "web_identity",
    "sso": "sso",
    "shared-credentials-file": "static",
    "config-file": "static",
    "custom-process": "process",
}

_KEYS = f"aws_access_key_id=FAKE\naws_secret_access_key={FAKE_SECRET}\n"

_SAID = {
    "role": f"role_arn={ROLE}\nsource_profile=base\n",
    "web": f"role_arn={ROLE}\nweb_identity_token_file=token\n",
    "sso": "sso_start_url=https://sso.example\nsso_region=us-east-1\nsso_account_id=1\nsso_role_name=r\n",
    "process": "credential_process={program}\n",
    "keys": _KEYS,
    "credentials": "",
}


@pytest.mark.parametrize("size", range(len(_SAID) + 1))
def test_precedence(aws_files: Path, size: int) -> None:
    """
    A profile with any combination of credentials uses the same ones as in botocore.
    """
    document = {"Version": 1, "AccessKeyId": "FAKE", "SecretAccessKey": FAKE_SECRET}
    program = write_program(aws_files / "program", f"print({json.dumps(document)!r})")
    settings = TABLE.method("profile").bind({})
    for said in itertools.combinations(_SAID, size):
        lines = dict.fromkeys("".join(_SAID[name] for name in said).format(program=program).splitlines())
        (aws_files / "config").write_text(f"[profile base]\n{_KEYS}[profile lab]\n" + "\n".join(lines))
        (aws_files / "credentials").write_text(f"[lab]\n{_KEYS}" if "credentials" in said else "")

        assert _meaning(settings) == _theirs(), said


def _meaning(settings: MethodSettings) -> str | None:
    try:
        return ProfileReader(read_files(), settings, None).meaning("lab").auth_type
    except MissingCredentialsError:
        return None


def _theirs() -> str | None:
    found = botocore.session.Session(profile="lab").get_credentials()
    # Methods after the profile in botocore's chain do not count.
    return None if found is None else _OURS[found.method]
