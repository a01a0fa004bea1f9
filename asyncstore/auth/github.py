"""
GitHub credentials: a token from the settings, the environment or an app's installation, or none.

The methods are declared in :mod:`asyncstore.auth.github_table`.

As for GitHub's own command line (https://cli.github.com/manual/gh_help_environment),
``GH_TOKEN`` and ``GITHUB_TOKEN`` are for github.com, subdomains of ghe.com and this
machine, ``GH_ENTERPRISE_TOKEN`` and ``GITHUB_ENTERPRISE_TOKEN`` for other hosts: a
token never goes to a host that it is not meant for. Inside GitHub Actions the first
two are for the server that ``GITHUB_API_URL`` names, too.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar

from yarl import URL

from asyncstore.auth.chain import Chain, configurations
from asyncstore.auth.credentials import Credentials, Scope, is_loopback
from asyncstore.auth.github_app import API_VERSION
from asyncstore.auth.github_methods import (
    API_URL,
    AUTH_TYPES,
    SETTINGS,
    Method,
    Outcome,
    Surroundings,
    choose,
    known_settings,
    take_settings,
)
from asyncstore.auth.github_table import METHODS
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease, Secret, TokenSource
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["API_URL", "API_VERSION", "AUTH_TYPES", "METHODS", "SETTINGS", "GitHubCredentials", "github_credentials"]


def github_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    http: HTTPOptions | None = None,
    api_url: str | None = None,
    repository: str | None = None,
) -> GitHubCredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for
    the driver. A function that gives the token is called again when GitHub refuses
    what it gave, a plain one in a thread.

    Args:
        http: Whom to trust where an app's tokens are asked for, and which proxy leads there.
        api_url: Whom the token is for; by default what ``base_url`` or ``GITHUB_API_URL`` names.
        repository: ``owner/repo`` by which an app's installation is looked up if no setting names it.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    options = http or HTTPOptions()
    service = TokenService(options)
    taken = take_settings({} if settings is None else settings)
    methods: list[Method] = []
    for link in configurations(auth or AuthConfig(), "github"):
        # What is set for the storage as a whole is meant for the first.
        given = known_settings(link) if methods else {**taken, **known_settings(link)}
        api_url = _same_api(api_url, given.get("base_url"))
        methods.append(choose(link.auth_type, given, Surroundings(api_url, repository, service, options.allow_http)))
    return GitHubCredentials(methods, api_url or default_api_url())


class GitHubCredentials(Credentials["Secret | None"]):
    """
    A token and what renews it; made by :func:`github_credentials`.

    The value of a lease is ``None`` where requests go without one.
    """

    provider: ClassVar[str] = "github"

    def __init__(self, methods: list[Method], api_url: str) -> None:
        self._methods = methods
        self._api = URL(api_url)
        self.auth_type = methods[0].auth_type
        self.source = methods[0].source
        self.anonymous = self.auth_type == "anonymous"
        self._chain: Chain[Method, Outcome] = Chain(methods, name="GitHub", provider=self.provider)
        self._tokens: TokenSource[Secret | None] = TokenSource(self._fetch, name=f"GitHub {self.auth_type} credentials")

    def current(self) -> Lease[Secret | None] | None:
        return self._tokens.current()

    async def get(self) -> Lease[Secret | None]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[Secret | None] | None = None) -> Lease[Secret | None]:
        """
        Return what the function or the app gives now; text in the settings stays what it is.
        """
        if stale is not None and self._used.fixed:
            return stale
        return await self._tokens.refresh(stale)

    async def aclose(self) -> None:
        await self._tokens.aclose()

    def setting_sources(self) -> dict[str, str]:
        return self._used.given.sources()

    def identity(self) -> dict[str, str]:
        return self._used.given.identity()

    def service_endpoint(self, service: str = "api") -> str | None:
        """
        Return where the API is.
        """
        return str(self._api)

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return that *url* is GitHub's if it is on the host of the API, or on that for uploads beside it.
        """
        host = (self._api.raw_host or "").removeprefix("api.")
        uploads = URL.build(scheme="https", host=f"uploads.{host}") if self._api.scheme == "https" else None
        protected = url.scheme == "https" or is_loopback(url.host or "")
        ours = protected and url.origin() in (self._api.origin(), uploads)
        return Scope("", "github") if ours else None

    def apply(
        self, request: aiohttp.ClientRequest, lease: Lease[Secret | None], clock_offset: float, scope: Scope
    ) -> None:
        request.headers.update(headers_of(lease.value))

    @property
    def _used(self) -> Method:
        return self._chain.found or self._methods[0]

    async def _fetch(self) -> Grant[Secret | None]:
        grant, self.source = await self._chain.fetch()
        # Where there are fallbacks the first token shows what it came to.
        self.auth_type = self._used.auth_type
        return grant


def headers_of(token: Secret | None) -> dict[str, str]:
    """
    Return the header that shows *token*; none for ``None``.
    """
    return {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}


def default_api_url() -> str:
    """
    Return where the API is if no setting says so.
    """
    return os.environ.get("GITHUB_API_URL") or API_URL


def _same_api(api_url: str | None, named: Any) -> str:
    if named is None:
        return api_url or default_api_url()
    if not isinstance(named, str) or not URL(named).absolute:
        raise ConfigurationError(f"base_url is the address of an API, not {named!r}")
    if api_url is not None and URL(api_url) != URL(named.rstrip("/")):
        raise ConfigurationError(f"the token would be for {named}, and the storage is at {api_url}")
    return named.rstrip("/")
