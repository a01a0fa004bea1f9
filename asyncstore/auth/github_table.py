"""
The methods of GitHub, with all that they take: the source of checks and of the reference.
"""

from __future__ import annotations

from typing import Final

from asyncstore.auth.method import AuthMethod, Setting

_DOCS: Final = "https://docs.github.com"

#: For github.com, ghe.com, and this machine. https://cli.github.com/manual/gh_help_environment
OWN: Final = ("GH_TOKEN", "GITHUB_TOKEN")

#: For any other host.
ENTERPRISE: Final = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")

_ANONYMOUS: Final = Setting("anonymous", "whether requests go without a token")
_API: Final = Setting("base_url", "where the API is, instead of `https://api.github.com`", ("GITHUB_API_URL",))
_TOKEN: Final = Setting("token", "text, a `Secret` or a function", secret=True)

METHODS: Final = (
    AuthMethod(
        "default",
        "a token or an app in the settings, else a token in the environment, else anonymous",
        f"{_DOCS}/rest/authentication/authenticating-to-the-rest-api",
        (_API, _ANONYMOUS),
        (*OWN, *ENTERPRISE),
    ),
    AuthMethod(
        "token",
        "a token in the settings: a personal one, or any other",
        f"{_DOCS}/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens",
        (_TOKEN, _API, _ANONYMOUS),
    ),
    AuthMethod(
        "environment",
        "a token in the variables of the host that the API is on",
        "https://cli.github.com/manual/gh_help_environment",
        (_API, _ANONYMOUS),
        (*OWN, *ENTERPRISE),
    ),
    AuthMethod(
        "app",
        "an installation of a GitHub App",
        f"{_DOCS}/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation",
        (
            Setting("app_id", "client id or id of the app", ("GITHUB_APP_ID",), ("client_id",)),
            Setting("private_key", "in PEM: text, a `Secret` or a function", ("GITHUB_APP_PRIVATE_KEY",), secret=True),
            Setting(
                "private_key_file",
                "its file, read again each time",
                ("GITHUB_APP_PRIVATE_KEY_PATH",),
                ("private_key_path",),
            ),
            Setting("installation_id", "of the app", ("GITHUB_APP_INSTALLATION_ID",)),
            Setting("repository", "`owner/repo` to look the installation up by; else that of the storage"),
            Setting("organization", "whose installation to look up: an organisation's or a user's login"),
            Setting("repositories", "names that the token is narrowed to, as a list or separated by commas"),
            Setting("permissions", "that the token is narrowed to: a mapping such as `{'contents': 'read'}`"),
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
