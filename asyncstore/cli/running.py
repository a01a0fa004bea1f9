"""
From a coroutine to an exit code: errors in one line, interruptions that wait for the clean-up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self

import typer

from asyncstore.cli.output import Output, error_record, one_line
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

#: Seconds that cleaning up after an interruption may take; a little more than the engine allows itself.
CLEANUP_LIMIT: Final = 12.0

_CODES: Final[tuple[tuple[tuple[type[StorageError], ...], int], ...]] = (
    ((InvalidURIError, ConfigurationError, NotSupportedError), USAGE),
    ((NotFoundError,), NOT_FOUND),
    ((PermissionDeniedError, UnauthenticatedError), DENIED),
    ((UnavailableError, DeadlineExceededError), UNAVAILABLE),
)


def exit_code(error: BaseException) -> int:
    """
    Return the code that tells a script what *error* was.
    """
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), FAILED)


def run(output: Output, work: Callable[[], Awaitable[int]]) -> NoReturn:
    """
    Run *work* to its end, say what went wrong, and exit with its code.
    """
    with Interruption(output) as interruption:
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
        # Whoever reads our output has enough.
        _silence_stdout()
        return 128 + signal.SIGPIPE
    except StorageError as exc:
        _trace(output)
        return _tell(output, exc, one_line(exc))
    except OSError as exc:
        _trace(output)
        return _tell(output, exc, one_line(exc))
    except Exception as exc:  # noqa: BLE001 - a program's last line of defence: one line and a code
        _trace(output)
        hint = "" if output.debug else "; --debug shows where"
        return _tell(output, exc, f"unexpected {type(exc).__name__}: {one_line(exc)}{hint}")


def _tell(output: Output, error: Exception, line: str) -> int:
    code = exit_code(error)
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
    Keep the interpreter's own words about a closed pipe off the terminal.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        sys.exit(128 + signal.SIGPIPE)


def _silence_stdout() -> None:
    # The interpreter flushes it once more on its way out.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Interruption:
    """
    Ctrl-C or a termination: the first cancels what runs, and its clean-up is waited for.

    Further ones change nothing, so that an impatient user leaves no half-written
    object behind. After :data:`CLEANUP_LIMIT` seconds the process ends all the same.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._number = 0
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._timer = threading.Timer(CLEANUP_LIMIT, self._give_up)
        self._timer.daemon = True
        self._problems = _Problems()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
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
        Cancel the current task when the signal comes.
        """
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if self._number:
            self._cancel()

    def report(self) -> int:
        """
        Say how the clean-up went, and return the exit code.
        """
        end = "cleaned up, nothing half-written"
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
        # Called through the loop, which sleeps until something wakes it.
        self._loop.call_soon_threadsafe(self._task.cancel)

    def _word(self) -> str:
        return "terminated" if self._number == signal.SIGTERM else "interrupted"

    def _give_up(self) -> None:
        os.write(2, f"{self._word()}: the clean-up did not end within {CLEANUP_LIMIT:.0f} s\n".encode())
        os._exit(128 + self._number)


class _Problems(logging.Handler):
    """What the library warns of while it cleans up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
