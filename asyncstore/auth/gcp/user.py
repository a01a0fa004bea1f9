"""
Tokens for a user who logged in with gcloud, at Google or at another identity provider.

https://cloud.google.com/docs/authentication/set-up-adc-local-dev-environment
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asyncstore.auth.gcp.identity import UNIVERSE, Identity, Token
from asyncstore.auth.gcp.oauth import basic_auth, grant_of, request_token
from asyncstore.auth.gcp.service_account import TOKEN_URI
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_NEEDED: Final = ("client_id", "client_secret", "refresh_token")


class AuthorizedUser(Identity):
    """
    The refresh token that ``gcloud auth application-default login`` stores.

    Raises:
        ConfigurationError: The document is incomplete.
    """

    auth_type = "authorized_user"

    def __init__(self, document: Mapping[str, Any], source: str, service: TokenService) -> None:
        if missing := [name for name in _NEEDED if not document.get(name)]:
            raise ConfigurationError(f"the JSON of the {self.auth_type} has no {' and no '.join(missing)}")
        self.source = source
        self.universe_domain = str(document.get("universe_domain") or UNIVERSE)
        self._url = self._address(document)
        self._fields = {name: Secret(str(document[name])) for name in _NEEDED}
        self._service = service

    async def fetch(self) -> Grant[Token]:
        try:
            return grant_of(await self._request())
        except UnauthenticatedError as exc:
            if exc.code != "invalid_grant":
                raise
            # The refresh token was revoked, or a policy requires a new login.
            raise UnauthenticatedError(
                f"{exc.message}; log in again with `gcloud auth application-default login`",
                provider="gcs",
                code=exc.code,
                status=exc.status,
            ) from None

    def _address(self, document: Mapping[str, Any]) -> str:
        return str(document.get("token_uri") or TOKEN_URI)

    async def _request(self) -> Answer:
        fields = {name: secret.reveal() for name, secret in self._fields.items()}
        return await request_token(self._service, self._url, {"grant_type": "refresh_token", **fields})


class ExternalUser(AuthorizedUser):
    """
    The refresh token of a workforce pool user; each use can replace it.

    https://cloud.google.com/iam/docs/workforce-obtaining-short-lived-credentials
    """

    auth_type = "external_account_authorized_user"

    def _address(self, document: Mapping[str, Any]) -> str:
        return str(document.get("token_url") or f"https://sts.{self.universe_domain}/v1/oauthtoken")

    async def _request(self) -> Answer:
        client_id, client_secret, refresh_token = (self._fields[name].reveal() for name in _NEEDED)
        headers = {"Authorization": basic_auth(client_id, client_secret).reveal()}
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = await request_token(self._service, self._url, fields, headers)
        replacement = answer.document().get("refresh_token")
        if isinstance(replacement, str) and replacement:
            self._fields["refresh_token"] = Secret(replacement)
        return answer
