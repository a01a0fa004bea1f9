"""
The settings of the GCS driver.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from asyncstore.errors import ConfigurationError
from asyncstore.options import MiB
from asyncstore.types import ChecksumAlgorithm

_MULTIPART: Final = ("auto", "xml", "compose")
_CHECKSUMS: Final = {"crc32c": ChecksumAlgorithm.CRC32C, "none": None}

#: Bytes of a key for encryption with a key of the customer's own.
_KEY_SIZE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class GCSSettings:
    """
    What can be set for GCS beyond what all providers have.

    Attributes:
        multipart: How large objects are written by parts: ``"xml"`` by the
            multipart uploads of the XML API, ``"compose"`` by objects of their own
            that are composed at the end, ``"auto"`` by the former where the endpoint
            has it. Uploads under a condition are always composed.
        resumable_threshold: Bytes from which on an object that is written by one
            request goes through a resumable session, so that another attempt goes on
            where the last one ended.
        checksum: ``"crc32c"`` is sent with every write; ``"none"`` sends none.
        user_project: The project that is billed, for buckets whose requester pays.
        kms_key_name: Key of the key management service for new objects.
        encryption_key: Encryption with 32 bytes of one's own, as bytes or
            base64. They go along with each request, so TLS is required.
        universe_domain: The cloud, else ``GOOGLE_CLOUD_UNIVERSE_DOMAIN``, else Google's
            own; the endpoint follows from it.
    """

    multipart: str = "auto"
    resumable_threshold: int = 8 * MiB
    checksum: ChecksumAlgorithm | None = ChecksumAlgorithm.CRC32C
    user_project: str | None = None
    kms_key_name: str | None = None
    encryption_key: bytes | None = field(default=None, repr=False)
    universe_domain: str | None = None

    def __post_init__(self) -> None:
        if self.multipart not in _MULTIPART:
            raise ConfigurationError(f"multipart is one of {_MULTIPART}, not {self.multipart!r}")
        if self.resumable_threshold < 1:
            raise ConfigurationError(f"resumable_threshold is at least 1 byte, not {self.resumable_threshold}")
        if self.encryption_key is not None and self.kms_key_name is not None:
            raise ConfigurationError("encryption_key excludes kms_key_name")

    @classmethod
    def take(cls, settings: MutableMapping[str, Any]) -> GCSSettings:
        """
        Read *settings*, all that are left after the credentials took theirs.

        Raises:
            ConfigurationError: One is unknown or does not fit.
        """
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise ConfigurationError(f"gcs does not know the settings {unknown}; it knows {sorted(known)}")
        taken = {name: _READERS.get(name, str)(value) for name, value in settings.items() if value is not None}
        return cls(**taken)

    def key_headers(self, prefix: str = "x-goog-") -> dict[str, str]:
        """
        Return the customer's own key, which goes along with reads and writes.

        https://cloud.google.com/storage/docs/encryption/customer-supplied-keys#headers
        """
        key = self.encryption_key
        if key is None:
            return {}
        return {
            f"{prefix}encryption-algorithm": "AES256",
            f"{prefix}encryption-key": base64.b64encode(key).decode("ascii"),
            f"{prefix}encryption-key-sha256": base64.b64encode(hashlib.sha256(key).digest()).decode("ascii"),
        }

    def write_query(self, kms_parameter: str = "kmsKeyName") -> list[tuple[str, str]]:
        """
        Return the parameters of a JSON request that makes an object.
        """
        return [] if self.kms_key_name is None else [(kms_parameter, self.kms_key_name)]


def _read_checksum(value: Any) -> ChecksumAlgorithm | None:
    text = str(value).strip().lower()
    if text not in _CHECKSUMS:
        raise ConfigurationError(f"checksum is one of {sorted(_CHECKSUMS)}, not {value!r}")
    return _CHECKSUMS[text]


def _read_key(value: Any) -> bytes:
    try:
        key = base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(value)
    except (binascii.Error, ValueError, TypeError):
        key = b""
    if len(key) != _KEY_SIZE:
        raise ConfigurationError(f"encryption_key is {_KEY_SIZE} bytes, or their base64")
    return key


def _read_size(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"resumable_threshold is a number of bytes, not {value!r}") from None


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "checksum": _read_checksum,
    "encryption_key": _read_key,
    "resumable_threshold": _read_size,
}
