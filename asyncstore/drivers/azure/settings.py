"""
The settings of the Azure driver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Final
from urllib.parse import parse_qsl

from asyncstore.auth.azure import API_VERSION
from asyncstore.auth.azure_account import DEFAULT_SUFFIX
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError
from asyncstore.types import ChecksumAlgorithm

_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}")

#: Tags that a blob can have: https://learn.microsoft.com/azure/storage/blobs/storage-manage-find-blobs
MAX_TAGS: Final = 10

# The service's CRC64 has the polynomial and the reflections of the one that is
# called NVME; only the order of its bytes is another.
_CHECKSUMS: Final = {"crc64": ChecksumAlgorithm.CRC64NVME, "md5": ChecksumAlgorithm.MD5}


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    """
    What can be set for Azure beyond what all providers have.

    Attributes:
        endpoint_suffix: The cloud, such as ``core.chinacloudapi.cn`` or
            ``core.usgovcloudapi.net``, for an account without an ``endpoint_url``.
        api_version: The version of the service that is spoken.
        checksum: What is sent with writes whose options name none, for the service to
            check: ``"crc64"``, ``"md5"``, which is also stored, or ``"none"``.
        lease_id: Goes along with every write and deletion, for blobs under a lease.
        tags: Blob index tags of everything that is written.
        delete_snapshots: Delete a blob along with its snapshots; a blob that has some is
            not deleted otherwise.
        async_copy: Let the service work off copies of more than 256 MiB by itself. It is
            polled, and the target can be seen before it is complete; without this they
            are made by parts and appear whole.
    """

    endpoint_suffix: str = DEFAULT_SUFFIX
    api_version: str = API_VERSION
    checksum: ChecksumAlgorithm | None = ChecksumAlgorithm.CRC64NVME
    lease_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    delete_snapshots: bool = False
    async_copy: bool = False

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.api_version):
            raise ConfigurationError(f"api_version is a date such as {API_VERSION}, not {self.api_version!r}")
        if len(self.tags) > MAX_TAGS:
            raise ConfigurationError(f"a blob has up to {MAX_TAGS} tags, not {len(self.tags)}")

    @classmethod
    def take(cls, settings: MutableMapping[str, Any]) -> AzureSettings:
        """
        Read *settings*, all that are left after the credentials took theirs.

        Raises:
            ConfigurationError: One is unknown or does not fit.
        """
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise ConfigurationError(f"azure does not know the settings {unknown}; it knows {sorted(known)}")
        return cls(**{name: _READERS[name](value) for name, value in settings.items() if value is not None})

    def lease_headers(self) -> dict[str, str]:
        """
        Return what lets a request change a blob under our lease.
        """
        return {} if self.lease_id is None else {"x-ms-lease-id": self.lease_id}


def _read_checksum(value: Any) -> ChecksumAlgorithm | None:
    text = str(value).strip().lower()
    if text == "none":
        return None
    algorithm = _CHECKSUMS.get(text) or next((item for item in _CHECKSUMS.values() if item == text), None)
    if algorithm is None:
        raise ConfigurationError(f"checksum is one of {[*_CHECKSUMS, 'none']}, not {value!r}")
    return algorithm


def _read_tags(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        return dict(parse_qsl(value, keep_blank_values=True))
    if isinstance(value, Mapping) and all(isinstance(text, str) for pair in value.items() for text in pair):
        return dict(value)
    raise ConfigurationError("tags are a mapping of text to text, or a query such as project=x&stage=y")


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "endpoint_suffix": str,
    "api_version": str,
    "checksum": _read_checksum,
    "lease_id": str,
    "tags": _read_tags,
    "delete_snapshots": flag,
    "async_copy": flag,
}
