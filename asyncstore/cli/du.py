"""
``asyncstore du``, ``find`` and ``tree``: what is below a prefix.
"""

from __future__ import annotations

import glob
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Final

import typer

from asyncstore.cli.groups import expanded
from asyncstore.cli.look import parse_duration
from asyncstore.cli.output import Output, counted, human, object_record, parse_size
from asyncstore.cli.places import remote
from asyncstore.cli.running import NOT_FOUND, OK, run
from asyncstore.cli.settings import Connection
from asyncstore.options import ListOptions
from asyncstore.storage import Storage
from asyncstore.storage.trees import listed
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

_ALL: Final = ListOptions(max_concurrency=16)


@expanded
def du(
    uri: Annotated[str, typer.Argument(help="A bucket or a prefix.")],
    connection: Connection,
    output: Output,
    max_depth: Annotated[
        int, typer.Option("--max-depth", "-d", min=0, help="Levels of prefixes to show; 0 shows only the sum.")
    ] = 1,
    bytes_: Annotated[bool, typer.Option("--bytes", "-b", help="Show sizes as numbers of bytes.")] = False,
) -> None:
    """
    Show how many bytes and objects are below each prefix, and below URI.

    A prefix is a directory here: s3://bucket/logs is what is under logs/, without logs-old/.
    """

    async def work() -> int:
        folder = remote(uri).folder
        sums: dict[str, list[int]] = {"": [0, 0]}
        async with (
            connection.open(folder, folder=True) as storage,
            aclosing(listed(storage, folder, _ALL)) as entries,
        ):
            async for info in entries:
                for name in _folders(info.key[len(folder.key) :], max_depth):
                    found = sums.setdefault(name, [0, 0])
                    found[0] += info.size
                    found[1] += 1
        # The sum of all comes last, as by du of files.
        for name, (size, objects) in [*sorted(item for item in sums.items() if item[0]), ("", sums[""])]:
            place = folder.with_key(f"{folder.key}{name}")
            output.record({"type": "usage", "uri": str(place), "key": place.key, "bytes": size, "objects": objects})
            shown = str(size) if bytes_ else human(size)
            output.line(f"{shown:>12}  {objects:>9}  {name or uri}")
        output.record({"type": "summary", "command": "du", "objects": sums[""][1], "bytes": sums[""][0]})
        return OK if sums[""][1] or not folder.key else NOT_FOUND

    run(output, work)


@expanded
def find(
    uri: Annotated[str, typer.Argument(help="A bucket or a prefix.")],
    connection: Connection,
    output: Output,
    name: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only names that match: what follows the last slash of a key.")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Only keys that match, relative to URI: * is within a level, ** any levels."),
    ] = None,
    larger: Annotated[str | None, typer.Option(metavar="SIZE", help="Only objects of more bytes: 1MiB, 5G.")] = None,
    smaller: Annotated[str | None, typer.Option(metavar="SIZE", help="Only objects of fewer bytes.")] = None,
    newer: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only objects modified within the last 15m, 12h, 7d.")
    ] = None,
    older: Annotated[str | None, typer.Option(metavar="TIME", help="Only objects modified before that.")] = None,
) -> None:
    """
    Find objects by name, size and age, and print their URIs.

    All conditions must hold. A prefix is a directory here: s3://bucket/logs is what is under logs/.
    """

    async def work() -> int:
        folder = remote(uri).folder
        wanted = _conditions(name, larger, smaller, newer, older)
        count = size = 0
        async with (
            connection.open(folder, folder=True) as storage,
            aclosing(_candidates(storage, folder, path)) as entries,
        ):
            async for info in entries:
                if all(condition(info) for condition in wanted):
                    count, size = count + 1, size + info.size
                    output.record(object_record(info))
                    output.line(str(info.uri))
        output.record({"type": "summary", "command": "find", "objects": count, "bytes": size})
        output.note(f"{counted(count, 'object')}, {human(size)}")
        return OK

    run(output, work)


@expanded
def tree(
    uri: Annotated[str, typer.Argument(help="A bucket or a prefix.")],
    connection: Connection,
    output: Output,
    max_depth: Annotated[int | None, typer.Option("--max-depth", "-d", min=1, help="Show only so many levels.")] = None,
) -> None:
    """
    Show the objects below a prefix as a tree.

    A prefix is a directory here: s3://bucket/logs is what is under logs/.
    """

    async def work() -> int:
        folder = remote(uri).folder
        shown: list[str] = []
        count = 0
        async with (
            connection.open(folder, folder=True) as storage,
            aclosing(_in_order(storage, folder)) as entries,
        ):
            output.line(uri)
            async for info in entries:
                count += 1
                output.record(object_record(info))
                *folders, name = info.key[len(folder.key) :].split("/")
                for depth, part in enumerate(folders[:max_depth]):
                    if shown[: depth + 1] != folders[: depth + 1]:
                        output.line(f"{'  ' * (depth + 1)}{part}/")
                shown = folders
                if name and (max_depth is None or len(folders) < max_depth):
                    output.line(f"{'  ' * (len(folders) + 1)}{name}")
        output.record({"type": "summary", "command": "tree", "objects": count})
        output.note(counted(count, "object"))
        return OK if count or not folder.key else NOT_FOUND

    run(output, work)


def _folders(key: str, depth: int) -> list[str]:
    """
    Return the folders that *key* is in, down to *depth* levels; the first is the one that has all.
    """
    names = key.split("/")[:-1]
    return ["", *("/".join(names[: level + 1]) + "/" for level in range(min(depth, len(names))))]


async def _candidates(storage: Storage, folder: ObjectURI, path: str | None) -> AsyncGenerator[ObjectInfo, None]:
    if path is None:
        entries = listed(storage, folder, _ALL)
    else:
        base = folder.key[len((storage.root / "").key) :]
        entries = _globbed(storage, f"{glob.escape(base)}{path}")
    async with aclosing(entries):
        async for info in entries:
            yield info


async def _globbed(storage: Storage, pattern: str) -> AsyncGenerator[ObjectInfo, None]:
    async for info in storage.glob(pattern):
        yield info


async def _in_order(storage: Storage, folder: ObjectURI) -> AsyncGenerator[ObjectInfo, None]:
    async with aclosing(listed(storage, folder, _ALL)) as entries:
        if storage.capabilities.sorted_listing:
            async for info in entries:
                yield info
            return
        for info in sorted([info async for info in entries], key=lambda info: info.key):
            yield info


def _conditions(
    name: str | None, larger: str | None, smaller: str | None, newer: str | None, older: str | None
) -> list[Callable[[ObjectInfo], bool]]:
    found: list[Callable[[ObjectInfo], bool]] = []
    if name is not None:
        found.append(lambda info: fnmatchcase(info.key.rpartition("/")[2], name))
    if larger is not None:
        least = parse_size(larger)
        found.append(lambda info: info.size > least)
    if smaller is not None:
        most = parse_size(smaller)
        found.append(lambda info: info.size < most)
    now = datetime.now(UTC)
    if newer is not None:
        found.append(_modified_since(now - parse_duration(newer), after=True))
    if older is not None:
        found.append(_modified_since(now - parse_duration(older), after=False))
    return found


def _modified_since(moment: datetime, *, after: bool) -> Callable[[ObjectInfo], bool]:
    return lambda info: info.last_modified is not None and (info.last_modified >= moment) is after
