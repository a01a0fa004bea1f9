"""
The authentication methods of GitHub.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from asyncstore.auth.github.app import AppInstallation
from asyncstore.auth.methods import AuthMethod, Method, MethodSettings, MethodTable, Setting
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, MissingCredentialsError, Secret, secret_text
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.http.origin import is_loopback, require_tls

#: The API of github.com; ``GITHUB_API_URL`` replaces it.
API_URL: Final = "https://api.github.com"

_DOCS: Final = "https://docs.github.com"

# Tokens for github.com, ghe.com and this machine, and for any other host.
# https://cli.github.com/manual/gh_help_environment
_VARIABLES: Final = ("GH_TOKEN", "GITHUB_TOKEN")
_ENTERPRISE_VARIABLES: Final = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")

_ANONYMOUS: Final = Setting("anonymous", "whether requests are sent without a token")
_API: Final = Setting("base_url", "URL of the API, instead of `https://api.github.com`", ("GITHUB_API_URL",))
_TOKEN: Final = Setting("token", "text, a `Secret` or a function", secret=True)

METHODS: Final = (
    AuthMethod(
        "default",
        "a token or an app in the settings, else a token in the environment, else anonymous",
        f"{_DOCS}/rest/authentication/authenticating-to-the-rest-api",
        (_API, _ANONYMOUS),
        (*_VARIABLES, *_ENTERPRISE_VARIABLES, "GH_HOST"),
    ),
    AuthMethod(
        "token",
        "a token in the settings: a personal access token or any other",
        f"{_DOCS}/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens",
        (_TOKEN, _API, _ANONYMOUS),
    ),
    AuthMethod(
        "environment",
        "a token in the environment variables for the host of the API",
        "https://cli.github.com/manual/gh_help_environment",
        (_API, _ANONYMOUS),
        (*_VARIABLES, *_ENTERPRISE_VARIABLES, "GH_HOST"),
    ),
    AuthMethod(
        "app",
        "an installation of a GitHub App",
        f"{_DOCS}/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation",
        (
            Setting("app_id", "client id or id of the app", ("GITHUB_APP_ID",), ("client_id",), identifies=True),
            Setting("private_key", "in PEM: text, a `Secret` or a function", ("GITHUB_APP_PRIVATE_KEY",), secret=True),
            Setting(
                "private_key_file",
                "file with the private key, read again for each token",
                ("GITHUB_APP_PRIVATE_KEY_PATH",),
                ("private_key_path",),
            ),
            Setting("installation_id", "of the app", ("GITHUB_APP_INSTALLATION_ID",), identifies=True),
            Setting("repository", "`owner/repo` to look the installation up by; by default that of the storage"),
            Setting("organization", "login of the organization or user whose installation to look up"),
            Setting("repositories", "names to restrict the token to: a list, or text separated by commas"),
            Setting("permissions", "permissions to restrict the token to: a mapping such as `{'contents': 'read'}`"),
            _API,
            _ANONYMOUS,
        ),
        refreshes=True,
        extra="github",
    ),
    AuthMethod(
        "anonymous",
        "no token: public repositories, and 60 requests an hour",
        f"{_DOCS}/rest/using-the-rest-api/rate-limits-for-the-rest-api",
        (_API, _ANONYMOUS),
    ),
)

#: A token; ``None`` for requests without one.
Token = Secret | None


@dataclass(frozen=True, slots=True)
class GitHubContext:
    """
    What all methods of one configuration share.

    Attributes:
        api_url: The API that the token is for.
        repository: ``owner/repo`` of the storage.
    """

    api_url: str
    repository: str | None
    service: TokenService
    allow_http: bool = False


def _anonymous(settings: MethodSettings, _: GitHubContext) -> Method[Token]:
    async def fetch() -> Grant[Token]:
        return Grant(None)

    return Method("anonymous", "anonymous", settings, fetch, fixed=True)


def _token(settings: MethodSettings, _: GitHubContext) -> Method[Token]:
    value = settings.explicit.get("token")
    if value is None:
        raise ConfigurationError("auth_type 'token' needs token")

    async def fetch() -> Grant[Token]:
        text = (await secret_text("token", value) or "").strip()
        if not text:
            raise UnauthenticatedError("the token is empty", provider="github")
        return Grant(Secret(text))

    return Method("token", "settings", settings, fetch, fixed=not callable(value))


def _environment(settings: MethodSettings, context: GitHubContext) -> Method[Token]:
    names = token_variables(context.api_url)

    async def fetch() -> Grant[Token]:
        for name in names:
            if value := os.environ.get(name, "").strip():
                return Grant(Secret(value), source=name)
        raise MissingCredentialsError(f"none of {', '.join(names)} is set", provider="github")

    return Method("environment", "environment", settings, fetch)


def _app(settings: MethodSettings, context: GitHubContext) -> Method[Token]:
    require_tls(context.api_url, allow_http=context.allow_http)
    app = AppInstallation(settings, context.service, api_url=context.api_url, repository=context.repository)
    return Method("app", "an installation of an app", settings, app.fetch)


def _default(settings: MethodSettings, context: GitHubContext) -> Method[Token]:
    environment = _environment(settings, context)

    async def fetch() -> Grant[Token]:
        try:
            return await environment.fetch()
        except MissingCredentialsError:
            return Grant(None, source="nowhere: anonymous")

    return Method("default", "environment", settings, fetch)


def token_variables(api_url: str) -> tuple[str, ...]:
    """
    Return the environment variables whose token is meant for the host of *api_url*.
    """
    host = urlsplit(api_url).hostname or ""
    own = host in ("github.com", "api.github.com") or host.endswith(".ghe.com") or is_loopback(host)
    if own or api_url.rstrip("/") == os.environ.get("GITHUB_API_URL", "").rstrip("/"):
        return _VARIABLES
    return _ENTERPRISE_VARIABLES


TABLE: Final[MethodTable[GitHubContext, Method[Token]]] = MethodTable(
    provider="github",
    name="GitHub",
    methods=METHODS,
    builders={
        "default": _default,
        "token": _token,
        "environment": _environment,
        "app": _app,
        "anonymous": _anonymous,
    },
    implied={
        "token": "token",
        "app_id": "app",
        "private_key": "app",
        "private_key_file": "app",
        "installation_id": "app",
    },
)

#: Settings that :func:`github_credentials` takes.
SETTINGS: Final = TABLE.setting_names

AUTH_TYPES: Final = TABLE.auth_types
