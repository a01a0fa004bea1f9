"""
Tokens for a user who has signed in with gcloud, at Google or at another identity provider.

https://cloud.google.com/docs/authentication/set-up-adc-local-dev-environment
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asyncstore.auth.gcp_exchange import basic_auth, exchange, grant_of
from asyncstore.auth.gcp_identity import UNIVERSE, Identity, Token
from asyncstore.auth.gcp_key import TOKEN_URI
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_NEEDED: Final = ("client_id", "client_secret", "refresh_token")


class AuthorizedUser(Identity):
    """
    The refresh token that ``gcloud auth application-default login`` leaves.

    Raises:
        ConfigurationError: The document is not whole.
    """

    auth_type = "authorized_user"

    def __init__(self, document: Mapping[str, Any], source: str, service: TokenService) -> None:
        if missing := [name for name in _NEEDED if not document.get(name)]:
            raise ConfigurationError(f"the JSON of an {self.auth_type} has {' and '.join(missing)}; this one has not")
        self.source = source
        self.universe_domain = str(document.get("universe_domain") or UNIVERSE)
        self._url = self._address(document)
        self._fields = {name: Secret(str(document[name])) for name in _NEEDED}
        self._service = service

    async def fetch(self) -> Grant[Token]:
        try:
            return grant_of(await self._ask())
        except UnauthenticatedError as exc:
            if exc.code != "invalid_grant":
                raise
            # It was revoked, or the company wants its people to sign in again.
            raise UnauthenticatedError(
                f"{exc.message}; sign in again with `gcloud auth application-default login`",
                provider="gcs",
                code=exc.code,
                status=exc.status,
            ) from None

    def _address(self, document: Mapping[str, Any]) -> str:
        return str(document.get("token_uri") or TOKEN_URI)

    async def _ask(self) -> Answer:
        fields = {name: secret.reveal() for name, secret in self._fields.items()}
        return await exchange(self._service, self._url, {"grant_type": "refresh_token", **fields})


class ExternalUser(AuthorizedUser):
    """
    The same for a user of a workforce pool, whose refresh token can be replaced with each use.

    https://cloud.google.com/iam/docs/workforce-obtaining-short-lived-credentials
    """

    auth_type = "external_account_authorized_user"

    def _address(self, document: Mapping[str, Any]) -> str:
        return str(document.get("token_url") or f"https://sts.{self.universe_domain}/v1/oauthtoken")

    async def _ask(self) -> Answer:
        client_id, client_secret, refresh_token = (self._fields[name].reveal() for name in _NEEDED)
        headers = {"Authorization": basic_auth(client_id, client_secret).reveal()}
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = await exchange(self._service, self._url, fields, headers)
        following = answer.document().get("refresh_token")
        if isinstance(following, str) and following:
            self._fields["refresh_token"] = Secret(following)
        return answer
