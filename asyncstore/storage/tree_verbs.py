"""
The verbs of trees: upload, download, copy and delete everything below a directory or a prefix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Unpack

from asyncstore.engine.progress import Meter, Stages
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.keywords import TreeFields, merged
from asyncstore.options import BulkOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage.arguments import check_type, local_path
from asyncstore.storage.copy_between import one_service
from asyncstore.storage.shard_jobs import TreeJob, transfer_tree
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_options import TreeOptions, path_filter
from asyncstore.storage.tree_pair import check_paths_apart
from asyncstore.storage.tree_work import in_windows, summed
from asyncstore.storage.trees import TreeItem, TreeStep, deepest_first, steps_below, to_delete
from asyncstore.storage.walk import TreeProblem
from asyncstore.types import BulkResult, ItemOutcome
from asyncstore.uri import ObjectURI, Provider, URILike

_TREE: Final = TreeOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeResult(BulkResult):
    """
    The outcomes of a tree's items.

    Files and objects that cannot be transferred, such as unreadable directories and keys that are not safe
    paths, are among the failures, with ``target=None``.

    Attributes:
        left_out: What was left out by design: links that were not followed, devices, pipes.
    """

    left_out: Sequence[TreeProblem] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed; what was left out by design does not count."""
        return not self.failed


async def upload_tree(
    source: Path | str,
    target: Storage,
    *,
    prefix: URILike = "",
    options: TreeOptions = _TREE,
    progress: ProgressSink | None = None,
    **fields: Unpack[TreeFields],
) -> TreeResult:
    """
    Write the files below a directory as objects of the same relative names.

    ::

        async with open_storage("s3://models/llama/") as storage:
            result = await upload_tree("llama", storage, exclude=["*.log"])
            result.raise_for_failures()

    Fields of *options* can be given as keywords, too. The directory is read while files are sent. With
    ``if_none_match="*"`` among the options of the upload, each object is looked for first, and nothing is sent for
    those that exist. Cancelling leaves complete objects, and no partial ones.

    Args:
        prefix: Where the objects are: a URI, or text relative to the root of *target*.
        progress: Called in the event loop with cumulative counts; must not block.

    Raises:
        NotFoundError: *source* does not exist, or is not a directory.
        InvalidURIError: *prefix* is a URI that is not in *target*.
        ConfigurationError: *target* is a ``file://`` storage, and one of both is inside the other.
        NotSupportedError: *target* does not support an option; nothing has been sent.
    """
    options = merged(options, TreeOptions, fields)
    _check(options, target=target)
    path, folder = local_path("source", source), _folder(target, prefix)
    await check_paths_apart(path, folder)
    job = TreeJob(None, target, options)
    steps = steps_below(path, None, folder, options)
    return await _carried_out(steps, job, progress)


async def download_tree(
    source: Storage,
    target: Path | str,
    *,
    prefix: URILike = "",
    options: TreeOptions = _TREE,
    progress: ProgressSink | None = None,
    **fields: Unpack[TreeFields],
) -> TreeResult:
    """
    Download the objects below a prefix to files of the same relative names.

    Nothing is written outside *target*: an object whose key is not a safe path below it fails, and so does one
    whose path has a symbolic link. Cancelling leaves complete files, and no partial ones.

    Args:
        prefix: Where the objects are: a URI, or text relative to the root of *source*.
        progress: Called in the event loop with cumulative counts; must not block.

    Raises:
        NotFoundError: No object has a key below the prefix.
        InvalidURIError: *prefix* is a URI that is not in *source*.
        ConfigurationError: *source* is a ``file://`` storage, and one of both is inside the other.
        NotSupportedError: *source* does not support an option; nothing has been read.
    """
    options = merged(options, TreeOptions, fields)
    _check(options, source=source)
    path, folder = local_path("target", target), _folder(source, prefix)
    await check_paths_apart(path, folder)
    job = TreeJob(source, None, options)
    steps = steps_below(source, folder, path, options)
    return await _carried_out(steps, job, progress)


async def copy_tree(
    source: Storage,
    target: Storage,
    *,
    source_prefix: URILike = "",
    target_prefix: URILike = "",
    options: TreeOptions = _TREE,
    progress: ProgressSink | None = None,
    **fields: Unpack[TreeFields],
) -> TreeResult:
    """
    Copy the objects below a prefix to another prefix, storage or provider, under the same relative names.

    The provider copies if both storages are of one service and have the same settings and credentials. Otherwise the
    bytes are streamed through this process, a few parts at a time. Cancelling leaves complete objects only.

    Args:
        source_prefix, target_prefix: Where the objects are: URIs, or text relative to the roots.
        progress: Called in the event loop with cumulative counts; must not block.

    Raises:
        NotFoundError: No object has a key below the prefix.
        InvalidURIError: A prefix is a URI that is not in its storage.
        ConfigurationError: The target is inside the source, so that the copy would not end.
        NotSupportedError: *target* does not support an option; nothing has been sent.
    """
    options = merged(options, TreeOptions, fields)
    _check(options, source=source, target=target)
    below, base = _folder(source, source_prefix), _folder(target, target_prefix)
    near = one_service(source, target) or source.provider == target.provider == Provider.LOCAL
    if near and below.bucket == base.bucket and base.key.startswith(below.key):
        raise ConfigurationError(f"{base} is inside {below}, so the copy would never end")
    job = TreeJob(source, target, options)
    return await _carried_out(steps_below(source, below, base, options), job, progress)


