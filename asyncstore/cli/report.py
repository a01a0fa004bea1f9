"""
Lists of names: what to transfer, from a file, and what failed, into one that a second run takes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from asyncstore.cli.places import LocalPlace, Place, RemotePlace, remote
from asyncstore.errors import ConfigurationError, InvalidURIError

# Outcomes in the records of an earlier run that a second one takes up.
_UNDONE = ("failed", "planned")


@dataclass(frozen=True, kw_only=True)
class Report:
    """
    Where failures are written.
    """

    failures: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the items that fail, as JSON lines that --from-file takes."),
    ] = None

    def check(self) -> None:
        """
        Refuse a file that cannot be written, before anything is done.

        Raises:
            ConfigurationError: Its directory does not exist or is not writable, or it is a directory.
        """
        if self.failures is not None:
            folder = self.failures.parent
            if self.failures.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
                raise ConfigurationError(f"--failures: cannot write {self.failures}")

    def write(self, records: Sequence[dict[str, Any]]) -> None:
        """
        Write the records of failed items, also if there are none.
        """
        if self.failures is None:
            return
        text = "".join(f"{json.dumps(record)}\n" for record in records)
        new = self.failures.with_name(f"{self.failures.name}.{os.getpid()}.tmp")
        try:
            new.write_text(text, "ascii")
            new.replace(self.failures)
        except OSError as exc:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise ConfigurationError(f"--failures: cannot write {self.failures}: {exc.strerror}") from None


def read_names(file: Path, trees: Sequence[Place]) -> list[str]:
    """
    Return the names in a file: one a line, or those of the records of an earlier run.

    Records are JSON, as ``--failures`` and ``--json`` write them: the items that failed or were planned. Their sources
    must be below one of *trees*.

    Raises:
        ConfigurationError: The file cannot be read, or a record is of something else.
    """
    lines = enumerate(read_lines(file, "--from-file: "), 1)
    return [_name(line, number, file, trees) for number, line in lines if _is_item(line)]


def read_lines(file: Path, told: str = "") -> Iterator[str]:
    """
    Yield the lines of a file, or of standard input, which is ``-``.

    Args:
        told: What errors begin with.

    Raises:
        ConfigurationError: The file cannot be read, or is not UTF-8.
    """
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        # Some editors write a byte order mark.
        yield from text.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except OSError as exc:
        raise ConfigurationError(f"{told}cannot read {file}: {exc.strerror}") from None
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{told}{file} is not UTF-8: {exc.reason} at byte {exc.start}") from None


def _is_item(line: str) -> bool:
    record = _record(line)
    return bool(line.strip()) if record is None else record["type"] == "item" and record.get("status") in _UNDONE


def _record(line: str) -> dict[str, Any] | None:
    if line.startswith("{"):
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("type"), str):
                return record
    return None


def _name(line: str, number: int, file: Path, trees: Sequence[Place]) -> str:
    record = _record(line)
    if record is None:
        return line
    source = str(record.get("source"))
    for tree in trees:
        if (name := _below(source, tree)) is not None:
            # A directory that could not be read, with everything below it.
            return f"{name}/" if isinstance(tree, LocalPlace) and (tree.path / name).is_dir() else name
    below = " or ".join(map(str, trees))
    raise ConfigurationError(f"--from-file: line {number} of {file} is of {source!r}, which is not below {below}")


def _below(source: str, tree: Place) -> str | None:
    if isinstance(tree, LocalPlace):
        if "://" in source:
            return None
        path, root = Path(source), tree.path
        if not path.is_relative_to(root):
            path, root = path.absolute(), root.absolute()
        return path.relative_to(root).as_posix() if path.is_relative_to(root) and path != root else None
    if isinstance(tree, RemotePlace) and "://" in source:
        with suppress(InvalidURIError):
            uri = remote(source).uri
            same = (uri.provider, uri.bucket) == (tree.uri.provider, tree.uri.bucket)
            if same and uri.key.startswith(tree.folder.key) and uri.key != tree.folder.key:
                return uri.key[len(tree.folder.key) :]
    return None
