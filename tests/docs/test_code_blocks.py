"""
What README and docs show works, as it stands there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncstore.testing.servers.github import FAKE_TOKEN
from tests.docs.blocks import ROOT, Block, blocks
from tests.servers.azure import AzureServer
from tests.servers.azure import blocking_client as azure_client
from tests.servers.oci import RunningOCI, running_oci
from tests.servers.s3 import S3Server, blocking_client

# Set-up is not run inside the tests that it sets up: .ci/run calls it.
_SETUP = "python3 -m venv"

_LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")


@pytest.fixture(scope="module")
def github_url() -> Iterator[str]:
    """The stand-in for GitHub, started as anybody would."""
    command = [sys.executable, "-m", "asyncstore.testing.servers", "github"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="module")
def oci() -> Iterator[RunningOCI]:
    """
    A server with a bucket called "models", into which a person's files let in.
    """
    with running_oci() as server:
        server.server.create_bucket("models")
        yield server


@pytest.fixture
def environment(
    seaweed: S3Server, azurite: AzureServer, oci: RunningOCI, github_url: str, tmp_path: Path
) -> dict[str, str]:
    """
    A person's shell: credentials of real servers, with a place called "models" on each, a home with nothing else.
    """
    oci.user.write_config(tmp_path / ".oci", oci.region)
    with azure_client(azurite) as azure:
        if not azure.get_container_client("models").exists():
            azure.create_container("models")
    with blocking_client(seaweed) as client:
        if "models" not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket="models")
    command = tmp_path / "bin" / "asyncstore"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m asyncstore.cli "$@"\n', "utf-8")
    command.chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(command.parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL_S3": seaweed.endpoint_url,
        "AWS_ACCESS_KEY_ID": seaweed.keys.access_key_id,
        "AWS_SECRET_ACCESS_KEY": seaweed.keys.secret_access_key,
        "AWS_REGION": seaweed.region,
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string,
        "GITHUB_API_URL": github_url,
        "GH_TOKEN": FAKE_TOKEN,
        "OCI_CLI_ENDPOINT": oci.server.url,
    }


def run(command: list[str], cwd: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python(block: Block, tmp_path: Path, environment: dict[str, str]) -> None:
    """
    Every Python block is a program that ends well.
    """
    program = tmp_path / "program.py"
    program.write_text(block.code, "utf-8")
    run([sys.executable, "-W", "error", str(program)], tmp_path, environment)


@pytest.mark.parametrize("block", [block for block in blocks("bash") if _SETUP not in block.code], ids=str)
def test_shell(block: Block, tmp_path: Path, environment: dict[str, str]) -> None:
    """
    Every shell block ends well.
    """
    run(["bash", "-euo", "pipefail", "-c", block.code], tmp_path, environment)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml(block: Block) -> None:
    """
    Every TOML block is TOML.
    """
    assert tomllib.loads(block.code)


def test_setup_is_what_ci_runs() -> None:
    """
    The commands that set everything up are those that every change is checked with.
    """
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    setup = [block.code.strip() for block in blocks("bash") if _SETUP in block.code]
    install, _, test = next(code for code in setup if "pytest" in code).rpartition(" && ")

    assert install in script
    assert test in script


def test_links_lead_somewhere() -> None:
    """
    Every relative link of README and docs leads to a file.
    """
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in _LINK.findall(page.read_text("utf-8"))]

    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []
