"""
Programs that give credentials: run without a shell, for a limited time, with a bounded output.
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

#: Bytes of the longest document.
MAX_OUTPUT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """
    What came of a program. It never shows in ``repr`` what it wrote: that can be secret.

    Attributes:
        code: How it ended; negative for a signal.
        output: All that it printed.
        errors: What it wrote to stderr, if that was asked for; no more than 64 KiB.
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
) -> Ended:
    """
    Run a program to its end. Whoever is cancelled, or waits too long, kills it and all that it started.

    Args:
        name: What it is, for messages.
        timeout: Seconds.
        environment: Variables besides those of this process.
        directory: Where it runs.
        errors: Whether to keep what it writes to stderr; it is thrown away otherwise.

    Raises:
        ConfigurationError: It cannot be started.
        UnauthenticatedError: It printed more than 64 KiB.
        UnavailableError: It did not end in time.
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
            return await _ended(process, name)
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


async def _ended(process: Process, name: str) -> Ended:
    written = bytearray()

    async def listen(stream: StreamReader) -> None:
        # Read to the end, or the program waits for somebody to do so.
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
    return Ended(await process.wait(), bytes(output), bytes(written))


async def _end(process: Process) -> None:
    # What it has started can outlive it, with our pipe in its hands.
    if process.returncode is not None and all(pipe.at_eof() for pipe in (process.stdout, process.stderr) if pipe):
        return
    # They all have a session of their own.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # Nobody reads the pipes any more, and as long as one is open there is no end to wait for.
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]
    for fd in (1, 2):
        if (pipe := transport.get_pipe_transport(fd)) is not None:
            pipe.close()
    with anyio.move_on_after(5, shield=True):
        await process.wait()
