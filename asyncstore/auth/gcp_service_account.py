"""
Tokens for the key of a service account.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asyncstore.auth.gcp_exchange import WrongClockError, exchange, grant_of
from asyncstore.auth.gcp_identity import SCOPES, UNIVERSE, Identity, Token
from asyncstore.auth.gcp_key import LIFETIME, KeyFile, RSASigner
from asyncstore.auth.goog4 import URLSigner
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import ConfigurationError

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class ServiceAccount(Identity):
    """
    The key of a service account.

    Args:
        subject: The user whom it speaks for, where its domain lets it.
        self_signed: Sign tokens instead of asking for them.

    Raises:
        ConfigurationError: It signs tokens, and there is a subject.
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
        # Other clouds than Google's own exchange nothing.
        self._self_signed = self_signed or file.universe_domain != UNIVERSE
        if self._self_signed and subject is not None:
            raise ConfigurationError("a token for a subject is asked for, and these credentials sign their own")
        self._signer = RSASigner(file)
        self._clock_offset = 0.0

    async def fetch(self) -> Grant[Token]:
        if self._self_signed:
            return await self._own()
        try:
            return await self._exchanged()
        except WrongClockError as exc:
            self._clock_offset = exc.offset
            return await self._exchanged()

    async def signer(self) -> URLSigner:
        return self._signer

    async def _own(self) -> Grant[Token]:
        # https://google.aip.dev/auth/4111: scopes if some are asked for, else one service.
        claims = {"sub": self._file.client_email}
        if tuple(self._scopes) == SCOPES:
            claims["aud"] = f"https://storage.{self._file.universe_domain}/"
        else:
            claims["scope"] = " ".join(self._scopes)
        return Grant(Secret(await self._signer.assertion(claims)), float(LIFETIME))

    async def _exchanged(self) -> Grant[Token]:
        claims = {"scope": " ".join(self._scopes), "aud": self._file.token_uri}
        if self._subject is not None:
            claims["sub"] = self._subject
        assertion = await self._signer.assertion(claims, clock_offset=self._clock_offset)
        fields = {"grant_type": _JWT_BEARER, "assertion": assertion}
        return grant_of(await exchange(self._service, self._file.token_uri, fields, clock_offset=self._clock_offset))
