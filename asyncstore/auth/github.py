"""
GitHub credentials: a token, from the settings or the environment, or none.

=============== ==========================================================
``auth_type``   where the token comes from
=============== ==========================================================
``token``       settings: text, a :class:`Secret`, or a function
``environment`` the variables below
``anonymous``   nowhere: 60 requests an hour, and public repositories only
``default``     settings, then the environment, else anonymous
=============== ==========================================================

As for GitHub's own command line (https://cli.github.com/manual/gh_help_environment),
``GH_TOKEN`` and ``GITHUB_TOKEN`` are for github.com, subdomains of ghe.com and this
machine, ``GH_ENTERPRISE_TOKEN`` and ``GITHUB_ENTERPRISE_TOKEN`` for other hosts: a
token never goes to a host that it is not meant for. Inside GitHub Actions the first
two are for the server that ``GITHUB_API_URL`` names, too.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

import anyio.to_thread

from asyncstore.auth.credentials import Credentials, Scope, is_loopback
from asyncstore.auth.tokens import Grant, Lease, Secret, TokenSource
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError

if TYPE_CHECKING:
    import aiohttp

#: Where the API of github.com is; ``GITHUB_API_URL`` replaces it.
API_URL: Final = "https://api.github.com"

#: Settings that :func:`github_credentials` takes.
SETTINGS: Final = ("token", "anonymous")

AUTH_TYPES: Final = ("default", "token", "environment", "anonymous")

_OWN: Final = ("GH_TOKEN", "GITHUB_TOKEN")
_ENTERPRISE: Final = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")


def github_credentials(
    auth: AuthConfig | None = None, settings: MutableMapping[str, Any] | None = None, *, api_url: str = API_URL
) -> GitHubCredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for
    the driver. A function that gives the token is called again when GitHub refuses
    what it gave, a plain one in a thread.

    Args:
        api_url: Whom the token is for.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    chosen = auth or AuthConfig()
    own = dict(chosen.settings)
    given = _take({} if settings is None else settings) | _take(own)
    if own:
        raise ConfigurationError(f"unknown settings {sorted(own)} for GitHub; known are {sorted(SETTINGS)}")
    if chosen.fallback is not None:
        raise ConfigurationError("GitHub credentials take no fallback: default tries all there are")
    return GitHubCredentials(_method(chosen.auth_type, given), given.get("token"), api_url)


class GitHubCredentials(Credentials["Secret | None"]):
    """
    A token and what renews it; made by :func:`github_credentials`.

    The value of a lease is ``None`` where requests go without one.
    """

    provider: ClassVar[str] = "github"

    def __init__(self, auth_type: str, token: Any, api_url: str) -> None:
        self.auth_type = auth_type
        self.anonymous = auth_type == "anonymous"
        self.source = "settings" if auth_type == "token" else auth_type
        self._token = token
        self._api_url = api_url
        self._tokens: TokenSource[Secret | None] = TokenSource(self._fetch, name=f"GitHub {auth_type} credentials")

    def current(self) -> Lease[Secret | None] | None:
        return self._tokens.current()

    async def get(self) -> Lease[Secret | None]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[Secret | None] | None = None) -> Lease[Secret | None]:
        """
        Return what the function gives now; text in the settings stays what it is.
        """
        if stale is not None and self.auth_type == "token" and not callable(self._token):
            return stale
        return await self._tokens.refresh(stale)

    async def aclose(self) -> None:
        await self._tokens.aclose()

    def apply(
        self, request: aiohttp.ClientRequest, lease: Lease[Secret | None], clock_offset: float, scope: Scope
    ) -> None:
        request.headers.update(headers_of(lease.value))

    async def _fetch(self) -> Grant[Secret | None]:
        if self.auth_type == "anonymous":
            return Grant(None)
        if self.auth_type == "token":
            return Grant(await _secret(self._token))
        for name in _variables(self._api_url):
            if value := os.environ.get(name, "").strip():
                self.source = name
                return Grant(Secret(value))
        if self.auth_type == "default":
            self.source = "nowhere: anonymous"
            return Grant(None)
        raise UnauthenticatedError(f"none of {', '.join(_variables(self._api_url))} is set", provider=self.provider)


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


def _take(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    taken = {name: settings.pop(name) for name in SETTINGS if name in settings}
    return {name: value for name, value in taken.items() if value is not None}


def _method(auth_type: str, given: Mapping[str, Any]) -> str:
    anonymous = flag(given.get("anonymous", False))
    if auth_type not in AUTH_TYPES:
        raise ConfigurationError(f"GitHub has no auth_type {auth_type!r}; it has {', '.join(AUTH_TYPES)}")
    if auth_type == "token" and "token" not in given:
        raise ConfigurationError("auth_type 'token' needs token")
    if "token" in given and (anonymous or auth_type not in ("default", "token")):
        raise ConfigurationError("anonymous access and the environment need no token: leave out one or the other")
    if anonymous and auth_type not in ("default", "anonymous"):
        raise ConfigurationError(f"auth_type {auth_type!r} is not anonymous: leave out one or the other")
    if auth_type == "default":
        return "anonymous" if anonymous else "token" if "token" in given else "default"
    return auth_type


def _variables(api_url: str) -> tuple[str, ...]:
    host = urlsplit(api_url).hostname or ""
    ours = host in ("github.com", "api.github.com") or host.endswith(".ghe.com") or is_loopback(host)
    if ours or api_url.rstrip("/") == os.environ.get("GITHUB_API_URL", "").rstrip("/"):
        return _OWN
    return _ENTERPRISE


async def _secret(value: Any) -> Secret:
    if inspect.iscoroutinefunction(value):
        value = await value()
    elif callable(value):
        value = await anyio.to_thread.run_sync(value)
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise ConfigurationError(f"token is text, a Secret or a function that returns one, not {type(text).__name__}")
    if not text.strip():
        raise UnauthenticatedError("the token is empty", provider="github")
    return Secret(text.strip())
