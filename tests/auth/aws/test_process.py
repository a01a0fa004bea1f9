"""
Keys from a program.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncstore import AuthConfig
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.auth.processes import is_running, until, write_program
from tests.servers.identity.aws import ID, KEYS, ends, keys_of

_DOCUMENT = {"Version": 1, "AccessKeyId": ID, "SecretAccessKey": FAKE_SECRET, "SessionToken": FAKE_TOKEN}


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Write a Python program."""

    def write(script: str) -> Path:
        return write_program(tmp_path / "a program", script)

    return write


async def test_list_and_text(program: Callable[[str], Path]) -> None:
    """
    The program is a list, or text with shell quoting; its arguments arrive unchanged.
    """
    file = program(f"import sys; assert sys.argv[1:] == ['$(id)', ';ls'], sys.argv; print({json.dumps(_DOCUMENT)!r})")

    assert await keys_of(credential_process=[file, "$(id)", ";ls"]) == KEYS
    assert await keys_of(credential_process=f"'{file}' '$(id)' ';ls'") == KEYS


async def test_expiring_keys_are_refreshed(program: Callable[[str], Path]) -> None:
    """
    Keys expire when the document says so; without an expiration they do not.
    """
    until = {**_DOCUMENT, "Expiration": ends(600)}
    async with aws_credentials(None, {"credential_process": [program(f"print({json.dumps(until)!r})")]}) as credentials:
        assert (await credentials.get()).expires_at is not None
    async with aws_credentials(
        None, {"credential_process": [program(f"print({json.dumps(_DOCUMENT)!r})")]}
    ) as credentials:
        assert (await credentials.get()).expires_at is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"import sys; print('{FAKE_SECRET}'); sys.exit('{FAKE_SECRET}')", "exited with code 1"),
        ("import os; os.kill(os.getpid(), 9)", "exited with code -9"),
        (f"print('{FAKE_SECRET}')", "did not print a JSON"),
        (f"print('[\"{FAKE_SECRET}\"]')", "did not print a JSON"),
        (f"print('{json.dumps({**_DOCUMENT, 'Version': 2})}')", "Version is not 1"),
        ("print('{\"Version\": 1}')", "no AccessKeyId"),
        (f"print('{json.dumps({**_DOCUMENT, 'Expiration': 'soon'})}')", "not an ISO 8601 time"),
    ],
)
async def test_failing_program_shows_nothing(
    program: Callable[[str], Path], script: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    The error repeats neither the output nor the errors of the program.
    """
    with pytest.raises(UnauthenticatedError, match=message) as caught:
        await keys_of(credential_process=[program(script)])

    assert FAKE_SECRET not in "".join([*traceback.format_exception(caught.value), *capfd.readouterr()])


async def test_endless_output_is_cut_off(program: Callable[[str], Path], tmp_path: Path) -> None:
    """
    At most 64 KiB are read, and the program is killed.
    """
    file = program(
        f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nwhile True: print('x' * 999)"
    )

    with pytest.raises(UnauthenticatedError, match="more than 65536 bytes"):
        await keys_of(credential_process=[file])
    await until(lambda: not is_running(tmp_path / "pid"))


def _sleeping(pid_file: Path, *, child: bool) -> str:
    note = f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))"
    if child:
        return f"import os, time\nif os.fork() == 0:\n    {note}\n    time.sleep(600)"
    return f"import os, time\n{note}\ntime.sleep(600)"


@pytest.mark.parametrize("child", [False, True])
async def test_program_that_hangs_is_killed(program: Callable[[str], Path], tmp_path: Path, child: bool) -> None:
    """
    A program has a timeout, after which it and its children are killed.
    """
    file = program(_sleeping(tmp_path / "pid", child=child))

    with pytest.raises(UnavailableError, match="did not exit within 2 s"):
        await keys_of(credential_process=[file], process_timeout=2)

    assert (tmp_path / "pid").exists()
    await until(lambda: not is_running(tmp_path / "pid"))


async def test_closing_kills_the_program(program: Callable[[str], Path], tmp_path: Path) -> None:
    """
    Closing the credentials kills the program.
    """
    credentials = aws_credentials(None, {"credential_process": [program(_sleeping(tmp_path / "pid", child=False))]})
    waiting = asyncio.create_task(credentials.get())
    await until(lambda: is_running(tmp_path / "pid"))

    await credentials.aclose()

    await until(lambda: not is_running(tmp_path / "pid"))
    with pytest.raises(UnauthenticatedError, match="closed"):
        await waiting


async def test_no_descriptor_is_left(program: Callable[[str], Path], tmp_path: Path) -> None:
    """
    Programs that hang leave none of our pipes open.
    """
    hanging = [program(_sleeping(tmp_path / "pid", child=True))]
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        with pytest.raises(UnavailableError):
            await keys_of(credential_process=hanging, process_timeout=0.3)

    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_daemon_keeps_no_pipe_of_ours(program: Callable[[str], Path], tmp_path: Path) -> None:
    """
    A program can leave a daemon behind; our end of the pipe is closed nevertheless.
    """
    script = _sleeping(tmp_path / "pid", child=True).replace("time.sleep", "os.setsid(); time.sleep")
    before = len(os.listdir("/proc/self/fd"))
    try:
        with pytest.raises(UnavailableError, match=r"did not exit within 2 s"):
            await keys_of(credential_process=[program(script)], process_timeout=2)
        await asyncio.sleep(0.1)

        assert is_running(tmp_path / "pid")
        assert len(os.listdir("/proc/self/fd")) <= before
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"credential_process": ""}, "a program with its arguments"),
        ({"credential_process": []}, "a program with its arguments"),
        ({"credential_process": [1]}, "a program with its arguments"),
        ({"credential_process": "a 'b"}, "a program with its arguments"),
        ({"credential_process": 1}, "a program with its arguments"),
        ({"credential_process": "a", "process_timeout": 51}, "between 0 and 50 seconds, not 51"),
        ({"credential_process": "a", "process_timeout": 0}, "between 0 and 50 seconds, not 0"),
        ({"credential_process": "a", "process_timeout": "soon"}, "between 0 and 50 seconds, not 'soon'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """
    Invalid settings are rejected when credentials are created.
    """
    with pytest.raises(ConfigurationError, match=message):
        aws_credentials(AuthConfig(auth_type="process", settings=settings))


async def test_missing_program(tmp_path: Path) -> None:
    """
    A program that cannot be started is a configuration error.
    """
    with pytest.raises(ConfigurationError, match="cannot be started: No such file"):
        await keys_of(credential_process=[tmp_path / "nothing"])
