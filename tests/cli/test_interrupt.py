"""
Ctrl-C and SIGTERM cancel the command, which cleans up and reports it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.shell import COMMAND, clean_environment, make, run, tree

MiB = 1024 * 1024
# Those who started the tests, in the background or with nohup, may have let them ignore these.
_HEARING = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
CLEANED_UP = b"interrupted: cleaned up, nothing half-written\n"


@contextmanager
def running(
    *arguments: object, command: list[str] = COMMAND, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run the command; it is killed if the test fails.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _HEARING, *command, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(env),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(seen: Callable[[], bool]) -> None:
    """
    Wait for a condition that another process fulfils.
    """
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> tuple[int, bytes]:
    """
    Interrupt *process*; return its exit status and stderr.
    """
    process.send_signal(number)
    # Not communicate(): that would close standard input, and so end the transfer by itself.
    assert process.stderr is not None
    stderr = process.stderr.read()
    return process.wait(20), stderr


def leftovers(root: Path) -> list[Path]:
    """
    Return the temporary files of unfinished writes.
    """
    hidden = root / ".asyncstore"
    half = [path for name in ("tmp", "uploads") for path in (hidden / name).rglob("*") if path.is_file()]
    return [*half, *root.rglob("*.part")]


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated"), (signal.SIGHUP, 129, b"hung up")],
)
def test_upload(tmp_path: Path, number: int, code: int, word: bytes) -> None:
    """
    An interrupted multipart upload leaves neither an object nor parts.
    """
    store = tmp_path / "store"
    with running("cp", "-", f"{store.as_uri()}/big", "--part-size", "1MiB") as process:
        assert process.stdin is not None
        process.stdin.write(b"x" * 6 * MiB)
        process.stdin.flush()
        wait_until(lambda: bool(leftovers(store)))

        ended = end(process, number)

    assert ended == (code, word + b": cleaned up, nothing half-written\n")
    assert leftovers(store) == []
    assert tree(store) == {}


def test_hangup_of_a_terminal_that_is_gone(tmp_path: Path) -> None:
    """
    Clean-up does not depend on the terminal, whose end fails every write to it.
    """
    store = tmp_path / "store"
    with running("cp", "-", f"{store.as_uri()}/big", "--part-size", "1MiB") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"x" * 6 * MiB)
        process.stdin.flush()
        wait_until(lambda: bool(leftovers(store)))
        process.stderr.close()
        process.send_signal(signal.SIGHUP)

        code = process.wait(20)

    assert code == 129
    assert leftovers(store) == []


def test_nohup(tmp_path: Path) -> None:
    """
    A command that was started to outlive its terminal does.
    """
    store = tmp_path / "store"
    command = ["/usr/bin/env", "nohup", *COMMAND]
    with running("cp", "-", f"{store.as_uri()}/big", "--part-size", "1MiB", command=command) as process:
        assert process.stdin is not None
        process.stdin.write(b"x" * 6 * MiB)
        process.stdin.flush()
        wait_until(lambda: bool(leftovers(store)))
        process.send_signal(signal.SIGHUP)
        process.stdin.close()

        code = process.wait(20)

    assert code == 0
    assert tree(store) == {"big": b"x" * 6 * MiB}


def test_download(tmp_path: Path) -> None:
    """
    An interrupted download of a tree leaves only complete files.
    """
    files = {f"{number:04}": bytes([number % 256]) * 20_000 for number in range(3000)}
    store, copy = make(tmp_path / "store", {**files, "0000-big": b"b" * 40 * MiB}), tmp_path / "copy"
    with running("cp", "-r", store.as_uri(), copy) as process:
        wait_until(lambda: copy.exists() and len(list(copy.glob("0*"))) > 20)

        ended = end(process)

    arrived = tree(copy)
    assert ended == (130, CLEANED_UP)
    assert leftovers(copy) == []
    assert 0 < len(arrived) < len(files)
    assert all(data == files.get(name, b"b" * 40 * MiB) for name, data in arrived.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_report_of_an_interrupted_run(tmp_path: Path, number: int, code: int) -> None:
    """
    It has what failed and what was not done, so that a second run with it completes the tree.
    """
    source, store = make(tmp_path / "source", {f"{number:04}": b"x" for number in range(200)}), tmp_path / "store"
    report = tmp_path / "report.jsonl"
    with running("cp", "-r", "--limit-requests", 50, "--failures", report, source, store.as_uri()) as process:
        wait_until(lambda: len(list(store.glob("0*"))) > 20)
        status, stderr = end(process, number)

    assert status == code
    assert f"not done, see {report}".encode() in stderr
    undone = {line["source"] for line in map(json.loads, report.read_text().splitlines()) if line["type"] == "item"}
    assert {Path(name).name for name in undone} >= {*tree(source)} - {*tree(store)}
    assert run("cp", "-r", "--from-file", report, "--failures", report, source, store.as_uri()).returncode == 0
    assert tree(store) == tree(source)
    assert report.read_text() == ""


def test_second_interruption_does_not_skip_the_cleanup() -> None:
    """
    Repeated signals do not interrupt the clean-up.
    """
    program = """
