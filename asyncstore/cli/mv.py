"""
``asyncstore mv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from typing import Annotated

import typer

from asyncstore.cli.cp import Choices, Copy, tree_options
from asyncstore.cli.groups import expanded
from asyncstore.cli.output import Output
from asyncstore.cli.places import LocalPlace, RemotePlace, Stdio, place
from asyncstore.cli.plan import below
from asyncstore.cli.report import Report
from asyncstore.cli.running import run
from asyncstore.cli.selection import PANEL, Links, Selection
from asyncstore.cli.settings import Connection, SourceConnection
from asyncstore.cli.transfer import Tally
from asyncstore.errors import ConfigurationError
from asyncstore.storage import Storage
from asyncstore.storage.moving import MoveJob, remove_emptied
from asyncstore.storage.tree_pair import check_folders_apart


@dataclass(frozen=True, kw_only=True)
class Moved(Selection):
    """
    Which files and objects of a tree are moved.
    """

    symlinks: Annotated[Links, typer.Option(help="Links in a directory: skip all, or fail.", rich_help_panel=PANEL)] = (
        Links.SKIP
    )


@expanded
def mv(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Files or URIs.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A file, a directory or a URI.")],
    choices: Choices,
    selection: Moved,
    report: Report,
    connection: Connection,
    source_connection: SourceConnection,
    output: Output,
) -> None:
    """
    Move files and objects: copy them as cp does, then delete each SOURCE that is complete at TARGET.

    What fails or is skipped keeps its source. An object or a file that was replaced while it was being copied is not
    deleted, and is a failure. With -r, directories that are empty then are removed, unless names are selected or
    something failed.
    """

    async def work() -> int:
        async with AsyncExitStack() as stack:
            report.check()
            places = [place(text) for text in sources], place(target)
            if Stdio() in (*places[0], places[1]):
                raise ConfigurationError("mv moves files and objects, not -: use cp for standard input and output")
            tree = tree_options(choices, selection, *places)
            move = _Move(choices, tree, report, connection, source_connection, output, stack)
            return await move.run(*places)

    run(output, work, kept=choices.continue_)


class _Move(Copy):
    command = "mv"
    title = "moving"

    async def check(
        self,
        sources: Sequence[LocalPlace | RemotePlace],
        target: LocalPlace | RemotePlace,
        storages: tuple[Storage | None, Storage | None],
    ) -> None:
        if not self._choices.recursive:
            return
        if isinstance(sources[0], LocalPlace) and self._tree.symlinks in (Links.INSIDE, Links.FOLLOW):
            raise ConfigurationError("mv follows no links in directories: --symlinks takes skip or error")
        for source, other in product(sources, sources):
            base = below(target, other.name) if len(sources) > 1 else target
            if isinstance(source, RemotePlace) and isinstance(base, RemotePlace):
                assert storages[0] is not None
                assert storages[1] is not None
                await check_folders_apart(storages[0], source.folder, storages[1], base.folder)

    def job(self, source: Storage | None, target: Storage | None) -> MoveJob:
        return MoveJob(source, target, self._tree)

    async def finish(self, tally: Tally, sources: Sequence[LocalPlace | RemotePlace], storage: Storage | None) -> None:
        if not self._choices.recursive or self._selects or tally.failures:
            return
        for source in sources:
            if isinstance(source, LocalPlace):
                result = await remove_emptied(source.path, None, self._tree.bulk)
            else:
                assert storage is not None
                result = await remove_emptied(storage, source.folder, self._tree.bulk)
            for outcome in result.failures:
                assert outcome.error is not None
                tally.failed(outcome.source, None, outcome.error)

    @property
    def _selects(self) -> bool:
        tree = self._tree
        chosen = tree.include or tree.exclude or tree.include_from or tree.exclude_from
        return bool(chosen) or tree.names is not None or not tree.hidden
