"""
The names that the items of a tree get in the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from asyncstore.errors import AlreadyExistsError, ConfigurationError
from asyncstore.uri import ObjectURI

#: How the names of a tree's items are made; see :class:`asyncstore.TreeOptions`.
Layout = Literal["relative", "full", "overlap", "flat"]

#: Changes a name into the one in the target.
Renaming = Callable[[str], str]


def renaming(layout: Layout, source: Path | ObjectURI, base: Path | ObjectURI) -> Renaming:
    """
    Return the function that changes names below *source* into names below *base*.

    It raises :class:`AlreadyExistsError` for a name that another item has got already.

    Raises:
        ConfigurationError: The names are made of keys, and *source* is a directory.
    """
    if layout == "relative":
        return _unchanged
    if layout == "flat":
        return _Once(_last)
    if isinstance(source, Path):
        raise ConfigurationError(
            f"layout={layout!r} is made of keys, which the files of {source} do not have: use 'relative' or 'flat'"
        )
    prefix = source.key
    if layout == "full":
        return lambda name: prefix + name
    segments = base.parts if isinstance(base, Path) else base.key.rstrip("/").split("/")
    return _Once(lambda name: _without_overlap(prefix + name, segments))


def _unchanged(name: str) -> str:
    return name


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _without_overlap(key: str, base: Sequence[str]) -> str:
    """
    Return *key* without the most segments at its start that *base* ends with.
    """
    segments = key.split("/")
    for length in range(min(len(segments) - 1, len(base)), 0, -1):
        if list(base[-length:]) == segments[:length]:
            return "/".join(segments[length:])
    return key


class _Once:
    """
    Gives each name to one item only. The names are kept in memory.
    """

    def __init__(self, rename: Renaming) -> None:
        self._rename = rename
        self._given: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        new = self._rename(name)
        first = self._given.setdefault(new, name)
        if first != name:
            raise AlreadyExistsError(f"{first!r} and {name!r} would both become {new!r}: choose another layout")
        return new
