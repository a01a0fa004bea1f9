"""
Runs a command's coroutine: reports errors in one line, waits for clean-up when interrupted, sets the exit code.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self, TextIO

import typer

from asyncstore.cli.output import Output, error_record, one_line, write_error
from asyncstore.errors import (
    ConfigurationError,
    DeadlineExceededError,
    InvalidURIError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    StorageError,
    UnauthenticatedError,
    UnavailableError,
)

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
DENIED: Final = 4
UNAVAILABLE: Final = 5

#: Seconds that clean-up after an interruption may take; slightly more than the engine's own limit.
CLEANUP_LIMIT: Final = 12.0

_CLEAN: Final = "cleaned up, nothing half-written"

_WORDS: Final[Mapping[int, str]] = {signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}

_CODES: Final[tuple[tuple[tuple[type[StorageError], ...], int], ...]] = (
    ((InvalidURIError, ConfigurationError, NotSupportedError), USAGE),
    ((NotFoundError,), NOT_FOUND),
    ((PermissionDeniedError, UnauthenticatedError), DENIED),
    ((UnavailableError, DeadlineExceededError), UNAVAILABLE),
)


def exit_code(error: BaseException) -> int:
    """
    Return the exit code for *error*.
    """
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), FAILED)


@dataclass(frozen=True)
class Work:
    """
    What a command does, see :func:`run`.
    """

    do: Callable[[], Awaitable[int]]
    kept: bool


_COLLECTED: Final[ContextVar[list[Work] | None]] = ContextVar("_COLLECTED", default=None)


@contextmanager
def collected() -> Iterator[list[Work]]:
    """
    Collect what commands do, instead of running it, within the block.
    """
    works: list[Work] = []
    token = _COLLECTED.set(works)
    try:
        yield works
    finally:
        _COLLECTED.reset(token)


def is_batch() -> bool:
    """
    Return whether a command is one of a batch, so that it can ask nobody.
    """
    return _COLLECTED.get() is not None


def run(output: Output, work: Callable[[], Awaitable[int]], *, kept: bool = False) -> NoReturn:
    """
    Run *work*, report its error if it fails, and exit with its code.

    Args:
        kept: Whether an interruption leaves what another run takes up.
    """
    works = _COLLECTED.get()
    if works is not None:
        works.append(Work(work, kept))
        raise typer.Exit(OK)
    with Interruption(output, kept=kept) as interruption:
        code = _run(output, work, interruption)
    raise typer.Exit(code)


def _run(output: Output, work: Callable[[], Awaitable[int]], interruption: Interruption) -> int:
    async def supervised() -> int:
        interruption.watch()
        return await work()

    try:
        return asyncio.run(supervised())
    except (asyncio.CancelledError, KeyboardInterrupt):
        _trace(output)
        return interruption.report()
    except BrokenPipeError:
        _silence(sys.stdout)
        return 128 + signal.SIGPIPE
    except Exception as exc:  # noqa: BLE001 - the last resort of a program: one line and an exit code
        return reported(output, exc)


def reported(output: Output, error: Exception) -> int:
    """
    Report the error that a command failed with, and return the exit code.
    """
    _trace(output)
    line, code = one_line(error), exit_code(error)
    if not isinstance(error, StorageError | OSError):
        hint = "" if output.debug else "; --debug shows where"
        line = f"unexpected {type(error).__name__}: {line}{hint}"
    if output.json_:
        output.record(error_record(error, code))
    output.complain(line)
    return code


def _trace(output: Output) -> None:
    if output.debug:
        traceback.print_exc(file=sys.stderr)


@contextmanager
def quietly() -> Iterator[None]:
    """
    Flush the output of the block, whichever way it ends; exit without the interpreter's own message if that fails.

    A program that leaves it to the interpreter exits with 120. A stream that is closed from the start discards what is
    written.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - open until the process ends
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of stdout has closed it, as `head` does.
        _silence(sys.stdout)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as exc:
        _silence(sys.stdout)
        write_error(f"asyncstore: cannot write to standard output: {exc.strerror}")
        sys.exit(FAILED)
    finally:
        # The terminal may be gone.
        try:
            sys.stderr.flush()
        except OSError:
            _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    # The interpreter flushes it again when it exits.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Interruption:
    """
    Handles SIGINT, SIGTERM and SIGHUP: the first one cancels the command and waits for its clean-up.

    Further signals are ignored, so that an impatient user leaves no incomplete object
    behind. After :data:`CLEANUP_LIMIT` seconds the process ends anyway.
    """

    def __init__(self, output: Output, *, kept: bool = False) -> None:
        self._output = output
        self._kept = kept
        self._number = 0
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._timer = threading.Timer(CLEANUP_LIMIT, self._give_up)
        self._timer.daemon = True
        self._problems = _Problems()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _signals():
                self._previous[number] = signal.signal(number, self._interrupt)
        logging.getLogger("asyncstore").addHandler(self._problems)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        logging.getLogger("asyncstore").removeHandler(self._problems)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def watch(self) -> None:
        """
        Cancel the current task when a signal arrives.
        """
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if self._number:
            self._cancel()

    def report(self) -> int:
        """
        Report how the clean-up went, and return the exit code.
        """
        end = "what was transferred is kept; run the same command again" if self._kept else _CLEAN
        if self._problems.lines:
            end = "; ".join(self._problems.lines)
        self._output.complain(f"{self._word()}: {end}", prefix=False)
        return 128 + (self._number or signal.SIGINT)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._number:
            return
        self._number = number
        self._timer.start()
        if self._task is not None:
            self._cancel()

    def _cancel(self) -> None:
        assert self._loop is not None
        assert self._task is not None
        # Through the loop, since the signal handler does not wake it up.
        self._loop.call_soon_threadsafe(self._task.cancel)

    def _word(self) -> str:
        return _WORDS.get(self._number, "interrupted")

    def _give_up(self) -> None:
        with suppress(OSError):
            os.write(2, f"{self._word()}: the clean-up did not finish within {CLEANUP_LIMIT:.0f} s\n".encode())
        os._exit(128 + self._number)


def _signals() -> Iterator[signal.Signals]:
    yield from (signal.SIGINT, signal.SIGTERM)
    # nohup ignores it, so that the command outlives its terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


class _Problems(logging.Handler):
    """Collects the library's warnings during clean-up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
