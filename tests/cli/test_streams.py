"""
Standard output and standard error that cannot be written, or are closed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from subprocess import PIPE
from typing import IO

import pytest

from tests.cli.shell import COMMAND, clean_environment, make


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "store", {"a.txt": b"0123456789", "logs/1": b"x"})


def ending(
    command: list[str], out: int | IO[str] | IO[bytes], err: int | IO[str] | IO[bytes]
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, stdout=out, stderr=err, env=clean_environment(), timeout=50, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize("broken", ["stdout", "stderr", "both"])
@pytest.mark.parametrize(("name", "code"), [("a.txt", 0), ("missing", 3)])
def test_output_that_cannot_be_written(store: Path, broken: str, name: str, code: int) -> None:
    """
    On a full disk, a command whose result is lost fails and says why, and one whose messages are lost does not.
    """
    with Path("/dev/full").open("w") as full:
        out, err = (full if broken in (stream, "both") else PIPE for stream in ("stdout", "stderr"))
        ended = ending([*COMMAND, "stat", f"{store.as_uri()}/{name}"], out, err)

    if broken != "stderr" and code == 0:
        assert ended.returncode == 1
        reason = "cannot write to standard output: No space left on device"
        assert ended.stderr in (None, f"asyncstore: {reason}\n".encode())
    else:
        assert ended.returncode == code


def test_pipe_closed_before_the_output(store: Path) -> None:
    """
    Little output is written when the command ends: it ends as with much.
    """
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        ended = ending([*COMMAND, "ls", f"{store.as_uri()}/"], closed, PIPE)

    assert ended.returncode == 141
    assert b"Exception" not in ended.stderr


@pytest.mark.parametrize("closed", [1, 2])
def test_streams_that_are_closed(store: Path, closed: int) -> None:
    """
    What is written to a closed stream is discarded, as by ``print()``.
    """
    program = f'exec {closed}>&-; exec "$@"'
    command = ["sh", "-c", program, "sh", *COMMAND, "stat", f"{store.as_uri()}/a.txt"]
    ended = ending(command, PIPE, PIPE)

    assert ended.returncode == 0, ended.stderr
    assert (b"size" in ended.stdout) == (closed == 2)
