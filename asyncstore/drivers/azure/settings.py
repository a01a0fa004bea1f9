"""
The settings of the Azure driver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from asyncstore.auth.azure.credentials import API_VERSION
from asyncstore.driver.settings import CUSTOMER_KEY, MAPPING, Reader, at_most_one, one_of
from asyncstore.encryption import Encryption
from asyncstore.errors import ConfigurationError
from asyncstore.types import ChecksumAlgorithm

#: Tags that a blob can have: https://learn.microsoft.com/azure/storage/blobs/storage-manage-find-blobs
MAX_TAGS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    """
    Settings of Azure besides those of every provider.

    Attributes:
        endpoint_suffix: The cloud, such as ``core.chinacloudapi.cn`` or
            ``core.usgovcloudapi.net``, for an account without an ``endpoint_url``; by
            default that of the URI, or the public cloud.
        api_version: Version of the service's API.
        checksum: Sent with writes whose options do not name one, for the service to
            verify: ``"crc64"``, ``"md5"``, which is also stored, or ``"none"``.
        lease_id: Sent with every write and deletion, for blobs under a lease.
        tags: Blob index tags of everything that is written.
        delete_snapshots: Delete a blob together with its snapshots; otherwise deleting a
            blob that has snapshots fails.
        encryption_key: A customer-provided encryption key: 32 bytes, or their base64. It is sent with each read and
            write of a blob, so TLS is required.
        encryption_scope: The encryption scope of new blobs.
        encryption: The same as an :class:`~asyncstore.Encryption`, in place of the two before.
        async_copy: Let the service copy blobs of more than 256 MiB in the background. It
            is polled, and the target is visible before it is complete; otherwise such
            copies are multipart uploads, which appear whole.
    """

    endpoint_suffix: str | None = None
    api_version: str = API_VERSION
    checksum: ChecksumAlgorithm | None = ChecksumAlgorithm.CRC64NVME
    lease_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    delete_snapshots: bool = False
    async_copy: bool = False
    encryption_key: bytes | None = field(default=None, repr=False)
    encryption_scope: str | None = None
    encryption: Encryption | None = None

    def __post_init__(self) -> None:
        if len(self.tags) > MAX_TAGS:
            raise ConfigurationError(f"tags has {len(self.tags)} tags: a blob can have up to {MAX_TAGS}")
        at_most_one(
            encryption_key=self.encryption_key, encryption_scope=self.encryption_scope, encryption=self.encryption
        )

    @property
    def default_encryption(self) -> Encryption | None:
        """How blobs are encrypted whose operation does not say."""
        if self.encryption_key is not None:
            return Encryption.customer_key(self.encryption_key)
        return self.encryption if self.encryption_scope is None else Encryption.scope(self.encryption_scope)

    def lease_headers(self) -> dict[str, str]:
        """
        Return the header with which a request may change a blob under the lease.
        """
        return {} if self.lease_id is None else {"x-ms-lease-id": self.lease_id}


def _read_version(value: Any) -> str:
    # TOML reads an unquoted version as a date.
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text := str(value)):
        raise ValueError
    return text


def _read_tags(value: Any) -> Any:
    return dict(parse_qsl(value, keep_blank_values=True)) if isinstance(value, str) else MAPPING.read(value)


#: How fields are read whose annotations do not say it all.
READERS: Final = {
    "api_version": Reader(f"a date such as {API_VERSION}", _read_version),
    # The service's CRC64 is CRC64NVME with its bytes in reverse order.
    "checksum": one_of(
        {
            "crc64": ChecksumAlgorithm.CRC64NVME,
            "crc64nvme": ChecksumAlgorithm.CRC64NVME,
            "md5": ChecksumAlgorithm.MD5,
            "none": None,
        }
    ),
    "encryption_key": CUSTOMER_KEY,
    "tags": Reader("a mapping of text to text, or a query such as project=x&stage=y", _read_tags),
}
