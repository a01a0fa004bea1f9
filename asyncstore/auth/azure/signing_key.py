"""
The private key of a certificate, from PEM or PKCS#12. Imported only when used, since it needs ``cryptography``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from cryptography.x509 import Certificate, load_pem_x509_certificates

from asyncstore.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class SigningKey:
    """
    A private key and its certificate.

    Attributes:
        chain: The certificate in DER, followed by its issuers.
    """

    key: RSAPrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)

    def sign(self, text: bytes) -> bytes:
        """
        Return a PS256 signature.
        """
        return self.key.sign(text, _padding(), hashes.SHA256())


def load_signing_key(content: bytes, password: str | None) -> SigningKey:
    """
    Parse a key and its certificate. Blocks: call it in a thread.

    Raises:
        ConfigurationError: One is missing, they do not match, or the password is wrong.
    """
    secret = None if password is None else password.encode()
    try:
        key, certificates = _of_pem(content, secret) if b"-----BEGIN" in content else _of_pkcs12(content, secret)
    except (ValueError, TypeError):
        # The message of cryptography can quote the key.
        hint = "" if password else "; if it has a password, set certificate_password"
        raise ConfigurationError(f"the certificate cannot be read as PEM or PKCS#12{hint}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(
            "the certificate file must also contain its RSA private key: Microsoft Entra supports no other type"
        )
    return _matched(key, certificates)


def _of_pem(content: bytes, password: bytes | None) -> tuple[Any, list[Certificate]]:
    if b"PRIVATE KEY-----" not in content:
        return None, []
    # The library's validation holds the GIL for 40 ms. The key is our own, and _matched
    # checks that it works with the certificate.
    key = load_pem_private_key(content, password, unsafe_skip_rsa_key_validation=True)
    return key, load_pem_x509_certificates(content)


def _of_pkcs12(content: bytes, password: bytes | None) -> tuple[Any, list[Certificate]]:
    # Here the validation cannot be skipped.
    key, certificate, others = load_key_and_certificates(content, password)
    return key, [*([] if certificate is None else [certificate]), *others]


def _matched(key: RSAPrivateKey, certificates: list[Certificate]) -> SigningKey:
    numbers = key.public_key().public_numbers()
    for certificate in certificates:
        public = certificate.public_key()
        if isinstance(public, RSAPublicKey) and public.public_numbers() == numbers:
            others = [item for item in certificates if item is not certificate]
            signing_key = SigningKey(key, tuple(item.public_bytes(Encoding.DER) for item in (certificate, *others)))
            _verify(signing_key, public)
            return signing_key
    raise ConfigurationError("none of the certificates in the file matches its private key")


def _verify(signing_key: SigningKey, public: RSAPublicKey) -> None:
    text = secrets.token_bytes(32)
    try:
        public.verify(signing_key.sign(text), text, _padding(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise ConfigurationError("the private key of the certificate is damaged: its signatures are invalid") from None


def _padding() -> PSS:
    return PSS(MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
