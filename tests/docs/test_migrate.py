"""
The two programs of each migration guide print the same, against the same server.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import Block, guides, run


@pytest.mark.parametrize("guide", guides(), ids=lambda guide: str(guide[0].path.stem))
def test_before_and_after(guide: tuple[Block, Block], tmp_path: Path, environment: dict[str, str]) -> None:
    """
    What a program printed with the other package, it prints with asyncstore, without a warning.
    """
    before, after = guide

    # The threads of obstore can abort the interpreter when it ends, after the program.
    aborted = -signal.SIGABRT if before.path.stem == "obstore" else 0
    printed = _printed(before, tmp_path / "before", environment, also=aborted)

    assert printed
    assert printed == _printed(after, tmp_path / "after", environment, "-W", "error")


def _printed(block: Block, folder: Path, environment: dict[str, str], *options: str, also: int = 0) -> str:
    folder.mkdir()
    (folder / "program.py").write_text(block.code, "utf-8")
    return run([sys.executable, *options, "program.py"], folder, environment, also)
