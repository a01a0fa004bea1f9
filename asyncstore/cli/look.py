"""
``asyncstore cat``, ``stat`` and ``presign``: one object at a time.
"""

from __future__ import annotations

import re
from datetime import timedelta
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
        typer.Option("--range", metavar="START:END", help="Only these bytes; END is exclusive, -N: is the last N."),
    ] = None,
) -> None:
    """
    Write an object to standard output, as it is.
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
    Show what is stored with an object.
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


@expanded
def presign(
    uri: Annotated[str, typer.Argument(help="An object.")],
    connection: Connection,
    output: Output,
    expires: Annotated[str, typer.Option(metavar="TIME", help="From now on: 15m, 1h, 7d, or seconds.")] = "1h",
    method: Annotated[str, typer.Option(help="What the URL allows.")] = "GET",
) -> None:
    """
    Make a URL that lets whoever holds it read (or write) the object until it expires. Treat it as a secret.
    """

    async def work() -> int:
        target = object_uri(uri)
        async with connection.open(target) as storage:
            url = await storage.presign(target, method=method.upper(), expires=parse_duration(expires))
        output.record({"type": "url", "uri": str(target), "method": method.upper(), "url": url})
        output.line(url)
        return OK

    run(output, work)


def parse_range(text: str) -> ByteRange:
    """
    Read ``0:100`` (the end is exclusive), ``100:``, or ``-5:`` for the last five bytes.

    Raises:
        ConfigurationError: *text* is none of these.
    """
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError("it has no colon")
        return ByteRange(int(start or 0), int(end) if end else None)
    except ValueError as exc:
        raise ConfigurationError(f"--range takes START:END, such as 0:100, not {text!r}: {exc}") from None


def parse_duration(text: str) -> timedelta:
    """
    Read ``15m``, ``1h``, ``7d`` or a number of seconds.

    Raises:
        ConfigurationError: *text* is none of these.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ConfigurationError(f"{text!r} is no time: write 15m, 1h, 7d or a number of seconds")
    return timedelta(seconds=int(match.group(1)) * _SECONDS[match.group(2)])


def _record(info: Metadata) -> dict[str, Any]:
    return {
        **object_record(info),
        **{name: getattr(info, name) for name in _HEADERS},
        "metadata": dict(info.metadata),
        "checksums": [str(checksum) for checksum in info.checksums],
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
    }
    return [(name, value) for name, value in rows.items() if value]
