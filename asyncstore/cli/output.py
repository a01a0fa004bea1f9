"""
The output of commands: JSON records and results on stdout, notes and errors on stderr.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

_PANEL: Final = "Output"
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgtp])(i?b)?|b)?\s*", re.IGNORECASE)
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True, kw_only=True)
class Output:
    """
    Options that control the output.
    """

    json_: Annotated[
        bool, typer.Option("--json", help="Write one JSON object per line to stdout.", rich_help_panel=_PANEL)
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only errors, no progress.", rich_help_panel=_PANEL)
    ] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=_PANEL)] = (
        False
    )

    def record(self, record: dict[str, Any]) -> None:
        """
        Write one JSON object, with ``--json``.
        """
        if (line := _LINE.get()) is not None:
            line.keep(record)
        elif self.json_:
            # Non-ASCII text is escaped, since a lone surrogate cannot be written.
            sys.stdout.write(json.dumps(record) + "\n")

    def line(self, text: str) -> None:
        """
        Write one line of the result to stdout, unless with ``--json``.
        """
        if not self._current.json_:
            sys.stdout.write(printable(text) + "\n")

    def note(self, text: str) -> None:
        """
        Write one line of information to stderr, unless with ``--quiet`` or ``--json``.
        """
        if not self._current.quiet and not self._current.json_:
            write_error(self._current.label + text)

    def complain(self, text: str, *, prefix: bool = True) -> None:
        """
        Write one error line to stderr.
        """
        write_error(f"asyncstore: {self._current.label}{text}" if prefix else text)

    @property
    def live(self) -> bool:
        """Whether to show a live progress display."""
        return _LINE.get() is None and not self.quiet and not self.json_ and sys.stderr.isatty()

    @property
    def label(self) -> str:
        """What each line on stderr begins with."""
        return ""

    @property
    def _current(self) -> Output:
        return _LINE.get() or self


@dataclass(frozen=True, kw_only=True)
class Line(Output):
    """
    The output of one command of a batch, whichever the command itself asks for: its records are kept.
    """

    number: int
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"line {self.number}: "

    def keep(self, record: dict[str, Any]) -> None:
        """
        Keep what tells the outcome: the summary, and the failures.
        """
        if record["type"] in ("summary", "error") or record.get("status") == "failed":
            self.records.append(record)

    @contextmanager
    def active(self) -> Iterator[None]:
        """
        Take all output within the block.
        """
        token = _LINE.set(self)
        try:
            yield
        finally:
            _LINE.reset(token)


_LINE: Final[ContextVar[Line | None]] = ContextVar("_LINE", default=None)


def printable(text: str) -> str:
    """
    Return *text* with control characters and lone surrogates escaped.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def write_error(text: str) -> None:
    """
    Write one line to stderr, if it can be written: a terminal may be gone, and the exit code still tells.
    """
    with suppress(OSError):
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


def one_line(error: BaseException) -> str:
    """
    Return the message of *error*, with its notes, in one line.
    """
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    text = str(error) or type(error).__name__
    return " ".join(f"{text} ({'; '.join(notes)})".split()) if notes else " ".join(text.split())


def human(size: float) -> str:
    """
    Return a size in bytes in readable form: ``1.5 MiB``.
    """
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return _with_unit(size, _UNITS[unit])


def _with_unit(size: float, unit: str) -> str:
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """
    Return *count* with its noun: ``1 object``, ``2 objects``.
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def parse_size(text: str) -> int:
    """
    Parse a size in bytes: ``16MiB``, ``16M`` (both binary), ``16MB`` (decimal), ``4096``.

    Raises:
        ConfigurationError: *text* is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is not a size: write 16MiB, 64MB or a number of bytes")
    number, letter, rest = match.groups()
    base = 1000 if rest is not None and rest.lower() == "b" else 1024
    return int(float(number) * base ** (" kmgtp".index(letter.lower()) if letter else 0))


def parse_rates(text: str) -> dict[str, float]:
    """
    Parse ceilings of bytes a second: one for each way, or ``UP:DOWN``, one of which can be ``off``.

    Raises:
        ConfigurationError: *text* is neither, or a rate is 0.
    """
    up, colon, down = text.partition(":")
    found = {}
    for way, part in (("upload", up), ("download", down if colon else up)):
        rate = part.strip().removesuffix("/s")
        try:
            if rate.lower() == "off":
                continue
            found[way] = float(parse_size(rate))
            if not found[way]:
                raise ConfigurationError("it is 0")
        except ConfigurationError:
            raise ConfigurationError(
                f"--limit-rate takes bytes a second, such as 50MB/s, or UP:DOWN, such as 10MB/s:off, not {text!r}"
            ) from None
    return found


def moment(when: datetime | None) -> str | None:
    """
    Return *when* in ISO 8601, UTC.
    """
    return when.isoformat().replace("+00:00", "Z") if when else None


def object_record(info: ObjectInfo) -> dict[str, Any]:
    """
    Return the record of one entry of a listing.
    """
    if info.is_prefix:
        return {"type": "prefix", "uri": str(info.uri), "key": info.key}
    return {
        "type": "object",
        "uri": str(info.uri),
        "key": info.key,
        "size": info.size,
        "etag": info.etag,
        "last_modified": moment(info.last_modified),
        "storage_class": info.storage_class,
        "version_id": info.version_id,
    }


def item_record(
    status: str,
    source: Path | ObjectURI | str,
    target: Path | ObjectURI | str | None,
    size: int | None = None,
    error: StorageError | None = None,
) -> dict[str, Any]:
    """
    Return the record of one item's outcome.
    """
    return {
        "type": "item",
        "status": status,
        "source": str(source),
        "target": None if target is None else str(target),
        "bytes": size,
        "error": None if error is None else _facts(error),
    }


def error_record(error: Exception, code: int) -> dict[str, Any]:
    """
    Return the record that ends a command that failed as a whole.
    """
    return {"type": "error", "exit_code": code, "error": _facts(error)}


def _facts(error: Exception) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": type(error).__name__, "message": one_line(error)}
    for name in ("code", "status", "request_id", "provider", "uri"):
        facts[name] = getattr(error, name, None)
    return facts
