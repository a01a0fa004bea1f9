"""
Trees: maps the files in a directory to keys, and keys to files that never leave a directory.

A key is the relative path of a file with ``/`` between the segments. Nothing is
encoded, normalized or truncated, so an upload and a download give the same tree.
"""

from __future__ import annotations

import stat
import unicodedata
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
)
from asyncstore.options import ListOptions
from asyncstore.storage.layout import Renaming, renaming
from asyncstore.storage.missing import Missing
from asyncstore.storage.safe_path import relative_parts
from asyncstore.storage.storage import Storage
from asyncstore.storage.tree_options import PathFilter, TreeOptions, path_filter
from asyncstore.storage.walk import TreeProblem, walk
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

_LIST: Final = ListOptions()
_WITH_FOLDERS: Final = ListOptions(folders=True)

# What the keys of folder markers end in: those of web consoles, and of Hadoop.
_MARKERS: Final = ("/", "_$folder$")


@dataclass(frozen=True, slots=True)
class TreeItem:
    """
    One file or object to transfer.

    Attributes:
        source: The file or object.
        target: Where it goes; ``None`` if it is to be deleted.
        size: Bytes, if known.
        is_folder: Whether it is a directory, or the marker of a folder: it is deleted after what is below it.
        modified: When the source was modified, in seconds since the epoch, if that is known.
    """

    source: Path | ObjectURI
    target: Path | ObjectURI | None
    size: int | None = None
    is_folder: bool = False
    modified: float | None = None


TreeStep = TreeItem | TreeProblem


async def steps_below(
    source: Path | Storage, folder: ObjectURI | None, base: Path | ObjectURI, options: TreeOptions
) -> AsyncGenerator[TreeStep, None]:
    """
    Yield the files of a directory, or the objects of a storage under *folder*, with what they become under *base*.

    Raises:
        NotFoundError: The directory does not exist, or no object has a key under *folder*.
        ConfigurationError: A file of *options* cannot be read.
    """
    wanted = await path_filter(options, directory=isinstance(source, Path))
    if isinstance(source, Storage):
        assert folder is not None
        places = _Places(base, renaming(options.layout, folder, base))
        if wanted.names is None:
            steps = _objects_below(source, folder, places, wanted, options)
        else:
            steps = _named_objects(folder, places, wanted, wanted.names)
    else:
        steps = _files_below(source, _Places(base, renaming(options.layout, source, base)), wanted, options)
    async with aclosing(steps):
        async for step in steps:
            yield step


async def _files_below(
    root: Path, places: _Places, wanted: PathFilter, options: TreeOptions
) -> AsyncGenerator[TreeStep, None]:
    missing = Missing(wanted)
    async for entry in walk(root, wanted, symlinks=options.symlinks, empty_folders=options.empty_folders):
        if isinstance(entry, TreeProblem):
            assert isinstance(entry.source, Path)
            missing.found(entry.source.relative_to(root).as_posix())
            yield entry
        else:
            missing.found(entry.key)
            yield await places.step(entry.path, entry.key, entry.size, entry.modified, is_folder=entry.is_folder)
    for problem in await missing.problems(root):
        yield problem


async def _named_objects(
    folder: ObjectURI, places: _Places, wanted: PathFilter, names: Collection[str]
) -> AsyncGenerator[TreeStep, None]:
    # In the order of a listing, which the tree needs.
    for name in sorted(names, key=lambda name: name.encode("utf-8", "surrogatepass")):
        if not wanted(name):
            continue
        try:
            source = folder / name
        except StorageError as exc:
            yield TreeProblem(folder, exc)
            continue
        yield await places.step(source, name, None, None, is_folder=places.local and name.endswith("/"))


async def _objects_below(
    storage: Storage, folder: ObjectURI, places: _Places, wanted: PathFilter, options: TreeOptions
) -> AsyncGenerator[TreeStep, None]:
    found = False
    async with aclosing(listed(storage, folder, _WITH_FOLDERS)) as objects:
        async for info in objects:
            found = True
            relative = info.key[len(folder.key) :]
            marker = is_marker(info)
            # Directories of an account that has them are made again as directories, not as objects.
            if info.is_prefix and not (options.empty_folders and info.is_folder):
                continue
            if not wanted(folder_name(relative) if marker else relative):
                continue
            if not marker:
                yield await places.step(info.uri, relative, info.size, modified_at(info))
            elif relative and (step := await _folder(places, info, relative, options)) is not None:
                yield step
    if not found:
        raise NotFoundError("no object has a key with this prefix", uri=str(folder))


