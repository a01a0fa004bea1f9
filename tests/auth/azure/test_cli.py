"""
The Azure CLI: how it is run, and how its output is handled.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncstore.auth.azure.access import TokenAccess
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.auth.tokens import MissingCredentialsError
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from tests.auth.azure.in_process import FakeCLI
from tests.auth.azure.methods import bare_environment, config
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Clean environment, with the returned folder first in ``PATH``."""
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


async def test_command_line(folder: Path) -> None:
    """
    It is called for a storage token, with the tenant and subscription of the settings.
    """
    cli = FakeCLI(folder, config("cli"))
    assert await token() == f"{FAKE_TOKEN}-1"
    assert await token(tenant_id="contoso.example", subscription="My subscription 1") == f"{FAKE_TOKEN}-2"

    bare = "account get-access-token --output json --resource https://storage.azure.com"
    assert cli.calls() == [bare, f"{bare} --tenant contoso.example --subscription My subscription 1"]


async def test_tenant_in_the_environment_is_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``AZURE_TENANT_ID`` is for applications; the CLI login has its own tenant.
    """
    monkeypatch.setenv("AZURE_TENANT_ID", "elsewhere")
    cli = FakeCLI(folder, config("cli"))
    await token()

    assert "--tenant" not in cli.calls()[0]


async def test_working_directory(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It does not run in the caller's directory, from which it would import modules.
    """
    monkeypatch.chdir(tmp_path)
    script(folder, f'pwd > "{tmp_path}/where"; echo "$AZURE_CORE_NO_COLOR" >> "{tmp_path}/where"; exit 1')
    with pytest.raises(StorageError):
        await token()

    assert (tmp_path / "where").read_text() == "/\ntrue\n"


@pytest.mark.parametrize("field", ["expires_on", "expiresOn"])
async def test_expiry(folder: Path, field: str) -> None:
    """
    Both forms of expiry are parsed: a timestamp, and local time from older versions.
    """
    end = datetime.now() + timedelta(seconds=1000)  # noqa: DTZ005 - the program prints local time
    written = f"{end.timestamp():.0f}" if field == "expires_on" else f'"{end:%Y-%m-%d %H:%M:%S.%f}"'
    script(folder, f"""echo '{{"accessToken": "{FAKE_TOKEN}", "{field}": {written}}}'""")
    async with azure_credentials(config("cli")) as credentials:
        lease = await credentials.get()

    assert lease.ends_at is not None
    assert lease.ends_at - time.monotonic() == pytest.approx(1000, abs=10)


async def test_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A missing program is reported as missing credentials.
    """
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingCredentialsError, match="not in PATH"):
        await token()


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("echo 'Please run az login to set up an account' >&2; exit 1", MissingCredentialsError, "not logged in"),
        (f"echo 'AADSTS700082: az login, {FAKE_SECRET}' >&2; exit 1", UnauthenticatedError, "AADSTS700082"),
        (f"echo {FAKE_SECRET} >&2; exit 3", UnauthenticatedError, "exited with status 3"),
        (f"echo {FAKE_SECRET}", UnauthenticatedError, "not a JSON object"),
        (f"""echo '["{FAKE_SECRET}"]'""", UnauthenticatedError, "not a JSON object"),
        (f"""echo '{{"accessToken": "{FAKE_SECRET}"}}'""", UnauthenticatedError, "without an expiry"),
        (
            f"""echo '{{"secret": "{FAKE_SECRET}", "expires_on": 9999999999}}'""",
            UnauthenticatedError,
            "no usable access_token",
        ),
        (f"""echo '{{"accessToken": "{FAKE_SECRET}", "expiresOn": "x"}}'""", UnauthenticatedError, "without an expiry"),
        (f"""echo '{{"accessToken": "{FAKE_SECRET}", "expires_on": 1}}'""", UnauthenticatedError, "already expired"),
        ("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", UnauthenticatedError, "printed more than"),
    ],
)
async def test_failures_show_no_output(folder: Path, text: str, kind: type[StorageError], message: str) -> None:
    """
    The error says what to do and contains nothing that the program printed.
    """
    script(folder, text)
    with pytest.raises(kind, match=message) as failure:
        await token()

    assert type(failure.value) is kind
    assert FAKE_SECRET not in f"{failure.value!r} {failure.value}"


async def test_timeout(folder: Path, tmp_path: Path) -> None:
    """
    A program that does not exit is killed after the timeout, together with its children.
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
    # A zombie has exited but has not been waited for.
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
def test_invalid_settings(settings: dict[str, Any]) -> None:
    """
    Malformed values and values that the program would parse as options are rejected before it runs.
    """
    with pytest.raises(ConfigurationError):
        azure_credentials(config("cli", **settings))
