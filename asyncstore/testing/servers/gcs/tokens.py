"""
Bearer tokens: issued, and recognised.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from typing import Any

from asyncstore.testing.servers.gcs.jwts import InvalidJWT, verified_claims
from asyncstore.testing.servers.gcs.settings import Settings


class Issuer:
    """
    All tokens of a server.

    Attributes:
        calls: How often tokens were asked for, successfully or not: by ``jwt-bearer``,
            ``refresh_token`` and ``metadata``.
        lifetime: Seconds for which tokens issued from now on are good.
    """

    def __init__(self, settings: Settings) -> None:
        self.calls: Counter[str] = Counter()
        self.lifetime = settings.token_lifetime
        self._settings = settings
        self._expires: dict[str, float] = {}

    @property
    def checks(self) -> bool:
        """
        Whether requests need a token, or a signature.
        """
        return self._settings.tokens is not None

    def issue(self) -> str:
        """
        Return a new token.
        """
        token = f"fake-issued-{secrets.token_hex(16)}"
        self._expires[token] = time.time() + self.lifetime
        return token

    def grant(self) -> dict[str, Any]:
        """
        Return a new token as it is sent to who asked for it.
        """
        return {"access_token": self.issue(), "expires_in": int(self.lifetime), "token_type": "Bearer"}

    def revoke(self) -> None:
        """
        Make all tokens issued so far worthless, as a service does that has lost them.
        """
        self._expires.clear()

    def recognises(self, token: str) -> bool:
        """
        Return whether *token* is good now.
        """
        if token in (self._settings.tokens or ()):
            return True
        return self._expires.get(token, 0.0) > time.time() or self._is_self_signed(token)

    def _is_self_signed(self, token: str) -> bool:
        # https://google.aip.dev/auth/4111: an account may sign a token for itself.
        if token.count(".") != 2:
            return False
        try:
            claims = verified_claims(token, self._settings.accounts)
        except InvalidJWT:
            return False
        return claims.get("sub") == claims.get("iss") and ("scope" in claims or "aud" in claims)
