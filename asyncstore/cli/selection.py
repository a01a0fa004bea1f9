"""
Options of commands that select the files and objects of a tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from asyncstore.cli.places import Place
from asyncstore.cli.report import read_names
from asyncstore.storage.tree_options import TreeOptions

PANEL: Final = "Which files and objects"


class Links(StrEnum):
    """
    What ``--symlinks`` takes; see :class:`TreeOptions`.
    """

    INSIDE = "inside"
    FOLLOW = "follow"
    SKIP = "skip"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Names:
    """
    Which names belong to a tree.
    """

    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only matching names; repeatable.", rich_help_panel=PANEL)
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out matching names; repeatable.", rich_help_panel=PANEL),
    ] = None
    include_from: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Globs for --include, one a line; # comments.", rich_help_panel=PANEL),
    ] = None
    exclude_from: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Globs for --exclude, one a line; # comments.", rich_help_panel=PANEL),
    ] = None
    from_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Only these names, one a line, or the failures of an earlier run; - for standard input.",
            rich_help_panel=PANEL,
        ),
    ] = None
    no_hidden: Annotated[
        bool, typer.Option("--no-hidden", help="Leave out names that start with a dot.", rich_help_panel=PANEL)
    ] = False

    @property
    def selects(self) -> bool:
        """Whether some names are left out."""
        globs = self.include or self.exclude or self.include_from or self.exclude_from
        return bool(globs or self.no_hidden or self.from_file)

    def fields(self, *trees: Place) -> dict[str, Any]:
        """
        Return them as fields of :class:`TreeOptions`.

        Args:
            trees: The arguments of the command, which the records of an earlier run are relative to.

        Raises:
            ConfigurationError: The file of names cannot be read, or is of other trees.
        """
        return {
            "names": None if self.from_file is None else read_names(self.from_file, trees),
            "include": self.include or (),
            "exclude": self.exclude or (),
            "include_from": self.include_from or (),
            "exclude_from": self.exclude_from or (),
            "hidden": not self.no_hidden,
        }

    def tree(self, *trees: Place, **others: Any) -> TreeOptions:
        """
        Return them as options, with *others*.
        """
        return TreeOptions(**self.fields(*trees), **others)


@dataclass(frozen=True, kw_only=True)
class Selection(Names):
    """
    Which files and objects belong to a tree, and what is kept of them.
    """

    symlinks: Annotated[
        Links,
        typer.Option(
            help="Links in a directory: follow those to files inside it, follow all, skip all, or fail.",
            rich_help_panel=PANEL,
        ),
    ] = Links.INSIDE
    empty_folders: Annotated[
        bool,
        typer.Option("--empty-folders", help="Keep empty directories, as markers in storages.", rich_help_panel=PANEL),
    ] = False
    mtime: Annotated[
        bool,
        typer.Option(
            "--mtime", help="Keep modification times, in the metadata mtime as rclone does.", rich_help_panel=PANEL
        ),
    ] = False

    def fields(self, *trees: Place) -> dict[str, Any]:
        kept = {"empty_folders": self.empty_folders, "preserve_mtime": self.mtime}
        return {**Names.fields(self, *trees), "symlinks": self.symlinks.value, **kept}
