"""
Private RSA keys: read from PEM and made anew. All of this belongs into a thread.
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
    Parse a private key.

    A passphrase that the key does not need is left aside.

    Args:
        where: What to call it in messages.
        extra: The optional part of the package that brings what this takes.

    Raises:
        ConfigurationError: It is no private RSA key, the passphrase does not open it, or
            its two halves do not belong together.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigurationError(f"signing needs cryptography: install asyncstore[{extra}]") from None
    secret = None if passphrase is None else passphrase.encode("utf-8")
    # The library's own check of a key holds the interpreter for some 30 ms, in whatever
    # thread. A signature that is verified tells as well whether a key is whole.
    try:
        try:
            key = load_pem_private_key(pem.strip(), secret, unsafe_skip_rsa_key_validation=True)
        except TypeError:
            if secret is None:
                raise ConfigurationError(f"{where} is encrypted: give pass_phrase") from None
            key = load_pem_private_key(pem.strip(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{where} is no private key in PEM, or pass_phrase does not open it") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"{where} is no RSA key, and no other is taken")
    _check(key, where)
    return key


def generate_rsa_key() -> RSAPrivateKey:
    """
    Return a new key of 2,048 bits, which takes some 30 ms, and at times five times that.

    Before its version 47 ``cryptography`` holds the interpreter meanwhile, in whatever thread.

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
    Return the public half as base64 of its DER: what stands between the lines of a PEM.
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
        raise ConfigurationError(f"{where} is damaged: its public half does not belong to the private one") from None
