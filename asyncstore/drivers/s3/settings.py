"""
The settings of the S3 driver.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from asyncstore.auth.aws import SETTINGS as AUTH_SETTINGS
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError
from asyncstore.types import ChecksumAlgorithm

Addressing = Literal["auto", "path", "virtual"]

CHECKSUMS: Final = (
    ChecksumAlgorithm.CRC32C,
    ChecksumAlgorithm.CRC64NVME,
    ChecksumAlgorithm.CRC32,
    ChecksumAlgorithm.SHA1,
    ChecksumAlgorithm.SHA256,
)

_CUSTOMER: Final = "server-side-encryption-customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """
    What can be set for S3 beside credentials.

    Attributes:
        addressing_style: ``"virtual"`` puts the bucket into the host name,
            ``"path"`` into the path; ``"auto"`` is virtual at AWS itself, for
            buckets whose name can be a host's, and path elsewhere.
        checksum: Algorithm sent with every write, or ``"none"`` for servers that
            know none.
        requester_pays: Accept the costs of reading someone else's bucket.
        expected_bucket_owner: Account that the bucket must belong to.
        sse: Server-side encryption, ``"AES256"`` or ``"aws:kms"``.
        sse_kms_key_id: Key for ``"aws:kms"``.
        sse_customer_key: 32 bytes of a key of your own (SSE-C), or their base64.
    """

    addressing_style: Addressing = "auto"
    checksum: ChecksumAlgorithm | None = ChecksumAlgorithm.CRC32C
    requester_pays: bool = False
    expected_bucket_owner: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    sse_customer_key: bytes | None = field(default=None, repr=False)

    @classmethod
    def take(cls, settings: MutableMapping[str, Any]) -> S3Settings:
        """
        Read *settings*, all of which must be ours by now.

        Raises:
            ConfigurationError: One is unknown or does not fit.
        """
        known = {item.name: settings.pop(item.name) for item in fields(cls) if item.name in settings}
        if settings:
            names = sorted({*(item.name for item in fields(cls)), *AUTH_SETTINGS})
            raise ConfigurationError(f"S3 has no setting {min(settings)!r}: it has {', '.join(names)}")
        for name, convert in _CONVERSIONS.items():
            if known.get(name) is not None:
                known[name] = convert(known[name])
        return cls(**known)

    def all_headers(self) -> dict[str, str]:
        """
        Return what goes with every request.
        """
        headers = {"x-amz-request-payer": "requester"} if self.requester_pays else {}
        if self.expected_bucket_owner:
            headers["x-amz-expected-bucket-owner"] = self.expected_bucket_owner
        return headers

    def new_object_headers(self) -> dict[str, str]:
        """
        Return what goes with a request that begins an object.
        """
        headers = {"x-amz-server-side-encryption": self.sse} if self.sse else {}
        if self.sse_kms_key_id:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self.sse_kms_key_id
        return headers

    def key_headers(self, prefix: str = "x-amz-") -> Mapping[str, str]:
        """
        Return what goes with every request that touches an object's bytes.
        """
        if self.sse_customer_key is None:
            return {}
        digest = hashlib.md5(self.sse_customer_key, usedforsecurity=False).digest()
        return {
            f"{prefix}{_CUSTOMER}-algorithm": "AES256",
            f"{prefix}{_CUSTOMER}-key": base64.b64encode(self.sse_customer_key).decode("ascii"),
            f"{prefix}{_CUSTOMER}-key-md5": base64.b64encode(digest).decode("ascii"),
        }


def _addressing(value: Any) -> Any:
    if value not in get_args(Addressing):
        raise ConfigurationError(f"addressing_style is auto, path or virtual, not {value!r}")
    return value


def _checksum(value: Any) -> ChecksumAlgorithm | None:
    text = str(value).lower()
    if text == "none":
        return None
    if text not in CHECKSUMS:
        raise ConfigurationError(f"checksum is one of {', '.join(CHECKSUMS)} or none, not {value!r}")
    return ChecksumAlgorithm(text)


def _key(value: Any) -> bytes:
    try:
        key = value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        key = b""
    if len(key) != 32:
        raise ConfigurationError("sse_customer_key is 32 bytes, or the base64 of 32 bytes")
    return key


_CONVERSIONS: Final = {
    "addressing_style": _addressing,
    "checksum": _checksum,
    "requester_pays": flag,
    "sse_customer_key": _key,
}
