"""
``asyncstore run``: batches of commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncstore.cli.batch import _Batch, _Command
from asyncstore.cli.output import Output
from asyncstore.cli.running import Work
from asyncstore.cli.settings import Connection
from asyncstore.storage import Storage
from asyncstore.uri import parse_uri
from tests.cli.shell import invoke, make, records, run, tree

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of commands; in them, S is a directory of files and T the URI of a storage."""
    source = make(tmp_path / "source", {"a": b"1", "with space": b"2", "tree/x": b"3", "tree/y": b"4"})
    store = make(tmp_path / "store", {"old": b"old", "logs/1": b"", "logs/2": b""})

    def write(*lines: str) -> Path:
        text = "\n".join(lines).replace("{S}", str(source)).replace("{T}", store.as_uri())
        (tmp_path / "batch").write_text(text, "utf-8")
        return tmp_path / "batch"

    return write


def test_commands(write: Write, tmp_path: Path) -> None:
    """
    Each command does what it does on the command line; comments and empty lines are ignored.
    """
    batch = write(
        "# what moves",
        "",
        "cp '{S}/with space' {T}/quoted",
        "  mv {S}/a {T}/moved\t",
        "rm -r {T}/logs",
        "sync {S}/tree {T}/tree",
    )

    result = invoke("run", batch)

    assert result.exit_code == 0, result.output
    assert "run: 4 done\n" in result.stderr
    assert "line 3: cp: 1 done" in result.stderr
    assert tree(tmp_path / "store") == {
        "moved": b"1",
        "old": b"old",
        "quoted": b"2",
        "tree/x": b"3",
        "tree/y": b"4",
    }
    assert set(tree(tmp_path / "source")) == {"with space", "tree/x", "tree/y"}


def test_standard_input(write: Write, tmp_path: Path) -> None:
    """
    A program can make the commands.
    """
    result = run("run", "-", "-q", stdin=write("rm {T}/old", "rm {T}/logs/1").read_bytes())

    assert (result.returncode, result.stderr) == (0, b"")
    assert set(tree(tmp_path / "store")) == {"logs/2"}


def test_failures_name_their_lines(write: Write, tmp_path: Path) -> None:
    """
    The others are run; the exit code is 1, or that of the only reason.
    """
    batch = write("rm {T}/nothing", "rm {T}/old")
    mixed, only = invoke("run", batch), invoke("run", write("rm {T}/nothing"))

    assert (mixed.exit_code, only.exit_code) == (1, 3)
    assert "run: 1 done, 1 failed" in mixed.stderr
    uri = (tmp_path / "store/nothing").as_uri()
    assert f"asyncstore: line 1 failed with exit code 3: rm {uri}\n" in mixed.stderr
    assert f"asyncstore: line 1: {uri}" in mixed.stderr
    assert "old" not in tree(tmp_path / "store")


def test_outcomes_as_json(write: Write) -> None:
    """
    One record for each line, whatever its options say, and a summary.
    """
    batch = write("cp --json {S}/a {T}/a", "rm {T}/nothing", "cp -r {S}/nothing {T}")

    *lines, summary = records(invoke("run", batch, "--json", "--jobs", "1").stdout)

    assert [(line["type"], line["line"], line["status"], line["exit_code"]) for line in lines] == [
        ("line", 1, "done", 0),
        ("line", 2, "failed", 3),
        ("line", 3, "failed", 3),
    ]
    assert (lines[0]["done"], lines[0]["bytes"], lines[0]["error"]) == (1, 1, None)
    assert [line["error"]["kind"] for line in lines[1:]] == ["NotFoundError", "NotFoundError"]
    assert summary == {"type": "summary", "command": "run", "done": 1, "failed": 2, "not_run": 0}


