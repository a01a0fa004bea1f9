"""
Keys that the customer keeps (SSE-C). Nothing is encrypted; who lacks the key is refused all the same.

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
    Return the SHA-256 of the customer's key that is sent, in base64; ``None`` if there is none.

    Raises:
        ServiceError: 400, if it is incomplete or not right in itself.
    """
    if {"opc-sse-kms-key-id", "opc-sse-customer-key"} <= set(headers):
        raise _invalid("an object is encrypted with a key of the key service, or with the customer's, not with both")
    given = [headers.get(f"{prefix}-{suffix}") for suffix in _SUFFIXES]
    if given == [None, None, None]:
        return None
    algorithm, key, digest = given
    if algorithm != "AES256" or key is None or digest is None:
        raise _invalid(f"{prefix}-algorithm must be AES256, with {prefix}-key and {prefix}-key-sha256")
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise _invalid(f"{prefix}-key is not a key of 256 bits in base64")
    if base64.b64encode(hashlib.sha256(raw).digest()).decode() != digest:
        raise _invalid(f"{prefix}-key-sha256 is not the SHA-256 of {prefix}-key")
    return digest


def check_customer_key(headers: Mapping[str, str], wanted: str | None, prefix: str = "opc-sse-customer") -> None:
    """
    Check that the key sent is the one that the object was written with.
    """
    if customer_key(headers, prefix) != wanted:
        raise _invalid(
            f"the key in {prefix}-key is not the one that the object is encrypted with"
            if wanted
            else "the object is not encrypted with a key of the customer's"
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError(400, "InvalidParameter", message)
