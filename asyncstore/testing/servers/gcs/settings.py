"""
The server's settings, and the accounts and keys that they name.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

_MiB: Final = 1024 * 1024
_WEEK: Final = 7 * 24 * 3600.0
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """
    A service account, as the server knows it.

    Attributes:
        public_key: An RSA key, in PEM.
    """

    email: str
    public_key: bytes = field(repr=False)

    def signed(self, data: bytes, signature: bytes) -> bool:
        """
        Return whether this account made *signature* over *data*, with PKCS #1 v1.5 and SHA-256.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key = load_pem_public_key(self.public_key)
        if not isinstance(key, RSAPublicKey):
            raise TypeError("the public key of a service account must be an RSA key")
        try:
            key.verify(signature, data, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class HmacKey:
    """
    An `HMAC key <https://cloud.google.com/storage/docs/authentication/hmackeys>`_.
    """

    access_id: str
    secret: str = field(repr=False)

    def signed(self, scope: list[str], data: bytes, signature: bytes) -> bool:
        """
        Return whether this key made *signature* over *data*.

        Args:
            scope: The parts of the credential after the access id: date, location, service, type.
        """
        key = reduce(_derived, scope, b"GOOG4" + self.secret.encode())
        return hmac.compare_digest(hmac.digest(key, data, "sha256"), signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What the server checks, and how long tokens and uploads live.

    Attributes:
        tokens: Valid bearer tokens, in addition to those that the server issues.
            ``None`` allows every request without a token; signatures are still checked.
        accounts: Service accounts that may sign requests and ask for tokens.
        hmac_keys: HMAC keys that may sign requests.
        refresh_tokens: Refresh tokens that the token endpoint accepts.
        token_lifetime: Lifetime of an issued token, in seconds.
        session_lifetime: Lifetime of a resumable upload, in seconds.
        rewrite_size: Bytes that one rewrite call copies at most.
    """

    tokens: Collection[str] | None = field(default=None, repr=False)
    accounts: Collection[ServiceAccount] = ()
    hmac_keys: Collection[HmacKey] = ()
    refresh_tokens: Collection[str] = field(default=(), repr=False)
    token_lifetime: float = _HOUR
    session_lifetime: float = _WEEK
    rewrite_size: int = 64 * _MiB


def _derived(key: bytes, part: str) -> bytes:
    return hmac.digest(key, part.encode(), "sha256")
