"""
``asyncstore sync`` and ``asyncstore check``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import typer

from asyncstore.cli.cluster import DaskAddress, on_cluster
from asyncstore.cli.groups import expanded
from asyncstore.cli.output import Output, parse_size
from asyncstore.cli.places import LocalPlace, Place, RemotePlace, place
from asyncstore.cli.progress import Totals, watched
from asyncstore.cli.report import Report
from asyncstore.cli.running import FAILED, OK, run
from asyncstore.cli.selection import Selection
from asyncstore.cli.settings import Connection, SourceConnection
from asyncstore.cli.transfer import Tally, carry_out, rehearse, transfer
from asyncstore.engine.progress import Meter
from asyncstore.errors import ConfigurationError
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage.compare import (
    Difference,
    SyncOptions,
    find_differences,
    find_extraneous,
)
from asyncstore.storage.pairs import Tree, root_folder
from asyncstore.storage.sync import cleared_steps, delete_extraneous, not_cleared, sync_job
from asyncstore.storage.tree_pair import check_apart, two_trees
from asyncstore.storage.trees import TreeItem, TreeStep
from asyncstore.storage.walk import TreeProblem
from asyncstore.wrappers import under


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """
    What is compared.
    """

    checksum: Annotated[bool, typer.Option("--checksum", "-c", help="Compare checksums, not times.")] = False
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read all local files for --checksum, not only those that have changed.")
    ] = False
    size_only: Annotated[bool, typer.Option("--size-only", help="Compare sizes only.")] = False

    def options(self, selection: Selection, *trees: Place, **others: Any) -> SyncOptions:
        """
        Return them as options, with the *selection* below *trees* and *others*.

        Raises:
            ConfigurationError: More than one comparison is chosen.
        """
        if self.checksum and self.size_only:
            raise ConfigurationError("give --checksum or --size-only, not both")
        compare: Literal["time", "checksum", "size"] = "time"
        if self.checksum or self.size_only:
            compare = "checksum" if self.checksum else "size"
        remembered = self.checksum and not self.rehash
        return SyncOptions(**{"compare": compare, "hash_cache": remembered, **others}, **selection.fields(*trees))


@dataclass(frozen=True, kw_only=True)
class Choices:
    """
    What is transferred and deleted.
    """

    delete: Annotated[
        bool, typer.Option("--delete", help="After all transfers have succeeded, delete what SOURCE does not have.")
    ] = False
    max_delete: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Delete nothing if it would be more than N.")
    ] = None
    no_overwrite: Annotated[bool, typer.Option("--no-overwrite", help="Transfer only what TARGET does not have.")] = (
        False
    )
    update: Annotated[bool, typer.Option("--update", "-u", help="Leave what is newer at TARGET alone.")] = False
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare each item with its source after the transfer, by checksum.")
    ] = False
    continue_: Annotated[
        bool,
        typer.Option(
            "--continue",
            help="Resume large files of an interrupted run; if this one is interrupted, keep its progress.",
        ),
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, without doing it.")] = False
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Most objects, and parts of one object, in flight (128).", show_default=False),
    ] = None
    part_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Part size of multipart transfers (16MiB).", show_default=False)
    ] = None
    hedge_after: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="Request a range of a large object again if its reply takes longer; the first wins.",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Transfer many files in N processes, which use N cores.", show_default=False
        ),
    ] = None

    dask: DaskAddress = None

    def bulk(self) -> BulkOptions:
        """
        Return the options of the transfers.
        """
        parts: dict[str, Any] = {}
        if self.part_size is not None:
            parts["part_size"] = parse_size(self.part_size)
        if self.concurrency is not None:
            parts["max_concurrency"] = self.concurrency
        threshold = {"multipart_threshold": parts["part_size"]} if "part_size" in parts else {}
        return BulkOptions(
            keep="failures",
            workers=self.workers,
            max_concurrency=self.concurrency or BulkOptions().max_concurrency,
            upload=UploadOptions(resume="journal" if self.continue_ else False, **threshold, **parts),
            download=DownloadOptions(resume=self.continue_, hedge_after=self.hedge_after, **parts),
        )


@expanded
def sync(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A directory, or the URI of a bucket or prefix.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A directory, or the URI of a bucket or prefix.")],
    comparison: Comparison,
    choices: Choices,
    selection: Selection,
    report: Report,
    connection: Connection,
    source_connection: SourceConnection,
    output: Output,
) -> None:
    """
    Make TARGET like SOURCE: transfer what is missing or differs.

    A file or object is transferred if its size differs, or if it was modified after the one at TARGET and no
    checksum proves that both are the same. Downloaded files get the time of their objects. With --checksum,
    everything of one size is compared by checksum. Nothing is deleted without --delete.
    """

    async def work() -> int:
        report.check()
        exists = {"compare": "exists"} if choices.no_overwrite else {}
        options = comparison.options(
            selection,
            place(source),
            place(target),
            verify=choices.verify,
            update=choices.update,
            delete=choices.delete,
            max_delete=choices.max_delete,
            bulk=choices.bulk(),
            **exists,
        )
        async with AsyncExitStack() as stack:
            trees = await _trees(source, target, connection, source_connection, stack)
            await check_apart(*trees)
            if choices.dry_run:
                return await rehearse(output, "sync", _planned(trees, options))
            return await _sync(output, report, trees, await on_cluster(options, choices.dask, stack))

    run(output, work, kept=choices.continue_)


@expanded
def check(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A directory, or the URI of a bucket or prefix.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A directory, or the URI of a bucket or prefix.")],
    comparison: Comparison,
    selection: Selection,
    connection: Connection,
    source_connection: SourceConnection,
    output: Output,
) -> None:
    """
    Compare SOURCE and TARGET, and show what differs. Exits with 1 if anything does.
    """

    async def work() -> int:
        async with AsyncExitStack() as stack:
            trees = await _trees(source, target, connection, source_connection, stack)
            return await _check(output, trees, comparison.options(selection, place(source), place(target), delete=True))

    run(output, work)


async def _trees(
    source: str, target: str, connection: Connection, source_connection: SourceConnection, stack: AsyncExitStack
) -> tuple[Tree, Tree]:
    own = source_connection.connection(connection) if source_connection.is_set else connection
    return two_trees(await _tree(source, own, stack), await _tree(target, connection, stack))


async def _tree(text: str, connection: Connection, stack: AsyncExitStack) -> Tree:
    named = place(text)
    if isinstance(named, LocalPlace):
        return named.path
    if isinstance(named, RemotePlace):
        storage = await stack.enter_async_context(connection.open(named.folder, folder=True))
        # The root of a file:// storage can be a directory further up, which has the records of the objects.
        prefix = named.folder.key.removeprefix(root_folder(storage.root).key)
        return under(storage, prefix) if prefix else storage
    raise ConfigurationError("SOURCE and TARGET are directories or URIs, not -")


class _Counted:
    """
    What a comparison has found beside the items to transfer.
    """

    def __init__(self) -> None:
        self.extraneous = 0
        self.failures = 0
        self.blocked: list[Difference] = []


async def _steps(
    differences: AsyncGenerator[Difference | TreeProblem, None], counted: _Counted
) -> AsyncGenerator[TreeStep, None]:
    async with aclosing(differences):
        async for step in differences:
            if isinstance(step, TreeProblem):
                counted.failures += not step.expected
                yield step
            elif step.in_the_way is not None:
                counted.blocked.append(step)
            elif step.source is not None:
                yield TreeItem(step.source, step.target, step.size, step.is_folder)
            else:
                counted.extraneous += 1


async def _planned(trees: tuple[Tree, Tree], options: SyncOptions) -> AsyncGenerator[TreeStep, None]:
    # What a run would do, in the same order and under the same conditions.
    counted = _Counted()
    async with aclosing(_steps(find_differences(*trees, options), counted)) as steps:
        async for step in steps:
            yield step
    if counted.failures:
        for problem in not_cleared(counted.blocked):
            yield problem
        return
    if counted.extraneous:
        for item in await find_extraneous(*trees, options):
            yield item
    for late in counted.blocked:
        assert late.source is not None
        yield TreeItem(late.source, late.target, late.size, late.is_folder)


async def _sync(output: Output, report: Report, trees: tuple[Tree, Tree], options: SyncOptions) -> int:
    with Tally(output, "sync", report, trees) as tally:
        return await _synced(output, tally, trees, options)


async def _synced(output: Output, tally: Tally, trees: tuple[Tree, Tree], options: SyncOptions) -> int:
    counted, totals = _Counted(), Totals()
    differences = find_differences(*trees, options, set_times=True, compared=totals.list)
    steps = _steps(differences, counted)
    work = transfer(sync_job(*trees, options))
    await carry_out(output, tally, "syncing", steps, work, totals)
    if options.delete and (counted.extraneous or counted.blocked) and not tally.failures:
        found = Totals(objects=counted.extraneous, complete=True)
        delete = partial(delete_extraneous, *trees, options)
        tally.finished(await watched(output, "deleting", found, delete, observer=tally.observe))
        if counted.blocked and not tally.failures:
            steps, counted.blocked = cleared_steps(counted.blocked), []
            await carry_out(output, tally, "syncing", steps, work)
    for problem in not_cleared(counted.blocked):
        tally.refused(problem)
    return tally.close()


async def _check(output: Output, trees: tuple[Tree, Tree], options: SyncOptions) -> int:
    totals = Totals()

    async def compare(progress: ProgressSink) -> int:
        meter, count = Meter(progress, phase="comparing"), 0

        def compared(more: int) -> None:
            totals.list(more)
            meter.listed(more, "comparing")

        async with aclosing(find_differences(*trees, options, compared=compared)) as differences:
            async for step in differences:
                count += _shown(output, step)
        meter.finish()
        return count

    count = await watched(output, "checking", totals, compare, observer=lambda _: None, lines=True)
    output.note("check: nothing differs" if not count else f"check: {count} differ")
    return FAILED if count else OK


def _shown(output: Output, step: Difference | TreeProblem) -> bool:
    """
    Show a difference, and return whether it is one.
    """
    if isinstance(step, TreeProblem):
        if not step.expected:
            output.complain(f"{step.source}: {step.error.message}")
        return not step.expected
    output.record({"type": "difference", "name": step.name, "reason": step.reason, "size": step.size})
    output.line(f"{step.reason:<10}  {step.name}")
    return True
