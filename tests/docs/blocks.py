"""
Finds the code blocks of the README and docs, and runs them.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """
    A fenced block: its file, the number of its first line, its language and its code.
    """

    path: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """
    Return all blocks in *languages*, in all pages.
    """
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [block for page in pages for block in _of(page) if block.language in languages]


def guides() -> list[tuple[Block, Block]]:
    """
    Return the programs before and after of each migration guide that has them.
    """
    found = []
    for page in sorted((ROOT / "docs" / "migrate").glob("*.md")):
        if "\n## Before\n" in page.read_text("utf-8"):
            before, after = (block for block in _of(page) if block.language == "python")
            found.append((before, after))
    return found


def run(command: list[str], cwd: Path, environment: dict[str, str], also: int = 0) -> str:
    """
    Run *command*, which must succeed, or exit with the status *also*, and return what it printed.
    """
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode in (0, also), f"{done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def _of(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        yield Block(page, line, match["language"], textwrap.dedent(match["code"]))
