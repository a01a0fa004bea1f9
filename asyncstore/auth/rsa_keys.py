"""
Private RSA keys: loads them from PEM and generates new ones. Call all of this in a thread.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from asyncstore.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_EXPONENT: Final = 65537
_BITS: Final = 2048
_PROBE: Final = b"asyncstore"


def load_rsa_key(pem: bytes, passphrase: str | None, where: str, *, extra: str) -> RSAPrivateKey:
    """
    Parse a private key. A passphrase that the key does not need is ignored.

    Args:
        where: The key's name in messages.
        extra: The extra of this package that installs ``cryptography``.

    Raises:
        ConfigurationError: It is not a private RSA key, the passphrase is wrong, or the key
            is damaged.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigurationError(f"signing needs cryptography: install asyncstore[{extra}]") from None
    secret = None if passphrase is None else passphrase.encode("utf-8")
    # The library's own check holds the interpreter lock for about 30 ms. Verifying a
    # signature detects a damaged key as well.
    try:
        try:
            key = load_pem_private_key(pem.strip(), secret, unsafe_skip_rsa_key_validation=True)
        except TypeError:
            if secret is None:
                raise ConfigurationError(f"{where} is encrypted: set pass_phrase") from None
            key = load_pem_private_key(pem.strip(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, UnsupportedAlgorithm):
        hint = "" if secret is None and b"ENCRYPTED" not in pem else ", or pass_phrase is wrong"
        raise ConfigurationError(f"{where} is not a private key in PEM{hint}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"{where} is not an RSA key")
    _check(key, where)
    return key


def generate_rsa_key() -> RSAPrivateKey:
    """
    Return a new key of 2,048 bits. This takes about 30 ms, sometimes five times as long.

    Before version 47, ``cryptography`` holds the interpreter lock while it signs.

    Raises:
        ConfigurationError: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import rsa
    except ImportError:
        raise ConfigurationError("signing needs cryptography: install asyncstore[oci]") from None
    return rsa.generate_private_key(public_exponent=_EXPONENT, key_size=_BITS)


def public_key_text(key: RSAPrivateKey) -> str:
    """
    Return the public key as base64 of its DER form: the body of a PEM file.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode("ascii")


def _check(key: RSAPrivateKey, where: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.public_key().verify(key.sign(_PROBE, PKCS1v15(), SHA256()), _PROBE, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        raise ConfigurationError(f"{where} is damaged: its public and private parts do not match") from None
