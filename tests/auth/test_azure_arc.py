"""
The agent of Azure Arc names a file; only its own are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncstore.auth import azure_arc
from asyncstore.auth.azure import azure_credentials
from asyncstore.auth.azure_access import TokenAccess
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from tests.auth.azure_methods import bare_environment, config
from tests.auth.azure_service import Arc, serving
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN

IDS = {
    "client_id": "00000000-0000-0000-0000-00000000000c",
    "object_id": "00000000-0000-0000-0000-00000000000d",
    "resource_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own settings."""
    bare_environment(monkeypatch)


@pytest.fixture
def giver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Arc:
    (tmp_path / "tokens").mkdir()
    monkeypatch.setattr(azure_arc, "KEYS", tmp_path / "tokens")
    file = tmp_path / "tokens" / "1.key"
    file.write_text(FAKE_SECRET)
    return Arc(file)


async def asked_token(giver: Arc, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any] | None = None) -> str:
    async with serving(giver) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}{Arc.path}")
        monkeypatch.setenv("IMDS_ENDPOINT", url)
        async with azure_credentials(config("managed_identity", **(settings or {}))) as credentials:
            access = (await credentials.get()).value
    assert isinstance(access, TokenAccess)
    return access.token


async def test_key_is_shown(giver: Arc, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Two requests: the second has what the file holds.
    """
    assert await asked_token(giver, monkeypatch) == f"{FAKE_TOKEN}-1"
    assert ["Authorization" in asked.headers for asked in giver.asked] == [False, True]


@pytest.mark.parametrize(
    ("challenge", "message"),
    [
        ("Basic realm={outside}/1.key", "outside"),
        ("Basic realm={inside}/../1.key", "outside"),
        ("Basic realm={inside}/1.txt", "outside"),
        ("Basic realm=1.key", "outside"),
        ("Basic realm={inside}/link.key", "is a link"),
        ("Digest realm={inside}/1.key", "something else"),
        ("Basic", "something else"),
        ("", "something else"),
        ("Basic realm={inside}/missing.key", "himds"),
        ("Basic realm={inside}/long.key", "no token"),
        ("Basic realm={inside}/odd.key", "no header takes"),
    ],
)
async def test_other_files(
    giver: Arc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, challenge: str, message: str
) -> None:
    """
    A file elsewhere, one that is a link, or one that is no key is not read, or not sent.
    """
    inside = tmp_path / "tokens"
    for file in (tmp_path / "1.key", inside / "1.txt"):
        file.write_text(FAKE_SECRET)
    (inside / "link.key").symlink_to(tmp_path / "1.key")
    (inside / "long.key").write_text("x" * 5000)
    (inside / "odd.key").write_text("a\nb")
    giver.challenge = challenge.format(outside=tmp_path, inside=inside)
    with pytest.raises((UnauthenticatedError, ConfigurationError), match=message) as failure:
        await asked_token(giver, monkeypatch)

    assert FAKE_SECRET not in str(failure.value)
    assert len(giver.asked) == 1


@pytest.mark.parametrize(
    ("name", "echo", "confirmed"),
    [
        ("client_id", {"client_id": IDS["client_id"].upper()}, True),
        ("resource_id", {"msi_res_id": IDS["resource_id"]}, True),
        ("client_id", {}, False),
        ("client_id", {"client_id": "another"}, False),
        ("object_id", {"client_id": IDS["object_id"]}, False),
    ],
)
async def test_agent_confirms_the_identity(
    giver: Arc, monkeypatch: pytest.MonkeyPatch, name: str, echo: dict[str, str], confirmed: bool
) -> None:
    """
    An older agent gives the token of the machine for that of another identity: it is not used.
    """
    giver.echo = echo
    if confirmed:
        assert await asked_token(giver, monkeypatch, {name: IDS[name]}) == f"{FAKE_TOKEN}-1"
        return
    with pytest.raises(UnauthenticatedError, match="does not say"):
        await asked_token(giver, monkeypatch, {name: IDS[name]})
