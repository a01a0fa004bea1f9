"""
Google credentials: tokens from files, the machine, other identity providers and other accounts.

The methods are declared in :mod:`asyncstore.auth.gcp_table`. None of them needs an
SDK; keys of service accounts need cryptography.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yarl import URL

from asyncstore.auth.chain import MAX_LINKS, Chain, configurations
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.gcp_documents import Surroundings
from asyncstore.auth.gcp_endpoints import emulator_host, is_service
from asyncstore.auth.gcp_iam import IAM_SCOPES
from asyncstore.auth.gcp_identity import UNIVERSE, Identity, Token
from asyncstore.auth.gcp_lookup import Method, Outcome, held
from asyncstore.auth.gcp_methods import (
    AUTH_TYPES,
    SETTINGS,
    choose,
    known_settings,
    take_settings,
)
from asyncstore.auth.gcp_sdk import GCloudToken
from asyncstore.auth.gcp_table import METHODS
from asyncstore.auth.goog4 import HMACSigner, URLSigner
from asyncstore.auth.sigv4 import Scope
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease, Secret, TokenSource
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, NotSupportedError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "METHODS", "SETTINGS", "GCPCredentials", "gcp_credentials"]

_SIGN_NOTHING: Final = frozenset({"anonymous", "authorized_user", "external_account_authorized_user", "token"})

#: Seconds for one token: a program may take two minutes, and there can be two requests after it.
_TIMEOUT: Final = 180.0

_PROJECT: Final = "x-goog-user-project"


def gcp_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    http: HTTPOptions | None = None,
) -> GCPCredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for
    the driver. An HMAC key (``hmac_access_id``, ``hmac_secret``) signs URLs, and
    nothing else.

    Args:
        http: Whom to trust where tokens are asked for, and which proxy leads there.

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
        raise ConfigurationError(f"more than {MAX_LINKS} accounts, each of which has tokens of the next")

    def source(source_auth: AuthConfig) -> GCPCredentials:
        return _credentials(source_auth, None, service, http, IAM_SCOPES, depth + 1)

    def hold(identity: Identity) -> GCPCredentials:
        return GCPCredentials([held(identity)])

    taken = take_settings({} if settings is None else settings)
    links = configurations(auth, "gcs", "gcp", "google", "gs")
    around = Surroundings(service, http, hold, source, scopes, alone=len(links) == 1)
    # What is set for the storage as a whole is meant for the first.
    given = [{**taken, **known_settings(links[0])}, *(known_settings(link) for link in links[1:])]
    methods = [choose(link.auth_type, own, around) for link, own in zip(links, given, strict=True)]
    return GCPCredentials(methods, hmac=_hmac(given[0]), region=auth.region)


class GCPCredentials(Credentials["Secret | None"]):
    """
    A bearer token and whatever keeps it fresh; made by :func:`gcp_credentials`.

    The value of a lease is ``None`` where requests are to stay as they are.
    """

    provider: ClassVar[str] = "gcs"

    def __init__(self, methods: list[Method], *, hmac: HMACSigner | None = None, region: str | None = None) -> None:
        self._methods = methods
        self._hmac = hmac
        self._region = region
        self._looked = region is not None
        self._identity: Identity | None = None
        self.auth_type = methods[0].auth_type
        self.source = methods[0].source
        self.anonymous = self.auth_type == "anonymous"
        self._chain: Chain[Method, Outcome] = Chain(methods, name="Google", provider=self.provider)
        self._tokens: TokenSource[Token] = TokenSource(
            self._fetch, name=f"Google {self.auth_type} credentials", timeout=_TIMEOUT
        )

    def current(self) -> Lease[Token] | None:
        return self._tokens.current()

    async def get(self) -> Lease[Token]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[Token] | None = None) -> Lease[Token]:
        return await self._tokens.refresh(stale)

    async def aclose(self) -> None:
        await self._tokens.aclose()
        for method in self._methods:
            await method.aclose()

    @property
    def universe_domain(self) -> str:
        """The cloud that the identity belongs to, as far as is known."""
        return UNIVERSE if self._identity is None else self._identity.universe_domain

    @property
    def quota_project(self) -> str | None:
        """The project that use is counted for, where it is not the identity's own; known with the first token."""
        return None if self._identity is None else self._identity.quota_project

    def setting_sources(self) -> dict[str, str]:
        return self._used.given.sources()

    def identity(self) -> dict[str, str]:
        account = None if self._identity is None else self._identity.account
        return {**self._used.given.identity(), **({"account": account} if account else {})}

    def describe(self) -> dict[str, str]:
        described = super().describe()
        if self._identity is not None and self._identity.account is not None:
            described["account"] = self._identity.account
        if self.quota_project is not None:
            described["quota_project"] = self.quota_project
        return described

    async def region(self) -> str | None:
        """
        Return the region given, else that of the machine if its metadata server gives the tokens.
        """
        if not self._looked and self._identity is not None:
            self._region = await self._identity.region()
            self._looked = True
        return self._region

    def service_endpoint(self, service: str = "storage") -> str | None:
        """
        Return ``STORAGE_EMULATOR_HOST`` for ``"storage"``; other services have no variable.
        """
        return emulator_host() if service == "storage" else None

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return a scope if *url* is an address of the identity's cloud; ``None`` if it is not.
        """
        return Scope("auto", "storage") if is_service(url, self.universe_domain) else None

    def headers(self, lease: Lease[Token]) -> dict[str, str]:
        """
        Return what a request carries, a project to count it for included.
        """
        if lease.value is None:
            return {}
        headers = {"Authorization": f"Bearer {lease.value.reveal()}"}
        if self.quota_project is not None:
            # https://cloud.google.com/docs/quotas/set-quota-project
            headers[_PROJECT] = self.quota_project
        return headers

    def apply(self, request: aiohttp.ClientRequest, lease: Lease[Token], clock_offset: float, scope: Scope) -> None:
        headers = self.headers(lease)
        if _PROJECT in request.headers:
            headers.pop(_PROJECT, None)
        request.headers.update(headers)

    @property
    def may_sign(self) -> bool:
        """Whether URLs can be signed, as far as it is known before any file is read."""
        return self._hmac is not None or self.auth_type not in _SIGN_NOTHING

    async def url_signer(self) -> URLSigner:
        """
        Return what signs URLs: the HMAC key if one is set, else a key of the service account.

        A key that only Google has signs by a request for each URL.

        Raises:
            NotSupportedError: There is neither.
            StorageError: There are no credentials.
        """
        if self._hmac is not None:
            return self._hmac
        if self._chain.found is None and len(self._methods) > 1:
            await self.get()
        identity = await self._used.identity()
        signer = await identity.signer()
        if signer is None:
            raise NotSupportedError(
                f"{identity.auth_type} credentials sign no URLs: use a service account, its own or by "
                "target_principal, or set hmac_access_id and hmac_secret",
                provider=self.provider,
                op="sign",
            )
        return signer

    def for_gcloud(self) -> Any:
        """
        Return these credentials as the clients of gcloud-aio take them, renewed as needed.

        They are for ``token=``, as in ``Storage(session=session, token=credentials.for_gcloud())``.
        """
        return GCloudToken(self)

    @property
    def _used(self) -> Method:
        return self._chain.found or self._methods[0]

    async def _fetch(self) -> Grant[Token]:
        grant, identity = await self._chain.fetch()
        # The first token shows what the default came to.
        self._identity = identity
        self.auth_type, self.source = identity.auth_type, identity.source
        return grant


def _hmac(settings: dict[str, Any]) -> HMACSigner | None:
    access_id, secret = settings.get("hmac_access_id"), settings.get("hmac_secret")
    if not access_id and not secret:
        return None
    if not access_id or not secret:
        raise ConfigurationError("an HMAC key is hmac_access_id and hmac_secret: give both")
    return HMACSigner(str(access_id), secret if isinstance(secret, Secret) else Secret(str(secret)))
