"""
Synchronizing trees: transfers what differs, and deletes what is extraneous.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Unpack

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.engine.progress import Meter, Stages
from asyncstore.errors import InvalidRequestError, StorageError
from asyncstore.keywords import SyncFields, merged
from asyncstore.protocols import ProgressSink
from asyncstore.storage.arguments import check_type
from asyncstore.storage.compare import (
    Difference,
    SyncOptions,
    find_differences,
    find_extraneous,
)
from asyncstore.storage.pairs import Tree
from asyncstore.storage.shard_jobs import TreeJob, transfer_tree
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_pair import check_apart, two_trees
from asyncstore.storage.tree_work import summed
from asyncstore.storage.trees import TreeItem, TreeStep
from asyncstore.storage.walk import TreeProblem
from asyncstore.storage.way import clear
from asyncstore.types import BulkResult, ItemOutcome
from asyncstore.uri import ObjectURI, Provider

_SYNC: Final = SyncOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """
    What :func:`sync_tree` did.

    Attributes:
        transferred: The outcomes of the transfers.
        deleted: The outcomes of the deletions; ``None`` if there were none, or a transfer failed.
        problems: Files and objects that could not be compared, such as unsafe names.
    """

    transferred: BulkResult
    deleted: BulkResult | None = None
    problems: Sequence[TreeProblem] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed; links and devices that are left out by design do not count."""
        failed = self.transferred.failed + (self.deleted.failed if self.deleted else 0)
        return not failed and all(problem.expected for problem in self.problems)


async def sync_tree(
    source: Tree | str,
    target: Tree | str,
    *,
    options: SyncOptions = _SYNC,
    progress: ProgressSink | None = None,
    **fields: Unpack[SyncFields],
) -> SyncResult:
    """
    Make *target* like *source*: transfer what is missing or differs, and delete what is extraneous if asked.

    ::

        async with open_storage("s3://models/llama/") as storage:
            result = await sync_tree(storage, "/models/llama")

    Fields of *options* can be given as keywords, too. Downloaded files get the time of their objects, so that
    the next comparison needs no checksum. Where *target* has a file and *source* a directory, or the reverse, the
    items fail, unless ``options.delete``: then they are transferred last, after what is in their way has been
    deleted with all that is extraneous. Cancelling leaves complete items, and no partial ones.

    Args:
        progress: Called in the event loop with the events of the comparison, the transfers and the deletions; must
            not block.

    Raises:
        NotFoundError: *source* is a directory that does not exist, or has no objects.
        ConfigurationError: More items than ``options.max_delete`` would be deleted, both trees are local, or one is
            inside the other.
    """
    source, target = two_trees(source, target)
    await check_apart(source, target)
    options = merged(options, SyncOptions, fields)
    check_type(options, SyncOptions)
    job, found, stages = sync_job(source, target, options), _Found(), Stages(progress)
    meter = Meter(stages.next())
    differences = find_differences(
        source, target, options, set_times=True, compared=lambda count: meter.listed(count, "comparing")
    )
    async with aclosing(found.items(differences)) as items:
        transferred = await transfer_tree(job, items, meter)
    result = SyncResult(transferred=transferred, problems=found.problems)
    if not result.ok:
        found.problems += not_cleared(found.blocked)
    elif options.delete and (found.extraneous or found.blocked):
        deleted = await delete_extraneous(source, target, options, stages.next())
        if deleted.failed:
            found.problems += not_cleared(found.blocked)
        elif found.blocked:
            async with aclosing(found.cleared()) as items:
                late = await transfer_tree(job, items, Meter(stages.next()))
            transferred = summed(transferred, late)
        result = SyncResult(transferred=transferred, deleted=deleted, problems=found.problems)
    stages.finish()
    return result


def not_cleared(blocked: Sequence[Difference]) -> list[TreeProblem]:
    """
    Return the failures of the *blocked* items of a sync that deletes nothing.
    """
    return [
        TreeProblem(item.source, InvalidRequestError(f"{item.in_the_way} is in the way, and nothing else was deleted"))
        for item in blocked
        if item.source is not None
    ]


