"""
How objects are encrypted at rest.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from asyncstore._support.argument_types import check_field_types, check_not_empty

#: ``managed``: by a key that the service manages; ``kms``: by a key of its key management service; ``customer_key``: by
#: a key that each request brings; ``scope``: by what the account's administrator has set up under a name.
EncryptionKind = Literal["managed", "kms", "customer_key", "scope"]

# AES-256 on all providers.
_KEY_SIZE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """
    How an object is encrypted at rest; made by :meth:`managed`, :meth:`kms`, :meth:`customer_key` or :meth:`scope`.

    ``Capabilities.encryption_kinds`` names the kinds that a provider has; the others are refused.

    Attributes:
        kind: Whose key encrypts the object.
        name: The key of the key management service, or the scope.
        context: The encryption context of a KMS key (S3).
        bucket_key: Whether S3 derives the object's key from one of the bucket; ``None`` is the bucket's setting.
        dual_layer: Whether S3 encrypts twice.
        key: The customer's key: 32 bytes. Neither reprs nor logs nor errors show it.
    """

    kind: EncryptionKind
    name: str | None = None
    context: Mapping[str, str] | None = None
    bucket_key: bool | None = None
    dual_layer: bool = False
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_field_types(self)
        check_not_empty(self, "name")
        if (self.kind == "customer_key") != (self.key is not None):
            raise ValueError("a customer key has a key, and nothing else has: use Encryption.customer_key(key)")
        if self.key is not None and len(self.key) != _KEY_SIZE:
            raise ValueError(f"a customer key has {_KEY_SIZE} bytes, and this one has {len(self.key)}")
        if self.kind == "scope" and self.name is None:
            raise ValueError("an encryption scope has a name: use Encryption.scope(name)")
        if self.kind != "kms" and (self.context is not None or self.bucket_key is not None or self.dual_layer):
            raise ValueError("only a KMS key has a context, a bucket key or a second layer: use Encryption.kms()")

    @classmethod
    def managed(cls) -> Encryption:
        """
        Return encryption by a key that the service manages (S3: ``AES256``), whatever the bucket's default is.
        """
        return cls(kind="managed")

    @classmethod
    def kms(
        cls,
        key: str | None = None,
        *,
        context: Mapping[str, str] | None = None,
        bucket_key: bool | None = None,
        dual_layer: bool = False,
    ) -> Encryption:
        """
        Return encryption by a key of the provider's key management service: AWS KMS, Google Cloud KMS or OCI Vault.

        Args:
            key: ARN or id on S3, resource name on GCS, OCID on OCI. ``None`` is the account's default key, which
                only S3 has.
            context: Name and value pairs that KMS checks and logs (S3).
            bucket_key: Whether S3 derives the object's key from one of the bucket, which saves requests to KMS;
                ``None`` is the bucket's setting.
            dual_layer: Whether S3 encrypts twice (DSSE-KMS).
        """
        return cls(kind="kms", name=key, context=context, bucket_key=bucket_key, dual_layer=dual_layer)

    @classmethod
    def customer_key(cls, key: bytes | str) -> Encryption:
        """
        Return encryption by a key of yours, which each read and write of the object has to bring.

        The service keeps a digest of it at most: if you lose it, the object is lost. SSE-C on S3 and OCI, a
        customer-supplied key on GCS, a customer-provided key on Azure. Requests with it need TLS.

        Args:
            key: 32 bytes, or their base64.

        Raises:
            ValueError: It is neither.
        """
        if not isinstance(key, str):
            return cls(kind="customer_key", key=bytes(key))
        try:
            return cls(kind="customer_key", key=base64.b64decode(key, validate=True))
        except binascii.Error:
            # Without the cause, whose text could show a part of the key.
            raise ValueError(f"a customer key takes {_KEY_SIZE} bytes, or their base64") from None

    @classmethod
    def scope(cls, name: str) -> Encryption:
        """
        Return encryption by an encryption scope of the Azure account.
        """
        return cls(kind="scope", name=name)


def key_of(encryption: Encryption | None) -> Encryption | None:
    """
    Return what a read of an object needs that was written with *encryption*: a customer's key, or nothing.
    """
    return encryption if encryption is not None and encryption.key is not None else None
