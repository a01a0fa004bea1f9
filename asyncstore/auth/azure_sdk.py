"""
Our credentials as Microsoft's SDK wants them.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from asyncstore.auth.azure_access import Access, KeyAccess, SASAccess, TokenAccess
from asyncstore.auth.azure_token import RESOURCE
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.tokens import Lease
from asyncstore.errors import ConfigurationError, UnauthenticatedError


@dataclass(frozen=True, slots=True)
class SDKToken:
    """
    A token, as the SDK's own two classes have it; theirs show it in ``repr``.

    Attributes:
        expires_on, refresh_on: Seconds since the epoch.
    """

    token: str = field(repr=False)
    expires_on: int
    token_type: str = "Bearer"  # noqa: S105 - a kind of token
    refresh_on: int | None = None


class SharedToken:
    """
    A token credential of the SDK whose tokens are ours: renewed once for all who use them.

    Closing it does nothing: whoever made the credentials closes them.
    """

    def __init__(self, credentials: Credentials[Access | None]) -> None:
        self._credentials = credentials
        self._given: Lease[Access | None] | None = None

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **_: Any
    ) -> SDKToken:
        """
        Return a token for storage.
        """
        return await self._token(scopes, claims, tenant_id)

    async def get_token_info(self, *scopes: str, options: Mapping[str, Any] | None = None) -> SDKToken:
        """
        Return a token for storage.
        """
        asked = options or {}
        return await self._token(scopes, asked.get("claims"), asked.get("tenant_id"))

    async def _token(self, scopes: tuple[str, ...], claims: str | None, tenant: str | None) -> SDKToken:
        if not all(scope.startswith(RESOURCE) for scope in scopes):
            raise ConfigurationError(f"these are credentials of {RESOURCE}, not of {' '.join(scopes)}")
        if claims or tenant:
            # So the SDK asks after a refusal.
            self._credentials.heed({"WWW-Authenticate": _challenge(claims, tenant)})
            lease = await self._credentials.refresh(self._given)
        else:
            lease = await self._credentials.get()
        if not isinstance(lease.value, TokenAccess):
            raise UnauthenticatedError("these credentials give no tokens any more", provider="azure")
        self._given = lease
        return _sdk_token(lease.value.token, lease)

    async def close(self) -> None:
        """
        Do nothing.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.close()


def sdk_credential(access: Access | None, credentials: Credentials[Access | None]) -> Any:
    """
    Return what the SDK takes for *access*, which *credentials* gave.

    Raises:
        ConfigurationError: azure-core is not installed, and it is a key or signature.
    """
    if access is None:
        return None
    if isinstance(access, TokenAccess):
        return SharedToken(credentials)
    try:
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
    except ImportError:
        raise ConfigurationError("this needs azure-core: install asyncstore[azure]") from None
    if isinstance(access, KeyAccess):
        return AzureNamedKeyCredential(access.key.account, base64.b64encode(access.key.key).decode("ascii"))
    assert isinstance(access, SASAccess)
    return AzureSasCredential(access.token)


def _sdk_token(token: str, lease: Lease[Access | None]) -> SDKToken:
    moment, wall = time.monotonic(), time.time()
    # One that does not end is asked for again now and then, and answered from the lease.
    ends = moment + 3600 if lease.ends_at is None else lease.ends_at
    renewal = None if lease.refresh_at is None else int(wall + lease.refresh_at - moment)
    return SDKToken(token, int(wall + ends - moment), refresh_on=renewal)


def _challenge(claims: str | None, tenant: str | None) -> str:
    parts = []
    if tenant:
        parts.append(f'authorization_uri="https://authority/{tenant}"')
    if claims:
        parts.append(f'claims="{base64.b64encode(claims.encode()).decode("ascii")}"')
    return f"Bearer {', '.join(parts)}"
