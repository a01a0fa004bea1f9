"""
Azure Storage credentials, from settings or the environment.

===================== ============================================================ ===
``auth_type``         what lets requests in                                        SDK
===================== ============================================================ ===
``account_key``       the account's key signs each request                         no
``sas``               a shared access signature, as text or from a function        no
``connection_string`` whichever of the two it holds, and where the account is      no
``token``             a credential of azure-identity, or what looks like one       its
``anonymous``         nothing: public containers                                   no
``default``           what the settings imply, then what the environment has       no
===================== ============================================================ ===
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yarl import URL

from asyncstore.auth.azure_access import Access, KeyAccess
from asyncstore.auth.azure_methods import AUTH_TYPES, SCOPE, SETTINGS, Method, choose, known_settings, take_settings
from asyncstore.auth.azure_sas import without_sas
from asyncstore.auth.credentials import Credentials, Scope
from asyncstore.auth.tokens import Grant, Lease, TokenSource
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "SCOPE", "SETTINGS", "AzureCredentials", "azure_credentials"]

#: The version of the service that requests without ``x-ms-version`` are made for:
#: https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services
API_VERSION: Final = "2026-02-06"

# What Shared Key covers besides ``x-ms-``.
_SIGNED: Final = frozenset(
    {
        "content-encoding",
        "content-language",
        "content-md5",
        "content-type",
        "date",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "range",
    }
)


def azure_credentials(
    auth: AuthConfig | None = None, settings: MutableMapping[str, Any] | None = None, *, account: str | None = None
) -> AzureCredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is sent yet.

    Names of :data:`SETTINGS`, also with ``azure_`` before them, are taken out of
    *settings*; the others are left for the driver. ``account_key`` and
    ``sas_token`` can be text, a :class:`Secret` or a function that returns one of
    them, plain or ``async``; a plain one is called in a thread, and again when the
    provider refuses what it gave. ``credential`` is left open.

    Args:
        account: The storage account of the URI.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    taken = take_settings({} if settings is None else settings)
    chosen = auth or AuthConfig()
    if chosen.fallback is not None:
        raise ConfigurationError("Azure credentials have no fallback yet: give the one that is meant")
    return AzureCredentials(choose(chosen.auth_type, {**taken, **known_settings(chosen)}, account))


class AzureCredentials(Credentials["Access | None"]):
    """
    What requests are let in with, kept fresh; made by :func:`azure_credentials`.

    The value of a lease is ``None`` where requests go out bare.

    Attributes:
        account: The storage account; ``None`` until the endpoint tells it.
        renewable: Whether asking again can give something else.
    """

    provider: ClassVar[str] = "azure"
    expired_codes = frozenset({"InvalidAuthenticationInfo"})
    # https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
    skew_codes = frozenset({"AuthenticationFailed"})

    def __init__(self, method: Method) -> None:
        self._method = method
        self.auth_type = method.auth_type
        self.source = method.source
        self.account = method.account
        self.anonymous = method.auth_type == "anonymous"
        self.renewable = method.renewable
        self._tokens: TokenSource[Access | None] = TokenSource(self._fetch, name=f"Azure {self.auth_type} credentials")

    def current(self) -> Lease[Access | None] | None:
        return self._tokens.current()

    async def get(self) -> Lease[Access | None]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[Access | None] | None = None) -> Lease[Access | None]:
        """
        Return another lease than *stale*, or *stale* itself where there can be no other.
        """
        if not self.renewable:
            return stale or await self.get()
        return await self._tokens.refresh(stale)

    def service_endpoint(self, service: str = "blob") -> str | None:
        """
        Return where a connection string says that the blobs are.
        """
        return self._method.endpoint

    async def aclose(self) -> None:
        await self._tokens.aclose()

    def apply(
        self, request: aiohttp.ClientRequest, lease: Lease[Access | None], clock_offset: float, scope: Scope
    ) -> None:
        headers, url = request.headers, request.url
        headers.setdefault("x-ms-version", API_VERSION)
        if lease.value is None:
            return
        headers["x-ms-date"] = formatdate(time.time() + clock_offset, usegmt=True)
        signed = [
            (lower, value)
            for name, value in headers.items()
            if (lower := name.lower()) in _SIGNED or lower.startswith("x-ms-")
        ]
        length = int(headers.get("Content-Length", 0))
        # Signed before, if this is another attempt.
        bare = without_sas(url.raw_query_string)
        query, added = lease.value.authorize(request.method, url.raw_path, bare, signed, length)
        if query != url.raw_query_string:
            request.url = URL.build(
                scheme=url.scheme, authority=url.raw_authority, path=url.raw_path, query_string=query, encoded=True
            )
        headers.update(added)

    async def _fetch(self) -> Grant[Access | None]:
        grant = await self._method.fetch()
        if isinstance(grant.value, KeyAccess) and not grant.value.key.account:
            if not self.account:
                raise ConfigurationError("an account_key needs the account_name that it belongs to")
            return replace(grant, value=KeyAccess(replace(grant.value.key, account=self.account)))
        return grant
