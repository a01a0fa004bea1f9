"""
Where tokens are had: the OAuth endpoint, and the metadata server of a virtual machine.

`Service accounts <https://developers.google.com/identity/protocols/oauth2/service-account>`_ ·
`refresh tokens <https://developers.google.com/identity/protocols/oauth2/web-server#offline>`_ ·
`metadata <https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys>`_
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.jwts import InvalidJWT, verified_claims
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.tokens import Issuer

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCE: Final = "https://oauth2.googleapis.com/token"
_METADATA: Final = "/computeMetadata/v1/"
_FLAVOR: Final = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class TokenRoutes:
    """
    Answers requests for tokens.
    """

    def __init__(self, settings: Settings, issuer: Issuer) -> None:
        self._settings = settings
        self._issuer = issuer

    async def answer(self, call: Call) -> Reply | None:
        """
        Answer a request for a token; ``None`` if it is for something else.
        """
        if call.path == "/token" and call.method == "POST":
            return self._grant(call, dict(parse_qsl((await call.read()).decode(errors="replace"))))
        if call.path.startswith(_METADATA) and call.method == "GET":
            return self._metadata(call)
        if call.path == "/" and call.headers.get("metadata-flavor") == "Google":
            return Reply(200, dict(_FLAVOR), b"computeMetadata/\n")
        return None

    def _grant(self, call: Call, form: Mapping[str, str]) -> Reply:
        grants: dict[str, Callable[[Call, Mapping[str, str]], str | None]] = {
            _JWT_BEARER: self._refuse_assertion,
            "refresh_token": self._refuse_refresh,
        }
        kind = form.get("grant_type", "")
        if kind not in grants:
            return _refused("unsupported_grant_type", f"Invalid grant_type: {kind}")
        self._issuer.calls[kind.rpartition(":")[2]] += 1
        refusal = grants[kind](call, form)
        return _refused("invalid_grant", refusal) if refusal else json_reply(self._token())

    def _refuse_assertion(self, call: Call, form: Mapping[str, str]) -> str | None:
        try:
            claims = verified_claims(form.get("assertion", ""), self._settings.accounts)
        except InvalidJWT as exc:
            return str(exc)
        if claims.get("aud") not in (_AUDIENCE, f"{call.base_url}/token"):
            return "Invalid JWT: the audience is not this endpoint."
        return None if claims.get("scope") else "Empty or missing scope not allowed."

    def _refuse_refresh(self, call: Call, form: Mapping[str, str]) -> str | None:
        if not form.get("client_id") or not form.get("client_secret"):
            return "The client is not named."
        if form.get("refresh_token") not in self._settings.refresh_tokens:
            return "Token has been expired or revoked."
        return None

    def _metadata(self, call: Call) -> Reply:
        if call.headers.get("metadata-flavor") != "Google":
            return Reply(403, dict(_FLAVOR), b"Missing Metadata-Flavor:Google header.")
        if "x-forwarded-for" in call.headers:
            return Reply(403, dict(_FLAVOR), b"Requests with X-Forwarded-For are refused.")
        path = call.path.removeprefix(_METADATA).strip("/")
        email = next((account.email for account in self._settings.accounts), _DEFAULT_EMAIL)
        path = path.replace(f"service-accounts/{email}", "service-accounts/default")
        if path == f"{_ACCOUNT}/token":
            self._issuer.calls["metadata"] += 1
            return json_reply(self._token(), headers=_FLAVOR)
        if path == _ACCOUNT and call.query.get("recursive", "").lower() == "true":
            return json_reply({"aliases": ["default"], "email": email, "scopes": [_SCOPE]}, headers=_FLAVOR)
        texts = {f"{_ACCOUNT}/email": email, f"{_ACCOUNT}/scopes": _SCOPE, **_TEXTS}
        found = texts.get(path)
        return Reply(404, dict(_FLAVOR)) if found is None else Reply(200, dict(_FLAVOR), found.encode())

    def _token(self) -> dict[str, Any]:
        return {
            "access_token": self._issuer.issue(),
            "expires_in": int(self._issuer.lifetime),
            "token_type": "Bearer",
        }


_ACCOUNT: Final = "instance/service-accounts/default"
_DEFAULT_EMAIL: Final = "fake@test.iam.gserviceaccount.com"
_TEXTS: Final = {"project/project-id": "test", "universe/universe-domain": "googleapis.com"}


def _refused(error: str, description: str) -> Reply:
    return json_reply({"error": error, "error_description": description}, status=400)
