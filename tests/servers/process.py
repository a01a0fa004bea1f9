"""
Start a server process, wait until it answers, and make sure that it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.scratch import Scratch

# SeaweedFS opens a second port this far above each configured one. Both ranges
# stay below 32768, where Linux starts to assign ports to outgoing connections.
GRPC_OFFSET = 10_000
_PORTS = range(12_000, 22_000)

_READY_TIMEOUT = 30.0
_PROBE_TIMEOUT = 2.0
_PROBE_INTERVAL = 0.03
_STARTS = 3
_LOG_LINES_IN_ERROR = 40
_BOOTSTRAP = Path(__file__).with_name("die_with_parent.py")


class ServerStartError(RuntimeError):
    """A server exited, or did not answer in time; the message ends with its log."""


class ServerEndedError(ServerStartError):
    """A server exited before it answered, perhaps because a port was in use."""


@dataclass(frozen=True, slots=True)
class Launch:
    """
    How to start a server in one folder.

    Attributes:
        environment: All its variables, besides a few that name folders. The
            developer's own settings and credentials do not reach it.
        ready_url: Answers with *ready_status* once the server is ready.
        ca_file: Certificates to trust when *ready_url* is https.
        leftovers: Files that it leaves outside its folder.
    """

    command: Sequence[str]
    ready_url: str
    ports: Mapping[str, int]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_status: int = 200
    ca_file: Path | None = None
    leftovers: Sequence[Path] = ()


class ServerProcess:
    """
    A server that runs until `stop`, or until this process ends, even if it is killed.
    """

    def __init__(self, name: str, scratch: Scratch, launch: Launch) -> None:
        self.name = name
        self.launch = launch
        self._scratch = scratch
        self._log = scratch.path / "server.log"
        self._process = self._spawn()
        self._stopped = False
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def folder(self) -> Path:
        return self._scratch.path

    def stop(self) -> None:
        """Kill the server and its children, and remove its folder. May be called twice."""
        atexit.unregister(self.stop)
        # Not terminated: SeaweedFS takes up to 20 s to shut down, and there is
        # nothing to save.
        if not self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            self._stopped = True
        for path in self.launch.leftovers:
            path.unlink(missing_ok=True)
        self._scratch.remove()

    def wait_ready(self, timeout: float) -> None:
        """
        Return once the server answers.

        Raises:
            ServerEndedError: It exited.
            ServerStartError: It did not answer within *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while not _answers(self.launch):
            if self._process.poll() is not None:
                raise ServerEndedError(f"{self.name} exited with {self._process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerStartError(f"{self.name} did not answer within {timeout} s:\n{self.log_tail()}")
            time.sleep(_PROBE_INTERVAL)

    def log_tail(self) -> str:
        """Return the last lines that the server printed."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES_IN_ERROR:])

    def _spawn(self) -> subprocess.Popen[bytes]:
        folder = str(self._scratch.path)
        bootstrap = [sys.executable, "-I", "-S", str(_BOOTSTRAP), str(os.getpid())]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*bootstrap, *self.launch.command],
                cwd=folder,
                env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, **self.launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def start(name: str, plan: Callable[[Path], Launch]) -> ServerProcess:
    """
    Start a server and return when it answers.

    Args:
        plan: Writes the files that the server needs into the folder, and returns how
            to start it. Called again, to choose other ports, if the server exits
            at once: another process may have taken a port in the meantime.

    Raises:
        ServerStartError: It never answered.
    """
    for starts_left in reversed(range(_STARTS)):
        process = _spawn(name, plan)
        try:
            process.wait_ready(_READY_TIMEOUT)
        except ServerEndedError:
            process.stop()
            if not starts_left:
                raise
        except BaseException:
            process.stop()
            raise
        else:
            return process
    raise AssertionError("unreachable")


def free_ports(count: int) -> list[int]:
    """
    Return ports that are free on loopback, and whose ports `GRPC_OFFSET` above are free too.
    """
    shuffled = random.sample(_PORTS, len(_PORTS))
    ports = list(itertools.islice(filter(_both_free, shuffled), count))
    if len(ports) < count:
        raise ServerStartError(f"fewer than {count} free ports on 127.0.0.1")
    return ports


def _spawn(name: str, plan: Callable[[Path], Launch]) -> ServerProcess:
    scratch = Scratch()
    try:
        return ServerProcess(name, scratch, plan(scratch.path))
    except BaseException:
        scratch.remove()
        raise


def _both_free(port: int) -> bool:
    return _free(port) and _free(port + GRPC_OFFSET)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(launch: Launch) -> bool:
    trust = ssl.create_default_context(cafile=launch.ca_file) if launch.ca_file else None
    # No proxy from the environment: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(launch.ready_url, timeout=_PROBE_TIMEOUT) as reply:
            return bool(reply.status == launch.ready_status)
    except urllib.error.HTTPError as exc:
        exc.close()
        return exc.code == launch.ready_status
    except OSError:
        return False
