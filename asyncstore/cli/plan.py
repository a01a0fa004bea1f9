"""
What a copy will do: sources and a target become steps, drawn one by one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from asyncstore.cli.places import LocalPlace, RemotePlace
from asyncstore.engine.tree import TargetTree, TreeFile, is_marker, relative_parts, walk
from asyncstore.errors import ConfigurationError, InvalidRequestError, NotFoundError, StorageError
from asyncstore.options import ListOptions
from asyncstore.storage import Storage
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

Anywhere = Path | ObjectURI

_LIST: Final = ListOptions()


@dataclass(frozen=True, slots=True)
class Item:
    """
    One file or object to bring from *source* to *target* (or to delete); its *size*, if that is known.
    """

    source: Anywhere
    target: Anywhere | None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    What is not transferred, and why.

    Attributes:
        expected: Whether it is left out by design, and only worth a warning.
    """

    source: Anywhere
    error: StorageError
    expected: bool = False


Step = Item | Refusal


@dataclass(frozen=True)
class Filter:
    """
    Which relative paths are meant: none that an *exclude* matches; with an *include*, only what one matches.

    A pattern with a slash is held against the whole path, one without against the
    last segment too; ``*`` stands for slashes as well.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def __call__(self, relative: str) -> bool:
        if any(_matches(relative, pattern) for pattern in self.exclude):
            return False
        return not self.include or any(_matches(relative, pattern) for pattern in self.include)


def _matches(relative: str, pattern: str) -> bool:
    if fnmatchcase(relative, pattern):
        return True
    return "/" not in pattern and fnmatchcase(relative.rpartition("/")[2], pattern)


@dataclass(frozen=True)
class Planner:
    """
    Makes the steps of one copy.

    Attributes:
        recursive: Whether directories and prefixes are meant.
        wanted: Which of the files below them.
        source: The storage of sources that are URIs.
        max_key_bytes: Of the target's storage.
    """

    recursive: bool
    wanted: Filter = field(default_factory=Filter)
    source: Storage | None = None
    max_key_bytes: int | None = None

    async def steps(
        self, sources: Sequence[LocalPlace | RemotePlace], target: LocalPlace | RemotePlace
    ) -> AsyncGenerator[Step, None]:
        """
        Yield the steps of all *sources* in turn.

        Raises:
            ConfigurationError: Sources and target do not go together.
            NotFoundError: A source is not there.
        """
        for source in sources:
            base = _below(target, source.name) if len(sources) > 1 else target
            into = len(sources) > 1 or is_into(target)
            async with aclosing(self._of(source, target, base, into)) as found:
                async for step in found:
                    yield self._checked(step)

    async def _of(
        self,
        source: LocalPlace | RemotePlace,
        target: LocalPlace | RemotePlace,
        base: LocalPlace | RemotePlace,
        into: bool,
    ) -> AsyncGenerator[Step, None]:
        if isinstance(source, LocalPlace):
            assert isinstance(target, RemotePlace)
            assert isinstance(base, RemotePlace)
            if not source.path.is_dir():
                yield Item(source.path, _named(source, target, into), _size(source.path))
                return
            self._needs_recursive(source)
            async with aclosing(self._files(source.path, base.uri)) as files:
                async for step in files:
                    yield step
        elif self.recursive:
            async with aclosing(self._objects(source, base)) as objects:
                async for step in objects:
                    yield step
        else:
            if source.slash or not source.uri.key:
                self._needs_recursive(source)
            yield await self._object(source, target, into)

    async def _files(self, root: Path, base: ObjectURI) -> AsyncGenerator[Step, None]:
        async for entry in walk(root):
            if not isinstance(entry, TreeFile):
                yield Refusal(entry.path, entry.error, entry.expected)
            elif self.wanted(entry.key):
                yield Item(entry.path, base / entry.key, entry.size)

    async def _object(self, source: RemotePlace, target: LocalPlace | RemotePlace, into: bool) -> Step:
        if isinstance(target, RemotePlace):
            return Item(source.uri, _named(source, target, into))
        if not into:
            return Item(source.uri, target.path)
        try:
            return Item(source.uri, target.path.joinpath(*relative_parts(source.name)))
        except StorageError as exc:
            return Refusal(source.uri, exc)

    async def _objects(self, source: RemotePlace, base: LocalPlace | RemotePlace) -> AsyncGenerator[Step, None]:
        assert self.source is not None
        folder = source.folder
        tree = TargetTree(base.path) if isinstance(base, LocalPlace) else None
        found = False
        async with aclosing(listed(self.source, folder)) as objects:
            async for info in objects:
                found = True
                relative = info.key[len(folder.key) :]
                if not self.wanted(relative):
                    continue
                if tree is None:
                    assert isinstance(base, RemotePlace)
                    if relative:
                        yield Item(info.uri, base.uri / relative, info.size)
                elif not is_marker(info.key, info.size):
                    yield await _placed(tree, info, relative)
        if not found:
            raise NotFoundError(f"there is nothing under {folder}")

    def _needs_recursive(self, source: LocalPlace | RemotePlace) -> None:
        if not self.recursive:
            raise ConfigurationError(f"{source} is a directory or prefix: copy it with -r")

    def _checked(self, step: Step) -> Step:
        limit = self.max_key_bytes
        if limit is None or isinstance(step, Refusal) or not isinstance(step.target, ObjectURI):
            return step
        # The engine would refuse the whole operation for it.
        if len(step.target.key.encode()) > limit:
            return Refusal(step.source, InvalidRequestError(f"its key would be longer than {limit} bytes"))
        return step


async def listed(storage: Storage, prefix: ObjectURI, options: ListOptions = _LIST) -> AsyncGenerator[ObjectInfo, None]:
    """
    Yield what is listed, as a generator that can be closed before its end.
    """
    async for info in storage.list(prefix, options=options):
        yield info


async def _placed(tree: TargetTree, info: ObjectInfo, relative: str) -> Step:
    try:
        return Item(info.uri, await tree.place(relative), info.size)
    except StorageError as exc:
        return Refusal(info.uri, exc)


def is_into(target: LocalPlace | RemotePlace) -> bool:
    """
    Whether a single source goes into *target* under its own name, and does not become it.
    """
    if isinstance(target, RemotePlace):
        return target.slash or not target.uri.key
    return target.slash or target.path.is_dir()


def _named(source: LocalPlace | RemotePlace, target: RemotePlace, into: bool) -> ObjectURI:
    return target.uri / source.name if into else target.uri


def _below(target: LocalPlace | RemotePlace, name: str) -> LocalPlace | RemotePlace:
    if isinstance(target, RemotePlace):
        return RemotePlace(target.uri / name, slash=False)
    return LocalPlace(target.path / name, slash=False)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        # Opening it will tell what is wrong.
        return None