async def cleared_steps(blocked: Sequence[Difference]) -> AsyncGenerator[TreeStep, None]:
    """
    Yield the *blocked* items of a sync that has deleted what is extraneous, and a problem for each that still is.
    """
    # All before the first transfer, which puts something there.
    failed: dict[Path, StorageError] = {}
    for way in dict.fromkeys(item.in_the_way for item in blocked):
        assert way is not None
        try:
            await clear(way)
        except StorageError as exc:
            failed[way] = exc
    for item in blocked:
        assert item.source is not None
        if item.in_the_way in failed:
            yield TreeProblem(item.source, failed[item.in_the_way])
        else:
            yield TreeItem(item.source, item.target, item.size, item.is_folder)


async def delete_extraneous(
    source: Tree, target: Tree, options: SyncOptions, progress: ProgressSink | None = None
) -> BulkResult:
    """
    Delete what *target* has and *source* does not have, as a new and complete comparison finds it.

    Raises:
        ConfigurationError: They are more than ``options.max_delete``. Nothing has been deleted.
        StorageError: A part of a tree could not be listed. Nothing has been deleted.
    """
    extraneous = [item.source for item in await find_extraneous(source, target, options)]
    if isinstance(target, Storage):
        uris = [item for item in extraneous if isinstance(item, ObjectURI)]
        return await target.bulk_delete(uris, options=options.bulk, progress=progress)
    paths = [item for item in extraneous if isinstance(item, Path)]
    return await _delete_files(target, paths, progress, stop_on_error=options.bulk.stop_on_error)


class _Found:
    """
    What a comparison has found beside the items to transfer.
    """

    def __init__(self) -> None:
        self.problems: list[TreeProblem] = []
        self.blocked: list[Difference] = []
        self.extraneous = 0

    async def items(
        self, differences: AsyncGenerator[Difference | TreeProblem, None]
    ) -> AsyncGenerator[TreeItem, None]:
        """
        Yield each item to transfer.
        """
        async with aclosing(differences):
            async for step in differences:
                if isinstance(step, TreeProblem):
                    self.problems.append(step)
                elif step.source is None:
                    self.extraneous += 1
                elif step.in_the_way is not None:
                    self.blocked.append(step)
                else:
                    yield TreeItem(step.source, step.target, step.size, step.is_folder)

    async def cleared(self) -> AsyncGenerator[TreeItem, None]:
        """
        Yield the blocked items, after the deletions.
        """
        async with aclosing(cleared_steps(self.blocked)) as steps:
            async for step in steps:
                if isinstance(step, TreeItem):
                    yield step
                else:
                    self.problems.append(step)


def sync_job(source: Tree, target: Tree, options: SyncOptions) -> TreeJob:
    """
    Return what transfers the items from *source* to *target*.
    """
    one, other = (tree if isinstance(tree, Storage) else None for tree in (source, target))
    return TreeJob(one, other, options, compared=True)


async def _delete_files(
    root: Path, paths: Sequence[Path], progress: ProgressSink | None, *, stop_on_error: bool
) -> BulkResult:
    outcomes: list[ItemOutcome] = []
    meter = Meter(progress, phase="deleting")
    for path in paths:
        item = meter.object(ObjectURI(Provider.LOCAL, "", str(path.absolute())[1:]))
        try:
            with local_errors(path):
                await in_thread(_unlink, path, root)
            item.completed()
        except StorageError as exc:
            item.failed()
            if stop_on_error:
                raise
            outcomes.append(ItemOutcome(source=path, target=None, status="failed", error=exc))
    meter.finish()
    return BulkResult(outcomes=outcomes, done=len(paths) - len(outcomes), failed=len(outcomes), elapsed=meter.elapsed)


def _unlink(path: Path, root: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    # Directories that this leaves empty go too, as they would not exist in a store of objects.
    for parent in path.parents:
        if parent == root:
            return
        try:
            parent.rmdir()
        except OSError:
            return
