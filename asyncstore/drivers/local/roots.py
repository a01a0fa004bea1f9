"""
Finds the root that has the metadata of the files below a directory.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

from asyncstore.drivers.local.names import HIDDEN, place


def outer_root(root: Path) -> Path:
    """
    Return *root*, or the nearest directory above it that has been written to as a root; blocks.

    The metadata of an object is stored in the root that it was written under: below that root, a second one would
    not show it, and would hide its own. Not a root for what is below it is a directory

    * from which the path to *root* has a symbolic link, or a name that the driver reserves: its objects are elsewhere;
    * that every user can write to, such as ``/tmp``: anyone could have made it a root for others' directories.
    """
    if _has_been_root(root):
        return root
    for inner, outer in zip((root, *root.parents), root.parents, strict=False):
        if place(inner.name) != (inner.name,) or inner.is_symlink():
            break
        if _has_been_root(outer):
            return root if _everyone_writes(outer) else outer
    return root


def _has_been_root(path: Path) -> bool:
    # A directory that this user cannot read cannot be the root.
    with suppress(OSError):
        return stat.S_ISDIR((path / HIDDEN).stat().st_mode)
    return False


def _everyone_writes(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IWOTH)
