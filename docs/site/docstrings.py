"""
Shows docstrings in Markdown: their Sphinx roles and literal blocks, and comments that start with ``#:``.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|attr|mod|exc|data):`(?:([^`<]+) <)?([^`>]+)>?`")
_LITERAL = re.compile(r"^(.*?)::$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """
    Rewrites each docstring when its package has been loaded.
    """

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite the docstrings of *pkg* and of everything in it."""
        self._visit(pkg)

    def _visit(self, obj: griffe.Object) -> None:
        if obj.docstring is None and isinstance(obj, griffe.Attribute):
            _comment(obj)
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value, obj)
        for member in obj.members.values():
            if isinstance(member, griffe.Object):
                self._visit(member)


def markdown(text: str, scope: griffe.Object) -> str:
    """
    Return *text* in Markdown, with the names in roles as links if the reference has them.
    """
    text = _LITERAL.sub(lambda found: f"{found[1]}:" if found[1].strip() else "", text)
    return _ROLE.sub(lambda found: _link(found[1], found[2], scope), text)


def _link(text: str | None, target: str, scope: griffe.Object) -> str:
    shown = text or (target.rpartition(".")[2] if target.startswith("~") else target.lstrip("."))
    identifier = _full_name(target.lstrip("~."), scope)
    return f'<autoref identifier="{identifier}" optional><code>{html.escape(shown)}</code></autoref>'


def _full_name(name: str, scope: griffe.Object) -> str:
    first, dot, rest = name.partition(".")
    if first == "asyncstore":
        return name
    holder = scope if isinstance(scope, griffe.Class) else scope.parent
    if isinstance(holder, griffe.Class) and first in holder.all_members:
        return f"{holder.all_members[first].path}{dot}{rest}"
    try:
        return scope.resolve(first) + dot + rest
    except griffe.NameResolutionError:
        return name


def _comment(attribute: griffe.Attribute) -> None:
    """Take the comment above an attribute for its docstring, if its lines start with ``#:``."""
    if attribute.lineno is None or not isinstance(attribute.filepath, Path):
        return
    lines = attribute.lines_collection[attribute.filepath][: attribute.lineno - 1]
    found: list[str] = []
    while lines and lines[-1].strip().startswith("#:"):
        found.insert(0, lines.pop().strip().removeprefix("#:").strip())
    if found:
        attribute.docstring = griffe.Docstring("\n".join(found), parent=attribute)
