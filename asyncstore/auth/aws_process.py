"""
Keys from a program that prints them.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import anyio

from asyncstore.auth.aws_document import KeyGrant, grant_of
from asyncstore.auth.method import Given
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError

#: Seconds for the program, if nothing else is set.
TIMEOUT: Final = 50.0

#: Bytes of the longest document.
MAX_OUTPUT: Final = 64 * 1024

_GIVER: Final = "credential_process"


class CredentialProcess:
    """
    Runs a program, without a shell. What it writes to stderr is thrown away: it may be secret.

    Raises:
        ConfigurationError: There is no program, or the time is none.
    """

    def __init__(self, given: Given) -> None:
        self._command = _command(given.get("credential_process"))
        self._timeout = _seconds(given.get("process_timeout"))

    async def fetch(self) -> KeyGrant:
        """
        Return the keys that the program prints.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True
            )
        except OSError as exc:
            raise ConfigurationError(f"{_GIVER} cannot be started: {exc.strerror or type(exc).__name__}") from None
        try:
            async with asyncio.timeout(self._timeout):
                output = await _output(process)
                code = await process.wait()
        except TimeoutError:
            raise UnavailableError(f"{_GIVER} did not end within {self._timeout:g} s") from None
        finally:
            await _end(process)
        if code != 0:
            raise UnauthenticatedError(f"{_GIVER} ended with {code}")
        return _grant(output)


async def _output(process: Process) -> bytes:
    assert process.stdout is not None
    parts, size = [], 0
    while chunk := await process.stdout.read(MAX_OUTPUT + 1 - size):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_OUTPUT:
            raise UnauthenticatedError(f"{_GIVER} printed more than {MAX_OUTPUT} bytes")
    return b"".join(parts)


async def _end(process: Process) -> None:
    assert process.stdout is not None
    # What it has started can outlive it, with our pipe in its hands.
    if process.returncode is not None and process.stdout.at_eof():
        return
    # They all have a session of their own.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # Nobody reads the pipe any more, and as long as it is open there is no end to wait for.
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]
    pipe = transport.get_pipe_transport(1)
    if pipe is not None:
        pipe.close()
    with anyio.move_on_after(5, shield=True):
        await process.wait()


def _grant(output: bytes) -> KeyGrant:
    try:
        document = json.loads(output)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnauthenticatedError(f"{_GIVER} printed no valid JSON document")
    if document.get("Version") != 1:
        raise UnauthenticatedError(f"{_GIVER} printed a document of another Version than 1")
    return grant_of(document, _GIVER)


def _command(value: Any) -> Sequence[str]:
    try:
        command = shlex.split(value) if isinstance(value, str) else [os.fspath(item) for item in value or ()]
    except (TypeError, ValueError):
        command = []
    if not command:
        raise ConfigurationError("credential_process is a program with its arguments, as a list or as text")
    return command


def _seconds(value: Any) -> float:
    try:
        seconds = TIMEOUT if value is None else float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT:
        raise ConfigurationError(f"process_timeout is a number of seconds up to {TIMEOUT:g}, not {value!r}")
    return seconds
