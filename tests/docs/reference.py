"""
Makes the reference pages that follow from the code: ``python -m tests.docs.reference``.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from asyncstore.auth.aws import SETTINGS as AUTH_SETTINGS
from asyncstore.auth.azure import SETTINGS as AZURE_AUTH_SETTINGS
from asyncstore.auth.gcp import SETTINGS as GCP_SETTINGS
from asyncstore.auth.github import SETTINGS as GITHUB_AUTH_SETTINGS
from asyncstore.auth.oci import SETTINGS as OCI_AUTH_SETTINGS
from asyncstore.config import HTTPOptions, RetryOptions, StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.drivers.azure import open_driver as open_azure
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.gcs import open_driver as open_gcs
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.github import open_driver as open_github
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.local import open_driver as open_local
from asyncstore.drivers.memory import open_driver as open_memory
from asyncstore.drivers.oci import open_driver as open_oci
from asyncstore.drivers.oci.settings import OCISettings
from asyncstore.drivers.s3 import open_driver as open_s3
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.options import BulkOptions, CopyOptions, DownloadOptions, ListOptions, ReadOptions, UploadOptions
from tests.docs.auth_page import auth
from tests.docs.blocks import ROOT

_HEADER = "<!-- Made by python -m tests.docs.reference; a test compares. -->\n\n"


def settings() -> str:
    """
    Return the page of settings and options.
    """
    text = "# Settings and options\n\n" + _HEADER
    text += "`open_storage(uri, **settings)` takes all of the first three tables as keywords, and the driver's own.\n"
    for kind in (StorageConfig, HTTPOptions, RetryOptions):
        text += _table(kind)
    text += "\n# Settings of drivers\n"
    text += _table(S3Settings)
    text += "\nCredentials of S3 are set by " + ", ".join(f"`{name}`" for name in sorted(AUTH_SETTINGS)) + ".\n"
    text += _table(AzureSettings)
    text += "\nCredentials of Azure are set by " + ", ".join(f"`{name}`" for name in AZURE_AUTH_SETTINGS) + ".\n"
    text += _table(GCSSettings)
    text += "\nCredentials of GCS are set by " + ", ".join(f"`{name}`" for name in sorted(GCP_SETTINGS)) + ".\n"
    text += _table(GitHubSettings)
    text += "\nGitHub's API is named by `endpoint_url` or `base_url`, its credentials by "
    text += ", ".join(f"`{name}`" for name in sorted(GITHUB_AUTH_SETTINGS)) + ".\n"
    text += _table(OCISettings)
    text += "\nCredentials of OCI are set by " + ", ".join(f"`{name}`" for name in sorted(OCI_AUTH_SETTINGS)) + ".\n"
    text += "\nFiles have `sync`, memory has `shared` and every field of `Capabilities`.\n"
    text += "\n# Options of operations\n"
    for options in (UploadOptions, DownloadOptions, ReadOptions, CopyOptions, ListOptions, BulkOptions):
        text += _table(options)
    return text


def capabilities() -> str:
    """
    Return the page of what each provider can do.
    """
    drivers = [factory(StorageConfig.build(uri, settings)) for factory, uri, settings in _DRIVERS]
    described = _described(Capabilities)
    lines = ["# Capabilities", "", _HEADER.strip(), "", "What is off is refused before any request.", ""]
    lines += [
        "| | " + " | ".join(driver.provider for driver in drivers) + " | |",
        "|---|" + "---|" * (len(drivers) + 1),
    ]
    for item in fields(Capabilities):
        cells = [_cell(driver, item.name) for driver in drivers]
        lines.append(f"| `{item.name}` | " + " | ".join(cells) + f" | {described[item.name]} |")
    return "\n".join(lines) + "\n"


def methods() -> str:
    """
    Return the page of the methods of authentication.
    """
    return "# Methods of authentication\n\n" + _HEADER + auth()


PAGES = {"settings.md": settings, "capabilities.md": capabilities, "auth.md": methods}

_DRIVERS: tuple[tuple[Any, str, dict[str, Any]], ...] = (
    (open_memory, "memory://bucket", {}),
    (open_local, "file:///tmp/asyncstore-capabilities", {}),
    (open_s3, "s3://bucket", {}),
    (open_gcs, "gs://bucket", {}),
    (open_azure, "azure://container@account", {"anonymous": True}),
    (open_github, "github://owner/repo", {}),
    (open_oci, "oci://bucket", {}),
)


def _table(kind: type) -> str:
    described = _described(kind)
    rows = [f"| `{item.name}` | {_default(item)} | {described.get(item.name, '')} |" for item in fields(kind)]
    return f"\n## {kind.__name__}\n\n| name | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _default(item: Field[Any]) -> str:
    if item.default is not MISSING:
        return f"`{item.default}`"
    if item.default_factory is not MISSING:
        value = item.default_factory()
        return "empty" if value == {} else f"`{type(value).__name__}()`"
    return "required"


def _described(kind: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of each attribute."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found.update(_attributes(inspect.getdoc(base) or ""))
    return found


def _attributes(doc: str) -> Iterator[tuple[str, str]]:
    _, _, section = doc.partition("Attributes:\n")
    for match in re.finditer(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", section, re.MULTILINE | re.DOTALL):
        yield match[1], " ".join(match[2].split()).replace("|", "\\|").replace("``", "`")


def _cell(driver: Driver, name: str) -> str:
    value = getattr(driver.capabilities, name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, str):
        return f"[page]({value})" if value.startswith("http") else value
    return f"{value:,}"


def main(folder: Path) -> None:
    """
    Write all pages into *folder*.
    """
    for name, make in PAGES.items():
        (folder / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "reference")
