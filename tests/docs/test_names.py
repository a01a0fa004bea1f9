"""
The dotted names in documentation and docstrings exist.
"""

import re
from collections.abc import Iterator
from importlib import import_module, util
from pathlib import Path

import asyncstore

_ROOT = Path(__file__).parents[2]
_SOURCES = Path(asyncstore.__file__).parent
_NAME = re.compile(r"\basyncstore(?:\.[A-Za-z_]\w*)+")

# Groups of entry points.
_GROUPS = {"asyncstore.auth", "asyncstore.drivers", "asyncstore.uris"}

# Attributes of spans.
_ATTRIBUTES = {"asyncstore.operation"}


def test_every_name_exists() -> None:
    """
    A reader can import what a page or a docstring names.
    """
    known = _GROUPS | _ATTRIBUTES
    missing = {f"{path.name}: {name}" for path, name in _names() if name not in known and not _exists(name)}

    assert not missing


def _names() -> Iterator[tuple[Path, str]]:
    for path in [_ROOT / "README.md", *(_ROOT / "docs").rglob("*.md"), *_SOURCES.rglob("*.py")]:
        yield from ((path, match.group()) for match in _NAME.finditer(path.read_text("utf-8")))


def _exists(name: str) -> bool:
    parts = name.split(".")
    length = next(n for n in range(len(parts), 0, -1) if _is_module(".".join(parts[:n])))
    found = import_module(".".join(parts[:length]))
    for part in parts[length:]:
        if not hasattr(found, part):
            return part in getattr(found, "__annotations__", {})
        found = getattr(found, part)
    return True


def _is_module(name: str) -> bool:
    try:
        return util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
