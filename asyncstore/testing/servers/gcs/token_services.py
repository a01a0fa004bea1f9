"""
The services that issue tokens: the OAuth token endpoint, and the metadata server of a virtual machine.

`Service accounts <https://developers.google.com/identity/protocols/oauth2/service-account>`_ ·
`refresh tokens <https://developers.google.com/identity/protocols/oauth2/web-server#offline>`_ ·
`metadata keys <https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys>`_ ·
`querying metadata <https://cloud.google.com/compute/docs/metadata/querying-metadata>`_
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.tokens import InvalidJWT, Issuer, verified_claims

_ENDPOINT: Final = "/token"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_REFRESH: Final = "refresh_token"
#: An assertion's audience is this URL or the server's own.
_AUDIENCE: Final = "https://oauth2.googleapis.com/token"
_ROOT: Final = "/computeMetadata/v1/"
_ACCOUNT: Final = "instance/service-accounts/default"
_FLAVOR: Final = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_DEFAULT_EMAIL: Final = "fake@test.iam.gserviceaccount.com"
_TEXTS: Final = {
    f"{_ACCOUNT}/scopes": _SCOPE,
    "project/project-id": "test",
    "universe/universe-domain": "googleapis.com",
}


async def answer_token_request(settings: Settings, issuer: Issuer, call: Call) -> Reply | None:
    """
    Answer a request for a token; return ``None`` for any other request.
    """
    if call.path != _ENDPOINT or call.method != "POST":
        return None
    form = dict(parse_qsl((await call.read()).decode(errors="replace")))
    kind = form.get("grant_type", "")
    if kind not in (_JWT_BEARER, _REFRESH):
        return _refused_grant("unsupported_grant_type", f"Invalid grant_type: {kind}")
    issuer.calls[kind.rpartition(":")[2]] += 1
    refusal = _refuse_assertion(settings, call, form) if kind == _JWT_BEARER else _refuse_refresh(settings, form)
    return _refused_grant("invalid_grant", refusal) if refusal else json_reply(issuer.grant())


def _refuse_assertion(settings: Settings, call: Call, form: Mapping[str, str]) -> str | None:
    try:
        claims = verified_claims(form.get("assertion", ""), settings.accounts)
    except InvalidJWT as exc:
        return str(exc)
    if claims.get("aud") not in (_AUDIENCE, f"{call.base_url}{_ENDPOINT}"):
        return "Invalid JWT: the audience is not this endpoint."
    return None if claims.get("scope") else "Empty or missing scope not allowed."


def _refuse_refresh(settings: Settings, form: Mapping[str, str]) -> str | None:
    if not form.get("client_id") or not form.get("client_secret"):
        return "The client_id or client_secret is missing."
    if form.get("refresh_token") not in settings.refresh_tokens:
        return "Token has been expired or revoked."
    return None


def _refused_grant(error: str, description: str) -> Reply:
    return json_reply({"error": error, "error_description": description}, status=400)


def answer_metadata_request(settings: Settings, issuer: Issuer, call: Call) -> Reply | None:
    """
    Answer a request for metadata; return ``None`` for any other request.
    """
    if call.method != "GET":
        return None
    if call.path.startswith(_ROOT):
        return _refused_metadata(call) or _value(settings, issuer, call)
    if call.path == "/" and call.headers.get("metadata-flavor") == "Google":
        # Programs send this to detect whether they run on a virtual machine.
        return _text("computeMetadata/\n")
    return None


def _refused_metadata(call: Call) -> Reply | None:
    if call.headers.get("metadata-flavor") != "Google":
        return _text("Missing Metadata-Flavor:Google header.", 403)
    if "x-forwarded-for" in call.headers:
        return _text("Requests with X-Forwarded-For are not allowed.", 403)
    return None


def _value(settings: Settings, issuer: Issuer, call: Call) -> Reply:
    email = next((account.email for account in settings.accounts), _DEFAULT_EMAIL)
    path = call.path.removeprefix(_ROOT).strip("/").replace(f"service-accounts/{email}", "service-accounts/default")
    if path == f"{_ACCOUNT}/token":
        issuer.calls["metadata"] += 1
        return json_reply(issuer.grant(), headers=_FLAVOR)
    if path == _ACCOUNT and call.query.get("recursive", "").lower() == "true":
        return json_reply({"aliases": ["default"], "email": email, "scopes": [_SCOPE]}, headers=_FLAVOR)
    if path == f"{_ACCOUNT}/email":
        return _text(email)
    return _text(_TEXTS[path]) if path in _TEXTS else _text("", 404)


def _text(text: str, status: int = 200) -> Reply:
    return Reply(status, dict(_FLAVOR), text.encode())
