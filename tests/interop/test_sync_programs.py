"""
What `asyncstore sync`, `aws s3 sync` and `s5cmd sync` would do with the same trees: the tables of the how-to.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest

from tests.cli.shell import invoke, make, records
from tests.cli.test_s3 import environment
from tests.docs.blocks import ROOT
from tests.servers.s3 import S3Server, blocking_client, fresh_bucket

# Of each name: its row in the tables, what the directory and the bucket have, and whether the file is newer.
_CASES: Mapping[str, tuple[str, bytes | None, bytes | None, Literal["older", "newer"]]] = {
    "new": ("only in the directory", b"1", None, "older"),
    "with space/ü": ("only in the directory, its name has a space and `ü`", b"1", None, "older"),
    "same": ("the same, the file is older", b"abc", b"abc", "older"),
    "touched": ("the same, the file is newer", b"abc", b"abc", "newer"),
    "size": ("another size, the file is older", b"longer", b"short", "older"),
    "newer": ("the same size, other bytes, the file is newer", b"ABC", b"abc", "newer"),
    "older": ("the same size, other bytes, the file is older", b"ABC", b"abc", "older"),
    "extra": ("only in the bucket", None, b"x", "older"),
    "extra space/ü": ("only in the bucket, its name has a space and `ü`", None, b"x", "older"),
    "a-b": ("only in the bucket, sorts between `a/b` and `a.b`", None, b"x", "older"),
    "a.b": ("only in the directory, sorts after `a-b`", b"x", None, "older"),
    "folder/": ("a marker `folder/` in the bucket", None, b"", "older"),
    "own.log": ("only in the directory, excluded", b"1", None, "older"),
    "their.log": ("only in the bucket, excluded", None, b"1", "older"),
    "both.log": ("another size, excluded", b"123", b"1", "older"),
}
_EMPTY = "an empty directory"
_HOUR = 3600
_Actions = dict[str, str]


@pytest.fixture
def bucket(moto_s3: S3Server) -> str:
    name = fresh_bucket(moto_s3)
    with blocking_client(moto_s3) as client:
        for key, (_, _, theirs, _) in _CASES.items():
            if theirs is not None:
                client.put_object(Bucket=name, Key=f"tree/{key}", Body=theirs)
    return name


@pytest.fixture
def directory(bucket: str, tmp_path: Path) -> Path:
    root = make(tmp_path / "tree", {name: ours for name, (_, ours, _, _) in _CASES.items() if ours is not None})
    now = time.time()
    for name, (_, ours, _, age) in _CASES.items():
        if ours is not None:
            moment = now + _HOUR if age == "newer" else now - _HOUR
            os.utime(root / name, (moment, moment))
    (root / "empty").mkdir()
    return root


@pytest.mark.parametrize("direction", ["up", "down"])
def test_tables_of_the_how_to(
    moto_s3: S3Server, aws_program: Path, s5cmd_program: Path, bucket: str, directory: Path, direction: str
) -> None:
    """
    Each cell is what the program would do, with ``--delete`` and ``--exclude '*.log'``.
    """
    uri = f"s3://{bucket}/tree"
    ends = [str(directory), uri] if direction == "up" else [uri, str(directory)]
    plain, checksums = (_ours(moto_s3, ends, *options) for options in ([], ["--checksum"]))
    aws = _aws(aws_program, moto_s3, ends, directory)
    theirs = [f"{end}/{'*' if end == uri and direction == 'down' else ''}" for end in ends]
    s5cmd = _s5cmd(s5cmd_program, moto_s3, theirs, directory)

    rows = {case[0]: name for name, case in _CASES.items()} | {_EMPTY: "empty"}
    expected = {
        row: [found.get(name, "left") for found in (plain, checksums, aws, s5cmd)] for row, name in rows.items()
    }
    assert _table(f"sync {direction}") == expected


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("first", ["asyncstore", "aws", "s5cmd"])
def test_nothing_is_left_to_do(
    moto_s3: S3Server,
    aws_program: Path,
    s5cmd_program: Path,
    bucket: str,
    directory: Path,
    first: str,
    direction: str,
) -> None:
    """
    After a sync by asyncstore the others find nothing to do, and neither does asyncstore after theirs.
    """
    uri = f"s3://{bucket}/tree"
    ends = [str(directory), uri] if direction == "up" else [uri, str(directory)]
    theirs = [f"{end}/{'*' if end == uri and direction == 'down' else ''}" for end in ends]
    for name, (_, ours, _, _) in _CASES.items():
        # Each would keep some of the files that were edited: the tables say which.
        if ours is not None and name in ("newer", "older"):
            (directory / name).unlink()
        elif ours is not None:
            os.utime(directory / name, (time.time() - _HOUR, time.time() - _HOUR))

    def run(program: str, *, dry: bool) -> _Actions:
        if program == "aws":
            return _aws(aws_program, moto_s3, ends, directory, dry=dry)
        if program == "s5cmd":
            return _s5cmd(s5cmd_program, moto_s3, theirs, directory, dry=dry)
        return _ours(moto_s3, ends, dry=dry)

    run(first, dry=False)

    looking = ["asyncstore", "aws", "s5cmd"] if first == "asyncstore" else ["asyncstore"]
    assert {program: run(program, dry=True) for program in looking} == {program: {} for program in looking}


def _table(heading: str) -> dict[str, list[str]]:
    page = (ROOT / "docs/how-to/sync-trees.md").read_text("utf-8")
    lines = page.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {row: rest for row, *rest in cells}


def _ours(server: S3Server, ends: Sequence[str], *options: str, dry: bool = True) -> _Actions:
    command = ["sync", "--json", "--delete", "--exclude", "*.log", *["--dry-run"][:dry], *options, *ends]
    done = invoke(*command, env=environment(server))
    assert done.exit_code == 0, done.stderr
    return {
        str(item["source"]).partition("/tree/")[2]: "sent" if item["target"] else "deleted"
        for item in records(done.stdout)
        if item["type"] == "item"
    }


def _aws(program: Path, server: S3Server, ends: Sequence[str], directory: Path, *, dry: bool = True) -> _Actions:
    options = ["--delete", "--exclude", "*.log", *["--dryrun"][:dry]]
    command = ["--endpoint-url", server.endpoint_url, "s3", "sync", *options, *ends]
    lines = _run(program, server, command, directory.parent)
    found = re.findall(
        r"^\(dryrun\) (upload|download|delete): \S*?tree/(.*?)(?: to \S+?/tree/.*)?$", lines, re.MULTILINE
    )
    return {name: "deleted" if action == "delete" else "sent" for action, name in found}


def _s5cmd(program: Path, server: S3Server, ends: Sequence[str], directory: Path, *, dry: bool = True) -> _Actions:
    options = ["--endpoint-url", server.endpoint_url, *["--dry-run"][:dry]]
    command = [*options, "sync", "--delete", "--exclude", "*.log", *ends]
    lines = _run(program, server, command, directory.parent)
    found = re.findall(r"(?m)^(cp|rm) \S*?/tree/(.*?)(?: (?:s3:/)?/\S*/tree/.*)?$", lines)
    return {name: "deleted" if action == "rm" else "sent" for action, name in found}


def _run(program: Path, server: S3Server, command: Sequence[str], home: Path) -> str:
    variables = {
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "AWS_REGION": server.region,
        "AWS_DEFAULT_REGION": server.region,
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONUTF8": "1",
    }
    done = subprocess.run([program, *command], env=variables, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
