"""
External accounts whose tokens a program gives.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET
from tests.auth.gcp_methods import executable, without_own
from tests.auth.gcp_service import (
    AUDIENCE,
    JWT_TYPE,
    STS,
    SUBJECT,
    TARGET,
    GoogleService,
    credentials_of,
    external_document,
    google_service,
    impersonation_url,
    opens,
)

ALLOW = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's user."""
    without_own(monkeypatch, tmp_path)


@pytest.fixture
async def service() -> AsyncIterator[GoogleService]:
    async with google_service(STS) as running:
        yield running


async def test_executable_finds_its_orders(
    service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A program finds in its environment whom the token is for, beside all that we have.
    """
    monkeypatch.setenv(ALLOW, "1")
    monkeypatch.setenv("FAKE_OWN_VARIABLE", "kept")
    command = executable(tmp_path, {"token_type": JWT_TYPE, "id_token": SUBJECT})
    source = {"executable": {"command": command, "timeout_millis": 5000}}
    more = {"service_account_impersonation_url": impersonation_url(service.url)}

    assert await opens(service, external_document(service.url, source, **more))
    lines = (tmp_path / "environment").read_text().splitlines()
    for line in (
        f"GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE={AUDIENCE}",
        f"GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE={JWT_TYPE}",
        f"GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL={TARGET}",
        "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0",
        "FAKE_OWN_VARIABLE=kept",
    ):
        assert line in lines


@pytest.mark.parametrize("value", [None, "0", "true"])
async def test_executable_has_to_be_allowed(
    service: GoogleService, value: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Unless the variable is 1, no program is started.
    """
    if value is not None:
        monkeypatch.setenv(ALLOW, value)
    command = executable(tmp_path, {"token_type": JWT_TYPE, "id_token": SUBJECT})

    async with credentials_of(external_document(service.url, {"executable": {"command": command}})) as credentials:
        with pytest.raises(ConfigurationError, match=ALLOW):
            await credentials.get()
    assert not (tmp_path / "environment").exists()


async def test_executable_runs_without_a_shell(
    service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    What a shell would do with the command is not done.
    """
    monkeypatch.setenv(ALLOW, "1")
    command = f"/bin/echo $(touch {tmp_path}/made); touch {tmp_path}/made"

    async with credentials_of(external_document(service.url, {"executable": {"command": command}})) as credentials:
        with pytest.raises(UnauthenticatedError, match="no JSON object"):
            await credentials.get()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"success": False, "code": "401", "message": f"client_secret={FAKE_SECRET}"}, "gives no token: 401"),
        ({"version": 2}, "another version than 1"),
        ({"version": "1"}, "another version than 1"),
        ({"token_type": "fake"}, "of a type that is known"),
        ({"token_type": JWT_TYPE}, "of a type that is known"),
        ({"token_type": JWT_TYPE, "id_token": SUBJECT, "expiration_time": 1}, "has expired"),
    ],
)
async def test_executable_that_gives_none(
    service: GoogleService, answer: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    What a program says of its failure comes out without secrets; Google is not asked.
    """
    monkeypatch.setenv(ALLOW, "1")
    source = {"executable": {"command": executable(tmp_path, answer)}}

    async with credentials_of(external_document(service.url, source)) as credentials:
        with pytest.raises(UnauthenticatedError, match=words) as failure:
            await credentials.get()
    assert FAKE_SECRET not in str(failure.value)
    assert service.calls == []


async def test_executable_that_fails(service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A program that ends with an error or is not there is named; what it wrote is not quoted.
    """
    monkeypatch.setenv(ALLOW, "1")
    program = tmp_path / "fail"
    program.write_text(f"#!/bin/sh\necho {FAKE_SECRET}\necho {FAKE_SECRET} >&2\nexit 3\n")
    program.chmod(0o700)

    for command, error, words in (
        (str(program), UnauthenticatedError, "ended with 3"),
        ("/no/such/program", ConfigurationError, "cannot be started"),
    ):
        document = external_document(service.url, {"executable": {"command": command}})
        async with credentials_of(document) as credentials:
            with pytest.raises(error, match=words) as failure:
                await credentials.get()
        assert FAKE_SECRET not in str(failure.value)


async def test_executable_that_hangs_is_killed(
    service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    After its time a program is killed with all that it started.
    """
    monkeypatch.setenv(ALLOW, "1")
    program = tmp_path / "hang"
    program.write_text(f"#!/bin/sh\nsleep 300 &\necho $! > {tmp_path}/child\nwait\n")
    program.chmod(0o700)
    document = external_document(service.url, {"executable": {"command": str(program), "timeout_millis": 5000}})

    async with credentials_of(document) as credentials:
        with pytest.raises(UnavailableError, match="within 5 s"):
            await credentials.get()
    child = int((tmp_path / "child").read_text())
    status = Path(f"/proc/{child}/stat")
    # It may still wait to be buried by whoever is left of its family.
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


async def test_executable_ends_with_its_credentials(
    service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Closing the credentials kills a program that is under way, and whoever waits for it gets an error.
    """
    monkeypatch.setenv(ALLOW, "1")
    program = tmp_path / "hang"
    program.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/part && mv {tmp_path}/part {tmp_path}/process\nexec sleep 300\n"
    )
    program.chmod(0o700)
    credentials = credentials_of(external_document(service.url, {"executable": {"command": str(program)}}))
    waiter = asyncio.ensure_future(credentials.get())
    while not (tmp_path / "process").exists():
        await asyncio.sleep(0.01)

    await credentials.aclose()

    with pytest.raises(UnauthenticatedError, match="closed"):
        await waiter
    assert not Path(f"/proc/{(tmp_path / 'process').read_text().strip()}").exists()


async def test_executable_keeps_its_token_in_a_file(
    service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    While the token in the file is good, no program runs; after that it does, and may write it there only.
    """
    monkeypatch.setenv(ALLOW, "1")
    kept = tmp_path / "kept"
    program = tmp_path / "write"
    document = {"version": 1, "success": True, "token_type": JWT_TYPE, "id_token": SUBJECT}
    written = f"echo '{json.dumps(document)}' > $GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE"
    program.write_text(f"#!/bin/sh\nrm -f {kept}\ntouch {tmp_path}/ran\n{written}\nchmod 600 {kept}\n")
    program.chmod(0o700)
    source = {"executable": {"command": str(program), "output_file": str(kept)}}

    def write(**more: Any) -> None:
        kept.write_text(json.dumps({**document, **more}))
        kept.chmod(0o600)

    write(expiration_time=int(time.time()) + 600)
    assert await opens(service, external_document(service.url, source))
    assert not (tmp_path / "ran").exists()
    for stale in ({"expiration_time": 1, "id_token": "old"}, {"id_token": "old"}, {"success": False}):
        (tmp_path / "ran").unlink(missing_ok=True)
        write(**stale)
        assert await opens(service, external_document(service.url, source))
        assert (tmp_path / "ran").exists()
