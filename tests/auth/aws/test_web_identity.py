"""
Roles that are assumed with the token of an identity provider.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncstore import AuthConfig
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from tests.auth.conftest import FAKE_TOKEN
from tests.servers.identity.aws import ROLE, Service, keys_of


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{FAKE_TOKEN}\n")
    return file


async def test_web_identity_reads_its_file_each_time(sts: str, service: Service, token_file: Path) -> None:
    """
    The cluster replaces the token; the next refresh uses the new one, and is not signed.
    """
    settings = {"role_arn": ROLE, "web_identity_token_file": token_file, "role_session_name": "pod-1", "duration": 900}
    async with aws_credentials(None, settings) as credentials:
        lease = await credentials.get()
        token_file.write_text("FAKE-next")
        service.token = "FAKE-next"
        renewed = await credentials.refresh(lease)

    assert [lease.value, renewed.value] == service.issued
    assert [form["WebIdentityToken"] for form in service.forms] == [FAKE_TOKEN, "FAKE-next"]
    assert service.forms[0]["RoleSessionName"] == "pod-1"
    assert service.forms[0]["DurationSeconds"] == "900"
    assert service.signed_by == [None, None]


async def test_web_identity_of_the_environment(
    sts: str, service: Service, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The three variables are enough, for the method and for the default chain.
    """
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token_file))
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod-2")

    assert await keys_of(AuthConfig(auth_type="web_identity")) == service.issued[0]
    assert await keys_of() == service.issued[1]
    assert service.form["RoleSessionName"] == "pod-2"


async def test_token_that_is_refused_is_not_shown(sts: str, service: Service, token_file: Path) -> None:
    """
    The error for a rejected token has the code of STS, and hides the token even if STS repeats it.
    """
    service.status, service.code = 400, "InvalidIdentityToken"
    service.message = f"the token {FAKE_TOKEN} is of nobody"

    with pytest.raises(UnauthenticatedError, match=r"the token \*\*\* is of nobody") as caught:
        await keys_of(role_arn=ROLE, web_identity_token_file=token_file)
    assert caught.value.code == "InvalidIdentityToken"
    assert FAKE_TOKEN not in repr(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("", "does not hold a token"), ("x" * 20_001, "does not hold a token")],
)
async def test_invalid_token_file(sts: str, tmp_path: Path, content: str | None, message: str) -> None:
    """
    The error names a file that is missing, empty or too long.
    """
    file = tmp_path / "other"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigurationError, match=f"other {message}"):
        await keys_of(role_arn=ROLE, web_identity_token_file=file)


async def test_half_a_web_identity_is_an_error(sts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A token file without a role is reported as an error, not skipped.
    """
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere")

    with pytest.raises(ConfigurationError, match="role_arn is missing"):
        await keys_of()
