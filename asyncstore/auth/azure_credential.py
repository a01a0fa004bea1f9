"""
Tokens from a credential of azure-identity, or of anything that looks like one.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import anyio.to_thread

from asyncstore.auth.azure_challenge import Challenge
from asyncstore.auth.azure_token import SCOPE, AccessGrant, token_grant
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.redact import redact
from asyncstore.errors import ConfigurationError, UnauthenticatedError


class TokenCredential:
    """
    Somebody else's credential; asynchronous ones are awaited, others asked in a thread.

    Raises:
        ConfigurationError: It is none.
    """

    def __init__(self, credential: Any, challenge: Challenge) -> None:
        get_token = getattr(credential, "get_token", None)
        if not callable(get_token):
            raise ConfigurationError(
                f"credential is a token credential of azure-identity, with get_token(), not {type(credential).__name__}"
            )
        self._get_token = get_token
        self._name = type(credential).__name__
        self._challenge = challenge
        # Of another directory, which a storage asked for, and which gave us a token.
        self._accepted: str | None = None

    async def fetch(self) -> AccessGrant:
        """
        Return the token that it gives.
        """
        tenant = self._challenge.tenant or self._accepted
        # What the storage asks for is passed on: whether that is done is the credential's to decide.
        asked = (("claims", self._challenge.claims), ("tenant_id", tenant))
        options = {name: value for name, value in asked if value is not None and _takes(self._get_token, name)}
        try:
            found = await self._asked(options)
        except Exception as exc:  # noqa: BLE001 - the same, or the one of ours that says it
            raise _ours(exc, self._name) from None
        document = {"access_token": getattr(found, "token", None), "expires_on": getattr(found, "expires_on", None)}
        grant = token_grant(document, self._name)
        self._accepted = tenant
        return grant

    async def _asked(self, options: dict[str, str]) -> Any:
        if inspect.iscoroutinefunction(self._get_token):
            return await self._get_token(SCOPE, **options)
        # It can wait for minutes; whoever waits for it is not held up.
        found = await anyio.to_thread.run_sync(lambda: self._get_token(SCOPE, **options), abandon_on_cancel=True)
        return await found if inspect.isawaitable(found) else found


def _takes(function: Any, name: str) -> bool:
    parameters = inspect.signature(function).parameters
    return name in parameters or any(item.kind is item.VAR_KEYWORD for item in parameters.values())


def _ours(exc: Exception, name: str) -> Exception:
    # Whoever raised these has imported the module.
    core, identity = sys.modules.get("azure.core.exceptions"), sys.modules.get("azure.identity")
    text = f"{name}: {redact(exc)[:500]}"
    if identity is not None and isinstance(exc, identity.CredentialUnavailableError):
        return MissingCredentialsError(text, provider="azure")
    if core is not None and isinstance(exc, core.ClientAuthenticationError):
        return UnauthenticatedError(text, provider="azure")
    return exc
