"""
How GCS is told to encrypt an object.

https://cloud.google.com/storage/docs/encryption
"""

from __future__ import annotations

from asyncstore.driver.encryption import key_in, kms_key
from asyncstore.driver.settings import customer_key_headers
from asyncstore.encryption import Encryption


def key_headers(encryption: Encryption | None, prefix: str = "x-goog-") -> dict[str, str]:
    """
    Return the headers with the customer-supplied key, for reads and writes.

    https://cloud.google.com/storage/docs/encryption/customer-supplied-keys#headers
    """
    return customer_key_headers(key_in(encryption), f"{prefix}encryption")


def kms_query(encryption: Encryption | None, parameter: str = "kmsKeyName") -> list[tuple[str, str]]:
    """
    Return the parameter of a JSON request that writes an object, if it is encrypted with a key of Cloud KMS.
    """
    name = kms_key(encryption, "GCS")
    return [] if name is None else [(parameter, name)]


def xml_headers(encryption: Encryption | None) -> dict[str, str]:
    """
    Return the headers of an XML request that writes an object.
    """
    name = kms_key(encryption, "GCS")
    return key_headers(encryption) if name is None else {"x-goog-encryption-kms-key-name": name}
