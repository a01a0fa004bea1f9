"""
What a profile means, of all that it says: as botocore has it.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import botocore.session
import pytest

from asyncstore.auth.aws_files import read_files
from asyncstore.auth.aws_profile import ProfileReader
from asyncstore.auth.aws_table import METHODS
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.method import Given, method_of
from tests.auth.aws_service import ROLE
from tests.auth.conftest import FAKE_SECRET
from tests.auth.processes import write_program

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
    Whatever a profile says at the same time, it comes to what botocore makes of it.
    """
    document = {"Version": 1, "AccessKeyId": "FAKE", "SecretAccessKey": FAKE_SECRET}
    program = write_program(aws_files / "program", f"print({json.dumps(document)!r})")
    given = Given({}, method_of(METHODS, "profile", "AWS").settings)
    for said in itertools.combinations(_SAID, size):
        lines = dict.fromkeys("".join(_SAID[name] for name in said).format(program=program).splitlines())
        (aws_files / "config").write_text(f"[profile base]\n{_KEYS}[profile lab]\n" + "\n".join(lines))
        (aws_files / "credentials").write_text(f"[lab]\n{_KEYS}" if "credentials" in said else "")

        assert _meaning(given) == _theirs(), said


def _meaning(given: Given) -> str | None:
    try:
        return ProfileReader(read_files(), given, None).meaning("lab").auth_type
    except MissingCredentialsError:
        return None


def _theirs() -> str | None:
    found = botocore.session.Session(profile="lab").get_credentials()
    # Whatever comes after the profile is none of its credentials.
    return None if found is None else _OURS[found.method]
