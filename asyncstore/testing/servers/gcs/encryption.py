"""
Customer-supplied encryption keys. The server compares their digests and never keeps a key.

`CSEK <https://cloud.google.com/storage/docs/encryption/customer-supplied-keys>`_
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Final

from asyncstore.testing.servers.gcs.errors import ServiceError
from asyncstore.testing.servers.gcs.state import StoredObject

_KEY_SIZE: Final = 32
_PREFIX: Final = "x-goog-encryption-"
_SOURCE_PREFIX: Final = "x-goog-copy-source-encryption-"


def key_sha256(headers: Mapping[str, str], *, source: bool = False) -> str | None:
    """
    Return the SHA-256, in base64, of the key in a request's headers; ``None`` without a key.

    Args:
        source: Read the key for the source of a copy.

    Raises:
        ServiceError: The key is invalid, or its digest does not match.
    """
    prefix = _SOURCE_PREFIX if source else _PREFIX
    algorithm, key, digest = (headers.get(prefix + part) for part in ("algorithm", "key", "key-sha256"))
    if algorithm is None and key is None and digest is None:
        return None
    if algorithm != "AES256":
        raise _refusal("customerEncryptionAlgorithmIsInvalid", "The encryption algorithm is not supported.")
    computed = hashlib.sha256(_decoded(key or "")).digest()
    if digest is None or base64.b64encode(computed).decode() != digest:
        raise _refusal("customerEncryptionKeySha256IsInvalid", "The SHA256 hash does not match the key.")
    return digest


def check_key(stored: StoredObject, provided: str | None) -> None:
    """
    Refuse to read *stored* unless *provided* is the digest of its key, or neither has one.
    """
    if stored.key_sha256 == provided:
        return
    if stored.key_sha256 is None:
        message = "The target object is not encrypted by a customer-supplied encryption key."
        raise _refusal("resourceNotEncryptedWithCustomerEncryptionKey", message)
    if provided is None:
        message = "The target object is encrypted by a customer-supplied encryption key."
        raise _refusal("resourceIsEncryptedWithCustomerEncryptionKey", message)
    raise _refusal("customerEncryptionKeyIsIncorrect", "The provided encryption key is incorrect.")


def _decoded(key: str) -> bytes:
    try:
        decoded = base64.b64decode(key, validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != _KEY_SIZE:
        message = "The encryption key is not 256 bits in base64."
        raise _refusal("customerEncryptionKeyFormatIsInvalid", message)
    return decoded


def _refusal(reason: str, message: str) -> ServiceError:
    return ServiceError(400, reason, reason[0].upper() + reason[1:], message, location="X-Goog-Encryption-Key")
