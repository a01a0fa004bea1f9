"""
docs/acceptance.md names tests that exist.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import asyncstore

ROOT = Path(__file__).parents[1]
# The package can be installed outside the repository.
PACKAGE = Path(asyncstore.__file__).parents[1]
LINES = [line for line in (ROOT / "docs/acceptance.md").read_text("utf-8").splitlines() if line.startswith("- ")]
TICKED = re.compile(r"- \[x\] .+: `([\w/.]+\.py)::(\w+)`")
OPEN = re.compile(r"- \[ \] .+: no test yet")
NAMED = [match.groups() for line in LINES if (match := TICKED.fullmatch(line))]


@cache
def names_in(path: str) -> set[str]:
    """Return the names of the tests in a file, in and outside of classes."""
    base = PACKAGE if path.startswith("asyncstore/") else ROOT
    tree = ast.parse((base / path).read_text("utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in found if node.name.startswith("test_")}


@pytest.mark.parametrize("line", LINES)
def test_line_names_its_test(line: str) -> None:
    """
    Each line names its test, or says that there is no test yet.
    """
    assert TICKED.fullmatch(line) or OPEN.fullmatch(line)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_named_test_exists(path: str, name: str) -> None:
    """
    The test that a ticked line names exists.
    """
    assert name in names_in(path)


def test_list_is_read() -> None:
    """
    The list has lines.
    """
    assert len(NAMED) > 100
