"""
``asyncstore rm``.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated

import typer

from asyncstore.cli.groups import expanded
from asyncstore.cli.output import Output, printable
from asyncstore.cli.places import RemotePlace, object_uri, place
from asyncstore.cli.plan import Filter, Item, Step
from asyncstore.cli.running import USAGE, run
from asyncstore.cli.settings import Connection
from asyncstore.cli.transfer import Operation, Tally, carry_out, rehearse
from asyncstore.engine.bulk import bulk_each
from asyncstore.errors import ConfigurationError
from asyncstore.options import BulkOptions
from asyncstore.storage import Storage
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

_OPTIONS = BulkOptions(keep="failures")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """
    The options of the deletion itself.
    """

    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Delete all objects under a prefix, or of a bucket.")
    ] = False
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="With -r, only what matches; repeatable.")
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="With -r, not what matches; repeatable.")
    ] = None
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
    force: Annotated[bool, typer.Option("--force", "-f", help="An object that is not there is no failure.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and do nothing.")] = False


@expanded
def rm(
    uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Objects; with -r, prefixes or buckets.")],
    choices: Choices,
    connection: Connection,
    output: Output,
) -> None:
    """
    Delete objects. With -r it asks first, if there is a terminal to ask on.

    With -r a prefix is a directory: s3://bucket/logs is what is under logs/, and not logs-old/.
    """
    places = [place(text) for text in uris]
    if choices.recursive and not choices.dry_run and not _agreed(choices, uris):
        output.complain("nothing was deleted")
        raise typer.Exit(USAGE)

    async def work() -> int:
        named = [item for item in places if isinstance(item, RemotePlace)]
        if len(named) < len(places):
            raise ConfigurationError("rm deletes objects: give URIs, such as s3://bucket/key")
        if len({item.uri.provider for item in named}) > 1:
            raise ConfigurationError("all URIs are of one provider")
        async with AsyncExitStack() as stack:
            storage = await stack.enter_async_context(
                connection.open(*(item.uri for item in named), folder=choices.recursive)
            )
            steps = _steps(storage, named, choices)
            if choices.dry_run:
                return await rehearse(output, "rm", steps)
            tally = Tally(output, "rm")
            await carry_out(output, tally, "deleting", steps, _operation(storage, choices))
            return tally.close()

    run(output, work)


def _agreed(choices: Choices, uris: Sequence[str]) -> bool:
    if choices.yes or not _on_terminal():
        return True
    try:
        return typer.confirm(f"Delete everything under {printable(', '.join(uris))}?", err=True)
    except typer.Abort:
        return False


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


async def _steps(storage: Storage, places: Sequence[RemotePlace], choices: Choices) -> AsyncGenerator[Step, None]:
    wanted = Filter(choices.include or (), choices.exclude or ())
    for item in places:
        if not choices.recursive:
            uri = object_uri(str(item.uri))
            yield Item(uri, None)
            continue
        folder = item.folder
        async for info in storage.list(folder):
            if wanted(info.key[len(folder.key) :]):
                yield Item(info.uri, None, info.size)


def _operation(storage: Storage, choices: Choices) -> Operation:
    if choices.recursive or choices.force:
        return lambda items, progress: storage.bulk_delete(
            (item.source async for item in items), options=_OPTIONS, progress=progress
        )

    async def delete(uri: ObjectURI, *_: object) -> ObjectInfo:
        await storage.delete(uri, missing_ok=False)
        return ObjectInfo(uri=uri, size=0)

    return lambda items, progress: bulk_each(
        ((item.source, item.source) async for item in items), delete, _OPTIONS, progress
    )
