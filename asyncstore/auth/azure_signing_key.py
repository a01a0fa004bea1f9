"""
The key of a certificate, from PEM or PKCS#12. Imported when it is needed: it takes ``cryptography``.
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
    A key and the certificate that it belongs to.

    Attributes:
        chain: DER of the certificate, and of those that vouch for it.
    """

    key: RSAPrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)

    def sign(self, text: bytes) -> bytes:
        """
        Return the signature by PS256.
        """
        return self.key.sign(text, _padding(), hashes.SHA256())


def load_signing_key(content: bytes, password: str | None) -> SigningKey:
    """
    Read a key and its certificate; call it in a thread.

    Raises:
        ConfigurationError: They are not there, do not belong together, or need another password.
    """
    secret = None if password is None else password.encode()
    try:
        key, certificates = _of_pem(content, secret) if b"-----BEGIN" in content else _of_pkcs12(content, secret)
    except (ValueError, TypeError):
        # What cryptography says can quote the key.
        hint = "" if password else "; its password is certificate_password"
        raise ConfigurationError(f"the certificate is no PEM or PKCS#12 that can be opened{hint}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError("the certificate needs its RSA key beside it: Microsoft Entra takes no others")
    return _matched(key, certificates)


def _of_pem(content: bytes, password: bytes | None) -> tuple[Any, list[Certificate]]:
    if b"PRIVATE KEY-----" not in content:
        return None, []
    # A check of the numbers takes 40 ms, in which no other thread of Python runs. They
    # are our own side's, and have to fit the certificate: see _matched.
    key = load_pem_private_key(content, password, unsafe_skip_rsa_key_validation=True)
    return key, load_pem_x509_certificates(content)


def _of_pkcs12(content: bytes, password: bytes | None) -> tuple[Any, list[Certificate]]:
    # Here the check cannot be left out.
    key, certificate, others = load_key_and_certificates(content, password)
    return key, [*([] if certificate is None else [certificate]), *others]


def _matched(key: RSAPrivateKey, certificates: list[Certificate]) -> SigningKey:
    numbers = key.public_key().public_numbers()
    for certificate in certificates:
        public = certificate.public_key()
        if isinstance(public, RSAPublicKey) and public.public_numbers() == numbers:
            others = [item for item in certificates if item is not certificate]
            made = SigningKey(key, tuple(item.public_bytes(Encoding.DER) for item in (certificate, *others)))
            _try(made, public)
            return made
    raise ConfigurationError("none of the certificates belongs to the key beside them")


def _try(made: SigningKey, public: RSAPublicKey) -> None:
    text = secrets.token_bytes(32)
    try:
        public.verify(made.sign(text), text, _padding(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise ConfigurationError("the key beside the certificate is damaged: it signs wrongly") from None


def _padding() -> PSS:
    return PSS(MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
