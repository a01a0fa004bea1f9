"""
The commands of the migration page: asyncstore and the other programs leave and print the same.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import COMMAND, clean_environment, invoke, make, tree
from tests.cli.test_s3 import environment
from tests.docs.blocks import ROOT
from tests.servers.s3 import S3Server, blocking_client, fresh_bucket

_FILES = {
    "commands.txt": b"cp report.csv s3://bucket/batch/a\ncp s3://bucket/logs/1.log s3://bucket/batch/b\n"
    b"rm s3://bucket/logs/2.log\n",
    "model/config.json": b"{}",
    "model/notes.txt": b"some notes",
    "model/shards/1.bin": b"1" * 100,
    "model/shards/2.bin": b"2" * 200,
    "report.csv": b"a,b\n1,2\n",
}
_OBJECTS = {
    "logs/1.log": b"first line\n",
    "logs/2.log": b"",
    "logs/old/3.log": b"third\n" * 3,
    "model/config.json": b'{"old": true}',
    "model/only/there": b"x",
    "model/shards/1.bin": b"1" * 100,
}


def _names(output: str) -> set[str]:
    return {line.split()[-1].rpartition("logs/")[2] for line in output.splitlines() if line}


def _numbers(*wanted: str) -> Callable[[str], set[str]]:
    return lambda output: {*wanted} & {*re.findall(r"\d+", output)}


def _fetched(output: str) -> bytes:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(output.strip(), timeout=10) as reply:
        return bytes(reply.read())


# What counts of the output, and what it is; all others change files or objects.
_PRINTED: Mapping[str, tuple[Callable[[str], object], object]] = {
    "list a directory": (_names, {"1.log", "2.log", "old/"}),
    "list everything below it": (_names, {"1.log", "2.log", "old/3.log"}),
    "sum sizes": (_numbers("29", "3"), {"29", "3"}),
    "find by name": (_names, {"1.log", "2.log", "old/3.log"}),
    "write an object to standard output": (str, "first line\n"),
    "the first five bytes": (lambda output: output[:5], "first"),
    "metadata of an object": (_numbers("11"), {"11"}),
    "presigned URL": (_fetched, b"first line\n"),
    "only show what would be done": (lambda output: "", ""),
    "compare": (lambda output: "", ""),
    "list unfinished multipart uploads": (lambda output: "half-done" in output, True),
}
_CODES = {"compare": 1}

# The AWS CLI takes a second for each command.
_WITH_AWS = frozenset({"the first five bytes", "make a mirror"})


def _table() -> dict[str, dict[str, str]]:
    page = (ROOT / "docs/migrate/command-lines.md").read_text("utf-8")
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")]
    heading, *rows = [[cell.strip().strip("`") for cell in line] for line in lines]
    return {job: dict(zip(heading[1:], cells, strict=True)) for job, *cells in rows}


@pytest.fixture(scope="module")
def client(seaweed: S3Server) -> Iterator[Any]:
    with blocking_client(seaweed) as client:
        yield client


@pytest.fixture(scope="module")
def names(seaweed: S3Server) -> dict[str, str]:
    """The names of two buckets, by those on the page."""
    return {name: fresh_bucket(seaweed) for name in ("bucket", "other")}


@pytest.fixture
def programs(aws_program: Path, s5cmd_program: Path, rclone_program: Path, tmp_path: Path) -> Path:
    """A directory of the programs, by their names on the page."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, path in (("aws", aws_program), ("s5cmd", s5cmd_program), ("rclone", rclone_program)):
        (folder / name).symlink_to(path)
    (folder / "asyncstore").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n', "utf-8")
    (folder / "asyncstore").chmod(0o755)
    return folder


@pytest.mark.parametrize("job", _table())
def test_table(
    seaweed: S3Server,
    client: Any,
    names: dict[str, str],
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
) -> None:
    """
    The same files, objects and multipart uploads are left, and the same is printed.
    """
    variables = _environment(seaweed, programs)
    left = {}
    for program, command in _table()[job].items():
        if not command or (program == "aws" and job not in _WITH_AWS):
            continue
        directory = make(tmp_path / program, {name: _in(names, data) for name, data in _FILES.items()})
        monkeypatch.chdir(directory)
        _fill(client, names)
        before = _state(client, names, directory)
        output = _output(_in(names, command.encode()).decode(), variables, _CODES.get(job, 0))
        left[program] = _state(client, names, directory)
        if job in _PRINTED:
            counts, expected = _PRINTED[job]
            assert counts(output) == expected
            assert left[program] == before
        else:
            assert left[program] != before

    assert left == dict.fromkeys(left, left["asyncstore"])
    assert len(left) > 1


def test_jobs_are_of_the_page() -> None:
    """
    The names of the jobs here are those of the page.
    """
    assert _table().keys() >= {*_PRINTED, *_CODES, *_WITH_AWS}


def _environment(server: S3Server, programs: Path) -> dict[str, str]:
    rclone = {
        "type": "s3",
        "provider": "SeaweedFS",
        "endpoint": server.endpoint_url,
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
        "region": server.region,
    }
    return clean_environment(
        {
            **environment(server),
            **{f"RCLONE_CONFIG_S3_{name.upper()}": value for name, value in rclone.items()},
            "RCLONE_CONFIG": "/dev/null",
            "AWS_REGION": server.region,
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "S3_ENDPOINT_URL": server.endpoint_url,
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
    )


def _in(names: Mapping[str, str], text: bytes) -> bytes:
    """
    Return *text* with the names of real buckets.
    """
    for name, bucket in names.items():
        where = b"|".join(rb"(?<=%s)%s\b" % (before, name.encode()) for before in (b"s3://", b"s3:", b"--bucket "))
        text = re.sub(where, bucket.encode(), text)
    return text


def _output(command: str, variables: Mapping[str, str], code: int) -> str:
    program, *words = shlex.split(command)
    if program == "asyncstore" and "<" not in words:
        # Faster than another interpreter.
        result = invoke(*words, env=variables)
        assert result.exit_code == code, result.output
        return result.stdout
    done = subprocess.run(
        ["sh", "-c", command], env=dict(variables), capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def _fill(client: Any, names: Mapping[str, str]) -> None:
    for bucket in names.values():
        _empty(client, bucket)
    for key, data in _OBJECTS.items():
        client.put_object(Bucket=names["bucket"], Key=key, Body=data)
    client.create_multipart_upload(Bucket=names["bucket"], Key="half-done")


def _empty(client: Any, bucket: str) -> None:
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for found in client.list_objects_v2(Bucket=bucket).get("Contents", []):
        client.delete_object(Bucket=bucket, Key=found["Key"])


def _state(client: Any, names: Mapping[str, str], directory: Path) -> list[object]:
    objects, uploads = [], []
    for bucket in names.values():
        found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        objects.append({item["Key"]: _object(client, bucket, item["Key"]) for item in found})
        uploads += [upload["Key"] for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
    files = {name: data for name, data in tree(directory).items() if name != "commands.txt"}
    return [files, objects, uploads]


def _object(client: Any, bucket: str, key: str) -> tuple[object, ...]:
    reply = client.get_object(Bucket=bucket, Key=key)
    # Other types are guessed, by each program in its own way; and a copy by rclone names the default class.
    kind = reply["ContentType"] if reply["ContentType"] == "text/x-log" else None
    return reply["Body"].read(), kind, reply.get("StorageClass", "STANDARD")
