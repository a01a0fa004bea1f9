"""
GitHub Apps: their keys, their installations, and the tokens that they get.

https://docs.github.com/rest/apps/apps
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Final

from aiohttp import web

from asyncstore.testing.servers.github.replies import Refused, as_json, not_found

#: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
MAX_LIFETIME: Final = 600

_TOKEN_SECONDS: Final = 3600.0


@dataclass(slots=True, kw_only=True)
class App:
    """
    A GitHub App, installed for some accounts.

    Attributes:
        app_id: The app's id or client id: a JWT may name either.
        public_key: The app's RSA key, in PEM.
        installations: Logins of the accounts, by installation id.
        organizations: The logins that are organizations.
        token_seconds: Lifetime of the app's installation tokens, in seconds.
        clock_offset: Seconds by which GitHub's clock is ahead of the machine's.
        delay: Seconds to wait before issuing a token.
        asked: Bodies of the requests for tokens.
    """

    app_id: str
    public_key: str = field(repr=False)
    installations: Mapping[int, str]
    organizations: frozenset[str] = frozenset()
    token_seconds: float = _TOKEN_SECONDS
    clock_offset: float = 0.0
    delay: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list, repr=False)

    def now(self) -> float:
        """
        Return the time on GitHub's clock.
        """
        return time.time() + self.clock_offset

    def date(self) -> str:
        """
        Return the time on GitHub's clock, in HTTP format.
        """
        return formatdate(self.now(), usegmt=True)

    def installation_of(self, login: str, *, organization: bool | None = None) -> web.Response:
        """
        Return the reply with the installation for *login*.
        """
        for number, account in self.installations.items():
            kind = account in self.organizations
            if account.lower() == login.lower() and organization in (None, kind):
                target = "Organization" if kind else "User"
                return as_json({"id": number, "app_id": self.app_id, "target_type": target})
        raise not_found()

    def token_of(
        self, number: int, document: dict[str, Any], register: Callable[[str, str, float], None]
    ) -> web.Response:
        """
        Return the reply with a new installation token.

        Args:
            register: Called with the token, its login, and when it expires (seconds since 1970).
        """
        self.asked.append(document)
        if number not in self.installations:
            raise not_found()
        # GitHub sends whole seconds.
        ends = float(int(self.now() + self.token_seconds))
        token = f"ghs_{self.app_id}_{secrets.token_urlsafe(24)}"
        register(token, self.installations[number], ends - self.clock_offset)
        end = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return as_json({"token": token, "expires_at": end}, 201, {"Date": self.date()})


class Apps:
    """
    All registered apps.
    """

    def __init__(self) -> None:
        self.known: list[App] = []

    def caller(self, request: web.BaseRequest) -> App:
        """
        Return the app whose key signed the token of *request*.

        Raises:
            Refused: The JWT is invalid, expired, or not valid yet.
        """
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            head, body, signature = token.split(".")
            header, claims = (json.loads(_decoded(part)) for part in (head, body))
            app = next(app for app in self.known if app.app_id == claims["iss"])
            _verify(app.public_key, _decoded(signature), f"{head}.{body}".encode())
        except (ValueError, KeyError, TypeError, StopIteration, binascii.Error):
            raise Refused(401, "A JSON web token could not be decoded") from None
        if kind.lower() != "bearer" or header.get("alg") != "RS256":
            raise Refused(401, "A JSON web token could not be decoded")
        _check_times(app, claims)
        return app


def _check_times(app: App, claims: dict[str, Any]) -> None:
    now, headers = app.now(), {"Date": app.date()}
    if claims["iat"] > now:
        message = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        raise Refused(401, message, headers=headers)
    if claims["exp"] <= now:
        message = "'Expiration time' claim ('exp') must be a numeric value representing the future time"
        raise Refused(401, message, headers=headers)
    if claims["exp"] > now + MAX_LIFETIME:
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future", headers=headers)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _verify(public_key: str, signature: bytes, text: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(public_key.encode())
    if not isinstance(key, RSAPublicKey):
        raise TypeError("the public key of an app must be an RSA key")
    try:
        key.verify(signature, text, PKCS1v15(), SHA256())
    except InvalidSignature:
        raise Refused(401, "A JSON web token could not be decoded") from None
