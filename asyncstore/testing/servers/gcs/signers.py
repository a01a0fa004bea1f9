"""
Who may sign, and what holds as their signature.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from functools import reduce


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """
    A service account, as the server knows it.

    Attributes:
        public_key: Of RSA, in PEM.
    """

    email: str
    public_key: bytes = field(repr=False)

    def signed(self, data: bytes, signature: bytes) -> bool:
        """
        Return whether *signature* is this account's of *data*: PKCS #1 v1.5 with SHA-256.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key = load_pem_public_key(self.public_key)
        if not isinstance(key, RSAPublicKey):
            raise TypeError("a service account has an RSA key")
        try:
            key.verify(signature, data, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class HmacKey:
    """
    A key of the `interoperable kind <https://cloud.google.com/storage/docs/authentication/hmackeys>`_.
    """

    access_id: str
    secret: str = field(repr=False)

    def signed(self, scope: list[str], data: bytes, signature: bytes) -> bool:
        """
        Return whether *signature* is this key's of *data*.

        Args:
            scope: The parts of the credential after the key's id: date, place, service, kind.
        """
        key = reduce(_derived, scope, b"GOOG4" + self.secret.encode())
        return hmac.compare_digest(hmac.digest(key, data, "sha256"), signature)


def _derived(key: bytes, part: str) -> bytes:
    return hmac.digest(key, part.encode(), "sha256")
