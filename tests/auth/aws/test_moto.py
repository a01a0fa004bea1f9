"""
Roles of moto's STS, which checks signatures, policies of users and roles, and trust policies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from asyncstore import AuthConfig
from asyncstore.auth.aws.credentials import AWSCredentials, aws_credentials
from asyncstore.errors import UnauthenticatedError
from tests.auth.conftest import FAKE_TOKEN
from tests.servers.moto import EXTERNAL_ID, Moto


def _role(moto: Moto, **settings: Any) -> dict[str, Any]:
    return {
        "role_arn": moto.role_arn,
        "sts_endpoint": moto.endpoint_url,
        "external_id": EXTERNAL_ID,
        "access_key_id": moto.user.access_key_id,
        "secret_access_key": moto.user.secret_access_key,
        **settings,
    }


async def _who(credentials: AWSCredentials, moto: Moto) -> str:
    async with (
        credentials.http_client([moto.endpoint_url], service="sts") as session,
        session.post(
            f"{moto.endpoint_url}/",
            data=b"Action=GetCallerIdentity&Version=2011-06-15",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ) as reply,
    ):
        text = await reply.text()
        assert reply.status == 200, text
    found = ET.fromstring(text).findtext(".//{*}Arn")
    assert found is not None
    return found


async def test_assume_role(moto: Moto) -> None:
    """
    Requests with the keys of a role succeed.
    """
    async with aws_credentials(None, _role(moto, role_session_name="lab-1")) as credentials:
        assert (await _who(credentials, moto)).endswith("assumed-role/role/lab-1")


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"secret_access_key": "FAKE-wrong"}, "SignatureDoesNotMatch"), ({"external_id": "external-2"}, "AccessDenied")],
)
async def test_refusal_has_the_code(moto: Moto, changed: dict[str, str], code: str) -> None:
    """
    A wrong secret and a wrong external id are rejected, each with its own STS code.
    """
    async with aws_credentials(None, _role(moto, **changed)) as credentials:
        with pytest.raises(UnauthenticatedError, match="STS rejected AssumeRole") as caught:
            await credentials.get()

    assert caught.value.code == code
    assert caught.value.status == 403


async def test_role_of_a_role(moto: Moto) -> None:
    """
    The keys of one role assume the next.
    """
    source = AuthConfig(auth_type="assume_role", settings=_role(moto))
    settings = {
        "role_arn": moto.next_role_arn,
        "sts_endpoint": moto.endpoint_url,
        "source": source,
        "role_session_name": "lab-2",
    }

    async with aws_credentials(None, settings) as credentials:
        assert (await _who(credentials, moto)).endswith("assumed-role/next/lab-2")


async def test_web_identity(moto: Moto, tmp_path: Path) -> None:
    """
    A token of an identity provider is exchanged for keys of a role, which are valid.
    """
    token = tmp_path / "token"
    token.write_text(FAKE_TOKEN)
    moto.accept_unchecked(1)
    settings = {
        "role_arn": moto.next_role_arn,
        "sts_endpoint": moto.endpoint_url,
        "web_identity_token_file": token,
        "role_session_name": "pod-1",
    }

    async with aws_credentials(None, settings) as credentials:
        assert (await _who(credentials, moto)).endswith("assumed-role/next/pod-1")
