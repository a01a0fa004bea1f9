"""
Runs programs that print credentials: without a shell, with a timeout and bounded output.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio

from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from asyncstore.http.fast.private import close_pipes

#: Bytes of the longest output.
MAX_OUTPUT: Final = 64 * 1024

#: Seconds that a program may run: a refresh may take a minute.
MAX_TIMEOUT: Final = 50.0


@dataclass(frozen=True, slots=True)
class Result:
    """
    The result of a program. ``repr`` never shows the output, which can be secret.

    Attributes:
        code: The exit code; negative for a signal.
        output: The whole standard output.
        errors: Up to 64 KiB of standard error, if it was requested.
    """

    code: int
    output: bytes = field(repr=False)
    errors: bytes = field(default=b"", repr=False)


async def run_program(
    command: Sequence[str],
    *,
    name: str,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    directory: str | Path | None = None,
    errors: bool = False,
) -> Result:
    """
    Run a program to its end. Cancellation and the timeout kill it and every process that it started.

    Args:
        name: The program's name in messages.
        timeout: Seconds.
        environment: Variables to add to those of this process.
        directory: The working directory.
        errors: Whether to keep standard error; it is discarded otherwise.

    Raises:
        ConfigurationError: It cannot be started.
        UnauthenticatedError: It printed more than 64 KiB.
        UnavailableError: It did not exit in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE if errors else DEVNULL,
            start_new_session=True,
            cwd=directory,
            env={**os.environ, **environment} if environment else None,
        )
    except (OSError, ValueError) as exc:
        # ValueError: a null byte. Its text can hold an argument.
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        raise ConfigurationError(f"{name} cannot be started: {reason}") from None
    try:
        async with asyncio.timeout(timeout):
            return await _result(process, name)
    except TimeoutError:
        raise UnavailableError(f"{name} did not exit within {timeout:g} s") from None
    finally:
        await _kill(process)


def command_of(value: Any) -> list[str]:
    """
    Return a program and its arguments from text or a list; an empty list for anything else.
    """
    try:
        return shlex.split(value) if isinstance(value, str) else [os.fspath(item) for item in value or ()]
    except (TypeError, ValueError):
        return []


def timeout_of(value: Any, default: float) -> float:
    """
    Return the seconds in the setting ``process_timeout``.

    Raises:
        ConfigurationError: It is not a number up to :data:`MAX_TIMEOUT`.
    """
    try:
        seconds = default if value is None else float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ConfigurationError(f"process_timeout must be between 0 and {MAX_TIMEOUT:g} seconds, not {value!r}")
    return seconds


async def _result(process: Process, name: str) -> Result:
    written = bytearray()

    async def listen(stream: StreamReader) -> None:
        # Read to the end, else the program blocks on a full pipe.
        while chunk := await stream.read(MAX_OUTPUT):
            written.extend(chunk[: MAX_OUTPUT - len(written)])

    assert process.stdout is not None
    output = bytearray()
    async with anyio.create_task_group() as group:
        if process.stderr is not None:
            group.start_soon(listen, process.stderr)
        while len(output) <= MAX_OUTPUT and (chunk := await process.stdout.read(MAX_OUTPUT + 1 - len(output))):
            output.extend(chunk)
        if len(output) > MAX_OUTPUT:
            group.cancel_scope.cancel()
    if len(output) > MAX_OUTPUT:
        raise UnauthenticatedError(f"{name} printed more than {MAX_OUTPUT} bytes")
    return Result(await process.wait(), bytes(output), bytes(written))


async def _kill(process: Process) -> None:
    # A child process can outlive it and hold the pipe open.
    if process.returncode is not None and all(pipe.at_eof() for pipe in (process.stdout, process.stderr) if pipe):
        return
    # The program and its children run in a separate session.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    close_pipes(process)
    with anyio.move_on_after(5, shield=True):
        await process.wait()
