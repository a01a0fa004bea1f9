"""
Tokens for a user who has signed in with gcloud.

https://cloud.google.com/docs/authentication/set-up-adc-local-dev-environment
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asyncstore.auth.gcp_exchange import exchange
from asyncstore.auth.gcp_identity import Identity, Token
from asyncstore.auth.gcp_key import TOKEN_URI
from asyncstore.auth.token_service import TokenService
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
            raise ConfigurationError(f"the JSON of an authorized user has {' and '.join(missing)}; this one has not")
        self.source = source
        self._url = str(document.get("token_uri") or TOKEN_URI)
        self._fields = {name: Secret(str(document[name])) for name in _NEEDED}
        self._service = service

    async def fetch(self) -> Grant[Token]:
        fields = {name: secret.reveal() for name, secret in self._fields.items()}
        try:
            return await exchange(self._service, self._url, {"grant_type": "refresh_token", **fields})
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
