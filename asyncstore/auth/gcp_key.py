"""
The key of a service account: read once, in a thread, and used to sign.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncstore.auth.goog4 import URLSigner
from asyncstore.auth.tokens import Secret
from asyncstore.errors import ConfigurationError
from asyncstore.threads import in_thread

#: Seconds that an assertion is good for; the most that Google takes.
LIFETIME: Final = 3600

#: Where credentials are exchanged for tokens unless they say otherwise.
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address

# A clock that is a little ahead would date assertions in the future.
_BACKDATED: Final = 10

_PROBE: Final = b"asyncstore"

_REQUIRED: Final = ("client_email", "private_key")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """
    What the JSON file of a service account says.

    Attributes:
        client_email: The account's address.
        private_key: PEM.
        private_key_id: Names the key among those of the account.
        token_uri: Where assertions are exchanged for tokens.
        universe_domain: The cloud that the account belongs to.
    """

    client_email: str
    private_key: Secret = field(repr=False)
    private_key_id: str | None = None
    token_uri: str = TOKEN_URI
    universe_domain: str = "googleapis.com"

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> KeyFile:
        """
        Take what is needed out of *document*.

        Raises:
            ConfigurationError: Something is missing.
        """
        if missing := [name for name in _REQUIRED if not document.get(name)]:
            raise ConfigurationError(f"the JSON of a service account has {' and '.join(missing)}; this one has not")
        known = {
            name: str(document[name])
            for name in ("private_key_id", "token_uri", "universe_domain")
            if document.get(name)
        }
        return cls(str(document["client_email"]), Secret(str(document["private_key"])), **known)


class RSASigner(URLSigner):
    """
    Signs with the key of a service account, which is parsed when it is first needed.
    """

    algorithm = "GOOG4-RSA-SHA256"

    def __init__(self, file: KeyFile) -> None:
        self.account = file.client_email
        self.file = file
        self._sign: Callable[[bytes], bytes] | None = None

    async def sign(self, text: bytes, scope: str = "") -> bytes:
        if self._sign is None:
            # Importing what parses it can take longer than other work can wait.
            self._sign = await in_thread(_parsed, self.file.private_key)
        return self._sign(text)

    async def assertion(self, claims: Mapping[str, Any], *, clock_offset: float = 0.0) -> str:
        """
        Return a signed JWT with *claims*, issued now by the account for an hour.

        Args:
            clock_offset: Seconds by which the clock of whoever checks it is ahead of ours.
        """
        now = int(time.time() + clock_offset) - _BACKDATED
        header = {"alg": "RS256", "typ": "JWT"}
        if self.file.private_key_id is not None:
            header["kid"] = self.file.private_key_id
        body = {"iss": self.account, "iat": now, "exp": now + LIFETIME, **claims}
        text = f"{_encoded(header)}.{_encoded(body)}"
        return f"{text}.{_base64url(await self.sign(text.encode()))}"


def _parsed(pem: Secret) -> Callable[[bytes], bytes]:
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigurationError("service accounts need cryptography: install asyncstore[gcs]") from None
    try:
        # Its own check of a key holds the interpreter for 30 ms, in whatever thread. A
        # signature that is verified tells as well whether the key is whole.
        key = load_pem_private_key(pem.reveal().encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What cryptography says can quote the key.
        raise ConfigurationError("the private_key of the service account is no PEM of an RSA key") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError("the private_key of the service account is no RSA key")

    def sign(text: bytes) -> bytes:
        return key.sign(text, PKCS1v15(), SHA256())

    try:
        key.public_key().verify(sign(_PROBE), _PROBE, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        raise ConfigurationError("the private_key of the service account is damaged: it cannot sign") from None
    return sign


def _encoded(document: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(document, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
