"""
What a command says: records for programs on stdout, lines for people, complaints on stderr.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.types import ItemOutcome, ObjectInfo
from asyncstore.uri import ObjectURI

_PANEL: Final = "Output"
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgtp])(i?b)?|b)?\s*", re.IGNORECASE)
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True, kw_only=True)
class Output:
    """
    The options that say what is shown.
    """

    json_: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, on stdout.", rich_help_panel=_PANEL)
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors; no progress.", rich_help_panel=_PANEL)] = (
        False
    )
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.", rich_help_panel=_PANEL)] = (
        False
    )

    def record(self, record: dict[str, Any]) -> None:
        """
        Write one JSON object, if JSON was asked for.
        """
        if self.json_:
            # Without escapes a lone surrogate could not be written.
            sys.stdout.write(json.dumps(record) + "\n")

    def line(self, text: str) -> None:
        """
        Write one line that was asked for to stdout, unless JSON was.
        """
        if not self.json_:
            sys.stdout.write(printable(text) + "\n")

    def note(self, text: str) -> None:
        """
        Write one line beside the result to stderr, unless it should be quiet.
        """
        if not self.quiet and not self.json_:
            sys.stderr.write(printable(text) + "\n")

    def complain(self, text: str, *, prefix: bool = True) -> None:
        """
        Write one line about something wrong to stderr.
        """
        sys.stderr.write(printable(f"asyncstore: {text}" if prefix else text) + "\n")
        sys.stderr.flush()

    @property
    def live(self) -> bool:
        """Whether a progress display has a place to be."""
        return not self.quiet and not self.json_ and sys.stderr.isatty()


def printable(text: str) -> str:
    """
    Return *text* with what could steer a terminal, or is no text, escaped.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def one_line(error: BaseException) -> str:
    """
    Return what *error* says, with its notes, in one line.
    """
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    text = str(error) or type(error).__name__
    return " ".join(f"{text} ({'; '.join(notes)})".split()) if notes else " ".join(text.split())


def human(size: float) -> str:
    """
    Return *size* bytes as people read it: ``1.5 MiB``.
    """
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return _said(size, _UNITS[unit])


def _said(size: float, unit: str) -> str:
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """
    Return *count* with its noun: ``1 object``, ``2 objects``.
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def parse_size(text: str) -> int:
    """
    Read a number of bytes: ``16MiB``, ``16M`` (both binary), ``16MB`` (decimal), ``4096``.

    Raises:
        ConfigurationError: *text* is none.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no size: write 16MiB, 64MB or a number of bytes")
    number, letter, rest = match.groups()
    base = 1000 if rest is not None and rest.lower() == "b" else 1024
    return int(float(number) * base ** (" kmgtp".index(letter.lower()) if letter else 0))


def moment(when: datetime | None) -> str | None:
    """
    Return *when* as in ISO 8601, UTC.
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


def outcome_record(outcome: ItemOutcome) -> dict[str, Any]:
    """
    Return the record of an outcome that the engine reports.
    """
    size = outcome.info.size if outcome.info else None
    return item_record(outcome.status, outcome.source, outcome.target, size, outcome.error)


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
