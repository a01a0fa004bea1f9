"""
Runs the command for tests: in this process, or in a subprocess.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from asyncstore.cli.app import app

COMMAND = [sys.executable, "-W", "error", "-m", "asyncstore.cli"]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Return this process's environment without the user's settings.
    """
    # With PYTHONUNBUFFERED, the interpreter has nothing left to flush when it exits.
    others = ("ASYNCSTORE_", "AWS_", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100", **(extra or {})}


def invoke(*arguments: object, stdin: str | None = None, env: Mapping[str, str] | None = None) -> Result:
    """
    Run the command in this process.
    """
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=dict(env or {}))


def run(
    *arguments: object, stdin: bytes | None = None, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """
    Run the command in a subprocess.
    """
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=clean_environment(env),
        cwd=cwd,
        timeout=50,
        check=False,
    )


def records(text: str | bytes) -> list[dict[str, Any]]:
    """
    Parse the output of ``--json``.
    """
    return [json.loads(line) for line in text.splitlines()]


def tree(root: Path) -> dict[str, bytes]:
    """
    Return the files of a directory, without the file driver's own.
    """
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".asyncstore" not in path.parts
    }


def make(root: Path, files: Mapping[str, bytes]) -> Path:
    """
    Write *files* below *root*.
    """
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root
