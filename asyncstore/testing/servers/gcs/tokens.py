"""
Bearer tokens: issued by the server, or JSON Web Tokens that a service account signs.

The server accepts RS256 only.
`Service accounts <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>`_
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final

from asyncstore.testing.servers.gcs.settings import ServiceAccount, Settings

#: Seconds: "the expiration time ... has a maximum of 1 hour after the issued time".
_MAX_LIFETIME: Final = 3600
#: Seconds. The allowed clock skew.
_LEEWAY: Final = 10


class Issuer:
    """
    Issues the server's tokens, and recognizes valid ones.

    Attributes:
        calls: Number of requests for a token, successful or not, by ``jwt-bearer``,
            ``refresh_token`` and ``metadata``.
        lifetime: Lifetime of tokens issued from now on, in seconds.
    """

    def __init__(self, settings: Settings) -> None:
        self.calls: Counter[str] = Counter()
        self.lifetime = settings.token_lifetime
        self._settings = settings
        self._expires: dict[str, float] = {}

    @property
    def checks(self) -> bool:
        """
        Whether requests need a token or a signature.
        """
        return self._settings.tokens is not None

    def issue(self) -> str:
        """
        Issue a new token.
        """
        token = f"fake-issued-{secrets.token_hex(16)}"
        self._expires[token] = time.time() + self.lifetime
        return token

    def grant(self) -> dict[str, Any]:
        """
        Issue a new token, and return it in a token endpoint's format.
        """
        return {"access_token": self.issue(), "expires_in": int(self.lifetime), "token_type": "Bearer"}

    def revoke(self) -> None:
        """
        Invalidate all tokens issued so far.
        """
        self._expires.clear()

    def accepts(self, token: str) -> bool:
        """
        Return whether *token* is valid now.
        """
        if token in (self._settings.tokens or ()):
            return True
        return self._expires.get(token, 0.0) > time.time() or self._is_self_signed(token)

    def _is_self_signed(self, token: str) -> bool:
        # A service account may sign a token for itself: https://google.aip.dev/auth/4111
        if token.count(".") != 2:
            return False
        try:
            claims = verified_claims(token, self._settings.accounts)
        except InvalidJWT:
            return False
        return claims.get("sub") == claims.get("iss") and ("scope" in claims or "aud" in claims)


class InvalidJWT(Exception):  # noqa: N818 - the service's term
    """
    The token is invalid; the message says why.
    """


def verified_claims(token: str, accounts: Collection[ServiceAccount]) -> Mapping[str, Any]:
    """
    Verify *token* and return its claims.

    Raises:
        InvalidJWT: It is malformed, not signed by one of *accounts*, expired, or not valid yet.
    """
    signed, _, signature = token.rpartition(".")
    header, claims = (_decoded(part) for part in _split(signed))
    if header.get("alg") != "RS256":
        raise InvalidJWT("Invalid JWT: the algorithm is not RS256.")
    account = next((account for account in accounts if account.email == claims.get("iss")), None)
    if account is None:
        raise InvalidJWT("Invalid grant: account not found")
    if not account.signed(signed.encode(), _bytes(signature)):
        raise InvalidJWT("Invalid JWT Signature.")
    _check_times(claims)
    return claims


def _check_times(claims: Mapping[str, Any]) -> None:
    issued, expires, now = claims.get("iat"), claims.get("exp"), time.time()
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        raise InvalidJWT("Invalid JWT: iat and exp are required.")
    if not (issued - _LEEWAY <= now < expires + _LEEWAY) or expires - issued > _MAX_LIFETIME:
        raise InvalidJWT("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")


def _split(signed: str) -> list[str]:
    parts = signed.split(".")
    if len(parts) != 2:
        raise InvalidJWT("Invalid JWT: it must have three parts.")
    return parts


def _decoded(part: str) -> Mapping[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidJWT("Invalid JWT: a part is not a JSON object.")
    return value


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise InvalidJWT("Invalid JWT: a part is not valid base64.") from None
