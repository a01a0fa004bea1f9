"""
JSON Web Tokens that service accounts sign: RS256, and nothing else.

`Service accounts <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>`_
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from asyncstore.testing.servers.gcs.signers import ServiceAccount

#: Seconds; "the expiration time ... has a maximum of 1 hour after the issued time".
_MAX_LIFETIME: Final = 3600
#: Seconds by which clocks may differ.
_LEEWAY: Final = 10


class InvalidJWT(Exception):  # noqa: N818 - the service's words
    """
    A token that does not hold; the message says why.
    """


def verified_claims(token: str, accounts: Collection[ServiceAccount]) -> Mapping[str, Any]:
    """
    Return what *token* claims.

    Raises:
        InvalidJWT: It is malformed, not signed by one of *accounts*, or not of this time.
    """
    signed, _, signature = token.rpartition(".")
    header, claims = (_decoded(part) for part in _two(signed))
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


def _two(signed: str) -> list[str]:
    parts = signed.split(".")
    if len(parts) != 2:
        raise InvalidJWT("Invalid JWT: it has not three parts.")
    return parts


def _decoded(part: str) -> Mapping[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidJWT("Invalid JWT: a part is no JSON object.")
    return value


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise InvalidJWT("Invalid JWT: a part is no base64.") from None
