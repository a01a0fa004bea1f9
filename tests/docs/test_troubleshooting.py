"""
The messages on the page for troubleshooting are those of the package.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import asyncstore
from tests.docs.blocks import ROOT

_PAGE = ROOT / "docs" / "how-to" / "troubleshooting.md"
_SOURCES = Path(asyncstore.__file__).parent

MESSAGES = [
    message
    for heading in re.findall(r"^### (.*)$", _PAGE.read_text("utf-8"), re.MULTILINE)
    for message in re.findall(r"`([^`]+)`", heading)
]


@pytest.mark.parametrize("message", MESSAGES)
def test_message_exists(message: str) -> None:
    """
    The fixed parts of a message are in the source, so that a search for an error finds its section.
    """
    parts = [part.strip(" …:") for part in message.split("…")]

    assert [part for part in parts if part and part not in _texts()] == []


@cache
def _texts() -> str:
    """Return all literals of the sources; adjacent ones and those of f-strings are joined by the parser."""
    nodes = (node for path in _SOURCES.rglob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
