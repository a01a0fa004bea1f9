"""
Credential objects for Microsoft's SDK, backed by our credentials.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from asyncstore.auth.azure.access import Access, KeyAccess, SASAccess, TokenAccess
from asyncstore.auth.azure.token import RESOURCE
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.tokens import Lease
from asyncstore.errors import ConfigurationError, UnauthenticatedError


@dataclass(frozen=True, slots=True)
class SDKToken:
    """
    Has the attributes of the SDK's own two token classes, which show the token in ``repr``.

    Attributes:
        expires_on, refresh_on: Seconds since the epoch.
    """

    token: str = field(repr=False)
    expires_on: int
    token_type: str = "Bearer"  # noqa: S105 - a kind of token
    refresh_on: int | None = None


class SharedToken:
    """
    An SDK token credential that shares the tokens of our credentials.

    Closing it does not close the credentials.
    """

    def __init__(self, credentials: Credentials[Access | None]) -> None:
        self._credentials = credentials
        self._last: Lease[Access | None] | None = None

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
        wanted = options or {}
        return await self._token(scopes, wanted.get("claims"), wanted.get("tenant_id"))

    async def _token(self, scopes: tuple[str, ...], claims: str | None, tenant: str | None) -> SDKToken:
        if not all(scope.startswith(RESOURCE) for scope in scopes):
            raise ConfigurationError(f"these credentials are valid for {RESOURCE} only, not for {' '.join(scopes)}")
        if claims or tenant:
            # The SDK passes these after a challenge.
            self._credentials.note_challenge({"WWW-Authenticate": _challenge(claims, tenant)})
            lease = await self._credentials.refresh(self._last)
        else:
            lease = await self._credentials.get()
        if not isinstance(lease.value, TokenAccess):
            raise UnauthenticatedError("the credentials have stopped providing tokens", provider="azure")
        self._last = lease
        return _sdk_token(lease.value.token, lease)

    async def close(self) -> None:
        """
        The credentials stay open: their owner closes them.
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
    Return the SDK's credential object for *access*, the current value of *credentials*.

    Raises:
        ConfigurationError: A key or SAS token needs azure-core, which is not installed.
    """
    if access is None:
        return None
    if isinstance(access, TokenAccess):
        return SharedToken(credentials)
    try:
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
    except ImportError:
        raise ConfigurationError("azure-core is not installed: install asyncstore[azure]") from None
    if isinstance(access, KeyAccess):
        return AzureNamedKeyCredential(access.key.account, base64.b64encode(access.key.key).decode("ascii"))
    assert isinstance(access, SASAccess)
    return AzureSasCredential(access.token)


def _sdk_token(token: str, lease: Lease[Access | None]) -> SDKToken:
    moment, wall = time.monotonic(), time.time()
    # A token without an expiry is reported to last an hour; the SDK then asks again and gets the same lease.
    ends = moment + 3600 if lease.ends_at is None else lease.ends_at
    refresh_on = None if lease.refresh_at is None else int(wall + lease.refresh_at - moment)
    return SDKToken(token, int(wall + ends - moment), refresh_on=refresh_on)


def _challenge(claims: str | None, tenant: str | None) -> str:
    parts = []
    if tenant:
        parts.append(f'authorization_uri="https://authority/{tenant}"')
    if claims:
        parts.append(f'claims="{base64.b64encode(claims.encode()).decode("ascii")}"')
    return f"Bearer {', '.join(parts)}"