import anyio
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.cli import main

abort = MemoryDriver.abort_multipart_upload
part = MemoryDriver.upload_part

async def sent(self, *arguments):
    print("part", flush=True)
    return await part(self, *arguments)

async def slow(self, *arguments):
    print("aborting", flush=True)
    await anyio.sleep(0.5)
    await abort(self, *arguments)
    print("aborted", flush=True)

MemoryDriver.upload_part = sent
MemoryDriver.abort_multipart_upload = slow
main()
"""
    command = [sys.executable, "-c", program]
    with running("cp", "-", "memory://b/big", "--part-size", "5MiB", command=command) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * 6 * MiB)
        process.stdin.flush()
        assert process.stdout.readline() == b"part\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"aborting\n"
        process.send_signal(signal.SIGINT)
        ended = end(process)
        rest = process.stdout.read()

    assert ended == (130, CLEANED_UP)
    assert rest == b"aborted\n"


def test_failed_cleanup_is_reported() -> None:
    """
    If clean-up fails, the command does not claim that nothing is left.
    """
    program = """
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.cli import main
from asyncstore.errors import PermissionDeniedError

part = MemoryDriver.upload_part

async def sent(self, *arguments):
    print("part", flush=True)
    return await part(self, *arguments)

async def refused(self, *arguments):
    raise PermissionDeniedError("no aborting here")

MemoryDriver.upload_part = sent
MemoryDriver.abort_multipart_upload = refused
main()
"""
    command = [sys.executable, "-c", program]
    with running("cp", "-", "memory://b/big", "--part-size", "5MiB", command=command) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * 6 * MiB)
        process.stdin.flush()
        assert process.stdout.readline() == b"part\n"

        code, stderr = end(process)

    assert code == 130
    assert stderr.startswith(b"interrupted: cleanup failed: ")
    assert b"no aborting here" in stderr


def test_continue_keeps_what_was_sent(tmp_path: Path) -> None:
    """
    The command says so, and the upload is recorded.
    """
    program = """
import anyio
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.cli import main

async def slow(self, *arguments):
    print("part", flush=True)
    await anyio.sleep(60)

MemoryDriver.upload_part = slow
main()
"""
    file = make(tmp_path / "source", {"big": b"x" * 17 * MiB}) / "big"
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    command = [sys.executable, "-c", program]
    with running("cp", "--continue", file, "memory://b/big", command=command, env=state) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"part\n"
        ended = end(process)

    assert ended == (130, b"interrupted: what was transferred is kept; run the same command again\n")
    (record,) = (path for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"memory://b/big" in record.read_bytes()


def test_demo_cleans_up(tmp_path: Path) -> None:
    """
    An interrupted demo removes its temporary directory and its objects.
    """
    (tmp_path / "temporary").mkdir()
    environment = {"TMPDIR": str(tmp_path / "temporary")}
    store = tmp_path / "store"
    process = subprocess.Popen(
        [*COMMAND, "demo", "--size", "64MiB", "--files", "1500", "--to", store.as_uri()],
        stderr=subprocess.PIPE,
        env=clean_environment(environment),
    )
    with process:
        wait_until(lambda: len(list(store.rglob("*.json"))) > 10)
        code, stderr = end(process)

    assert code == 130
    assert stderr.endswith(CLEANED_UP)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert tree(store) == {}
