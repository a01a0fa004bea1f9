"""
Comparing trees of files or objects.

Both sides are listed at the same time, in the order of their names, and merged: memory does not grow with
the number of objects. A :class:`~pathlib.Path` stands for the files below it, a
:class:`~asyncstore.storage.Storage` for the objects below its root.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Unpack

from asyncstore._support.threads import in_thread
from asyncstore.config import state_directory
from asyncstore.engine.task_pool import for_each
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.keywords import SyncFields, merged
from asyncstore.storage import mtime
from asyncstore.storage.arguments import check_type
from asyncstore.storage.content import file_checksum, stored_checksums, whole_checksums
from asyncstore.storage.hash_cache import HashCache
from asyncstore.storage.missing import Missing
from asyncstore.storage.pairs import Entry, Pair, Tree, TreeListing, UnorderedError, merged_pairs, root_folder
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_options import TreeOptions, parents, path_filter
from asyncstore.storage.tree_pair import directory_of, two_trees
from asyncstore.storage.trees import TargetTree, TreeItem
from asyncstore.storage.walk import TreeProblem
from asyncstore.storage.way import Way
from asyncstore.types import Checksum, Metadata
from asyncstore.uri import ObjectURI

#: Why an item is transferred or deleted.
Reason = Literal["missing", "size", "time", "checksum", "extraneous"]

# Pairs whose checksums are compared at the same time, and pairs that wait for them.
_COMPARING: Final = 16
_WINDOW: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions(TreeOptions):
    """
    What :func:`sync_tree` compares, transfers and deletes.

    Names that are left out by the options of :class:`TreeOptions` are neither transferred nor deleted. Nor is what has
    the name of a link or device of the source that is left out, or is below that name.

    Attributes:
        compare: ``"time"`` transfers an item whose size differs, or whose source was modified after its target,
            unless a checksum proves that both are the same. ``"checksum"`` compares checksums of all items of one
            size, and transfers those without one in common. ``"size"`` compares sizes only. ``"exists"``
            transfers only what is missing. With ``preserve_mtime``, downloads compare the time in the metadata of
            objects, which takes one request for each of them.
        delete: Delete what the source does not have, after all transfers have succeeded.
        max_delete: Delete nothing if more items than this would be deleted.
        hash_cache: Remember the checksums of local files in the state directory of the storage, and do not read a
            file again whose device, inode, size and times are those of then. Files that changed within two seconds
            before they were read are not remembered. Damage that no program has done, such as a failing disk's, is
            found without it only.
    """

    compare: Literal["time", "checksum", "size", "exists"] = "time"
    delete: bool = False
    max_delete: int | None = None
    hash_cache: bool = False

    def __post_init__(self) -> None:
        super(SyncOptions, self).__post_init__()
        if self.max_delete is not None and self.max_delete < 0:
            raise ValueError(f"max_delete must be 0 or more, not {self.max_delete}")
        if self.layout != "relative":
            raise ValueError(f"trees are compared by their relative names: layout cannot be {self.layout!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    One item that two trees do not have in common.

    Attributes:
        name: Its path relative to the trees, with ``/`` between the segments.
        reason: What differs. The target has an ``"extraneous"`` item that the source does not have.
        source: The file or object; ``None`` if it is extraneous.
        target: The file or object that it becomes, or that is extraneous.
        size: Bytes of the source, or of the extraneous item.
        is_folder: Whether it is an empty directory, or the marker of one.
        in_the_way: A directory at the target where the source has a file, or a file where it has a directory: it is
            deleted first.
    """

    name: str
    reason: Reason
    source: Path | ObjectURI | None
    target: Path | ObjectURI
    size: int
    is_folder: bool = False
    in_the_way: Path | None = None


_SYNC: Final = SyncOptions()


async def compare_trees(
    source: Tree | str, target: Tree | str, *, options: SyncOptions = _SYNC, **fields: Unpack[SyncFields]
) -> AsyncGenerator[Difference | TreeProblem, None]:
    """
    Yield what :func:`~asyncstore.sync_tree` would transfer and, with ``options.delete``, delete, in the order of names.

    Fields of *options* can be given as keywords, too.

    Services whose listings are not known to be in that order are listed whole before; up to 10,000 names always are. If
    more names than that turn out not to be in order, the comparison starts again: until then it may have yielded
    differences that are none, and it repeats the others.

    Raises:
        NotFoundError: *source* is a directory that does not exist, or has no objects.
        ConfigurationError: Both trees are local.
    """
    trees = two_trees(source, target)
    options = merged(options, SyncOptions, fields)
    check_type(options, SyncOptions)
    async with aclosing(find_differences(*trees, options)) as differences:
        async for difference in differences:
            yield difference


