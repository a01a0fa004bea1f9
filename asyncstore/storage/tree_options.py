"""
Options of trees: which files and objects belong to one, and how they are stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final, Literal

from asyncstore._support.argument_types import check_field_types
from asyncstore._support.threads import in_thread
from asyncstore.errors import ConfigurationError, NotSupportedError
from asyncstore.options import BulkOptions
from asyncstore.storage.arguments import Need
from asyncstore.storage.layout import Layout
from asyncstore.storage.storage import Storage

#: What the options of trees need of the storage that is written to.
TREE_NEEDS: Final = {
    "empty_folders": Need("empty_objects", "empty objects"),
    "preserve_mtime": Need("metadata", "user metadata"),
}

# In a glob: any number of directories, also none.
_ANY_FOLDERS: Final = re.compile(r"(?:^|(?<=/))\*\*/")

#: What to do with the symbolic links in a directory.
Symlinks = Literal["inside", "follow", "skip", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOptions:
    """
    Which files and objects belong to a tree, and how they are transferred.

    A name is the path relative to the tree, with ``/`` between the segments. A glob with a slash is matched
    against the whole name, one without also against its last segment. ``*`` matches slashes too, as in the globs of
    the AWS CLI, and ``**/`` also no directory, as in those of rclone and Git: ``a/**/b`` is ``a/b`` and ``a/1/2/b``.
    A slash at the start makes it match the whole name only: ``/a`` is ``a``, but not ``b/a``. With a slash at the
    end, it is matched against directories, and selects everything below them: ``a/`` is ``a/1`` and ``b/a/2``, but
    not a file ``a``.

    Attributes:
        include: Only names that match at least one of these globs.
        exclude: No name that matches one of these globs, even if *include* has it.
        include_from, exclude_from: Files with more of them, one glob a line. Empty lines and those that start
            with ``#`` are ignored.
        names: Only these names, of those that the globs select. Objects are not listed for them but by
            :func:`sync_tree`; a name that does not exist is a failure, except in :func:`delete_tree`. A name that
            starts with ``./`` is the one without it. In a directory, one that ends in a slash is a directory with
            everything below.
        hidden: Whether names with a segment that starts with a dot belong to the tree.
        symlinks: ``"inside"`` follows links to files in the same directory tree and leaves out all others.
            ``"follow"`` follows all, to directories and out of the tree as well, except to a directory that
            contains the link. ``"skip"`` leaves all out. ``"error"`` makes each a failure. Storages have none. Links
            in the target of a sync are never followed to other places.
        empty_folders: Keep empty directories: an object without bytes whose key ends in a slash stands for one.
            Such markers, and those of Hadoop and of Azure, become directories. If off, empty directories are left
            out, and so are markers in downloads; a copy from storage to storage has the markers of its source.
        layout: Which names the items get in the target. ``"relative"`` is the path relative to the tree. ``"full"``
            is the whole key, also of a prefix that is given. ``"overlap"`` is the whole key without the directories
            at its start that the target ends with already: ``models/llama/a`` in ``/data/models`` is
            ``/data/models/llama/a``. ``"flat"`` is the last segment alone. With the last two, an item whose name
            another one has got fails, and all names are kept in memory. Directories that are uploaded are
            ``"relative"`` or ``"flat"``, and trees that are compared or deleted are ``"relative"``.
        preserve_mtime: Keep the modification time of files in the metadata ``mtime``, in the form of rclone, and
            give it to downloaded files; an object without it gives the time when it was written.
        update: Leave targets alone that were modified after their sources. One request for each object that would be
            written looks at its time; :func:`sync_tree` knows it from the listing.
        verify: Compare each item with its source after the transfer, by checksum: one request for each object, and
            its bytes once more if no checksum of the whole is stored. An item that differs fails.
        bulk: Options of the transfers. If those of the uploads or downloads say ``resume``, items that are
            complete at the target are skipped.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    include_from: Sequence[Path] = ()
    exclude_from: Sequence[Path] = ()
    names: Sequence[str] | None = None
    hidden: bool = True
    symlinks: Symlinks = "inside"
    empty_folders: bool = False
    layout: Layout = "relative"
    preserve_mtime: bool = False
    update: bool = False
    verify: bool = False
    bulk: BulkOptions = field(default_factory=lambda: BulkOptions(keep="failures"))

    def __post_init__(self) -> None:
        check_field_types(self)
        for name in ("include", "exclude", "include_from", "exclude_from"):
            _check_list(name, getattr(self, name), str if name in ("include", "exclude") else Path)
        if self.names is not None:
            _check_list("names", self.names, str)
        if self.layout == "flat" and self.empty_folders:
            raise ValueError("layout='flat' has no directories: turn empty_folders off")


def _check_list(name: str, values: Sequence[object], kind: type) -> None:
    # Text is a sequence of its letters.
    if isinstance(values, str) or not all(isinstance(value, kind) for value in values):
        raise TypeError(f"{name} takes a list of {'texts' if kind is str else 'paths'}, not {values!r:.60}")


