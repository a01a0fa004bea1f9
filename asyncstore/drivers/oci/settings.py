"""
The settings of the OCI driver.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from asyncstore.config import flag
from asyncstore.errors import ConfigurationError
from asyncstore.types import ChecksumAlgorithm

#: Bytes of a key for encryption with a key of the customer's own.
_SSE_KEY_SIZE: Final = 32

# What the service compares. https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/PutObject
ALGORITHMS: Final = frozenset({ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.SHA256, ChecksumAlgorithm.MD5})


@dataclass(frozen=True, slots=True, kw_only=True)
class OCISettings:
    """
    What can be set for OCI beyond what all providers have.

    Attributes:
        namespace: Of buckets whose URI names none; by default that of the caller's
            tenancy, which is asked for once.
        checksum: Algorithm of the checksums sent with writes whose options name
            none: ``"crc32c"``, ``"sha256"`` or ``"md5"``; ``"none"`` sends none.
        md5_metadata: Whether the user's own metadata ``md5`` (base64 or hexadecimal)
            is taken for the checksum of an object that has no other of its whole,
            as is so of most that were uploaded by parts.
        sse_customer_key: Encryption with 32 bytes of one's own, as bytes or
            base64. They go along with each request, so TLS is required.
        sse_kms_key_id: OCID of the key of the vault that encrypts what is written.
    """

    namespace: str | None = None
    checksum: ChecksumAlgorithm | None = ChecksumAlgorithm.CRC32C
    md5_metadata: bool = True
    sse_customer_key: bytes | None = field(default=None, repr=False)
    sse_kms_key_id: str | None = None

    def __post_init__(self) -> None:
        if self.sse_customer_key is not None and self.sse_kms_key_id is not None:
            raise ConfigurationError("sse_customer_key and sse_kms_key_id exclude each other")
        if self.namespace is not None and (not self.namespace or "/" in self.namespace):
            raise ConfigurationError(f"{self.namespace!r} is no namespace")

    @classmethod
    def take(cls, settings: MutableMapping[str, Any]) -> OCISettings:
        """
        Read *settings*, all that are left after the credentials took theirs.

        Raises:
            ConfigurationError: One is unknown or does not fit.
        """
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise ConfigurationError(f"oci does not know the settings {unknown}; it knows {sorted(known)}")
        taken = {name: _READERS.get(name, str)(value) for name, value in settings.items() if value is not None}
        return cls(**taken)

    def key_headers(self, prefix: str = "opc-") -> dict[str, str]:
        """
        Return the customer's own key, which goes along with reads and writes.
        """
        key = self.sse_customer_key
        if key is None:
            return {}
        return {
            f"{prefix}sse-customer-algorithm": "AES256",
            f"{prefix}sse-customer-key": base64.b64encode(key).decode("ascii"),
            f"{prefix}sse-customer-key-sha256": base64.b64encode(hashlib.sha256(key).digest()).decode("ascii"),
        }

    def encryption_headers(self) -> dict[str, str]:
        """
        Return how a new object is to be encrypted.
        """
        headers = self.key_headers()
        if self.sse_kms_key_id is not None:
            headers["opc-sse-kms-key-id"] = self.sse_kms_key_id
        return headers


def _read_checksum(value: Any) -> ChecksumAlgorithm | None:
    text = str(value).strip().lower()
    if text == "none":
        return None
    if text not in ALGORITHMS:
        raise ConfigurationError(f"checksum is one of {[*sorted(ALGORITHMS), 'none']}, not {value!r}")
    return ChecksumAlgorithm(text)


def _read_key(value: Any) -> bytes:
    try:
        key = base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(value)
    except (binascii.Error, ValueError, TypeError):
        key = b""
    if len(key) != _SSE_KEY_SIZE:
        raise ConfigurationError(f"sse_customer_key is {_SSE_KEY_SIZE} bytes, or their base64")
    return key


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "checksum": _read_checksum,
    "md5_metadata": flag,
    "sse_customer_key": _read_key,
}