async def _folder(places: _Places, info: ObjectInfo, relative: str, options: TreeOptions) -> TreeStep | None:
    """
    Return what the marker of a folder becomes: a directory, a copy, or a marker whose key says what it is.
    """
    if options.layout == "flat":
        return None
    if isinstance(places.base, ObjectURI):
        if not info.is_prefix and (places.base.provider == info.uri.provider or not info.is_folder):
            return await places.step(info.uri, relative, info.size)
        # A marker that only the metadata tells would be an empty file elsewhere.
        size, modified = 0, None
    else:
        size, modified = info.size, modified_at(info)
    if not options.empty_folders or not places.renamed(name := folder_name(relative)):
        return None
    return await places.step(info.uri, name, size, modified, is_folder=True)


class _Places:
    """
    Chooses the files or objects under *base* that items of a tree become.
    """

    def __init__(self, base: Path | ObjectURI, renamed: Renaming) -> None:
        self.base = base
        self.renamed = renamed
        self._tree = TargetTree(base) if isinstance(base, Path) else None

    @property
    def local(self) -> bool:
        """Whether they are files."""
        return self._tree is not None

    async def step(
        self,
        source: Path | ObjectURI,
        name: str,
        size: int | None,
        modified: float | None = None,
        *,
        is_folder: bool = False,
    ) -> TreeStep:
        """
        Return the item of this *name*, or why it has no place.
        """
        target: Path | ObjectURI
        try:
            name = self.renamed(name)
            if self._tree is not None:
                target = await (self._tree.place_folder(name) if is_folder else self._tree.place(name))
            else:
                assert isinstance(self.base, ObjectURI)
                target = self.base / name
            return TreeItem(source, target, size, is_folder, modified)
        except StorageError as exc:
            return TreeProblem(source, exc)


def modified_at(info: ObjectInfo) -> float | None:
    """
    Return when an object was written, in seconds since the epoch, if that is known.
    """
    return None if info.last_modified is None else info.last_modified.timestamp()


async def listed(storage: Storage, prefix: ObjectURI, options: ListOptions = _LIST) -> AsyncGenerator[ObjectInfo, None]:
    """
    Yield a listing, as a generator that can be closed before its end.
    """
    async for info in storage.list(prefix, options=options):
        yield info


def is_marker(info: ObjectInfo) -> bool:
    """
    Return whether an object is the marker of a folder, as web consoles and Hadoop write them.
    """
    return info.is_folder or (info.size == 0 and info.key.endswith(_MARKERS))


def folder_name(marker: str) -> str:
    """
    Return the name of the folder, with a slash at the end, that a marker of the name *marker* stands for.
    """
    return f"{marker.removesuffix('_$folder$').rstrip('/')}/"


async def to_delete(storage: Storage, folder: ObjectURI, wanted: PathFilter) -> AsyncGenerator[TreeStep, None]:
    """
    Yield what is under *folder*, which ends in a slash, and then the directory itself if it is one.

    Directories are left if *wanted* selects some paths only, since others can be below them.
    """
    everything = wanted.everything
    if wanted.names is not None:
        for name in sorted(wanted.names):
            if not wanted(name):
                continue
            try:
                yield TreeItem(folder / name, None)
            except StorageError as exc:
                yield TreeProblem(folder, exc)
        return
    async with aclosing(listed(storage, folder, _WITH_FOLDERS)) as objects:
        async for info in objects:
            if everything or (wanted(info.key[len(folder.key) :]) and not info.is_prefix):
                yield TreeItem(info.uri, None, info.size, info.is_folder)
    if everything and (own := await _own_directory(storage, folder)) is not None:
        yield own


async def emptied(storage: Storage, folder: ObjectURI) -> list[TreeItem]:
    """
    Return the directories under *folder*, itself and the markers of folders, to be deleted, if there is nothing else.
    """
    found = []
    async with aclosing(listed(storage, folder, _WITH_FOLDERS)) as objects:
        async for info in objects:
            if not is_marker(info):
                return []
            found.append(TreeItem(info.uri, None, info.size, is_folder=True))
    own = await _own_directory(storage, folder)
    return found if own is None else [*found, own]