async def find_differences(
    source: Tree,
    target: Tree,
    options: SyncOptions,
    *,
    set_times: bool = False,
    compared: Callable[[int], None] | None = None,
) -> AsyncGenerator[Difference | TreeProblem, None]:
    """
    Yield what :func:`compare_trees` does.

    Args:
        compared: Called with the number of names that have been compared since its last call.
        set_times: Give files whose checksums are those of their objects the times of these, so that the next
            comparison needs no checksums.
    """
    whole = _unsorted(source, target)
    while True:
        try:
            async with aclosing(_compare(source, target, options, whole, set_times, compared)) as differences:
                async for difference in differences:
                    yield difference
            return
        except UnorderedError as exc:
            # It happens once a tree at most: what is listed whole is sorted.
            whole.add(exc.tree)


async def find_extraneous(source: Tree, target: Tree, options: SyncOptions) -> list[TreeItem]:
    """
    Return what *target* has and *source* does not have, all of it, since a part of a comparison proves nothing.

    The list of these items is in memory.

    Raises:
        ConfigurationError: They are more than ``options.max_delete``.
        StorageError: A part of a tree could not be listed.
    """
    existence = replace(options, compare="exists", delete=True)
    extraneous: list[TreeItem] = []
    whole = _unsorted(source, target)
    while True:
        try:
            async with aclosing(_compare(source, target, existence, whole)) as differences:
                async for step in differences:
                    if isinstance(step, TreeProblem) and not step.expected:
                        raise step.error
                    if isinstance(step, Difference) and step.source is None:
                        extraneous.append(TreeItem(step.target, None, step.size, step.is_folder))
            break
        except UnorderedError as exc:
            whole.add(exc.tree)
            extraneous.clear()
    if options.max_delete is not None and len(extraneous) > options.max_delete:
        raise ConfigurationError(
            f"{len(extraneous)} items would be deleted, and max_delete is {options.max_delete}: nothing was deleted"
        )
    return extraneous


def _unsorted(*trees: Tree) -> set[Tree]:
    return {tree for tree in trees if isinstance(tree, Storage) and not tree.capabilities.sorted_listing}


async def _compare(
    source: Tree,
    target: Tree,
    options: SyncOptions,
    whole: set[Tree],
    set_times: bool = False,
    compared: Callable[[int], None] | None = None,
) -> AsyncGenerator[Difference | TreeProblem, None]:
    wanted = await path_filter(options, directory=isinstance(source, Path))
    missing = Missing(wanted)
    judge = _Judge(source, target, options, missing, set_times, compared)
    async with (
        aclosing(judge),
        aclosing(merged_pairs(source, target, whole, TreeListing(wanted, options))) as merged,
        aclosing(judge.differences(merged)) as differences,
    ):
        async for difference in differences:
            yield difference
    for problem in await missing.problems(source if isinstance(source, Path) else root_folder(source.root)):
        yield problem


