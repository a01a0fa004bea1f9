"""
Azure Storage credentials: account keys, SAS tokens and Microsoft Entra tokens.

None of the methods needs Microsoft's SDK.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yarl import URL

from asyncstore.auth.azure import sdk as azure_sdk
from asyncstore.auth.azure.access import Access, KeyAccess
from asyncstore.auth.azure.challenge import Challenge, Demand, read_demand
from asyncstore.auth.azure.entra import AUTHORITIES, AUTHORITY
from asyncstore.auth.azure.methods import AUTH_TYPES, METHODS, SETTINGS, TABLE, AzureContext, AzureMethod
from asyncstore.auth.azure.sas import without_sas
from asyncstore.auth.azure.token import SCOPE
from asyncstore.auth.credentials import Scope
from asyncstore.auth.renewed import RenewedCredentials
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import is_loopback

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "METHODS", "SCOPE", "SETTINGS", "AzureCredentials", "azure_credentials"]

#: The service version that is sent with requests that have no ``x-ms-version``:
#: https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services
API_VERSION: Final = "2026-02-06"

# Headers that Shared Key covers besides ``x-ms-``.
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

# Services with the same authorization; tables and files differ.
# https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints
_HOST: Final = re.compile(
    r"([a-z0-9]{3,24})(?:-secondary)?\.(?:z\d+\.)?(?:blob|dfs|queue)\."
    r"(?:core\.windows\.net|storage\.azure\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net)"
)


def azure_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    http: HTTPOptions | None = None,
    account: str | None = None,
    endpoint_suffix: str | None = None,
) -> AzureCredentials:
    """
    Create the credentials that *auth* and *settings* describe. Nothing is read or sent yet.

    Names in :data:`SETTINGS`, and their ``azure_`` aliases, are removed from *settings*;
    the others stay for the driver. A secret can be text, a :class:`Secret` or a function
    that returns one of them, plain or ``async``. A plain function runs in a thread, and
    again if the provider rejects the value. ``credential`` is not closed.

    Args:
        http: TLS and proxy options for requests to token services.
        account: The storage account of the URI.
        endpoint_suffix: The DNS suffix of the account's cloud, whose token service is used by default.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    authority = AUTHORITIES.get(endpoint_suffix or "", AUTHORITY)
    context = AzureContext(TokenService(http), Challenge(), account, authority)
    methods: list[AzureMethod] = []
    for link, own in TABLE.links(auth, settings):
        methods.append(TABLE.choose(link.auth_type, own, context))
        # All methods share the account that the first one names.
        context = replace(context, account=context.account or methods[-1].account)
    return AzureCredentials(methods, context.challenge)


class AzureCredentials(RenewedCredentials["Access | None", AzureMethod]):
    """
    Authorizes Azure Storage requests and refreshes the access; created by :func:`azure_credentials`.

    The value of a lease is ``None`` for anonymous requests.

    Attributes:
        account: The storage account; ``None`` until it is known from the endpoint.
    """

    provider: ClassVar[str] = "azure"
    provider_name: ClassVar[str] = "Azure"
    # https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
    # An expired SAS token also gets AuthenticationFailed.
    expired_codes = frozenset({"InvalidAuthenticationInfo", "AuthenticationFailed"})
    skew_codes = frozenset({"AuthenticationFailed"})

    def __init__(self, methods: Sequence[AzureMethod], challenge: Challenge) -> None:
        accounts = sorted({method.account for method in methods if method.account})
        if len(accounts) > 1:
            raise ConfigurationError(f"the configuration names two storage accounts: {' and '.join(accounts)}")
        super().__init__(methods)
        self.account = accounts[0] if accounts else None
        self._challenge = challenge
        self._demand: Demand | None = None

    def note_challenge(self, headers: Mapping[str, str]) -> None:
        self._demand = read_demand(headers.get("WWW-Authenticate", ""))

    async def refresh(self, stale: Lease[Access | None] | None = None) -> Lease[Access | None]:
        demand, self._demand = self._demand, None
        with self._challenge.pending(demand):
            return await super().refresh(stale)

    def service_endpoint(self, service: str = "blob") -> str | None:
        """
        Return the Blob endpoint of the connection string, if there is one.
        """
        return next((method.endpoint for method in self._methods if method.endpoint), None)

    def identity(self) -> dict[str, str]:
        account = {"account_name": self.account} if self.account else {}
        return {**super().identity(), **account}

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return a scope for HTTPS URLs of the account's blob, data lake and queue services, else ``None``.

        Raises:
            ConfigurationError: The credentials belong to one account, and it is not known which.
        """
        endpoint = self.service_endpoint()
        if url.scheme != "https" and not is_loopback(url.host or ""):
            return None
        if endpoint is not None and URL(endpoint).origin() == url.origin():
            return Scope("", "blob")
        match = _HOST.fullmatch(url.raw_host or "")
        if match is None or url.scheme != "https" or self.account not in (None, match[1]):
            return None
        if self.account is None and self._used.auth_type in ("account_key", "sas", "connection_string"):
            raise ConfigurationError(
                "an account key or SAS token is valid for one storage account only: set account_name or pass origins"
            )
        return Scope("", "blob")

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
        # A retried request still has the SAS token of the previous attempt.
        bare = without_sas(url.raw_query_string)
        query, added = lease.value.authorize(request.method, url.raw_path, bare, signed, length)
        if query != url.raw_query_string:
            request.url = URL.build(
                scheme=url.scheme, authority=url.raw_authority, path=url.raw_path, query_string=query, encoded=True
            )
        headers.update(added)

    async def for_azure(self) -> Any:
        """
        Return an object for the ``credential`` argument of Microsoft's SDK clients.

        A token credential refreshes itself. A key or SAS token is a snapshot. ``None``
        means anonymous.

        Raises:
            ConfigurationError: A key or SAS token needs azure-core, which is not installed.
        """
        lease = await self.get()
        return azure_sdk.sdk_credential(lease.value, self)

    async def _fetch(self) -> Grant[Access | None]:
        grant = await super()._fetch()
        if isinstance(grant.value, KeyAccess) and not grant.value.key.account:
            if not self.account:
                raise ConfigurationError("account_key needs account_name: set the storage account it belongs to")
            return replace(grant, value=KeyAccess(replace(grant.value.key, account=self.account)))
        return grant
