"""
The documentation site builds without warnings, and readers find what is in it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

import pytest

import asyncstore
from asyncstore import integrations
from tests.docs.blocks import ROOT, blocks

#: The packages whose exports are public. Integrations join by themselves.
MODULES = (
    "asyncstore",
    "asyncstore.auth.aws",
    "asyncstore.auth.azure",
    "asyncstore.auth.credentials",
    "asyncstore.auth.gcp",
    "asyncstore.auth.github",
    "asyncstore.auth.oci",
    "asyncstore.driver",
    "asyncstore.errors",
    "asyncstore.http",
    "asyncstore.storage",
    "asyncstore.sync",
    "asyncstore.testing.conformance",
    "asyncstore.testing.faults_proxy",
    "asyncstore.testing.servers.gcs",
    "asyncstore.testing.servers.github",
    "asyncstore.testing.servers.oci",
    "asyncstore.uri",
    "asyncstore.wrappers",
    *(f"asyncstore.integrations.{module.name}" for module in iter_modules(integrations.__path__)),
)

#: What people search for.
WORDS = ("checksum", "multipart", "presigned", "proxy", "resume", "retry")

# The build takes half a minute of CPU.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The site, built as a release builds it: a warning is an error.
    """
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "-f",
        "docs/site/mkdocs.yml",
        "-d",
        str(folder),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, str]:
    """
    The pages, by their path in the site.
    """
    return {str(path.relative_to(site)): path.read_text("utf-8") for path in sorted(site.rglob("*.html"))}


def test_every_page_is_in_the_navigation(pages: dict[str, str]) -> None:
    """
    A page that is added to a folder is built, and found from the first page.
    """
    sources = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    expected = {str(path.with_name("index.md" if path.name == "README.md" else path.name))[:-3] for path in sources}

    assert {name for name in expected if f"{name}.html" not in pages} == set()
    assert {name for name in expected if f'href="{name}.html"' not in pages["index.html"]} - {"index"} == set()


def test_every_public_name_has_an_entry(pages: dict[str, str]) -> None:
    """
    The reference explains every name that a module exports, and every method of a storage.
    """
    entries = {match for text in pages.values() for match in re.findall(r'id="(asyncstore[\w.]*)"', text)}
    methods = {f"asyncstore.Storage.{name}" for name in dir(asyncstore.Storage) if not name.startswith("_")}
    exported = {
        f"{module}.{name}": _value(module, name) for module in MODULES for name in _exports(import_module(module))
    }
    # What several modules export is explained once.
    explained = [value for name, value in exported.items() if name in entries]
    missing = {name for name, value in exported.items() if not any(value is other for other in explained)}

    assert missing == set()
    assert methods - entries == set()


def _value(module: str, name: str) -> object:
    return getattr(import_module(module), name)


def _exports(module: ModuleType) -> Iterator[str]:
    names = getattr(module, "__all__", None)
    if names is None:
        names = re.findall(
            r"^from \S+ import (\w+) as \1$", Path(str(module.__file__)).read_text("utf-8"), re.MULTILINE
        )
    if not names:
        names = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return (name for name in names if not name.startswith("_") or name == "__version__")


def test_docstrings_are_shown_as_markdown(pages: dict[str, str]) -> None:
    """
    No reader sees the markup of docstrings, and names in them lead to their entries.
    """
    assert [name for name, text in pages.items() if re.search(r":(class|meth|func|attr|mod|exc|data):", text)] == []
    link = 'href="errors.html#asyncstore.StorageError"><code>StorageError</code>'
    assert link in pages["reference/api/storages.html"]


@pytest.mark.parametrize("word", WORDS)
def test_search_finds(site: Path, word: str) -> None:
    """
    The search has a section about it, apart from the reference.
    """
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))["docs"]
    titles = [entry["title"] for entry in index if not entry["location"].startswith(("reference/", "decisions/"))]

    assert [title for title in titles if word in re.sub("<[^>]*>", "", title).lower()]


def test_diagrams_are_drawn(pages: dict[str, str]) -> None:
    """
    Each diagram is a picture in the page, which needs no script.
    """
    drawn = sum(text.count('<div class="diagram"><svg') for text in pages.values())

    assert drawn == len(blocks("mermaid"))


def test_nothing_is_fetched_from_elsewhere(pages: dict[str, str]) -> None:
    """
    A reader's browser gets scripts, styles, fonts and pictures from the site alone.
    """
    elsewhere = re.compile(
        r'(?:<script[^>]*\ssrc|<img[^>]*\ssrc|<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href)="https?:'
    )

    assert [name for name, text in pages.items() if elsewhere.search(text)] == []
