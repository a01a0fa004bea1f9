"""
The Azure CLI: how it is run, and what becomes of what it says.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncstore.auth.azure import azure_credentials
from asyncstore.auth.azure_access import TokenAccess
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from tests.auth.azure_givers import FakeCLI
from tests.auth.azure_methods import bare_environment, config
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nobody's own settings, and a folder in front of ``PATH``."""
    bare_environment(monkeypatch)
    made = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{made}{os.pathsep}{os.environ['PATH']}")
    return made


def script(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "az").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "az").chmod(0o755)


async def token(**settings: Any) -> str:
    async with azure_credentials(config("cli", **settings)) as credentials:
        access = (await credentials.get()).value
    assert isinstance(access, TokenAccess)
    return access.token


async def test_how_it_is_run(folder: Path) -> None:
    """
    It is asked for a token of storage, in the directory and the subscription that are set.
    """
    cli = FakeCLI(folder, config("cli"))
    assert await token() == f"{FAKE_TOKEN}-1"
    assert await token(tenant_id="contoso.example", subscription="My subscription 1") == f"{FAKE_TOKEN}-2"

    bare = "account get-access-token --output json --resource https://storage.azure.com"
    assert cli.calls() == [bare, f"{bare} --tenant contoso.example --subscription My subscription 1"]


async def test_tenant_of_the_environment_is_not_meant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variable is that of applications; whoever logged in has a directory already.
    """
    monkeypatch.setenv("AZURE_TENANT_ID", "elsewhere")
    cli = FakeCLI(folder, config("cli"))
    await token()

    assert "--tenant" not in cli.calls()[0]


async def test_where_it_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It does not run where the caller is, whose modules it would load.
    """
    monkeypatch.chdir(tmp_path)
    script(folder, f'pwd > "{tmp_path}/where"; echo "$AZURE_CORE_NO_COLOR" >> "{tmp_path}/where"; exit 1')
    with pytest.raises(StorageError):
        await token()

    assert (tmp_path / "where").read_text() == "/\ntrue\n"


@pytest.mark.parametrize("field", ["expires_on", "expiresOn"])
async def test_end_of_the_token(folder: Path, field: str) -> None:
    """
    Newer versions tell when the token ends, older ones the time that this machine's clock shows then.
    """
    end = datetime.now() + timedelta(seconds=1000)  # noqa: DTZ005 - so the program prints it
    written = f"{end.timestamp():.0f}" if field == "expires_on" else f'"{end:%Y-%m-%d %H:%M:%S.%f}"'
    script(folder, f"""echo '{{"accessToken": "{FAKE_TOKEN}", "{field}": {written}}}'""")
    async with azure_credentials(config("cli")) as credentials:
        lease = await credentials.get()

    assert lease.ends_at is not None
    assert lease.ends_at - time.monotonic() == pytest.approx(1000, abs=10)


async def test_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Where there is no such program there are no such credentials.
    """
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingCredentialsError, match="not in PATH"):
        await token()


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("echo 'Please run az login to set up an account' >&2; exit 1", MissingCredentialsError, "nobody is logged in"),
        (f"echo 'AADSTS700082: az login, {FAKE_SECRET}' >&2; exit 1", UnauthenticatedError, "AADSTS700082"),
        (f"echo {FAKE_SECRET} >&2; exit 3", UnauthenticatedError, "ended with 3"),
        (f"echo {FAKE_SECRET}", UnauthenticatedError, "no JSON document"),
        (f"""echo '["{FAKE_SECRET}"]'""", UnauthenticatedError, "no JSON document"),
        (f"""echo '{{"accessToken": "{FAKE_SECRET}"}}'""", UnauthenticatedError, "without its end"),
        (
            f"""echo '{{"secret": "{FAKE_SECRET}", "expires_on": 9999999999}}'""",
            UnauthenticatedError,
            "no access_token",
        ),
        (f"""echo '{{"accessToken": "{FAKE_SECRET}", "expiresOn": "x"}}'""", UnauthenticatedError, "without its end"),
        (f"""echo '{{"accessToken": "{FAKE_SECRET}", "expires_on": 1}}'""", UnauthenticatedError, "expired already"),
        ("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", UnauthenticatedError, "printed more than"),
    ],
)
async def test_what_goes_wrong_tells_nothing(folder: Path, text: str, kind: type[StorageError], message: str) -> None:
    """
    Whatever it says, on whichever channel, the error says what to do and none of it.
    """
    script(folder, text)
    with pytest.raises(kind, match=message) as failure:
        await token()

    assert type(failure.value) is kind
    assert FAKE_SECRET not in f"{failure.value!r} {failure.value}"


async def test_it_hangs(folder: Path, tmp_path: Path) -> None:
    """
    A program that does not end is killed in time, with all that it started.
    """
    script(folder, f"sleep 30 & echo $! > {tmp_path}/child; wait")
    with anyio.fail_after(10), pytest.raises(UnavailableError, match=r"within 0\.5 s"):
        await token(process_timeout=0.5)
    child = int((tmp_path / "child").read_text())

    with anyio.fail_after(5):
        while _alive(child):
            await anyio.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    # One that is dead and that nobody has asked about yet.
    return state != "Z"


@pytest.mark.parametrize(
    "settings",
    [
        {"process_timeout": 0},
        {"process_timeout": 51},
        {"process_timeout": "soon"},
        {"tenant_id": "--debug"},
        {"tenant_id": "a b"},
        {"subscription": "--debug"},
        {"subscription": "$(id)"},
        {"client_id": "x"},
    ],
)
def test_impossible_settings(settings: dict[str, Any]) -> None:
    """
    What the program would take for an option, or cannot be, is refused before it is run.
    """
    with pytest.raises(ConfigurationError):
        azure_credentials(config("cli", **settings))
