"""
Azure Storage credentials: keys and signatures of an account, tokens of Microsoft Entra.

The methods are declared in :mod:`asyncstore.auth.azure_table`; none needs Microsoft's SDK.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yarl import URL

from asyncstore.auth import azure_sdk
from asyncstore.auth.azure_access import Access, KeyAccess
from asyncstore.auth.azure_challenge import Challenge, Demand, read_demand
from asyncstore.auth.azure_choice import AUTH_TYPES, SETTINGS, choose, known_settings, take_settings
from asyncstore.auth.azure_methods import Method, Outcome, Surroundings
from asyncstore.auth.azure_sas import without_sas
from asyncstore.auth.azure_table import METHODS
from asyncstore.auth.azure_token import SCOPE
from asyncstore.auth.chain import Chain, configurations
from asyncstore.auth.credentials import Credentials, Scope, is_loopback
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease, TokenSource
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "METHODS", "SCOPE", "SETTINGS", "AzureCredentials", "azure_credentials"]

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

# Services that take the same tokens and signatures; tables and files have their own ways.
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
) -> AzureCredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS`, some also with ``azure_`` before them, are taken out of
    *settings*; the others are left for the driver. Secrets can be text, a
    :class:`Secret` or a function that returns one of them, plain or ``async``; a
    plain one is called in a thread, and again when the provider refuses what it
    gave. ``credential`` is left open.

    Args:
        http: Whom to trust where tokens are asked for, and which proxy leads there.
        account: The storage account of the URI.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    chosen = auth or AuthConfig()
    taken = take_settings({} if settings is None else settings)
    around = Surroundings(TokenService(http), Challenge(), account)
    methods: list[Method] = []
    for link in configurations(chosen, "azure", "az"):
        # What is set for the storage as a whole is meant for the first.
        given = known_settings(link) if methods else {**taken, **known_settings(link)}
        methods.append(choose(link.auth_type, given, around))
        # It is theirs all: what the environment names is not asked for again.
        around = replace(around, account=around.account or methods[-1].account)
    return AzureCredentials(methods, around.challenge)


class AzureCredentials(Credentials["Access | None"]):
    """
    What requests are let in with, kept fresh; made by :func:`azure_credentials`.

    The value of a lease is ``None`` where requests go out bare.

    Attributes:
        account: The storage account; ``None`` until the endpoint tells it.
    """

    provider: ClassVar[str] = "azure"
    # https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
    # The second is said of a signature that has ended, too.
    expired_codes = frozenset({"InvalidAuthenticationInfo", "AuthenticationFailed"})
    skew_codes = frozenset({"AuthenticationFailed"})

    def __init__(self, methods: list[Method], challenge: Challenge) -> None:
        accounts = sorted({method.account for method in methods if method.account})
        if len(accounts) > 1:
            raise ConfigurationError(f"two storage accounts are named: {' and '.join(accounts)}")
        self.account = accounts[0] if accounts else None
        self.auth_type = methods[0].auth_type
        self.source = methods[0].source
        self.anonymous = self.auth_type == "anonymous"
        self._methods = methods
        self._challenge = challenge
        self._heeded: Demand | None = None
        self._chain: Chain[Method, Outcome] = Chain(methods, name="Azure", provider=self.provider)
        self._tokens: TokenSource[Access | None] = TokenSource(self._fetch, name=f"Azure {self.auth_type} credentials")

    @property
    def renewable(self) -> bool:
        """Whether asking again can give something else."""
        return self._used.renewable

    def current(self) -> Lease[Access | None] | None:
        return self._tokens.current()

    async def get(self) -> Lease[Access | None]:
        return await self._tokens.get()

    def heed(self, headers: Mapping[str, str]) -> None:
        self._heeded = read_demand(headers.get("WWW-Authenticate", ""))

    async def refresh(self, stale: Lease[Access | None] | None = None) -> Lease[Access | None]:
        """
        Return another lease than *stale*, or *stale* itself where there can be no other.
        """
        demand, self._heeded = self._heeded, None
        if not self.renewable:
            return stale or await self.get()
        with self._challenge.pending(demand):
            return await self._tokens.refresh(stale)

    def service_endpoint(self, service: str = "blob") -> str | None:
        """
        Return where a connection string says that the blobs are.
        """
        return next((method.endpoint for method in self._methods if method.endpoint), None)

    def setting_sources(self) -> dict[str, str]:
        return self._used.given.sources()

    def identity(self) -> dict[str, str]:
        account = {"account_name": self.account} if self.account else {}
        return {**self._used.given.identity(), **account}

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return a scope for blobs, data lakes and queues of the account over https; ``None`` for all other places.

        Raises:
            ConfigurationError: A key or signature is for one account, and nobody said for which.
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
            raise ConfigurationError("a key or signature is for one storage account: give account_name, or origins")
        return Scope("", "blob")

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

    async def for_azure(self) -> Any:
        """
        Return what clients of Microsoft's SDK take as ``credential``: these credentials, renewed as needed.

        A key or signature is the one of this moment. ``None`` is for requests that go out bare.

        Raises:
            ConfigurationError: azure-core is not installed, and it is a key or signature.
        """
        lease = await self.get()
        return azure_sdk.sdk_credential(lease.value, self)

    @property
    def _used(self) -> Method:
        return self._chain.found or self._methods[0]

    async def _fetch(self) -> Grant[Access | None]:
        grant, self.source = await self._chain.fetch()
        # Where there are fallbacks the first access shows what it came to.
        self.auth_type = self._used.auth_type
        if isinstance(grant.value, KeyAccess) and not grant.value.key.account:
            if not self.account:
                raise ConfigurationError("an account_key needs the account_name that it belongs to")
            return replace(grant, value=KeyAccess(replace(grant.value.key, account=self.account)))
        return grant
