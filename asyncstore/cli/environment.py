"""
What a report of a problem says about this machine: versions, names of variables, and what the package logs.
"""

from __future__ import annotations

import logging
import os
import platform
import ssl
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Self

from asyncstore import __version__
from asyncstore._support.redact import redact

_LOGGER: Final = logging.getLogger("asyncstore")
_PACKAGES: Final = (
    "aiohttp",
    "anyio",
    "awscrt",
    "tenacity",
    "uvloop",
    "aiobotocore",
    "azure-storage-blob",
    "cryptography",
    "gcloud-aio-storage",
    "oci",
)
_VARIABLES: Final = ("ASYNCSTORE_", "AWS_", "AZURE_", "GCE_", "GH_", "GITHUB_TOKEN", "GOOGLE_", "OCI_", "SSL_CERT_")


def environment() -> dict[str, str | list[str]]:
    """
    Return the versions of everything concerned, and the names of the variables that are read, without their values.
    """
    installed = {name: _version(name) for name in _PACKAGES}
    return {
        "asyncstore": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "tls": ssl.OPENSSL_VERSION,
        "packages": [f"{name} {number}" for name, number in installed.items() if number],
        "variables": sorted(name for name in os.environ if name.startswith(_VARIABLES)),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class Log(logging.Handler):
    """
    Keeps what the package logs within a ``with`` block: retries, recoveries, refreshes and features that are missing.

    Attributes:
        lines: The messages so far, without secrets.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._level = _LOGGER.level

    def __enter__(self) -> Self:
        _LOGGER.setLevel(logging.DEBUG)
        _LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        _LOGGER.removeHandler(self)
        _LOGGER.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.lines.append(f"{record.name}: {redact(record.getMessage())}")
