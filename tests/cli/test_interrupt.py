"""
Ctrl-C and termination: what runs is cancelled, cleaned up, and said so.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.shell import COMMAND, clean_environment, make, tree

MiB = 1024 * 1024
SAID = b"interrupted: cleaned up, nothing half-written\n"


@contextmanager
def running(*arguments: object, command: list[str] = COMMAND) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run the command; it is killed if the test fails.
    """
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(seen: Callable[[], bool]) -> None:
    """
    Wait for something that another process does.
    """
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> tuple[int, bytes]:
    """
    Interrupt *process*, and return how it ended and what it said.
    """
    process.send_signal(number)
    # Not communicate(): that would close standard input, and so end the transfer by itself.
    assert process.stderr is not None
    said = process.stderr.read()
    return process.wait(20), said


def leftovers(root: Path) -> list[Path]:
    """
    Return the files that are no whole object.
    """
    hidden = root / ".asyncstore"
    half = [path for name in ("tmp", "uploads") for path in (hidden / name).rglob("*") if path.is_file()]
    return [*half, *root.rglob("*.part")]


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated")]
)
def test_upload(tmp_path: Path, number: int, code: int, word: bytes) -> None:
    """
    An upload by parts, stopped half-way, leaves neither object nor parts.
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


def test_download(tmp_path: Path) -> None:
    """
    Of a tree that was half downloaded there are whole files only.
    """
    files = {f"{number:04}": bytes([number % 256]) * 20_000 for number in range(3000)}
    store, copy = make(tmp_path / "store", {**files, "0000-big": b"b" * 40 * MiB}), tmp_path / "copy"
    with running("cp", "-r", store.as_uri(), copy) as process:
        wait_until(lambda: copy.exists() and len(list(copy.glob("0*"))) > 20)

        ended = end(process)

    arrived = tree(copy)
    assert ended == (130, SAID)
    assert leftovers(copy) == []
    assert 0 < len(arrived) < len(files)
    assert all(data == files.get(name, b"b" * 40 * MiB) for name, data in arrived.items())


def test_second_interruption_does_not_skip_the_cleanup() -> None:
    """
    An impatient user gets the same clean-up, once.
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

    assert ended == (130, SAID)
    assert rest == b"aborted\n"


def test_cleanup_that_fails_is_told() -> None:
    """
    It does not say that nothing is left when something may be.
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

        code, said = end(process)

    assert code == 130
    assert said.startswith(b"interrupted: could not clean up: ")
    assert b"no aborting here" in said


def test_demo_cleans_up(tmp_path: Path) -> None:
    """
    Neither its temporary directory nor what it uploaded stays.
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
        code, said = end(process)

    assert code == 130
    assert said.endswith(SAID)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert tree(store) == {}
