"""
Two trees listed at the same time, in the order of their names, and merged into pairs of one name.

Memory does not grow with the number of names, unless a listing is in another order.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asyncstore._support.threads import in_thread
from asyncstore.errors import NotFoundError
from asyncstore.options import ListOptions
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_options import PathFilter, Symlinks, TreeOptions
from asyncstore.storage.trees import folder_name, is_marker, listed
from asyncstore.storage.walk import TreeFile, TreeProblem, walk
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

#: The files below a directory, or the objects below the root of a storage.
Tree = Path | Storage

# Policies for the links of a source, and what is done with those of its target.
_LINKS_OF_TARGETS: Final[dict[Symlinks, Symlinks]] = {
    "inside": "inside",
    "follow": "inside",
    "skip": "skip",
    "error": "skip",
}

# Entries that are sorted before they are compared: some services list directory by directory.
_SORTED: Final = 10_000

# Some markers are told by their metadata only, and would be taken for empty files.
_FOLDERS: Final = ListOptions(folders=True)


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One file or object of a tree.
    """

    name: str
    size: int
    where: Path | ObjectURI
    modified: float | None
    info: ObjectInfo | None = None
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """
    What the two trees have under one name.
    """

    name: str
    source: Entry | None
    target: Entry | None


class UnorderedError(Exception):
    """
    A listing is not in the order of names.
    """

    def __init__(self, tree: Tree) -> None:
        super().__init__(str(tree))
        self.tree = tree


@dataclass(frozen=True)
class TreeListing:
    """
    Lists the entries of trees that the options select.
    """

    wanted: PathFilter
    options: TreeOptions

    async def entries(self, tree: Tree, *, target: bool = False) -> AsyncGenerator[Entry | TreeProblem, None]:
        found = False
        files = self._files(tree, target) if isinstance(tree, Path) else self._objects(tree)
        async with aclosing(files):
            try:
                async for entry in files:
                    found = True
                    if entry is not None:
                        yield entry
            except NotFoundError:
                # A target that does not exist yet; if it cannot be made, the first transfer says so.
                if not target:
                    raise
        if not found and not target and isinstance(tree, Storage):
            raise NotFoundError("no object has a key with this prefix", uri=str(tree.root))

    async def _files(self, root: Path, target: bool) -> AsyncGenerator[Entry | TreeProblem | None, None]:
        if target and not await in_thread(root.exists):
            return
        links = self.options.symlinks
        if target:
            # A target may have links to elsewhere, where nothing is to be compared, written or deleted.
            links = _LINKS_OF_TARGETS[links]
        async for found in walk(root, self.wanted, symlinks=links, empty_folders=self.options.empty_folders):
            yield found if isinstance(found, TreeProblem) else _of_file(found)

    async def _objects(self, storage: Storage) -> AsyncGenerator[Entry | None, None]:
        folder = root_folder(storage.root)
        async with aclosing(listed(storage, folder, _FOLDERS)) as objects:
            async for info in objects:
                yield self._of_object(info, info.key[len(folder.key) :])

    def _of_object(self, info: ObjectInfo, name: str) -> Entry | None:
        """Return the entry of an object; ``None`` if it does not belong to the tree."""
        if marker := is_marker(info):
            name = folder_name(name) if name and self.options.empty_folders else ""
        if not name or not self.wanted(name):
            return None
        modified = info.last_modified.timestamp() if info.last_modified else None
        return Entry(name, info.size, info.uri, modified, info, is_folder=marker)


def _of_file(file: TreeFile) -> Entry:
    return Entry(file.key, file.size, file.path, file.modified, is_folder=file.is_folder)


def root_folder(root: ObjectURI) -> ObjectURI:
    return root if not root.key or root.key.endswith("/") else root.with_key(f"{root.key}/")


async def merged_pairs(
    source: Tree, target: Tree, whole: set[Tree], listing: TreeListing
) -> AsyncGenerator[Pair | TreeProblem, None]:
    async with (
        aclosing(_in_order(source, listing.entries(source), source in whole)) as ones,
        aclosing(_in_order(target, listing.entries(target, target=True), target in whole)) as others,
    ):
        one, other = await anext(ones, None), await anext(others, None)
        while one is not None or other is not None:
            if isinstance(one, TreeProblem):
                yield one
                one = await anext(ones, None)
            elif isinstance(other, TreeProblem):
                yield other
                other = await anext(others, None)
            elif other is None or (one is not None and _order(one) < _order(other)):
                assert one is not None
                yield Pair(one.name, one, None)
                one = await anext(ones, None)
            elif one is None or _order(other) < _order(one):
                yield Pair(other.name, None, other)
                other = await anext(others, None)
            else:
                yield Pair(one.name, one, other)
                one, other = await anext(ones, None), await anext(others, None)


async def _in_order(
    tree: Tree, entries: AsyncGenerator[Entry | TreeProblem, None], whole: bool
) -> AsyncGenerator[Entry | TreeProblem, None]:
    async with aclosing(entries):
        head: list[Entry | TreeProblem] = []
        ordered, last = True, b""
        async for entry in entries:
            head.append(entry)
            position = _order(entry) or last
            ordered, last = ordered and last <= position, position
            if len(head) >= _SORTED and ordered and not whole:
                break
        head.sort(key=_order)
        for entry in head:
            yield entry
        async for entry in entries:
            position = _order(entry) or last
            if position < last:
                raise UnorderedError(tree)
            last = position
            yield entry


def _order(entry: Entry | TreeProblem) -> bytes:
    # Problems first: they are only reported.
    return entry.name.encode("utf-8", "surrogatepass") if isinstance(entry, Entry) else b""