async def _own_directory(storage: Storage, folder: ObjectURI) -> TreeItem | None:
    """Return *folder* itself, to be deleted, where directories are entries of their own."""
    if storage.capabilities.folders and (own := folder.key.rstrip("/")):
        page = await storage.list_page(folder.with_key(own), options=replace(_WITH_FOLDERS, page_size=1))
        for info in page.objects:
            if info.is_folder and info.key == own:
                return TreeItem(info.uri, None, info.size, is_folder=True)
    return None


def deepest_first(folders: Iterable[ObjectURI]) -> Iterator[list[ObjectURI]]:
    """
    Yield *folders* in groups, so that each comes after those below it.
    """
    by_depth: dict[int, list[ObjectURI]] = {}
    for uri in folders:
        by_depth.setdefault(uri.key.rstrip("/").count("/"), []).append(uri)
    for depth in sorted(by_depth, reverse=True):
        yield by_depth[depth]


class TargetTree:
    """
    Chooses the file below *root* for each key of one listing.

    Keys must come in the order of the listing, so that keys with a common prefix are
    adjacent and only a few have to be remembered.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # Earlier keys that the last key starts with: a later key may need one of them as a directory.
        self._open: list[str] = []
        # The directories of the last file, which have been checked.
        self._checked: tuple[str, ...] = ()
        # Normalized paths of all files, on a file system that ignores case.
        self._folded: set[str] | None = None
        self._looked = False

    async def place(self, key: str, *, clear: bool = True) -> Path:
        """
        Return the file for *key*; it may exist already.

        If the path is not *clear*, because of what will be deleted first, it is not looked at.

        A symbolic link in the path is refused if it exists now; this does not protect
        against processes that create one later.

        Raises:
            InvalidRequestError: *key* is not a safe path, see :func:`asyncstore.safe_path`, or a
                parent directory is a file.
            PermissionDeniedError: The path contains a symbolic link.
            AlreadyExistsError: Another key of the listing has the same file.
        """
        parts = relative_parts(key)
        self._claim(key)
        if clear and (not self._looked or parts[:-1] != self._checked):
            with local_errors(self.root):
                await in_thread(self._look, parts)
        if self._folded is not None:
            self._claim_folded(key, self._folded)
        return self.root.joinpath(*parts)

    async def place_folder(self, key: str, *, clear: bool = True) -> Path:
        """
        Return the directory for *key*, which ends in a slash; it may exist already, and files may be below it.

        Raises:
            InvalidRequestError, PermissionDeniedError: As :meth:`place`.
        """
        parts = (*relative_parts(key.removesuffix("/")), "")
        if clear and (not self._looked or parts[:-1] != self._checked):
            with local_errors(self.root):
                await in_thread(self._look, parts)
        return self.root.joinpath(*parts)

    def _claim(self, key: str) -> None:
        while self._open and not key.startswith(self._open[-1]):
            self._open.pop()
        for earlier in self._open:
            if key == earlier:
                raise AlreadyExistsError(f"the listing contains the key {key!r} twice")
            if key[len(earlier)] == "/":
                raise InvalidRequestError(
                    f"the key {key!r} needs a directory with the path of the key {earlier!r}, which is a file"
                )
        self._open.append(key)

    def _claim_folded(self, key: str, taken: set[str]) -> None:
        folded = unicodedata.normalize("NFC", key).casefold()
        if folded in taken:
            raise AlreadyExistsError(
                f"the key {key!r} and another one have the same file, since the file system ignores case"
            )
        taken.add(folded)

    def _look(self, parts: tuple[str, ...]) -> None:
        if not self._looked:
            self._looked = True
            self._folded = set() if _folds_case(self.root.resolve()) else None
        directory = self.root
        for part in parts[:-1]:
            directory = directory / part
            try:
                mode = directory.lstat().st_mode
            except FileNotFoundError:
                break
            if stat.S_ISLNK(mode):
                raise PermissionDeniedError(
                    f"{directory} is a symbolic link, which could lead out of the target: nothing is written there"
                )
            if not stat.S_ISDIR(mode):
                raise InvalidRequestError(f"{directory} is a file, but the key needs a directory there")
        self._checked = parts[:-1]


def _folds_case(directory: Path) -> bool:
    for known in (directory, *directory.parents):
        other = known.name.swapcase()
        if other != known.name and known.exists():
            twin = known.with_name(other)
            return twin.exists() and twin.samefile(known)
    return False
