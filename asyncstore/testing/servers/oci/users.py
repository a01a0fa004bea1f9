"""
Who may call the server: users with API keys, and sessions of theirs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_PROFILE: Final = "DEFAULT"
_EXPONENT: Final = 65537
_SESSION_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """
    A user with an API signing key.

    Attributes:
        tenancy, user: OCIDs.
        private_key: The API key, in PEM, without a passphrase.
        readonly: May list and read, and nothing else.

    See https://docs.oracle.com/iaas/Content/API/Concepts/apisigningkey.htm
    """

    tenancy: str
    user: str
    private_key: str = field(repr=False)
    readonly: bool = False

    @classmethod
    def generate(cls, *, bits: int = 2048, readonly: bool = False) -> User:
        """
        Make a user with a new key, good for nothing but a stand-in.

        It takes a tenth of a second of processor time: call it outside an event loop.
        """
        return cls(tenancy=_ocid("tenancy"), user=_ocid("user"), private_key=new_key(bits), readonly=readonly)

    @property
    def fingerprint(self) -> str:
        """
        Of the public key: MD5, in hexadecimal, by colons.
        """
        public = public_key(self.private_key).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.md5(public, usedforsecurity=False).digest().hex(":")

    @property
    def key_id(self) -> str:
        """
        What the user's signatures name as ``keyId``.
        """
        return f"{self.tenancy}/{self.user}/{self.fingerprint}"

    def settings(self, region: str) -> dict[str, str]:
        """
        Return the configuration of the official SDK, with the key in it.
        """
        return {**self._profile(region), "key_content": self.private_key}

    def write_config(self, folder: Path, region: str) -> Path:
        """
        Write a configuration file and its key into *folder*, for the owner's eyes only; return the former.

        See https://docs.oracle.com/iaas/Content/API/Concepts/sdkconfig.htm
        """
        folder.mkdir(parents=True, exist_ok=True)
        key_file = _private(folder / "key.pem", self.private_key)
        lines = [f"{name}={value}" for name, value in {**self._profile(region), "key_file": str(key_file)}.items()]
        return _private(folder / "config", "\n".join([f"[{_PROFILE}]", *lines, ""]))

    def _profile(self, region: str) -> dict[str, str]:
        return {"user": self.user, "fingerprint": self.fingerprint, "tenancy": self.tenancy, "region": region}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    What ``oci session authenticate`` makes: a token, and a key of its own that it is used with.

    Attributes:
        token: A JSON web token, as the service's are; only the server that made it takes it.
        private_key: In PEM.
        expires: Seconds since 1970.
    """

    token: str = field(repr=False)
    private_key: str = field(repr=False)
    user: User
    expires: float

    @classmethod
    def generate(cls, user: User, *, seconds: float = _SESSION_SECONDS, now: float | None = None) -> Session:
        """
        Make a session of *user* that ends in *seconds*.
        """
        start = time.time() if now is None else now
        claims: dict[str, str | int] = {
            "sub": user.user,
            "tenant": user.tenancy,
            "iat": int(start),
            "exp": int(start + seconds),
        }
        return cls(token=_token(claims), private_key=new_key(), user=user, expires=start + seconds)

    @property
    def key_id(self) -> str:
        """
        What the session's signatures name as ``keyId``.
        """
        return f"ST${self.token}"


def new_key(bits: int = 2048) -> str:
    """
    Return a new RSA key, in PEM.
    """
    made = rsa.generate_private_key(public_exponent=_EXPONENT, key_size=bits)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_key(private_key: str) -> rsa.RSAPublicKey:
    """
    Return the public half of a key in PEM.
    """
    # To check a key that this process, or a test, has just made takes longer than all the rest.
    key = serialization.load_pem_private_key(private_key.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("requests are signed with RSA keys only")
    return key.public_key()


def _ocid(kind: str) -> str:
    return f"ocid1.{kind}.oc1..{secrets.token_hex(30)}"


def _token(claims: dict[str, str | int]) -> str:
    # The signature is noise: the server knows its tokens by heart.
    sections = [
        json.dumps({"alg": "RS256", "typ": "JWT"}).encode(),
        json.dumps(claims).encode(),
        secrets.token_bytes(64),
    ]
    return ".".join(base64.urlsafe_b64encode(section).rstrip(b"=").decode() for section in sections)


def _private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
    return path
