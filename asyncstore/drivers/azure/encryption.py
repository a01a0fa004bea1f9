"""
How Azure is told to encrypt a blob.

https://learn.microsoft.com/azure/storage/blobs/encryption-customer-provided-keys
https://learn.microsoft.com/azure/storage/blobs/encryption-scope-overview
"""

from __future__ import annotations

from asyncstore.driver.encryption import key_in
from asyncstore.driver.settings import customer_key_headers
from asyncstore.encryption import Encryption


def key_headers(encryption: Encryption | None) -> dict[str, str]:
    """
    Return the customer-provided key, which reads and writes send.
    """
    return customer_key_headers(key_in(encryption), "x-ms-encryption")


def write_headers(encryption: Encryption | None) -> dict[str, str]:
    """
    Return the headers that encrypt what a request writes.
    """
    if encryption is None or encryption.name is None:
        return key_headers(encryption)
    return {"x-ms-encryption-scope": encryption.name}
