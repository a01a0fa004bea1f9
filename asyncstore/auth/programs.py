"""
Programs that print credentials: run without a shell, for a limited time, with output that is bounded.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import anyio

from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError

#: Bytes of the longest output.
MAX_OUTPUT: Final = 64 * 1024


async def run_program(
    command: Sequence[str], *, name: str, timeout: float, environment: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """
    Return the exit code of a program, and what it wrote to stdout.

    What it writes to stderr is thrown away: it may be secret. A program that is given
    up, cancelling included, is killed with all that it started.

    Args:
        name: What it is, for messages.
        timeout: Seconds until it is killed.
        environment: In place of ours.

    Raises:
        ConfigurationError: It cannot be started.
        UnauthenticatedError: It printed more than 64 KiB.
        UnavailableError: It did not end in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True, env=environment
        )
    except (OSError, ValueError) as exc:
        # ValueError: a null byte. Its text can hold an argument.
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        raise ConfigurationError(f"{name} cannot be started: {reason}") from None
    try:
        async with asyncio.timeout(timeout):
            output = await _output(process, name)
            return await process.wait(), output
    except TimeoutError:
        raise UnavailableError(f"{name} did not end within {timeout:g} s") from None
    finally:
        await _end(process)


def command_of(value: Any) -> list[str]:
    """
    Return a program and its arguments, given as text or as a list; none if it is neither.
    """
    try:
        return shlex.split(value) if isinstance(value, str) else [os.fspath(item) for item in value or ()]
    except (TypeError, ValueError):
        return []


async def _output(process: Process, name: str) -> bytes:
    assert process.stdout is not None
    parts, size = [], 0
    while chunk := await process.stdout.read(MAX_OUTPUT + 1 - size):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_OUTPUT:
            raise UnauthenticatedError(f"{name} printed more than {MAX_OUTPUT} bytes")
    return b"".join(parts)


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    # All that it started, too: they have a session of their own.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with anyio.move_on_after(5, shield=True):
        await process.wait()