@dataclass(frozen=True)
class PathFilter:
    """
    Selects names as the fields of :class:`TreeOptions` say.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    hidden: bool = True
    names: frozenset[str] | None = None
    #: Directories, which end in a slash, of which all names below belong to *names*.
    folders: frozenset[str] = frozenset()

    def __call__(self, relative: str) -> bool:
        if self.names is not None and relative not in self.names and not self._is_below(relative):
            return False
        if not self.hidden and (relative.startswith(".") or "/." in relative):
            return False
        if any(_matches(relative, pattern) for pattern in self.exclude):
            return False
        return not self.include or any(_matches(relative, pattern) for pattern in self.include)

    @property
    def everything(self) -> bool:
        """Whether it selects all names."""
        return self.hidden and not self.include and not self.exclude and self.names is None

    def _is_below(self, relative: str) -> bool:
        # The name of a directory itself, too: it can be a link or a file by now.
        return bool(self.folders) and not self.folders.isdisjoint(parents(f"{relative.rstrip('/')}/"))

    @cached_property
    def _entered(self) -> frozenset[str]:
        return frozenset(folder for name in self.names or () for folder in parents(name))

    def enters(self, folder: str) -> bool:
        """
        Return whether a name below *folder*, which ends in a slash, can be selected.
        """
        if not self.hidden and (folder.startswith(".") or "/." in folder):
            return False
        if any(pattern.endswith("/") and _matches(folder, pattern) for pattern in self.exclude):
            return False
        return self.names is None or folder in self._entered or self._is_below(folder)


def parents(name: str) -> Iterator[str]:
    """
    Yield the directories of *name*, each with a slash at the end, and *name* itself if it has one.
    """
    end = name.find("/")
    while end >= 0:
        yield name[: end + 1]
        end = name.find("/", end + 1)


def _matches(relative: str, pattern: str) -> bool:
    if _fits(relative, pattern):
        return True
    plain = pattern.removesuffix("/")
    if plain != pattern:
        return any(_names(folder[:-1], plain) for folder in parents(relative))
    # A folder is also matched without its slash.
    return _names(relative.removesuffix("/"), plain)


def _names(relative: str, pattern: str) -> bool:
    if pattern.startswith("/"):
        return _fits(relative, pattern[1:])
    return _fits(relative, pattern) or ("/" not in pattern and _fits(relative.rpartition("/")[2], pattern))


def _fits(text: str, glob: str) -> bool:
    return _compiled(glob)(text) is not None


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> Callable[[str], re.Match[str] | None]:
    # translate() ends with an anchor, which Python 3.14 spells in another way.
    parts = [translate(part).removesuffix(r"\Z").removesuffix(r"\z") for part in _ANY_FOLDERS.split(glob)]
    return re.compile(r"(?:(?s:.*)/)?".join(parts)).fullmatch


async def path_filter(options: TreeOptions, *, directory: bool) -> PathFilter:
    """
    Return the filter of *options*; their files are read in a thread.

    Args:
        directory: Whether the names are those of a directory, where a slash at the end stands for all that is below.

    Raises:
        ConfigurationError: A file cannot be read, or is not UTF-8.
    """
    include = [*options.include, *await _globs("include_from", options.include_from)]
    exclude = [*options.exclude, *await _globs("exclude_from", options.exclude_from)]
    if options.include_from and not include:
        raise ConfigurationError(f"no file of include_from has a glob: {', '.join(map(str, options.include_from))}")
    if options.names is None:
        return PathFilter(include, exclude, options.hidden)
    names = frozenset(name for given in options.names if (name := _without_dot(given)))
    folders = frozenset(name for name in names if name.endswith("/")) if directory else frozenset[str]()
    return PathFilter(include, exclude, options.hidden, names, folders)


def _without_dot(name: str) -> str:
    # As ``find .`` writes names.
    while name.startswith("./"):
        name = name[2:]
    return name


async def _globs(name: str, files: Sequence[Path]) -> list[str]:
    found: list[str] = []
    for file in files:
        try:
            # Some editors write a byte order mark.
            text = await in_thread(file.read_text, "utf-8-sig")
        except OSError as exc:
            raise ConfigurationError(f"{name}: cannot read {file}: {exc.strerror}") from None
        except UnicodeDecodeError as exc:
            raise ConfigurationError(f"{name}: {file} is not UTF-8: {exc.reason} at byte {exc.start}") from None
        found += _lines(text)
    return found


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.rstrip()


def check_target(options: TreeOptions, target: Storage) -> None:
    """
    Refuse options that *target* cannot store.

    Raises:
        NotSupportedError: It has no metadata for modification times, or no empty objects for empty directories.
    """
    for name, need in TREE_NEEDS.items():
        if getattr(options, name) and not getattr(target.capabilities, need.capability):
            raise NotSupportedError(
                f"{target.provider} does not support {need.words}, which {name} needs", provider=target.provider
            )