class _Judge:
    """
    Decides which pairs differ.
    """

    def __init__(
        self,
        source: Tree,
        target: Tree,
        options: SyncOptions,
        missing: Missing,
        set_times: bool,
        compared: Callable[[int], None] | None,
    ) -> None:
        self._set_times = set_times
        self._compared = compared
        self._source = source
        self._target = target
        self._options = options
        self._missing = missing
        # Names of the source that are left out or cannot be read: nothing there, or below, is known to be extraneous.
        self._left_out: set[str] = set()
        self._files = TargetTree(target) if isinstance(target, Path) else None
        self._cache = _cache(source, target) if options.hash_cache else None
        self._way = Way(directory_of(target))

    async def aclose(self) -> None:
        """
        Close the cache of checksums.
        """
        if self._cache is not None:
            await self._cache.close()

    async def differences(
        self, merged: AsyncIterator[Pair | TreeProblem]
    ) -> AsyncGenerator[Difference | TreeProblem, None]:
        """
        Yield the differences among *merged*, in its order.
        """
        window: list[Pair | TreeProblem] = []
        async for step in merged:
            if isinstance(step, TreeProblem):
                self._leave_out(step)
            elif step.source is None and self._is_left_out(step.name):
                continue
            elif step.source is not None or self._options.delete:
                # What only the target has is there to be deleted.
                self._missing.found(step.name)
            window.append(step)
            if len(window) == _WINDOW:
                for found in await self._judge_all(window):
                    yield found
                window = []
        for found in await self._judge_all(window):
            yield found

    def _leave_out(self, problem: TreeProblem) -> None:
        # A link sorts before what is below a directory of its name, so it is known before that is compared.
        source, place = self._source, problem.source
        if isinstance(source, Path) and isinstance(place, Path):
            name = place.relative_to(source).as_posix()
            self._left_out.add(f"{name}/")
            self._missing.found(name)

    def _is_left_out(self, name: str) -> bool:
        return bool(self._left_out) and not self._left_out.isdisjoint(parents(f"{name.rstrip('/')}/"))

    async def _judge_all(self, window: list[Pair | TreeProblem]) -> list[Difference | TreeProblem]:
        found: dict[int, Difference | TreeProblem] = {}
        if self._compared is not None and window:
            self._compared(len(window))

        async def judge(item: tuple[int, Pair | TreeProblem]) -> None:
            number, step = item
            if (verdict := step if isinstance(step, TreeProblem) else await self._judged(step)) is not None:
                found[number] = verdict

        await for_each(enumerate(window), judge, max_concurrency=_COMPARING)
        return [found[number] for number in sorted(found)]

    async def _judged(self, pair: Pair) -> Difference | TreeProblem | None:
        source, target = pair.source, pair.target
        if source is None:
            assert target is not None
            if not self._options.delete or (target.is_folder and await _has_folder(self._source, pair.name)):
                return None
            return Difference(
                name=pair.name,
                reason="extraneous",
                source=None,
                target=target.where,
                size=target.size,
                is_folder=target.is_folder,
            )
        try:
            reason = await self._reason(source, target)
            if reason is None:
                return None
            way = None if target is not None else await self._way.of(source.name, is_folder=source.is_folder)
            if way is not None and not self._options.delete:
                raise way.error()
            where = target.where if target is not None else await self._place(source, clear=way is None)
        except StorageError as exc:
            return TreeProblem(source.where, exc)
        return Difference(
            name=pair.name,
            reason=reason,
            source=source.where,
            target=where,
            size=source.size,
            is_folder=source.is_folder,
            in_the_way=None if way is None else way.path,
        )

    async def _place(self, source: Entry, *, clear: bool) -> Path | ObjectURI:
        if self._files is not None:
            place = self._files.place_folder if source.is_folder else self._files.place
            return await place(source.name, clear=clear)
        assert isinstance(self._target, Storage)
        return root_folder(self._target.root) / source.name

    async def _reason(self, source: Entry, target: Entry | None) -> Reason | None:
        compare = self._options.compare
        if source.is_folder:
            return None if target is not None or await _has_folder(self._target, source.name) else "missing"
        if target is None:
            return "missing"
        if compare == "exists" or (self._options.update and _is_newer(target, source)):
            return None
        if source.size != target.size:
            return "size"
        if compare == "size" or (compare == "time" and _same_time(source, target)):
            return None
        if self._options.preserve_mtime and isinstance(target.where, Path):
            source = await self._with_mtime(source)
            if compare == "time" and _same_time(source, target):
                return None
        return await self._different_checksum(source, target)

    async def _with_mtime(self, source: Entry) -> Entry:
        assert isinstance(self._source, Storage)
        assert source.info is not None
        info = await self._source.stat(source.info.uri)
        modified = mtime.modified(info)
        return replace(source, info=info, modified=None if modified is None else modified / 1e9)

    async def _different_checksum(self, source: Entry, target: Entry) -> Reason | None:
        # What is not known to be the same is transferred.
        unknown: Reason = "checksum" if self._options.compare == "checksum" else "time"
        for file, other, tree in ((source, target, self._target), (target, source, self._source)):
            if not isinstance(file.where, Path):
                continue
            known = await self._checksums(other, tree)
            if not known:
                return unknown
            hashed = file_checksum if self._cache is None else self._cache.checksum
            if await hashed(file.where, known[0].algorithm) != known[0]:
                return "checksum"
            if file is target and self._set_times:
                assert source.info is not None
                modified = mtime.modified if self._options.preserve_mtime else mtime.written
                await in_thread(mtime.set_mtime, file.where, modified(source.info))
            return None
        ones = {item.algorithm: item for item in await self._checksums(source, self._source)}
        for item in await self._checksums(target, self._target):
            if item.algorithm in ones:
                return None if ones[item.algorithm] == item else "checksum"
        return unknown

    async def _checksums(self, entry: Entry, tree: Tree) -> Sequence[Checksum]:
        assert isinstance(tree, Storage)
        assert entry.info is not None
        if known := whole_checksums(tree, entry.info):
            return known
        info = entry.info if isinstance(entry.info, Metadata) else await tree.stat(entry.info.uri)
        return await stored_checksums(tree, info)


def _cache(*trees: Tree) -> HashCache | None:
    for tree in trees:
        if isinstance(tree, Storage):
            return HashCache(tree._config.state_directory or state_directory())  # noqa: SLF001
    return None


async def _has_folder(tree: Tree, name: str) -> bool:
    # A directory that has files is in no listing by itself.
    return isinstance(tree, Path) and await in_thread((tree / name).is_dir)


def _is_newer(one: Entry, other: Entry) -> bool:
    return one.modified is not None and other.modified is not None and one.modified > other.modified


def _same_time(source: Entry, target: Entry) -> bool:
    if source.modified is None or target.modified is None:
        return False
    if isinstance(target.where, Path):
        # Downloads get the time of their object, to the second: some services tell no more.
        return int(source.modified) == int(target.modified)
    return source.modified <= target.modified
