"""
``asyncstore cat`` and ``stat``: one object at a time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from asyncstore.cli.groups import expanded
from asyncstore.cli.output import Output, human, moment, object_record
from asyncstore.cli.places import object_uri
from asyncstore.cli.running import OK, run
from asyncstore.cli.settings import Connection
from asyncstore.cli.standard import write_output
from asyncstore.errors import ConfigurationError
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.types import Metadata

_HEADERS: Final = ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control")
_DURATION = re.compile(r"(\d+)([smhd]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@expanded
def cat(
    uri: Annotated[str, typer.Argument(help="An object.")],
    connection: Connection,
    output: Output,
    range_: Annotated[
        str | None,
        typer.Option("--range", metavar="START:END", help="Only these bytes; END is exclusive, -N: means the last N."),
    ] = None,
) -> None:
    """
    Write an object to standard output, unchanged.
    """

    async def work() -> int:
        source = object_uri(uri)
        options = ReadOptions(range=parse_range(range_) if range_ else None)
        async with connection.open(source) as storage, storage.get(source, options=options) as stream:
            await write_output(stream)
        return OK

    run(output, work)


@expanded
def stat(
    uri: Annotated[str, typer.Argument(help="An object.")],
    connection: Connection,
    output: Output,
) -> None:
    """
    Show the metadata of an object.
    """

    async def work() -> int:
        target = object_uri(uri)
        async with connection.open(target) as storage:
            info = await storage.stat(target)
        output.record(_record(info))
        for name, value in _rows(info):
            output.line(f"{name:20} {value}")
        return OK

    run(output, work)


def parse_range(text: str) -> ByteRange:
    """
    Parse ``0:100`` (the end is exclusive), ``100:``, or ``-5:`` for the last five bytes.

    Raises:
        ConfigurationError: *text* is not a range.
    """
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError("the colon is missing")
        return ByteRange(int(start or 0), int(end) if end else None)
    except ValueError as exc:
        raise ConfigurationError(f"--range takes START:END, such as 0:100, not {text!r}: {exc}") from None


def parse_duration(text: str) -> timedelta:
    """
    Parse ``15m``, ``1h``, ``7d`` or a number of seconds.

    Raises:
        ConfigurationError: *text* is not a duration.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ConfigurationError(f"{text!r} is not a duration: write 15m, 1h, 7d or a number of seconds")
    return timedelta(seconds=int(match.group(1)) * _SECONDS[match.group(2)])


def parse_moment(option: str, text: str) -> datetime:
    """
    Parse a date or time of ISO 8601, in the time zone of this machine unless it names one, or a duration from now.

    Raises:
        ConfigurationError: *text* is neither.
    """
    if _DURATION.fullmatch(text.strip().lower()):
        return datetime.now(UTC).replace(microsecond=0) + parse_duration(text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise ConfigurationError(
            f"{option} takes a time, such as 2030-01-31 or 2030-01-31T12:00Z, or a duration, such as 30d, not {text!r}"
        ) from None


def _record(info: Metadata) -> dict[str, Any]:
    kept = info.retention
    return {
        **object_record(info),
        **{name: getattr(info, name) for name in _HEADERS},
        "metadata": dict(info.metadata),
        "checksums": [str(checksum) for checksum in info.checksums],
        "retention": kept and {"until": moment(kept.until), "mode": kept.mode},
        "legal_hold": info.legal_hold,
    }


def _rows(info: Metadata) -> list[tuple[str, str]]:
    rows = {
        "uri": str(info.uri),
        "size": f"{info.size} ({human(info.size)})" if info.size >= 1024 else str(info.size),
        "etag": info.etag,
        "last_modified": moment(info.last_modified),
        "storage_class": info.storage_class,
        "version_id": info.version_id,
        **{name: getattr(info, name) for name in _HEADERS},
        **{f"metadata {name}": value for name, value in info.metadata.items()},
        "checksums": ", ".join(map(str, info.checksums)),
        "retention": info.retention and f"{info.retention.mode}, until {moment(info.retention.until)}",
        "legal_hold": "on" if info.legal_hold else "",
    }
    return [(name, value) for name, value in rows.items() if value]
