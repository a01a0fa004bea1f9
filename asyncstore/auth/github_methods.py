"""
The ways to find a GitHub token, and which of them some settings mean.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.credentials import is_loopback, require_tls
from asyncstore.auth.github_app import AppInstallation
from asyncstore.auth.github_table import ENTERPRISE, METHODS, OWN
from asyncstore.auth.method import Given, check_settings, method_of, own_names
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError

#: Where the API of github.com is; ``GITHUB_API_URL`` replaces it.
API_URL: Final = "https://api.github.com"

_NAMES: Final = own_names(METHODS)

#: Settings that :func:`github_credentials` takes.
SETTINGS: Final = tuple(dict.fromkeys(_NAMES.values()))

AUTH_TYPES: Final = tuple(method.auth_type for method in METHODS)

# What a setting says of the method, if none is named; the first one counts.
_IMPLIED: Final = {
    "token": "token",
    "app_id": "app",
    "private_key": "app",
    "private_key_file": "app",
    "installation_id": "app",
}

#: A token (``None`` for requests without one) and where it came from.
Outcome = tuple[Grant["Secret | None"], str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What all methods of one configuration share.

    Attributes:
        api_url: Whom the token is for.
        repository: ``owner/repo`` of the storage.
    """

    api_url: str
    repository: str | None
    service: TokenService
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """
    One way to find a token, chosen by the settings.

    Attributes:
        fetch: Gives a token, and says where it came from.
        fixed: Whether it is the same one always.
    """

    auth_type: str
    source: str
    given: Given
    fetch: Callable[[], Awaitable[Outcome]] = field(repr=False)
    fixed: bool = False


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    """
    Take what is for credentials out of *settings*, under its own names.
    """
    taken: dict[str, Any] = {}
    for name in [name for name in _NAMES if name in settings]:
        own = _NAMES[name]
        if own in taken:
            raise ConfigurationError(f"give {own} or {name}, not both")
        taken[own] = settings.pop(name)
    return {name: value for name, value in taken.items() if value is not None}


def known_settings(auth: AuthConfig) -> dict[str, Any]:
    """
    Return the settings of *auth*, all of which must be known.
    """
    rest = dict(auth.settings)
    known = take_settings(rest)
    if rest:
        raise ConfigurationError(f"unknown settings {sorted(rest)} for GitHub; known are {sorted(SETTINGS)}")
    return known


def choose(auth_type: str, settings: Mapping[str, Any], around: Surroundings) -> Method:
    """
    Return the method that *auth_type* names, or that the settings imply.

    Raises:
        ConfigurationError: There is none such, or it does not take a setting.
    """
    anonymous = flag(settings.get("anonymous", False))
    implied = next((_IMPLIED[name] for name in _IMPLIED if name in settings), None)
    if anonymous and implied is not None:
        raise ConfigurationError(f"anonymous access needs no {implied}: leave out one or the other")
    if auth_type == "default":
        auth_type = "anonymous" if anonymous else implied or "default"
    declared = method_of(METHODS, auth_type, "GitHub")
    if anonymous and auth_type != "anonymous":
        raise ConfigurationError(f"auth_type {auth_type!r} is not anonymous: leave out one or the other")
    check_settings(declared, settings)
    return _MAKERS[auth_type](Given(settings, declared.settings), around)


def _anonymous(given: Given, _: Surroundings) -> Method:
    async def fetch() -> Outcome:
        return Grant(None), "anonymous"

    return Method("anonymous", "anonymous", given, fetch, fixed=True)


def _token(given: Given, _: Surroundings) -> Method:
    value = given.settings.get("token")
    if value is None:
        raise ConfigurationError("auth_type 'token' needs token")

    async def fetch() -> Outcome:
        text = (await secret_text("token", value) or "").strip()
        if not text:
            raise UnauthenticatedError("the token is empty", provider="github")
        return Grant(Secret(text)), "settings"

    return Method("token", "settings", given, fetch, fixed=not callable(value))


def _environment(given: Given, around: Surroundings) -> Method:
    names = variables_of(around.api_url)

    async def fetch() -> Outcome:
        for name in names:
            if value := os.environ.get(name, "").strip():
                return Grant(Secret(value)), name
        raise MissingCredentialsError(f"none of {', '.join(names)} is set", provider="github")

    return Method("environment", "environment", given, fetch)


def _app(given: Given, around: Surroundings) -> Method:
    require_tls(around.api_url, allow_http=around.allow_http)
    app = AppInstallation(given, around.service, api_url=around.api_url, repository=around.repository)

    async def fetch() -> Outcome:
        return await app.fetch(), f"an installation of app {given.get('app_id')}"

    return Method("app", "an installation of an app", given, fetch)


def _default(given: Given, around: Surroundings) -> Method:
    environment = _environment(given, around)

    async def fetch() -> Outcome:
        try:
            return await environment.fetch()
        except MissingCredentialsError:
            return Grant(None), "nowhere: anonymous"

    return Method("default", "environment", given, fetch)


def variables_of(api_url: str) -> tuple[str, ...]:
    """
    Return the variables whose token is meant for the host of *api_url*, and for no other.
    """
    host = urlsplit(api_url).hostname or ""
    ours = host in ("github.com", "api.github.com") or host.endswith(".ghe.com") or is_loopback(host)
    if ours or api_url.rstrip("/") == os.environ.get("GITHUB_API_URL", "").rstrip("/"):
        return OWN
    return ENTERPRISE


_MAKERS: Final[Mapping[str, Callable[[Given, Surroundings], Method]]] = {
    "default": _default,
    "token": _token,
    "environment": _environment,
    "app": _app,
    "anonymous": _anonymous,
}
