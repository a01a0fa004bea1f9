"""
Azure Arc: key files are read only from the agent's own directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncstore.auth.azure import arc as azure_arc
from asyncstore.auth.azure.access import TokenAccess
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from tests.auth.azure.methods import bare_environment, config
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.azure import Arc, serving

IDS = {
    "client_id": "00000000-0000-0000-0000-00000000000c",
    "object_id": "00000000-0000-0000-0000-00000000000d",
    "resource_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean environment."""
    bare_environment(monkeypatch)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Arc:
    (tmp_path / "tokens").mkdir()
    monkeypatch.setattr(azure_arc, "KEYS", tmp_path / "tokens")
    file = tmp_path / "tokens" / "1.key"
    file.write_text(FAKE_SECRET)
    return Arc(file)


async def token_from(server: Arc, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any] | None = None) -> str:
    async with serving(server) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}{Arc.path}")
        monkeypatch.setenv("IMDS_ENDPOINT", url)
        async with azure_credentials(config("managed_identity", **(settings or {}))) as credentials:
            access = (await credentials.get()).value
    assert isinstance(access, TokenAccess)
    return access.token


async def test_key_is_sent(server: Arc, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The second request carries the content of the key file.
    """
    assert await token_from(server, monkeypatch) == f"{FAKE_TOKEN}-1"
    assert ["Authorization" in asked.headers for asked in server.asked] == [False, True]


@pytest.mark.parametrize(
    ("challenge", "message"),
    [
        ("Basic realm={outside}/1.key", "outside"),
        ("Basic realm={inside}/../1.key", "outside"),
        ("Basic realm={inside}/1.txt", "outside"),
        ("Basic realm=1.key", "outside"),
        ("Basic realm={inside}/link.key", "symbolic link"),
        ("Digest realm={inside}/1.key", "did not name a key file"),
        ("Basic", "did not name a key file"),
        ("", "did not name a key file"),
        ("Basic realm={inside}/missing.key", "himds"),
        ("Basic realm={inside}/long.key", "does not hold a token"),
        ("Basic realm={inside}/odd.key", "not valid in a header"),
    ],
)
async def test_other_files(
    server: Arc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, challenge: str, message: str
) -> None:
    """
    Files elsewhere, symbolic links and malformed keys are not read or not sent.
    """
    inside = tmp_path / "tokens"
    for file in (tmp_path / "1.key", inside / "1.txt"):
        file.write_text(FAKE_SECRET)
    (inside / "link.key").symlink_to(tmp_path / "1.key")
    (inside / "long.key").write_text("x" * 5000)
    (inside / "odd.key").write_text("a\nb")
    server.challenge = challenge.format(outside=tmp_path, inside=inside)
    with pytest.raises((UnauthenticatedError, ConfigurationError), match=message) as failure:
        await token_from(server, monkeypatch)

    assert FAKE_SECRET not in str(failure.value)
    assert len(server.asked) == 1


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
    server: Arc, monkeypatch: pytest.MonkeyPatch, name: str, echo: dict[str, str], confirmed: bool
) -> None:
    """
    A token is rejected unless the agent confirms that it belongs to the requested identity.
    """
    server.echo = echo
    if confirmed:
        assert await token_from(server, monkeypatch, {name: IDS[name]}) == f"{FAKE_TOKEN}-1"
        return
    with pytest.raises(UnauthenticatedError, match="did not confirm"):
        await token_from(server, monkeypatch, {name: IDS[name]})
