"""
What README and docs show works, as it stands there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks
from tests.servers.s3 import S3Server, blocking_client

# Set-up is not run inside the tests that it sets up: .ci/run calls it.
_SETUP = "python3 -m venv"


@pytest.fixture
def environment(seaweed: S3Server, tmp_path: Path) -> dict[str, str]:
    """
    A person's shell: credentials of a real server, a bucket called "models", an empty home.
    """
    client = blocking_client(seaweed)
    if "models" not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket="models")
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL_S3": seaweed.endpoint_url,
        "AWS_ACCESS_KEY_ID": seaweed.keys.access_key_id,
        "AWS_SECRET_ACCESS_KEY": seaweed.keys.secret_access_key,
        "AWS_REGION": seaweed.region,
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
    commands = [part.strip() for block in blocks("bash") if _SETUP in block.code for part in block.code.split("&&")]

    assert any("pytest" in command for command in commands)
    assert [
        command for command in commands if command not in script and "all" not in command and "demo" not in command
    ] == []


def test_links_lead_somewhere() -> None:
    """
    Every relative link of README and docs leads to a file.
    """
    import re

    broken = []
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")

    assert broken == []
