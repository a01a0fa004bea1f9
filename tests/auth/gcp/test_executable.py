"""
External accounts with an executable source.
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
from tests.auth.gcp.methods import executable
from tests.auth.processes import is_running, until
from tests.servers.identity.gcp import (
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


@pytest.fixture
async def service() -> AsyncIterator[GoogleService]:
    async with google_service(STS) as running:
        yield running


async def test_environment_of_the_executable(
    service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    The executable gets Google's variables in addition to our environment.
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
async def test_executables_must_be_enabled(
    service: GoogleService, value: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    No program runs unless the variable is set to 1.
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
    The command is not interpreted by a shell.
    """
    monkeypatch.setenv(ALLOW, "1")
    command = f"/bin/echo $(touch {tmp_path}/made); touch {tmp_path}/made"

    async with credentials_of(external_document(service.url, {"executable": {"command": command}})) as credentials:
        with pytest.raises(UnauthenticatedError, match="not a JSON object"):
            await credentials.get()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"success": False, "code": "401", "message": f"client_secret={FAKE_SECRET}"}, "returned no token: 401"),
        ({"version": 2}, "another version than 1"),
        ({"version": "1"}, "another version than 1"),
        ({"token_type": "fake"}, "of a known type"),
        ({"token_type": JWT_TYPE}, "of a known type"),
        ({"token_type": JWT_TYPE, "id_token": SUBJECT, "expiration_time": 1}, "an expired token"),
    ],
)
async def test_executable_without_a_token(
    service: GoogleService, answer: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    The executable's error message is shown with secrets redacted, and Google gets no request.
    """
    monkeypatch.setenv(ALLOW, "1")
    source = {"executable": {"command": executable(tmp_path, answer)}}

    async with credentials_of(external_document(service.url, source)) as credentials:
        with pytest.raises(UnauthenticatedError, match=message) as failure:
            await credentials.get()
    assert FAKE_SECRET not in str(failure.value)
    assert service.calls == []


async def test_executable_that_fails(service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A failing or missing program is an error that does not quote its output.
    """
    monkeypatch.setenv(ALLOW, "1")
    program = tmp_path / "fail"
    program.write_text(f"#!/bin/sh\necho {FAKE_SECRET}\necho {FAKE_SECRET} >&2\nexit 3\n")
    program.chmod(0o700)

    for command, error, message in (
        (str(program), UnauthenticatedError, "exited with status 3"),
        ("/no/such/program", ConfigurationError, "cannot be started"),
    ):
        document = external_document(service.url, {"executable": {"command": command}})
        async with credentials_of(document) as credentials:
            with pytest.raises(error, match=message) as failure:
                await credentials.get()
        assert FAKE_SECRET not in str(failure.value)


async def test_executable_timeout(service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    After the timeout the program is killed together with its children.
    """
    monkeypatch.setenv(ALLOW, "1")
    program = tmp_path / "hang"
    program.write_text(f"#!/bin/sh\nsleep 300 &\necho $! > {tmp_path}/child\nwait\n")
    program.chmod(0o700)
    document = external_document(service.url, {"executable": {"command": str(program), "timeout_millis": 5000}})

    async with credentials_of(document) as credentials:
        with pytest.raises(UnavailableError, match="within 5 s"):
            await credentials.get()
    # The kernel ends a killed process when it next runs it.
    await until(lambda: not is_running(tmp_path / "child"))


async def test_closing_kills_the_executable(
    service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Closing the credentials kills a running program, and waiting callers get an error.
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


async def test_executable_output_file(service: GoogleService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The program runs only if the token in the output file has expired, and may write the new one there only.
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
