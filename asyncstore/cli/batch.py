"""
``asyncstore run``: a batch of commands, one a line.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from typer.main import get_command

from asyncstore._support.redact import redact
from asyncstore.cli.cp import cp
from asyncstore.cli.groups import expanded
from asyncstore.cli.mv import mv
from asyncstore.cli.output import Line, Output
from asyncstore.cli.report import read_lines
from asyncstore.cli.rm import rm
from asyncstore.cli.running import FAILED, OK, Work, collected, reported, run
from asyncstore.cli.settings import SharedStorages
from asyncstore.cli.sync import sync
from asyncstore.engine.task_pool import for_each
from asyncstore.errors import ConfigurationError, StorageError

# Malformed lines that are shown one by one.
_TOLD: Final = 20

# Options whose values can be secrets.
_SETTINGS: Final = ("--set", "--setting", "--source-set")

# What only one command can read or write.
_STANDARD: Final = ("-", "--from-file=-")

_COUNTS: Final = ("done", "skipped", "failed", "bytes")

# Typer does not export it.
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])


@expanded
def batch(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Commands, one a line; - for standard input.")],
    output: Output,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Most commands at a time.")] = 16,
    stop_on_error: Annotated[
        bool, typer.Option("--stop-on-error", help="Begin no more commands once one has failed.")
    ] = False,
) -> None:
    """
    Run the commands in a file: cp, mv, rm and sync with their options, as on the command line but without asyncstore.

    Commands run at the same time and in no order, unless --jobs is 1. Words are quoted as in a shell, and nothing in
    them is expanded; empty lines and those that start with # are ignored. If a line is malformed, nothing is run.
    """
    try:
        commands = _read(file)
    except StorageError as exc:
        raise typer.Exit(reported(output, exc)) from None
    batch = _Batch(commands, output, stop_on_error=stop_on_error)
    run(output, lambda: batch.run(jobs), kept=any(command.work.kept for command in commands))


@cache
def _commands() -> Mapping[str, Any]:
    app = typer.Typer(add_completion=False)
    for command in (cp, mv, rm, sync):
        app.command()(command)
    # Typer does not say what is a group.
    commands: dict[str, Any] = cast("Any", get_command(app)).commands
    return commands


@dataclass(frozen=True)
class _Command:
    number: int
    text: str
    work: Work


def _read(file: Path) -> list[_Command]:
    """
    Return the commands in *file*.

    Raises:
        ConfigurationError: The file cannot be read, or lines of it are malformed.
    """
    commands, problems = [], []
    for number, text in enumerate(read_lines(file), 1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        try:
            commands.append(_parsed(number, text))
        except StorageError as exc:
            problems.append(f"line {number}: {exc.message}")
    if problems:
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise ConfigurationError(f"nothing was run: {'; '.join(problems[:_TOLD])}{more}")
    return commands


def _parsed(number: int, text: str) -> _Command:
    try:
        name, *words = shlex.split(text)
    except ValueError as exc:
        # The text is not shown: without its words, nothing tells which of them are secrets.
        raise ConfigurationError(f"the quoting is wrong: {exc}") from None
    command = _commands().get(name)
    if command is None:
        raise ConfigurationError(f"{name!r} is not one of the commands of a batch: {', '.join(_commands())}")
    if standard := next((word for word in words if word in _STANDARD), None):
        raise ConfigurationError(f"{name} {standard}: the commands of a batch have no standard input and output")
    shown = shlex.join([name, *_masked(words)])
    with collected() as works:
        try:
            command.main(words, prog_name=f"asyncstore {name}", standalone_mode=False)
        except _UsageError as exc:
            raise ConfigurationError(f"{redact(shown)}: {redact(exc.format_message())}") from None
    if len(works) != 1:
        raise ConfigurationError(f"{redact(shown)}: shows something and does nothing")
    return _Command(number, redact(shown), works[0])


def _masked(words: Sequence[str]) -> Iterator[str]:
    """
    Yield *words* without the values of settings.
    """
    is_setting = False
    for word in words:
        option, equals, value = word.partition("=")
        if is_setting:
            yield f"{option}=***" if equals else "***"
        elif equals and option in _SETTINGS:
            name, _, _ = value.partition("=")
            yield f"{option}={name}=***"
        else:
            yield word
        is_setting = word in _SETTINGS and not is_setting


class _Batch:
    def __init__(self, commands: Sequence[_Command], output: Output, *, stop_on_error: bool) -> None:
        self._commands = commands
        self._output = output
        self._stop_on_error = stop_on_error
        self._codes: list[int] = []

    async def run(self, jobs: int) -> int:
        """
        Run the commands, at most *jobs* at a time, and return the exit code.
        """
        async with SharedStorages():
            await for_each(self._wanted(), self._run, max_concurrency=jobs)
        for command in self._commands[len(self._codes) :]:
            self._output.record(_record(command, "not_run", None, []))
        return self._close()

    def _wanted(self) -> Iterator[_Command]:
        for command in self._commands:
            if self._stop_on_error and any(self._codes):
                return
            yield command

    async def _run(self, command: _Command) -> None:
        line = Line(number=command.number, json_=self._output.json_, quiet=self._output.quiet, debug=self._output.debug)
        with line.active():
            try:
                code = await command.work.do()
            except BrokenPipeError:
                raise
            except Exception as exc:  # noqa: BLE001 - the others go on
                code = reported(line, exc)
        self._codes.append(code)
        self._output.record(_record(command, "failed" if code else "done", code, line.records))
        if code:
            self._output.complain(f"line {command.number} failed with exit code {code}: {command.text}")

    def _close(self) -> int:
        codes = [code for code in self._codes if code]
        counts = {
            "done": len(self._codes) - len(codes),
            "failed": len(codes),
            "not_run": len(self._commands) - len(self._codes),
        }
        self._output.record({"type": "summary", "command": "run", **counts})
        told = [f"{count} {word.replace('_', ' ')}" for word, count in counts.items() if count or word == "done"]
        self._output.note(f"run: {', '.join(told)}")
        if not codes:
            return OK
        # As of the items of one command.
        return codes[0] if len(set(codes)) == 1 and not counts["done"] else FAILED


def _record(command: _Command, status: str, code: int | None, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    summary = next((record for record in records if record["type"] == "summary"), {})
    error = next((record["error"] for record in records if record.get("error")), None)
    return {
        "type": "line",
        "line": command.number,
        "command": command.text,
        "status": status,
        "exit_code": code,
        **{name: summary.get(name) for name in _COUNTS},
        "error": error,
    }
