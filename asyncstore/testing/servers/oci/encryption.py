"""
Customer-provided encryption keys (SSE-C). Nothing is encrypted, but reads without the key are refused.

See https://docs.oracle.com/iaas/Content/Object/Tasks/usingyourencryptionkeys.htm
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Final

from asyncstore.testing.servers.oci.errors import ServiceError

_KEY_BYTES: Final = 32
_SUFFIXES: Final = ("algorithm", "key", "key-sha256")


def customer_key(headers: Mapping[str, str], prefix: str = "opc-sse-customer") -> str | None:
    """
    Return the SHA-256 of the customer's key in the headers, in base64; ``None`` without a key.

    Raises:
        ServiceError: 400, if the headers are incomplete or inconsistent.
    """
    if {"opc-sse-kms-key-id", "opc-sse-customer-key"} <= set(headers):
        raise _invalid("an object is encrypted with a Vault key or a customer key, not with both")
    values = [headers.get(f"{prefix}-{suffix}") for suffix in _SUFFIXES]
    if values == [None, None, None]:
        return None
    algorithm, key, digest = values
    if algorithm != "AES256" or key is None or digest is None:
        raise _invalid(f"{prefix}-algorithm must be AES256, with {prefix}-key and {prefix}-key-sha256")
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise _invalid(f"{prefix}-key is not a 256-bit key in base64")
    if base64.b64encode(hashlib.sha256(raw).digest()).decode() != digest:
        raise _invalid(f"{prefix}-key-sha256 is not the SHA-256 of {prefix}-key")
    return digest


def check_customer_key(headers: Mapping[str, str], expected: str | None, prefix: str = "opc-sse-customer") -> None:
    """
    Check that the headers have the key that the object was written with.
    """
    if customer_key(headers, prefix) != expected:
        raise _invalid(
            f"the key in {prefix}-key is not the object's encryption key"
            if expected
            else "the object is not encrypted with a customer key"
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError(400, "InvalidParameter", message)