def test_stop_on_error(write: Write, tmp_path: Path) -> None:
    """
    Commands after the failure are not run, and are reported as such.
    """
    batch = write("cp {S}/a {T}/a", "rm {T}/nothing", "rm {T}/old", "rm {T}/logs/1")

    result = invoke("run", batch, "--jobs", "1", "--stop-on-error", "--json")

    assert result.exit_code == 1
    assert [line.get("status") for line in records(result.stdout)] == ["done", "failed", "not_run", "not_run", None]
    assert set(tree(tmp_path / "store")) == {"a", "old", "logs/1", "logs/2"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cp 'a", "the quoting is wrong"),
        ("ls s3://b", "'ls' is not one of the commands of a batch: cp, mv, rm, sync"),
        ("cp a", "Missing argument"),
        ("cp a s3://b --nothing", "--nothing"),
        ("cp - s3://b/x", "no standard input and output"),
        ("cp s3://b/x -", "no standard input and output"),
        ("cp --help", "does nothing"),
        ("cp a s3://b/x --concurrency many", "many"),
    ],
)
def test_malformed_lines(write: Write, tmp_path: Path, line: str, message: str) -> None:
    """
    They are named, and nothing of the batch is run.
    """
    result = invoke("run", write("rm {T}/old", line))

    assert result.exit_code == 2
    assert "nothing was run: line 2: " in result.stderr
    assert message in result.stderr
    assert "old" in tree(tmp_path / "store")


@pytest.mark.parametrize(
    "line",
    [
        "cp {S}/a s3://b/x --set secret_access_key=fake-secret --set 'sso_thing=fake-secret'",
        "cp {S}/a s3://b/x --setting=any_thing=fake-secret --source-set other=fake-secret --nothing",
        "cp {S}/a s3://b/x --set fake-secret",
        "cp {S}/a https://user:fake-secret@host/x",
        "cp '--set=x=fake-secret",
    ],
)
def test_secrets_are_not_shown(write: Write, line: str) -> None:
    """
    Values of settings are left out where a line is named.
    """
    result = invoke(
        "run",
        write(line),
        "--json",
        env={"ASYNCSTORE_ENDPOINT_URL": "http://127.0.0.1:9", "ASYNCSTORE_RETRY_ATTEMPTS": "1"},
    )

    assert result.exit_code != 0
    assert "line 1" in result.stderr
    assert "fake-secret" not in result.output


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """
    The error is one line.
    """
    result = invoke("run", tmp_path / "nothing")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert f"cannot read {tmp_path / 'nothing'}: No such file" in result.stderr


def test_storages_are_shared(write: Write, tmp_path: Path) -> None:
    """
    Commands with the same settings have one storage: objects in memory are there for the next one; with others not.
    """
    batch = write("cp {S}/a memory://b/x", "cp memory://b/x {T}/x", "cp --set chunk_size=9 memory://b/x {T}/y")

    result = invoke("run", batch, "--jobs", "1", "--json")

    assert [line.get("exit_code") for line in records(result.stdout)][:2] == [0, 0]
    assert tree(tmp_path / "store")["x"] == b"1"
    assert "y" not in tree(tmp_path / "store")


async def test_cancelled() -> None:
    """
    All commands that are under way are cancelled, and then their storages are closed.
    """
    opened: list[Storage] = []
    closed_when_cancelled: list[bool] = []
    everybody = asyncio.Event()

    async def do() -> int:
        async with Connection().open(parse_uri("memory://b/x")) as storage:
            opened.append(storage)
            if len(opened) == 2:
                everybody.set()
            try:
                await asyncio.Event().wait()
            finally:
                closed_when_cancelled.append(storage._checks.closed)
        return 0

    commands = [_Command(number, "cp", Work(do, kept=False)) for number in (1, 2, 3)]
    batch = _Batch(commands, Output(), stop_on_error=False)
    async with asyncio.timeout(10):
        task = asyncio.get_running_loop().create_task(batch.run(2))
        await everybody.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert opened[0] is opened[1]
    assert closed_when_cancelled == [False, False]
    assert opened[0]._checks.closed
