"""
How OCI is told to encrypt an object.

https://docs.oracle.com/iaas/Content/Object/Tasks/encryption.htm
"""

from __future__ import annotations

from asyncstore.driver.encryption import key_in, kms_key
from asyncstore.driver.settings import customer_key_headers
from asyncstore.encryption import Encryption


def key_headers(encryption: Encryption | None, prefix: str = "opc-") -> dict[str, str]:
    """
    Return the customer's key, which reads and writes send.
    """
    return customer_key_headers(key_in(encryption), f"{prefix}sse-customer")


def write_headers(encryption: Encryption | None) -> dict[str, str]:
    """
    Return the headers that encrypt a new object.
    """
    name = kms_key(encryption, "OCI")
    return key_headers(encryption) if name is None else {"opc-sse-kms-key-id": name}
