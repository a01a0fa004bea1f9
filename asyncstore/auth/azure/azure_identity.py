"""
Tokens from an azure-identity credential, or from any object with the same interface.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import anyio.to_thread

from asyncstore._support.redact import redact
from asyncstore.auth.azure.challenge import Challenge
from asyncstore.auth.azure.token import SCOPE, AccessGrant, token_grant
from asyncstore.auth.tokens import MissingCredentialsError
from asyncstore.errors import ConfigurationError, UnauthenticatedError


class TokenCredential:
    """
    Calls ``get_token()`` of a foreign credential: awaits it if it is asynchronous, else runs it in a thread.

    Raises:
        ConfigurationError: The object has no ``get_token()``.
    """

    def __init__(self, credential: Any, challenge: Challenge) -> None:
        get_token = getattr(credential, "get_token", None)
        if not callable(get_token):
            raise ConfigurationError(
                f"credential must be an azure-identity credential with get_token(), not {type(credential).__name__}"
            )
        self._get_token = get_token
        self._name = type(credential).__name__
        self._challenge = challenge
        # The tenant of an earlier challenge for which the credential returned a token.
        self._accepted: str | None = None

    async def fetch(self) -> AccessGrant:
        """
        Return the credential's token.
        """
        tenant = self._challenge.tenant or self._accepted
        # Pass on the claims and tenant of the challenge: the credential decides whether to use them.
        wanted = (("claims", self._challenge.claims), ("tenant_id", tenant))
        options = {name: value for name, value in wanted if value is not None and _accepts(self._get_token, name)}
        try:
            found = await self._call(options)
        except Exception as exc:  # noqa: BLE001 - raised again, translated to our classes where we know it
            raise _translated(exc, self._name) from None
        document = {"access_token": getattr(found, "token", None), "expires_on": getattr(found, "expires_on", None)}
        grant = token_grant(document, self._name)
        self._accepted = tenant
        return grant

    async def _call(self, options: dict[str, str]) -> Any:
        if inspect.iscoroutinefunction(self._get_token):
            return await self._get_token(SCOPE, **options)
        # It can block for minutes; cancelling the caller must not wait for it.
        found = await anyio.to_thread.run_sync(lambda: self._get_token(SCOPE, **options), abandon_on_cancel=True)
        return await found if inspect.isawaitable(found) else found


def _accepts(function: Any, name: str) -> bool:
    parameters = inspect.signature(function).parameters
    return name in parameters or any(item.kind is item.VAR_KEYWORD for item in parameters.values())


def _translated(exc: Exception, name: str) -> Exception:
    # If these modules are not imported, the exception is not one of theirs.
    core, identity = sys.modules.get("azure.core.exceptions"), sys.modules.get("azure.identity")
    text = f"{name}: {redact(exc)[:500]}"
    if identity is not None and isinstance(exc, identity.CredentialUnavailableError):
        return MissingCredentialsError(text, provider="azure")
    if core is not None and isinstance(exc, core.ClientAuthenticationError):
        return UnauthenticatedError(text, provider="azure")
    return exc
