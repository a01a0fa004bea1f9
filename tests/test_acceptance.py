"""
The list of what is promised names tests that exist.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import asyncstore

ROOT = Path(__file__).parents[1]
# Where the package is installed, which can be elsewhere.
PACKAGE = Path(asyncstore.__file__).parents[1]
LINES = [line for line in (ROOT / "docs/acceptance.md").read_text("utf-8").splitlines() if line.startswith("- ")]
TICKED = re.compile(r"- \[x\] .+: `([\w/.]+\.py)::(\w+)`")
OPEN = re.compile(r"- \[ \] .+: no test yet")
NAMED = [match.groups() for line in LINES if (match := TICKED.fullmatch(line))]


@cache
def names_in(path: str) -> set[str]:
    """Return the names of the tests in a file, in classes or not."""
    base = PACKAGE if path.startswith("asyncstore/") else ROOT
    tree = ast.parse((base / path).read_text("utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in found if node.name.startswith("test_")}


@pytest.mark.parametrize("line", LINES)
def test_line_is_ticked_or_open(line: str) -> None:
    """
    A line names its test, or says that there is none.
    """
    assert TICKED.fullmatch(line) or OPEN.fullmatch(line)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_named_test_exists(path: str, name: str) -> None:
    """
    A ticked line can be run.
    """
    assert name in names_in(path)


def test_something_is_promised() -> None:
    """
    The list was found and read.
    """
    assert len(NAMED) > 100
