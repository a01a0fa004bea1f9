"""
The code blocks of the README and docs run as they are, and links lead to files.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks, guides, run

# The block that installs everything is not run here: .ci/run runs its commands.
_SETUP = "python3 -m venv"

# Run by test_migrate.py, which compares what they print.
_COMPARED = [block for guide in guides() for block in guide]

# Settings of pytest for blocks that are tests.
_PLAIN = ("--strict-markers", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")

_LINK = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", [block for block in blocks("python") if block not in _COMPARED], ids=str)
def test_python(block: Block, tmp_path: Path, environment: dict[str, str]) -> None:
    """
    Every Python block is a program that succeeds, without warnings.
    """
    program = tmp_path / ("test_program.py" if _is_test(block) else "program.py")
    program.write_text(block.code, "utf-8")
    if not _is_test(block):
        run([sys.executable, "-W", "error", str(program)], tmp_path, environment)
        return
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["asyncstore.testing.plugin"]\n')
    ran = run([sys.executable, "-W", "error", "-m", "pytest", "-q", *_PLAIN, str(program)], tmp_path, environment)
    assert f"{block.code.count('def test_')} passed" in ran, ran


@pytest.mark.parametrize("block", [block for block in blocks("bash") if _SETUP not in block.code], ids=str)
def test_shell(block: Block, tmp_path: Path, environment: dict[str, str]) -> None:
    """
    Every shell block succeeds.
    """
    run(["bash", "-euo", "pipefail", "-c", block.code], tmp_path, environment)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml(block: Block) -> None:
    """
    Every TOML block is valid.
    """
    assert tomllib.loads(block.code)


def test_setup_is_what_ci_runs() -> None:
    """
    The documented commands to install and test are those that CI runs.
    """
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    setup = [block.code.strip() for block in blocks("bash") if _SETUP in block.code]
    install, _, test = next(code for code in setup if "pytest" in code).rpartition(" && ")

    assert install in script
    assert test in script


def test_links_lead_to_files() -> None:
    """
    Every relative link of the README and docs leads to a file, and to one of its headings if it names one.
    """
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [(page, *link) for page in pages for link in _LINK.findall(page.read_text("utf-8"))]

    assert [f"{page.name}: {path}#{name}" for page, path, name in links if not _leads(page, path, name)] == []


def _is_test(block: Block) -> bool:
    return "\nasync def test_" in block.code


def _leads(page: Path, path: str, name: str) -> bool:
    target = page.parent / path if path else page
    if not target.exists() or not name:
        return target.exists()
    headings = _HEADING.findall(_FENCED.sub("", target.read_text("utf-8")))
    # As GitHub names them.
    return name in {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
