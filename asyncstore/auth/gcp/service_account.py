"""
Service accounts: their keys, and tokens requested or signed with them.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asyncstore._support.threads import in_thread
from asyncstore.auth.gcp.goog4 import URLSigner
from asyncstore.auth.gcp.identity import SCOPES, UNIVERSE, Identity, Token
from asyncstore.auth.gcp.oauth import ClockSkewError, grant_of, request_token
from asyncstore.auth.json_web_token import base64url, unsigned_token
from asyncstore.auth.rsa_keys import load_rsa_key
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import ConfigurationError
from asyncstore.http.clock import ServerClock

# Lifetime of an assertion in seconds; the maximum that Google accepts.
_LIFETIME: Final = 3600

#: The default token endpoint.
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address

# Without this, a clock that is slightly ahead would date assertions in the future.
_BACKDATED: Final = 10


_REQUIRED: Final = ("client_email", "private_key")

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """
    The JSON key file of a service account.

    Attributes:
        client_email: Email of the account.
        private_key: PEM.
        private_key_id: Id of the key.
        token_uri: The token endpoint.
        universe_domain: Domain of the cloud that the account belongs to.
    """

    client_email: str
    private_key: Secret = field(repr=False)
    private_key_id: str | None = None
    token_uri: str = TOKEN_URI
    universe_domain: str = UNIVERSE

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> KeyFile:
        """
        Return the key file in *document*.

        Raises:
            ConfigurationError: A required field is missing.
        """
        if missing := [name for name in _REQUIRED if not document.get(name)]:
            raise ConfigurationError(f"the JSON of the service account has no {' and no '.join(missing)}")
        known = {
            name: str(document[name])
            for name in ("private_key_id", "token_uri", "universe_domain")
            if document.get(name)
        }
        return cls(str(document["client_email"]), Secret(str(document["private_key"])), **known)


class RSASigner(URLSigner):
    """
    Signs with the key of a service account, which is parsed on first use.
    """

    algorithm = "GOOG4-RSA-SHA256"

    def __init__(self, file: KeyFile) -> None:
        self.account = file.client_email
        self.file = file
        self._sign: Callable[[bytes], bytes] | None = None

    async def sign(self, text: bytes, scope: str = "") -> bytes:
        if self._sign is None:
            # In a thread: importing cryptography and parsing the key would block the event loop.
            self._sign = await in_thread(_load, self.file.private_key)
        return self._sign(text)

    async def assertion(self, claims: Mapping[str, Any], *, clock_offset: float = 0.0) -> str:
        """
        Return a signed JWT with *claims*, issued by the account and valid for an hour from now.

        Args:
            clock_offset: Seconds by which the clock of the audience is ahead of ours.
        """
        now = int(time.time() + clock_offset) - _BACKDATED
        header = {"alg": "RS256", "typ": "JWT"}
        if self.file.private_key_id is not None:
            header["kid"] = self.file.private_key_id
        body = {"iss": self.account, "iat": now, "exp": now + _LIFETIME, **claims}
        text = unsigned_token(header, body)
        return f"{text}.{base64url(await self.sign(text.encode()))}"


class ServiceAccount(Identity):
    """
    A service account with its key.

    Args:
        subject: The user that it acts for (domain-wide delegation).
        self_signed: Sign tokens instead of requesting them.

    Raises:
        ConfigurationError: Self-signed tokens are combined with a subject.
    """

    auth_type = "service_account"

    def __init__(
        self,
        file: KeyFile,
        source: str,
        service: TokenService,
        *,
        scopes: Sequence[str] = SCOPES,
        subject: str | None = None,
        self_signed: bool = False,
    ) -> None:
        self.source = source
        self.account = file.client_email
        self.universe_domain = file.universe_domain
        self._file = file
        self._service = service
        self._scopes = scopes
        self._subject = subject
        # Other universes do not exchange assertions for tokens.
        self._self_signed = self_signed or file.universe_domain != UNIVERSE
        if self._self_signed and subject is not None:
            raise ConfigurationError("self-signed tokens cannot have a subject: remove subject or self_signed_jwt")
        self._signer = RSASigner(file)
        self._clock = ServerClock()

    async def fetch(self) -> Grant[Token]:
        if self._self_signed:
            return await self._self_signed_token()
        try:
            return await self._exchange()
        except ClockSkewError:
            return await self._exchange()

    async def signer(self) -> URLSigner:
        return self._signer

    async def _self_signed_token(self) -> Grant[Token]:
        # https://google.aip.dev/auth/4111: the scopes if they are not the default, else the service as audience.
        claims = {"sub": self._file.client_email}
        if tuple(self._scopes) == SCOPES:
            claims["aud"] = f"https://storage.{self._file.universe_domain}/"
        else:
            claims["scope"] = " ".join(self._scopes)
        return Grant(Secret(await self._signer.assertion(claims)), float(_LIFETIME))

    async def _exchange(self) -> Grant[Token]:
        claims = {"scope": " ".join(self._scopes), "aud": self._file.token_uri}
        if self._subject is not None:
            claims["sub"] = self._subject
        assertion = await self._signer.assertion(claims, clock_offset=self._clock.offset)
        fields = {"grant_type": _JWT_BEARER, "assertion": assertion}
        return grant_of(await request_token(self._service, self._file.token_uri, fields, clock=self._clock))


def _load(pem: Secret) -> Callable[[bytes], bytes]:
    key = load_rsa_key(pem.reveal().encode(), None, "the private_key of the service account", extra="gcs")
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return lambda text: key.sign(text, PKCS1v15(), SHA256())
