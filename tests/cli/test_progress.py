"""
What is shown while a transfer runs, and where nothing is.
"""

from __future__ import annotations

import os
import pty
import subprocess
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from asyncstore.cli.ahead import Totals
from asyncstore.cli.progress import Display
from asyncstore.types import ProgressEvent
from asyncstore.uri import parse_uri
from tests.cli.shell import COMMAND, clean_environment, make, run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", {f"f{number}": b"x" * 300_000 for number in range(200)})


def on_terminal(*arguments: object) -> str:
    """
    Run the command with a terminal for stderr, and return what it got.
    """
    ours, theirs = pty.openpty()
    environment = clean_environment({"TERM": "xterm"})
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with process:
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            # The other end is closed.
            pass
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_bar_on_a_terminal(source: Path, tmp_path: Path) -> None:
    """
    A terminal sees bytes, rate and counts, and a sentence at the end.
    """
    shown = on_terminal("cp", "-r", source, (tmp_path / "store").as_uri())

    assert "copying" in shown
    assert "/s" in shown
    assert "objects" in shown
    assert "retries 0" in shown
    assert "cp: 200 done, 57.2 MiB in " in shown.rstrip().splitlines()[-1]


def test_quiet_on_a_terminal(source: Path, tmp_path: Path) -> None:
    """
    Quiet is quiet there too.
    """
    assert on_terminal("cp", "-r", "-q", source, (tmp_path / "store").as_uri()) == ""


def test_nothing_moves_without_a_terminal(source: Path, tmp_path: Path) -> None:
    """
    A log gets one line.
    """
    result = run("cp", "-r", source, (tmp_path / "store").as_uri())

    assert result.stdout == b""
    assert len(result.stderr.splitlines()) == 1
    assert b"\x1b" not in result.stderr


def picture(display: Display) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(display.picture())
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_picture() -> None:
    """
    All, the biggest under way, what failed.
    """
    display = Display("copying", Totals(objects=10, size=1000 << 20, complete=True))
    for number in range(6):
        display.update(
            ProgressEvent(
                kind="progress",
                uri=parse_uri(f"memory://b/object-{number}"),
                object_bytes_done=1 << 20,
                object_bytes_total=(number + 2) << 20,
                bytes_done=250 << 20,
                objects_done=3,
                objects_failed=1,
                retries=2,
                rate=75 << 20,
            )
        )
    display.update(
        ProgressEvent(kind="object_done", uri=parse_uri("memory://b/object-5"), bytes_done=250 << 20, rate=75 << 20)
    )
    shown = picture(display)

    assert "250.0 MiB / 1000.0 MiB 25%" in shown
    assert "75.0 MiB/s  0:10 left" in shown
    assert [name for name in range(6) if f"object-{name}" in shown] == [1, 2, 3, 4]
    assert "1.0 MiB / 6.0 MiB 16%" in shown


def test_picture_before_all_is_counted() -> None:
    """
    A total that is still growing is not shown as one.
    """
    display = Display("copying", Totals(objects=10, size=1000))
    display.update(ProgressEvent(kind="progress", bytes_done=500, objects_done=5, objects_failed=1, retries=3))
    shown = picture(display)

    assert "500 B" in shown
    assert "%" not in shown
    assert "objects 5/10+  failed 1  retries 3" in shown
