"""
A server that does not start says why, and no server outlives its tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import process, scratch
from tests.servers.process import Launch, ServerStartError, free_ports, start
from tests.servers.scratch import Scratch


def launch(*command: str, port: int) -> Launch:
    return Launch([sys.executable, *command], ready_url=f"http://127.0.0.1:{port}/", ports={"http": port})


def file_server(folder: Path) -> Launch:
    (port,) = free_ports(1)
    return launch("-m", "http.server", "--bind", "127.0.0.1", str(port), port=port)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    try:
        # A killed child that was not waited for is still listed, as a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_stop_leaves_nothing() -> None:
    """After stop, neither process nor folder is left, and a second stop does nothing."""
    folders: list[Path] = []

    def plan(folder: Path) -> Launch:
        folders.append(folder)
        return file_server(folder)

    server = start("files", plan)
    pid = server.pid
    assert is_running(pid)
    server.stop()
    server.stop()

    assert not is_running(pid)
    assert not folders[0].exists()


def test_failure_shows_the_log() -> None:
    """A server that exits at once is started again; then the error holds its log."""
    folders: list[Path] = []

    def plan(folder: Path) -> Launch:
        folders.append(folder)
        return launch("-c", "raise SystemExit('no such flag')", port=1)

    with pytest.raises(ServerStartError, match=r"exited with 1:\n(.|\n)*no such flag"):
        start("broken", plan)

    assert len(folders) == 3
    assert not any(folder.exists() for folder in folders)


def test_silence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that runs but does not answer is killed at the deadline."""
    monkeypatch.setattr(process, "_READY_TIMEOUT", 0.3)

    with pytest.raises(ServerStartError, match="did not answer"):
        start("silent", lambda _: launch("-c", "import time; time.sleep(60)", port=1))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_killed_tests_take_their_server_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a test process is killed, its server dies too, and the next run removes its folder."""
    script = (
        "from tests.servers.test_process import file_server, start\n"
        "server = start('files', file_server)\n"
        "print(server.pid, server.folder, flush=True)\n"
        "input()\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout
        pid, folder = tests.stdout.readline().split()
        assert is_running(int(pid))
        os.kill(tests.pid, signal.SIGKILL)

    assert eventually(lambda: not is_running(int(pid)))
    assert Path(folder).exists()
    monkeypatch.setattr(scratch, "_SETTLED", 0.0)
    Scratch().remove()
    assert not Path(folder).exists()
