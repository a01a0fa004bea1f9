"""
The OAuth endpoint, where service accounts and users get tokens.

`Service accounts <https://developers.google.com/identity/protocols/oauth2/service-account>`_ ·
`refresh tokens <https://developers.google.com/identity/protocols/oauth2/web-server#offline>`_
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.jwts import InvalidJWT, verified_claims
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.tokens import Issuer

_PATH: Final = "/token"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_REFRESH: Final = "refresh_token"
#: What an assertion may be for, beside this server.
_AUDIENCE: Final = "https://oauth2.googleapis.com/token"


async def answer(settings: Settings, issuer: Issuer, call: Call) -> Reply | None:
    """
    Answer a request for a token; ``None`` if it is for something else.
    """
    if call.path != _PATH or call.method != "POST":
        return None
    form = dict(parse_qsl((await call.read()).decode(errors="replace")))
    kind = form.get("grant_type", "")
    if kind not in (_JWT_BEARER, _REFRESH):
        return _refused("unsupported_grant_type", f"Invalid grant_type: {kind}")
    issuer.calls[kind.rpartition(":")[2]] += 1
    refusal = _refuse_assertion(settings, call, form) if kind == _JWT_BEARER else _refuse_refresh(settings, form)
    return _refused("invalid_grant", refusal) if refusal else json_reply(issuer.grant())


def _refuse_assertion(settings: Settings, call: Call, form: Mapping[str, str]) -> str | None:
    try:
        claims = verified_claims(form.get("assertion", ""), settings.accounts)
    except InvalidJWT as exc:
        return str(exc)
    if claims.get("aud") not in (_AUDIENCE, f"{call.base_url}{_PATH}"):
        return "Invalid JWT: the audience is not this endpoint."
    return None if claims.get("scope") else "Empty or missing scope not allowed."


def _refuse_refresh(settings: Settings, form: Mapping[str, str]) -> str | None:
    if not form.get("client_id") or not form.get("client_secret"):
        return "The client is not named."
    if form.get("refresh_token") not in settings.refresh_tokens:
        return "Token has been expired or revoked."
    return None


def _refused(error: str, description: str) -> Reply:
    return json_reply({"error": error, "error_description": description}, status=400)
