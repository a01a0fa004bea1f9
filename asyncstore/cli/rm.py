"""
``asyncstore rm``.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Annotated

import typer

from asyncstore.cli.groups import expanded
from asyncstore.cli.output import Output, printable
from asyncstore.cli.places import RemotePlace, object_uri, place
from asyncstore.cli.report import Report
from asyncstore.cli.running import USAGE, is_batch, run
from asyncstore.cli.selection import Names
from asyncstore.cli.settings import Connection
from asyncstore.cli.transfer import Operation, Tally, carry_out, rehearse
from asyncstore.engine.bulk import bulk_each
from asyncstore.errors import ConfigurationError
from asyncstore.options import BulkOptions
from asyncstore.storage import Storage
from asyncstore.storage.tree_options import PathFilter, path_filter
from asyncstore.storage.tree_verbs import delete_items, existing
from asyncstore.storage.trees import TreeItem, TreeStep, to_delete
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

_OPTIONS = BulkOptions(keep="failures")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """
    Options of the deletion.
    """

    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Delete all objects under a prefix or in a bucket.")
    ] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False
    force: Annotated[bool, typer.Option("--force", "-f", help="Ignore objects that do not exist.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, without deleting.")] = False


@expanded
def rm(
    uris: Annotated[list[str], typer.Argument(metavar="URI...", help="Objects; with -r, prefixes or buckets.")],
    choices: Choices,
    names: Names,
    report: Report,
    connection: Connection,
    output: Output,
) -> None:
    """
    Delete objects. On a terminal, -r asks for confirmation.

    With -r a prefix is a directory: s3://bucket/logs deletes everything under logs/, but not logs-old/.
    """
    if choices.recursive and not choices.dry_run and not is_batch() and not _confirmed(choices, uris):
        output.complain("nothing was deleted")
        raise typer.Exit(USAGE)

    async def work() -> int:
        places = [place(text) for text in uris]
        named = [item for item in places if isinstance(item, RemotePlace)]
        if len(named) < len(places):
            raise ConfigurationError("rm deletes only objects: give URIs, such as s3://bucket/key")
        if len({item.uri.provider for item in named}) > 1:
            raise ConfigurationError("all URIs must be of one provider")
        if names.selects and not choices.recursive:
            raise ConfigurationError("names are selected below prefixes only: use -r")
        if names.from_file is not None and len(named) > 1:
            raise ConfigurationError("the names of --from-file are below one URI: give one")
        report.check()
        wanted = await path_filter(names.tree(*named), directory=False)
        async with AsyncExitStack() as stack:
            storage = await stack.enter_async_context(
                connection.open(*(item.uri for item in named), folder=choices.recursive)
            )
            steps = _steps(storage, named, choices, wanted)
            # Names are looked for; what is listed is there.
            look = not choices.force and (not choices.recursive or wanted.names is not None)
            if choices.dry_run:
                steps = existing(storage, steps) if look else steps
                return await rehearse(output, "rm", steps)
            with Tally(output, "rm", report, [storage]) as tally:
                await carry_out(output, tally, "deleting", steps, _operation(storage, look=look))
                return tally.close()

    run(output, work)


def _confirmed(choices: Choices, uris: Sequence[str]) -> bool:
    if choices.yes or not _on_terminal():
        return True
    try:
        return typer.confirm(f"Delete everything under {printable(', '.join(uris))}?", err=True)
    except typer.Abort:
        return False


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


async def _steps(
    storage: Storage, places: Sequence[RemotePlace], choices: Choices, wanted: PathFilter
) -> AsyncGenerator[TreeStep, None]:
    for item in places:
        if not choices.recursive:
            uri = object_uri(str(item.uri))
            yield TreeItem(uri, None)
            continue
        async with aclosing(to_delete(storage, item.folder, wanted)) as found:
            async for step in found:
                yield step


def _operation(storage: Storage, *, look: bool) -> Operation:
    if not look:
        return lambda items, progress: delete_items(storage, items, _OPTIONS, progress)

    async def delete(uri: ObjectURI, *_: object) -> ObjectInfo:
        await storage.delete(uri, missing_ok=False)
        return ObjectInfo(uri=uri, size=0)

    return lambda items, progress: bulk_each(
        ((item.source, item.source) async for item in items), delete, _OPTIONS, progress, skippable=False
    )
