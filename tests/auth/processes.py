"""
Programs that tests write, and whether they are still running.
"""

from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import Callable
from pathlib import Path


def write_program(file: Path, script: str) -> Path:
    """Write a Python program that starts fast."""
    file.write_text(f"#!{sys.executable} -IS\n{script}\n")
    file.chmod(stat.S_IRWXU)
    return file


def is_running(pid_file: Path) -> bool:
    """Whether the process whose id is in a file is running; a zombie is not."""
    try:
        # Empty until the program has written all of it.
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text()
    except (OSError, ValueError):
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds, at most ten seconds."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)
