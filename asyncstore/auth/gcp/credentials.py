"""
Google credentials: tokens from files, the machine, other identity providers and impersonation.

None of the methods needs an SDK; service account keys need cryptography.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yarl import URL

from asyncstore.auth.credentials import Scope
from asyncstore.auth.gcp.documents import GCPContext
from asyncstore.auth.gcp.endpoints import emulator_host, is_service
from asyncstore.auth.gcp.goog4 import HMACSigner, URLSigner
from asyncstore.auth.gcp.iam import IAM_SCOPES
from asyncstore.auth.gcp.identity import UNIVERSE, Identity, Token
from asyncstore.auth.gcp.lookup import GCPMethod, method_for
from asyncstore.auth.gcp.methods import AUTH_TYPES, METHODS, SETTINGS, TABLE
from asyncstore.auth.gcp.sdk import GCloudToken
from asyncstore.auth.methods import MAX_LINKS
from asyncstore.auth.renewed import RenewedCredentials
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease, Secret
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, NotSupportedError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "METHODS", "SETTINGS", "GCPCredentials", "gcp_credentials"]

_SIGN_NOTHING: Final = frozenset({"anonymous", "authorized_user", "external_account_authorized_user", "token"})

# Seconds for one refresh: an executable may take two minutes, and two requests can follow it.
_TIMEOUT: Final = 180.0

_PROJECT: Final = "x-goog-user-project"


def gcp_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    http: HTTPOptions | None = None,
) -> GCPCredentials:
    """
    Return the credentials that *auth* and *settings* describe; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for
    the driver. An HMAC key (``hmac_access_id``, ``hmac_secret``) is used to sign URLs
    only.

    Args:
        http: TLS and proxy settings for requesting tokens.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    return _credentials(auth or AuthConfig(), settings, TokenService(http), http, None, 1)


def _credentials(
    auth: AuthConfig,
    settings: MutableMapping[str, Any] | None,
    service: TokenService,
    http: HTTPOptions | None,
    scopes: tuple[str, ...] | None,
    depth: int,
) -> GCPCredentials:
    if depth > MAX_LINKS:
        raise ConfigurationError(f"more than {MAX_LINKS} accounts, each impersonating the next")

    def source(source_auth: AuthConfig) -> GCPCredentials:
        return _credentials(source_auth, None, service, http, IAM_SCOPES, depth + 1)

    links = TABLE.links(auth, settings)
    context = GCPContext(service, http, _credentials_of, source, scopes, has_fallback=len(links) > 1)
    methods = [TABLE.choose(link.auth_type, own, context) for link, own in links]
    return GCPCredentials(methods, hmac=_hmac(links[0][1]), region=auth.region)


class GCPCredentials(RenewedCredentials["Secret | None", GCPMethod]):
    """
    A bearer token, refreshed before it expires; made by :func:`gcp_credentials`.

    The value of a lease is ``None`` for anonymous requests.
    """

    provider: ClassVar[str] = "gcs"
    provider_name: ClassVar[str] = "Google"

    def __init__(
        self, methods: Sequence[GCPMethod], *, hmac: HMACSigner | None = None, region: str | None = None
    ) -> None:
        super().__init__(methods, region=region, timeout=_TIMEOUT)
        self._hmac = hmac
        self._identity: Identity | None = None

    @property
    def universe_domain(self) -> str:
        """The cloud that the identity belongs to; the public one until the first token."""
        return UNIVERSE if self._identity is None else self._identity.universe_domain

    @property
    def quota_project(self) -> str | None:
        """The project to bill and count quota for, if not the identity's own; known with the first token."""
        return None if self._identity is None else self._identity.quota_project

    def identity(self) -> dict[str, str]:
        account = None if self._identity is None else self._identity.account
        return {**super().identity(), **({"account": account} if account else {})}

    def describe(self) -> dict[str, str]:
        described = super().describe()
        if self._identity is not None and self._identity.account is not None:
            described["account"] = self._identity.account
        if self.quota_project is not None:
            described["quota_project"] = self.quota_project
        return described

    async def region(self) -> str | None:
        """
        Return the region of the settings, else that of the machine if its metadata server issues the tokens.
        """
        # Before the first token the identity is unknown.
        return await super().region() if self._identity is not None else self._region

    def service_endpoint(self, service: str = "storage") -> str | None:
        """
        Return the URL in ``STORAGE_EMULATOR_HOST`` for ``"storage"``; other services have no variable.
        """
        return emulator_host() if service == "storage" else None

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return a scope if *url* is an HTTPS address in the identity's cloud, else ``None``.
        """
        return Scope("auto", "storage") if is_service(url, self.universe_domain) else None

    def headers(self, token: Token) -> dict[str, str]:
        """
        Return the headers of a request with *token*, and the quota project if there is one.
        """
        if token is None:
            return {}
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        if self.quota_project is not None:
            # https://cloud.google.com/docs/quotas/set-quota-project
            headers[_PROJECT] = self.quota_project
        return headers

    def apply(self, request: aiohttp.ClientRequest, lease: Lease[Token], clock_offset: float, scope: Scope) -> None:
        headers = self.headers(lease.value)
        if _PROJECT in request.headers:
            headers.pop(_PROJECT, None)
        request.headers.update(headers)

    @property
    def may_sign(self) -> bool:
        """Whether URLs can be signed, as far as is known before any file is read."""
        return self._hmac is not None or self.auth_type not in _SIGN_NOTHING

    async def url_signer(self) -> URLSigner:
        """
        Return a signer of URLs: the HMAC key if one is set, else a key of the service account.

        A Google-managed key needs a request for each URL.

        Raises:
            NotSupportedError: There is neither of them.
            StorageError: No credentials could be obtained.
        """
        if self._hmac is not None:
            return self._hmac
        if self._chain.found is None and len(self._methods) > 1:
            await self.get()
        identity = await self._used.lookup.identity()
        signer = await identity.signer()
        if signer is None:
            raise NotSupportedError(
                f"{identity.auth_type} credentials cannot sign URLs: use a service account, impersonate one with "
                "target_principal, or set hmac_access_id and hmac_secret",
                provider=self.provider,
                op="sign",
            )
        return signer

    def for_gcloud(self) -> Any:
        """
        Return an object for the ``token`` argument of gcloud-aio's clients; it refreshes itself.

        Use it as in ``Storage(session=session, token=credentials.for_gcloud())``.
        """
        return GCloudToken(self)

    async def _fetch(self) -> Grant[Token]:
        grant = await super()._fetch()
        # The identity says which method the default chain ended at.
        identity = self._identity = await self._used.lookup.identity()
        self.auth_type, self.source = identity.auth_type, identity.source
        return grant

    async def _find_region(self) -> str | None:
        return None if self._identity is None else await self._identity.region()


def _credentials_of(identity: Identity) -> GCPCredentials:
    return GCPCredentials([method_for(identity)])


def _hmac(settings: dict[str, Any]) -> HMACSigner | None:
    access_id, secret = settings.get("hmac_access_id"), settings.get("hmac_secret")
    if not access_id and not secret:
        return None
    if not access_id or not secret:
        raise ConfigurationError("an HMAC key needs hmac_access_id and hmac_secret: set both")
    return HMACSigner(str(access_id), secret if isinstance(secret, Secret) else Secret(str(secret)))
