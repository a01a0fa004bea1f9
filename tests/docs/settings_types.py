"""
Generates ``asyncstore/settings.py`` from the declared settings: ``python -m tests.docs.settings_types``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from asyncstore import settings
from asyncstore.auth.aws.methods import METHODS as AWS
from asyncstore.auth.azure.methods import METHODS as AZURE
from asyncstore.auth.gcp.methods import METHODS as GCP
from asyncstore.auth.github.methods import METHODS as GITHUB
from asyncstore.auth.oci.methods import METHODS as OCI
from asyncstore.config import HTTPOptions, RetryOptions, StorageConfig
from asyncstore.driver import Capabilities
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.local.driver import LocalSettings
from asyncstore.drivers.memory.driver import MemorySettings
from asyncstore.drivers.oci.settings import OCISettings
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.types import ChecksumAlgorithm

FILE = Path(settings.__file__)

_HEADER = '''\
"""
The settings of :func:`asyncstore.open_storage` as types, for editors and type checkers.

Made by ``python -m tests.docs.settings_types`` from what the drivers and the methods of authentication declare; a test
compares. ``docs/reference/settings.md`` says what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from ssl import SSLContext
from typing import Any, Literal, TypedDict

from asyncstore.config import AuthConfig, HTTPOptions, RetryOptions
from asyncstore.encryption import Encryption
from asyncstore.types import ChecksumAlgorithm


class Settings(TypedDict, total=False):
    """
    Every setting of the providers that come with the package.

    Those of another package's provider are given as ``settings={...}``.
    """

'''

#: Names of open_storage() itself, and what the URI says.
_OTHER = ("uri", "profile")
_RECORDS = (StorageConfig, HTTPOptions, RetryOptions, S3Settings, AzureSettings, GCSSettings, GitHubSettings)
_DRIVERS = (OCISettings, LocalSettings, MemorySettings, Capabilities)


def module() -> str:
    """
    Return the text of the module.
    """
    found: dict[str, set[str]] = {"auth_type": {"str"}, "retry_attempts": {"int"}}
    for kind in (*_RECORDS, *_DRIVERS):
        hints = get_type_hints(kind)
        for item in fields(kind):
            found.setdefault(item.name, set()).update(_members(hints[item.name]))
    for name in _credentials():
        # Text, a Secret, a function or more: each method says what it takes.
        found.setdefault(name, set()).add("Any")
    lines = [f"    {name}: {_union(found[name])}\n" for name in sorted(found) if name not in _OTHER]
    return _HEADER + "".join(lines)


def _credentials() -> Iterator[str]:
    for method in (*AWS, *AZURE, *GCP, *GITHUB, *OCI):
        for setting in method.settings:
            yield setting.name
            yield from setting.aliases


def _members(hint: Any) -> Iterator[str]:
    if get_origin(hint) in (Union, UnionType):
        for member in get_args(hint):
            yield from _members(member)
    elif hint is Path:
        yield from ("Path", "str")
    elif hint is bytes:
        # Or their base64.
        yield from ("bytes", "str")
    elif hint is ChecksumAlgorithm:
        # Or its name.
        yield "str"
    elif hint is NoneType:
        yield "None"
    elif get_origin(hint) is Literal:
        yield f"Literal[{', '.join(map(_quoted, get_args(hint)))}]"
    elif get_origin(hint) is Mapping or get_origin(hint) is frozenset:
        arguments = ", ".join(_argument(argument) for argument in get_args(hint))
        yield f"{get_origin(hint).__name__}[{arguments}]"
    else:
        yield "Any" if hint is Any else hint.__name__


def _argument(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return next(_members(hint))
    return getattr(hint, "__name__", "Any")


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _union(members: set[str]) -> str:
    if "Any" in members:
        return "Any"
    if "str" in members:
        members = {member for member in members if not member.startswith("Literal")}
    return " | ".join(sorted(members - {"None"})) + (" | None" if "None" in members else "")


if __name__ == "__main__":
    FILE.write_text(module(), "utf-8")
