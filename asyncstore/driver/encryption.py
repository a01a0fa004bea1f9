"""
What drivers send of an :class:`~asyncstore.Encryption`.
"""

from __future__ import annotations

from dataclasses import replace

from asyncstore.driver.contract import Capabilities
from asyncstore.encryption import Encryption
from asyncstore.errors import InvalidRequestError


def key_in(encryption: Encryption | None) -> bytes | None:
    """
    Return the customer's key of *encryption*, if it has one.
    """
    return None if encryption is None else encryption.key


def without_keys(able: Capabilities) -> Capabilities:
    """
    Return the capabilities of an endpoint that no customer's key may be sent to, since it has no TLS.
    """
    return replace(able, encryption_kinds=able.encryption_kinds - {"customer_key"}, copy_from_key=False)


def kms_key(encryption: Encryption | None, service: str) -> str | None:
    """
    Return the name of the KMS key of *encryption*, for a provider without the further choices of S3.

    Raises:
        InvalidRequestError: It names no key, or has what only S3 has.
    """
    if encryption is None or encryption.kind != "kms":
        return None
    if encryption.name is None:
        raise InvalidRequestError(f"{service} has no default KMS key: name one, Encryption.kms(key)")
    if encryption.context is not None or encryption.bucket_key is not None or encryption.dual_layer:
        raise InvalidRequestError(f"{service} takes no context, bucket_key or dual_layer: only S3 has them")
    return encryption.name
