"""
The settings of the S3 driver.
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

_STYLES: Final = ("auto", "path", "virtual")
_SSE: Final = ("AES256", "aws:kms", "aws:kms:dsse")

#: Bytes of a key for encryption with a key of the customer's own.
_SSE_KEY_SIZE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """
    What can be set for S3 beyond what all providers have.

    Attributes:
        addressing_style: ``"path"`` puts the bucket into the path, ``"virtual"``
            before the host name; ``"auto"`` is virtual on AWS where the name of
            the bucket allows it, else path.
        checksum: Algorithm of the checksums sent with writes whose options name
            none; ``"none"`` sends none, for servers that do not know them.
        verify_checksums: Whether to ask for the stored checksum when reading,
            and to compare those that replies to writes name.
        requester_pays: Whether we pay for reading a bucket of somebody else's.
        expected_bucket_owner: Account id that must own the bucket.
        sse: Encryption by the provider: ``AES256``, ``aws:kms`` or ``aws:kms:dsse``.
        sse_kms_key_id: Key of the key management service; implies ``aws:kms``.
        sse_customer_key: Encryption with 32 bytes of one's own, as bytes or
            base64. They go along with each request, so TLS is required.
    """

    addressing_style: str = "auto"
    checksum: ChecksumAlgorithm | None = ChecksumAlgorithm.CRC32C
    verify_checksums: bool = True
    requester_pays: bool = False
    expected_bucket_owner: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    sse_customer_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.addressing_style not in _STYLES:
            raise ConfigurationError(f"addressing_style is one of {_STYLES}, not {self.addressing_style!r}")
        if self.sse is not None and self.sse not in _SSE:
            raise ConfigurationError(f"sse is one of {_SSE}, not {self.sse!r}")
        if self.sse_customer_key is not None and (self.sse or self.sse_kms_key_id):
            raise ConfigurationError("sse_customer_key excludes sse and sse_kms_key_id")

    @classmethod
    def take(cls, settings: MutableMapping[str, Any]) -> S3Settings:
        """
        Read *settings*, all that are left after the credentials took theirs.

        Raises:
            ConfigurationError: One is unknown or does not fit.
        """
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise ConfigurationError(f"s3 does not know the settings {unknown}; it knows {sorted(known)}")
        taken = {name: _READERS.get(name, _same)(value) for name, value in settings.items() if value is not None}
        return cls(**taken)

    def common_headers(self) -> dict[str, str]:
        """
        Return what goes along with every request.
        """
        headers = {}
        if self.requester_pays:
            headers["x-amz-request-payer"] = "requester"
        if self.expected_bucket_owner is not None:
            headers["x-amz-expected-bucket-owner"] = self.expected_bucket_owner
        return headers

    def key_headers(self, prefix: str = "x-amz-") -> dict[str, str]:
        """
        Return the customer's own key, which goes along with reads and writes.
        """
        key = self.sse_customer_key
        if key is None:
            return {}
        digest = hashlib.md5(key, usedforsecurity=False).digest()
        return {
            f"{prefix}server-side-encryption-customer-algorithm": "AES256",
            f"{prefix}server-side-encryption-customer-key": base64.b64encode(key).decode("ascii"),
            f"{prefix}server-side-encryption-customer-key-md5": base64.b64encode(digest).decode("ascii"),
        }

    def encryption_headers(self) -> dict[str, str]:
        """
        Return how a new object is to be encrypted.
        """
        headers = self.key_headers()
        sse = self.sse or ("aws:kms" if self.sse_kms_key_id else None)
        if sse is not None:
            headers["x-amz-server-side-encryption"] = sse
        if self.sse_kms_key_id is not None:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self.sse_kms_key_id
        return headers


def _same(value: Any) -> Any:
    return value


def _read_checksum(value: Any) -> ChecksumAlgorithm | None:
    text = str(value).strip().lower()
    if text == "none":
        return None
    # S3 checks an MD5 too, but stores none with the object.
    names = sorted(set(ChecksumAlgorithm) - {ChecksumAlgorithm.MD5})
    if text not in names:
        raise ConfigurationError(f"checksum is one of {[*map(str, names), 'none']}, not {value!r}")
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
    "addressing_style": str,
    "checksum": _read_checksum,
    "verify_checksums": flag,
    "requester_pays": flag,
    "expected_bucket_owner": str,
    "sse": str,
    "sse_kms_key_id": str,
    "sse_customer_key": _read_key,
}