async def delete_tree(
    storage: Storage,
    *,
    prefix: URILike = "",
    options: TreeOptions = _TREE,
    progress: ProgressSink | None = None,
    **fields: Unpack[TreeFields],
) -> TreeResult:
    """
    Delete the objects below a prefix with as few requests as the endpoint allows; directories follow what is in them.

    Directories of an account that has real ones stay if *options* select some names only. A prefix without objects
    is not an error. The objects of ``options.names`` are looked for first, by one request each, and those that do
    not exist are failures.

    Args:
        prefix: Where the objects are: a URI, or text relative to the root.
        progress: Called in the event loop with cumulative counts; must not block.

    Raises:
        InvalidURIError: *prefix* is a URI that is not in *storage*.
        ConfigurationError: An option means nothing to deletions.
    """
    options = merged(options, TreeOptions, fields)
    _check(options, storage=storage)
    for name in ("empty_folders", "preserve_mtime", "update", "verify"):
        if getattr(options, name):
            raise ConfigurationError(f"delete_tree() takes no {name}")
    if options.layout != "relative":
        raise ConfigurationError(f"delete_tree() writes nothing, so it takes no layout={options.layout!r}")
    wanted = await path_filter(options, directory=False)
    steps = to_delete(storage, _folder(storage, prefix), wanted)
    if wanted.names is not None:
        steps = existing(storage, steps)
    problems: list[TreeProblem] = []
    async with aclosing(_without_problems(steps, problems, options.bulk)) as items:
        result = await delete_items(storage, items, options.bulk, progress)
    return _tree_result(result, problems)


async def existing(storage: Storage, steps: AsyncGenerator[TreeStep, None]) -> AsyncGenerator[TreeStep, None]:
    """
    Yield *steps*, with a problem in place of each object that does not exist or cannot be looked at.
    """

    async def looked_at(step: TreeStep) -> TreeStep:
        if isinstance(step, TreeItem):
            assert isinstance(step.source, ObjectURI)
            try:
                await storage.stat(step.source)
            except StorageError as exc:
                return TreeProblem(step.source, exc)
        return step

    async with aclosing(in_windows(steps, looked_at)) as found:
        async for step in found:
            if step is not None:
                yield step


async def delete_items(
    storage: Storage, items: AsyncIterator[TreeItem], options: BulkOptions, progress: ProgressSink | None = None
) -> BulkResult:
    """
    Delete the objects that *items* name, and then, level by level, the folders among them below which nothing is left.
    """
    folders: list[ObjectURI] = []
    stages = Stages(progress)

    async def objects() -> AsyncIterator[ObjectURI]:
        async for item in items:
            assert isinstance(item.source, ObjectURI)
            if item.is_folder:
                folders.append(item.source)
            else:
                yield item.source

    result = await storage.bulk_delete(objects(), options=options, progress=stages.next())
    for level in deepest_first(folders):
        kept = [outcome.source.key for outcome in result.failures if isinstance(outcome.source, ObjectURI)]
        empty = [uri for uri in level if not any(key.startswith(f"{uri.key.rstrip('/')}/") for key in kept)]
        result = summed(result, await storage.bulk_delete(empty, options=options, progress=stages.next()))
    stages.finish()
    return result


def _check(options: object, **storages: object) -> None:
    check_type(options, TreeOptions)
    for name, storage in storages.items():
        if not isinstance(storage, Storage):
            raise TypeError(f"{name} takes a Storage, not {type(storage).__name__}")


def _folder(storage: Storage, prefix: URILike) -> ObjectURI:
    if not isinstance(prefix, str | ObjectURI):
        raise TypeError(f"prefix takes text or an ObjectURI, not {type(prefix).__name__}")
    if not prefix:
        return storage._checks.start(None)  # noqa: SLF001 - the root as a folder
    uri = storage._checks.prefix(prefix)  # noqa: SLF001 - as every other verb
    return uri if not uri.key else uri.with_key(f"{uri.key.rstrip('/')}/")


async def _carried_out(
    steps: AsyncGenerator[TreeStep, None], job: TreeJob, progress: ProgressSink | None
) -> TreeResult:
    problems: list[TreeProblem] = []
    meter = Meter(progress)

    items = _without_problems(steps, problems, job.bulk, meter)
    result = await transfer_tree(job, items, meter)
    return _tree_result(result, problems)


async def _without_problems(
    steps: AsyncGenerator[TreeStep, None],
    problems: list[TreeProblem],
    options: BulkOptions,
    meter: Meter | None = None,
) -> AsyncGenerator[TreeItem, None]:
    """
    Yield the items among *steps*; collect the *problems*, or raise the first one if *options* say so.
    """
    async with aclosing(steps):
        async for step in steps:
            if meter is not None:
                meter.listed(1)
            if isinstance(step, TreeItem):
                yield step
            elif options.stop_on_error and not step.expected:
                raise step.error
            else:
                problems.append(step)


def _tree_result(result: BulkResult, problems: Sequence[TreeProblem]) -> TreeResult:
    failures = [
        ItemOutcome(source=problem.source, target=None, status="failed", error=problem.error)
        for problem in problems
        if not problem.expected
    ]
    told: dict[str, Any] = {item.name: getattr(result, item.name) for item in dataclasses.fields(BulkResult)}
    told["outcomes"] = [*result.outcomes, *failures]
    told["failed"] = result.failed + len(failures)
    return TreeResult(**told, left_out=[problem for problem in problems if problem.expected])
