"""
``asyncstore ls``.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Any

import typer

from asyncstore.cli.groups import expanded
from asyncstore.cli.output import Output, counted, human, object_record
from asyncstore.cli.places import remote
from asyncstore.cli.running import NOT_FOUND, OK, run
from asyncstore.cli.settings import Connection
from asyncstore.options import ListOptions
from asyncstore.storage.trees import listed
from asyncstore.types import ObjectInfo


@expanded
def ls(
    uri: Annotated[str, typer.Argument(help="A bucket or a prefix.")],
    connection: Connection,
    output: Output,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="List all objects, instead of one level with its common prefixes.")
    ] = False,
    long: Annotated[bool, typer.Option("--long", "-l", help="Show size, time and storage class.")] = False,
) -> None:
    """
    List objects, in byte order of their keys.

    The prefix is text, not a directory: s3://bucket/logs also lists logs-old/, s3://bucket/logs/ does not. Names
    are shown relative to the last slash of the prefix; --json shows whole keys.
    """

    async def work() -> int:
        place = remote(uri)
        prefix = place.prefix
        options = ListOptions(delimiter=None if recursive else "/")
        shown = prefix.key.rpartition("/")[0]
        cut = len(shown) + 1 if shown else 0
        sums = _Sums()
        async with (
            connection.open(prefix, folder=place.slash) as storage,
            aclosing(listed(storage, prefix, options)) as entries,
        ):
            async for info in entries:
                sums.add(info)
                output.record(object_record(info))
                output.line(_long(info, info.key[cut:]) if long else info.key[cut:])
        output.record(sums.record())
        output.note(sums.sentence())
        return NOT_FOUND if prefix.key and not sums.objects and not sums.prefixes else OK

    run(output, work)


def _long(info: ObjectInfo, name: str) -> str:
    if info.is_prefix:
        return f"{'':>10}  {'':19}  {name}"
    when = info.last_modified.strftime("%Y-%m-%d %H:%M:%S") if info.last_modified else ""
    storage_class = f"  {info.storage_class}" if info.storage_class else ""
    return f"{human(info.size):>10}  {when:19}  {name}{storage_class}"


class _Sums:
    def __init__(self) -> None:
        self.objects = 0
        self.prefixes = 0
        self.size = 0

    def add(self, info: ObjectInfo) -> None:
        if info.is_prefix:
            self.prefixes += 1
        else:
            self.objects += 1
            self.size += info.size

    def record(self) -> dict[str, Any]:
        return {
            "type": "summary",
            "command": "ls",
            "objects": self.objects,
            "prefixes": self.prefixes,
            "bytes": self.size,
        }

    def sentence(self) -> str:
        prefixes = f", {counted(self.prefixes, 'prefix', 'prefixes')}" if self.prefixes else ""
        return f"{counted(self.objects, 'object')}{prefixes}, {human(self.size)}"
