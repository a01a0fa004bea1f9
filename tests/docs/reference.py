"""
Generates the reference pages from the code: ``python -m tests.docs.reference``.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from asyncstore.auth.aws.credentials import SETTINGS as AUTH_SETTINGS
from asyncstore.auth.azure.credentials import SETTINGS as AZURE_AUTH_SETTINGS
from asyncstore.auth.gcp.credentials import SETTINGS as GCP_SETTINGS
from asyncstore.auth.github.credentials import SETTINGS as GITHUB_AUTH_SETTINGS
from asyncstore.auth.oci.credentials import SETTINGS as OCI_AUTH_SETTINGS
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
from asyncstore.options import (
    BulkOptions,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ListOptions,
    PostOptions,
    PresignOptions,
    ReadOptions,
    UploadOptions,
    WriteOptions,
)
from asyncstore.storage.arguments import (
    COPY_NEEDS,
    DELETE_NEEDS,
    POST_NEEDS,
    PRESIGN_NEEDS,
    READ_NEEDS,
    WRITE_NEEDS,
    Need,
)
from asyncstore.storage.compare import SyncOptions
from asyncstore.storage.tree_options import TREE_NEEDS, TreeOptions
from tests.docs import errors_page
from tests.docs.auth_page import auth
from tests.docs.blocks import ROOT

# A name in a docstring.
_ROLE = re.compile(r":[a-z]+:`[~.]?([^`]+)`")

_HEADER = "<!-- Made by python -m tests.docs.reference; a test compares. -->\n\n"


def settings() -> str:
    """
    Return the page of settings and options.
    """
    text = "# Settings and options\n\n" + _HEADER
    text += "`open_storage(uri, **settings)` takes the first three tables and the driver's settings as keywords. "
    text += "Type checkers know them: a dictionary of them is an `asyncstore.settings.Settings`; "
    text += "those of another package's driver go into `settings={...}`.\n"
    for kind in (StorageConfig, HTTPOptions, RetryOptions):
        text += _table(kind)
    text += "\n# Settings of drivers\n"
    for provider, settings_of, names in _DRIVER_SETTINGS:
        text += _table(settings_of) + "\n"
        if provider == "GitHub":
            text += "`endpoint_url` or `base_url` sets GitHub's API. "
        text += f"Credentials of {provider} are set by " + ", ".join(f"`{name}`" for name in names) + ".\n"
    text += "\nLocal files have the setting `sync`. Memory has `shared` and every field of `Capabilities`.\n"
    text += "\n# Options of operations\n"
    transfers = (UploadOptions, DownloadOptions, ReadOptions, CopyOptions)
    for options in (*transfers, PresignOptions, PostOptions, ListOptions, BulkOptions, TreeOptions):
        text += _table(options)
    return text + _table(SyncOptions)


def capabilities() -> str:
    """
    Return the page of each provider's capabilities.
    """
    drivers = [factory(StorageConfig.build(uri, settings)) for factory, uri, settings in _DRIVERS]
    described = _described(Capabilities)
    refused = "Operations that need a missing capability are refused before any request."
    lines = ["# Capabilities", "", _HEADER.strip(), "", refused, ""]
    lines += [
        "| | " + " | ".join(driver.provider for driver in drivers) + " | |",
        "|---|" + "---|" * (len(drivers) + 1),
    ]
    for item in fields(Capabilities):
        cells = [_cell(driver, item.name) for driver in drivers]
        lines.append(f"| `{item.name}` | " + " | ".join(cells) + f" | {described[item.name]} |")
    return "\n".join(lines) + "\n"


def options() -> str:
    """
    Return the page that says which provider honours which option.
    """
    drivers = [factory(StorageConfig.build(uri, settings)) for factory, uri, settings in _DRIVERS]
    text = "# Options by provider\n\n" + _HEADER
    text += (
        "*yes*: the provider does what the option says. *client*: asyncstore does, with every provider. *refused*: the "
        "operation raises `NotSupportedError` before any request. No option is ignored.\n"
    )
    for kind, needs in OPTIONS.items():
        own = [item.name for item in fields(kind) if not any(item.name in _names(base) for base in kind.__bases__)]
        above = [base.__name__ for base in kind.__bases__ if base is not object]
        text += f"\n## {kind.__name__}\n\n" + "".join(f"And all of `{name}`.\n\n" for name in above)
        text += "| | " + " | ".join(driver.provider for driver in drivers) + " |\n|---|" + "---|" * len(drivers) + "\n"
        for name in own:
            cells = [_support(driver.capabilities, kind, name, needs) for driver in drivers]
            text += f"| `{name}` | " + " | ".join(cells) + " |\n"
    return text


def _names(kind: Any) -> list[str]:
    return [item.name for item in fields(kind)] if is_dataclass(kind) else []


def _support(able: Capabilities, kind: type, name: str, needs: Mapping[str, Need]) -> str:
    if kind is CopyOptions and not able.copy:
        return "refused"
    if kind is PresignOptions and name not in able.presign_options:
        return "refused"
    if name in CLIENT_OPTIONS:
        return "client"
    return "yes" if name not in needs or getattr(able, needs[name].capability) else "refused"


def methods() -> str:
    """
    Return the page of authentication methods.
    """
    return "# Methods of authentication\n\n" + _HEADER + auth()


def errors() -> str:
    """
    Return the page of errors.
    """
    return "# Errors\n\n" + _HEADER + errors_page.page()


PAGES = {
    "settings.md": settings,
    "capabilities.md": capabilities,
    "options.md": options,
    "auth.md": methods,
    "errors.md": errors,
}

#: What the options of each record need.
OPTIONS: Mapping[type, Mapping[str, Need]] = {
    ReadOptions: READ_NEEDS,
    DownloadOptions: READ_NEEDS,
    WriteOptions: WRITE_NEEDS,
    UploadOptions: WRITE_NEEDS,
    CopyOptions: COPY_NEEDS,
    DeleteOptions: DELETE_NEEDS,
    PresignOptions: PRESIGN_NEEDS,
    PostOptions: POST_NEEDS,
    ListOptions: {},
    BulkOptions: {},
    TreeOptions: TREE_NEEDS,
    SyncOptions: TREE_NEEDS,
}
#: Options that no provider sees.
CLIENT_OPTIONS = frozenset(
    {
        *_names(BulkOptions),
        *(name for name in _names(SyncOptions) if name not in TREE_NEEDS),
        "max_concurrency",
        "multipart_threshold",
        "overwrite",
        "part_size",
        "guess_content_type",
        "resume",
        "sync",
        "hedge_after",
        "verify",
    }
)

_DRIVER_SETTINGS: tuple[tuple[str, type, Iterable[str]], ...] = (
    ("S3", S3Settings, sorted(AUTH_SETTINGS)),
    ("Azure", AzureSettings, AZURE_AUTH_SETTINGS),
    ("GCS", GCSSettings, sorted(GCP_SETTINGS)),
    ("GitHub", GitHubSettings, sorted(GITHUB_AUTH_SETTINGS)),
    ("OCI", OCISettings, sorted(OCI_AUTH_SETTINGS)),
)
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
    """Return the descriptions of attributes in the docstrings of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found.update(_attributes(inspect.getdoc(base) or ""))
    return found


def _attributes(doc: str) -> Iterator[tuple[str, str]]:
    _, _, section = doc.partition("Attributes:\n")
    for match in re.finditer(r"^    (\w+(?:, \w+)*): (.*?)(?=^    \w[\w, ]*: |\Z)", section, re.MULTILINE | re.DOTALL):
        for name in match[1].split(", "):
            text = _ROLE.sub(r"`\1`", " ".join(match[2].split()))
            yield name, text.replace("|", "\\|").replace("``", "`")


def _cell(driver: Driver, name: str) -> str:
    value = getattr(driver.capabilities, name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if value is None:
        return "none"
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
