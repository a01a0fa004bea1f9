"""
GitHub credentials: a token from the settings, the environment or an app installation, or none.

Like GitHub's own command line (https://cli.github.com/manual/gh_help_environment),
``GH_TOKEN`` and ``GITHUB_TOKEN`` are for github.com, subdomains of ghe.com and this
machine, ``GH_ENTERPRISE_TOKEN`` and ``GITHUB_ENTERPRISE_TOKEN`` for other hosts: a
token is never sent to a host that it is not meant for. In GitHub Actions the first
two are also for the server that ``GITHUB_API_URL`` names. ``GH_HOST`` names the host if nothing else does.
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yarl import URL

from asyncstore.auth.credentials import Scope
from asyncstore.auth.github.app import API_VERSION
from asyncstore.auth.github.methods import API_URL, AUTH_TYPES, METHODS, SETTINGS, TABLE, GitHubContext, Token
from asyncstore.auth.methods import Method
from asyncstore.auth.renewed import RenewedCredentials
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Lease
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import is_loopback

if TYPE_CHECKING:
    import aiohttp

_HOST: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::\d{1,5})?")

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
    Return the credentials that *auth* and *settings* describe; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for
    the driver. A function that returns the token is called again when GitHub rejects
    the token; a plain function runs in a thread.

    Args:
        http: TLS and proxy settings for requesting an app's tokens.
        api_url: The API that the token is for; by default ``base_url``, ``GITHUB_API_URL`` or the host in ``GH_HOST``.
        repository: ``owner/repo`` by which to look up an app's installation if no setting names it.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    options = http or HTTPOptions()
    service = TokenService(options)
    methods: list[Method[Token]] = []
    for link, known in TABLE.links(auth, settings):
        api_url = _same_api(api_url, known.get("base_url"))
        context = GitHubContext(api_url, repository, service, options.allow_http)
        methods.append(TABLE.choose(link.auth_type, known, context))
    return GitHubCredentials(methods, api_url or default_api_url())


class GitHubCredentials(RenewedCredentials[Token, Method[Token]]):
    """
    A token, refreshed if it expires; made by :func:`github_credentials`.

    The value of a lease is ``None`` for requests without a token. A token that is
    text in the settings is never refreshed.
    """

    provider: ClassVar[str] = "github"
    provider_name: ClassVar[str] = "GitHub"

    def __init__(self, methods: list[Method[Token]], api_url: str) -> None:
        super().__init__(methods)
        self._api = URL(api_url)

    def service_endpoint(self, service: str = "api") -> str | None:
        """
        Return the URL of the API.
        """
        return str(self._api)

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return a scope if *url* is on the host of the API, or on the host for uploads that belongs to it.
        """
        host = (self._api.raw_host or "").removeprefix("api.")
        uploads = URL.build(scheme="https", host=f"uploads.{host}") if self._api.scheme == "https" else None
        protected = url.scheme == "https" or is_loopback(url.host or "")
        ours = protected and url.origin() in (self._api.origin(), uploads)
        return Scope("", "github") if ours else None

    def apply(self, request: aiohttp.ClientRequest, lease: Lease[Token], clock_offset: float, scope: Scope) -> None:
        request.headers.update(headers_of(lease.value))


def headers_of(token: Token) -> dict[str, str]:
    """
    Return the header that carries *token*; no header for ``None``.
    """
    return {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}


def default_api_url() -> str:
    """
    Return the URL of the API if no setting names it: ``GITHUB_API_URL``, else that of the host in ``GH_HOST``.

    Raises:
        ConfigurationError: ``GH_HOST`` is not a host.
    """
    if named := os.environ.get("GITHUB_API_URL"):
        return named
    host = os.environ.get("GH_HOST", "").strip().lower()
    if host in ("", "github.com", "api.github.com"):
        return API_URL
    if not _HOST.fullmatch(host):
        raise ConfigurationError("GH_HOST must be a host such as github.example.com, without a scheme or path")
    # https://docs.github.com/enterprise-cloud@latest/admin/data-residency/network-details-for-ghecom
    return f"https://api.{host}" if host.endswith(".ghe.com") else f"https://{host}/api/v3"


def _same_api(api_url: str | None, named: Any) -> str:
    if named is None:
        return api_url or default_api_url()
    if not isinstance(named, str) or not URL(named).absolute:
        raise ConfigurationError(f"base_url is the URL of an API, not {named!r}")
    if api_url is not None and URL(api_url) != URL(named.rstrip("/")):
        raise ConfigurationError(f"base_url {named} and the endpoint {api_url} differ: a token is for one API")
    return named.rstrip("/")
