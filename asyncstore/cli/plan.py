"""
The plan of a copy: turns sources and a target into steps, one at a time.
"""

from __future__ import annotations

import stat
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from asyncstore.cli.places import LocalPlace, RemotePlace
from asyncstore.errors import ConfigurationError, InvalidRequestError, StorageError
from asyncstore.storage import Storage
from asyncstore.storage.safe_path import safe_path
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.trees import TreeItem, TreeStep, steps_below
from asyncstore.storage.walk import TreeProblem
from asyncstore.uri import ObjectURI


@dataclass(frozen=True)
class Planner:
    """
    Makes the steps of one copy.

    Attributes:
        recursive: Whether to copy directories and prefixes.
        options: Which files and objects below them are copied.
        source: The storage of the sources that are URIs.
        max_key_bytes: Longest key that the target's storage allows.
    """

    recursive: bool
    options: TreeOptions = field(default_factory=TreeOptions)
    source: Storage | None = None
    max_key_bytes: int | None = None

    async def steps(
        self, sources: Sequence[LocalPlace | RemotePlace], target: LocalPlace | RemotePlace
    ) -> AsyncGenerator[TreeStep, None]:
        """
        Yield the steps of all *sources* in turn.

        Raises:
            ConfigurationError: A source is a directory or prefix, and the copy is not recursive.
            NotFoundError: A source does not exist.
        """
        for source in sources:
            base = below(target, source.name) if len(sources) > 1 else target
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
    ) -> AsyncGenerator[TreeStep, None]:
        if isinstance(source, LocalPlace):
            assert isinstance(target, RemotePlace)
            assert isinstance(base, RemotePlace)
            if not source.path.is_dir():
                yield _file(source.path, _named(source, target, into))
                return
            self._needs_recursive(source)
            async with aclosing(steps_below(source.path, None, base.uri, self.options)) as files:
                async for step in files:
                    yield step
        elif self.recursive:
            assert self.source is not None
            root = base.path if isinstance(base, LocalPlace) else base.uri
            async with aclosing(steps_below(self.source, source.folder, root, self.options)) as objects:
                async for step in objects:
                    yield step
        else:
            if source.slash or not source.uri.key:
                self._needs_recursive(source)
            yield await self._object(source, target, into)

    async def _object(self, source: RemotePlace, target: LocalPlace | RemotePlace, into: bool) -> TreeStep:
        if isinstance(target, RemotePlace):
            return TreeItem(source.uri, _named(source, target, into))
        if not into:
            return TreeItem(source.uri, target.path)
        try:
            return TreeItem(source.uri, safe_path(target.path, source.name))
        except StorageError as exc:
            return TreeProblem(source.uri, exc)

    def _needs_recursive(self, source: LocalPlace | RemotePlace) -> None:
        if not self.recursive:
            raise ConfigurationError(f"{source} is a directory or prefix: use -r to copy it")

    def _checked(self, step: TreeStep) -> TreeStep:
        limit = self.max_key_bytes
        if limit is None or isinstance(step, TreeProblem) or not isinstance(step.target, ObjectURI):
            return step
        # The engine would fail the whole operation because of one key.
        if len(step.target.key.encode()) > limit:
            return TreeProblem(
                step.source,
                InvalidRequestError(f"the key {step.target.key[:60]}... would be longer than {limit} bytes"),
            )
        return step


def is_into(target: LocalPlace | RemotePlace) -> bool:
    """
    Return whether a single source is copied into *target*, under its own name, and not to it.
    """
    if isinstance(target, RemotePlace):
        return target.slash or not target.uri.key
    return target.slash or target.path.is_dir()


def _named(source: LocalPlace | RemotePlace, target: RemotePlace, into: bool) -> ObjectURI:
    return target.uri / source.name if into else target.uri


def below(target: LocalPlace | RemotePlace, name: str) -> LocalPlace | RemotePlace:
    """
    Return the place below *target* that one of several sources of this *name* is copied to.
    """
    if isinstance(target, RemotePlace):
        return RemotePlace(target.uri / name, slash=False)
    return LocalPlace(target.path / name, slash=False)


def _file(path: Path, target: ObjectURI) -> TreeStep:
    try:
        status = path.stat()
    except OSError:
        # Opening the file will report the error.
        return TreeItem(path, target)
    if not stat.S_ISREG(status.st_mode):
        problem = f"{path} is not a regular file: to copy what a command writes, run: command | asyncstore cp - TARGET"
        return TreeProblem(path, InvalidRequestError(problem))
    return TreeItem(path, target, status.st_size)
