"""
GitHub App installations: the app's key signs a request for a token that is valid for an hour.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from asyncstore._support.threads import in_thread
from asyncstore.auth.json_web_token import signed_token
from asyncstore.auth.key_files import read_key_file
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.rsa_keys import load_rsa_key
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, Secret, secret_text
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from asyncstore.http.clock import ServerClock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

#: https://docs.github.com/rest/about-the-rest-api/api-versions
API_VERSION: Final = "2022-11-28"

# "To protect against clock drift, we recommend that you set this 60 seconds in the past."
_BACKDATED: Final = 60

# "The time must be no more than 10 minutes into the future": a minute less, in case of clock skew.
_LIFETIME: Final = 540

_SAFE: Final = "-._~"


class AppInstallation:
    """
    Requests tokens for one installation.

    Args:
        api_url: The URL of the API.
        repository: ``owner/repo`` by which to look up the installation if no setting names it.

    Raises:
        ConfigurationError: A setting is missing, not valid, or contradicts another.
    """

    def __init__(
        self, settings: MethodSettings, service: TokenService, *, api_url: str, repository: str | None
    ) -> None:
        self._settings = settings
        self._service = service
        self._api_url = api_url.rstrip("/")
        self._clock = ServerClock()
        self._installation: str | None = None
        self._lookups = _lookups(settings, repository)
        self._restrictions = _restrictions_of(settings)
        if "private_key" in settings.explicit and "private_key_file" in settings.explicit:
            raise ConfigurationError("give private_key or private_key_file, not both")

    async def fetch(self) -> Grant[Secret | None]:
        """
        Return a new token.

        Raises:
            ConfigurationError: The key, or whatever identifies the installation, is missing.
            UnauthenticatedError: GitHub does not know the app or its installation.
            ThrottledError: The rate limit is exceeded.
        """
        app_id, key = await self._app()
        installation = self._settings.get("installation_id") or self._installation or await self._look_up(app_id, key)
        path = f"/app/installations/{quote(str(installation), safe='')}/access_tokens"
        answer = await self._send("POST", path, app_id, key)
        if answer.status != 201:
            # The app may have been installed again, under another id.
            self._installation = None
            raise _refused(answer, f"GitHub issued no token for installation {installation}")
        return self._grant(answer, app_id)

    async def _app(self) -> tuple[str, RSAPrivateKey]:
        app_id = self._settings.get("app_id")
        pem = await secret_text("private_key", self._settings.get("private_key"))
        file = None if "private_key" in self._settings.explicit else self._settings.get("private_key_file")
        if file is not None:
            pem = (await in_thread(read_key_file, str(file), "private key of the GitHub App")).decode(
                "utf-8", "replace"
            )
        if not app_id or not pem:
            missing = [
                name for name, value in (("app_id", app_id), ("private_key or private_key_file", pem)) if not value
            ]
            raise ConfigurationError(f"a GitHub App needs {' and '.join(missing)}, in the settings or the environment")
        # Environment variables often hold line breaks as escapes.
        pem = pem.replace("\\n", "\n")
        return str(app_id), await in_thread(
            load_rsa_key, pem.encode(), None, "the private key of the GitHub App", extra="github"
        )

    async def _look_up(self, app_id: str, key: RSAPrivateKey) -> str:
        if not self._lookups:
            raise ConfigurationError("a GitHub App needs installation_id, repository or organization")
        for path in self._lookups:
            answer = await self._send("GET", path, app_id, key)
            found = answer.document().get("id")
            if answer.status == 200 and isinstance(found, int):
                self._installation = str(found)
                return self._installation
            if answer.status != 404:
                raise _refused(answer, "GitHub did not return the installation")
        raise UnauthenticatedError(
            f"the GitHub App is not installed for {self._lookups[0].removesuffix('/installation').partition('/')[2]}",
            provider="github",
            status=404,
        )

    async def _send(self, method: str, path: str, app_id: str, key: RSAPrivateKey) -> Answer:
        answer = await self._ask(method, path, app_id, key)
        if answer.status == 401 and self._clock.learn(answer.headers):
            answer = await self._ask(method, path, app_id, key)
        return answer

    async def _ask(self, method: str, path: str, app_id: str, key: RSAPrivateKey) -> Answer:
        now = int(self._clock.now())
        claims = {"iat": now - _BACKDATED, "exp": now + _LIFETIME, "iss": app_id}
        headers = {
            "Authorization": f"Bearer {signed_token(claims, key)}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
        }
        data = None
        if method == "POST" and self._restrictions:
            headers["Content-Type"] = "application/json"
            data = json.dumps(self._restrictions).encode()
        return await self._service.send(method, self._api_url + path, headers, data)

    def _grant(self, answer: Answer, app_id: str) -> Grant[Secret | None]:
        document = answer.document()
        token, ends = document.get("token"), document.get("expires_at")
        try:
            end = datetime.fromisoformat(str(ends)).timestamp()
        except ValueError:
            end = 0.0
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or not end:
            raise UnavailableError(f"{answer.place} answered without a token", provider="github", status=answer.status)
        self._clock.learn(answer.headers)
        return Grant(Secret(token), end - self._clock.now(), source=f"an installation of app {app_id}")


def _lookups(settings: MethodSettings, repository: str | None) -> list[str]:
    """The paths at which to look up the installation, in this order."""
    organization = settings.get("organization")
    named = settings.get("repository")
    if organization is not None and named is not None:
        raise ConfigurationError("give repository or organization, not both")
    if organization is not None:
        login = quote(str(organization), safe=_SAFE)
        return [f"/orgs/{login}/installation", f"/users/{login}/installation"]
    if (named := named or repository) is None:
        return []
    owner, slash, name = str(named).partition("/")
    if not owner or not slash or not name or "/" in name:
        raise ConfigurationError(f"repository is owner/repo, not {str(named)[:80]!r}")
    return [f"/repos/{quote(owner, safe=_SAFE)}/{quote(name, safe=_SAFE)}/installation"]


def _restrictions_of(settings: MethodSettings) -> dict[str, Any]:
    restrictions: dict[str, Any] = {}
    if (names := settings.get("repositories")) is not None:
        parts = names.split(",") if isinstance(names, str) else list(names)
        restrictions["repositories"] = [str(name).strip().rpartition("/")[2] for name in parts]
    if (permissions := settings.get("permissions")) is not None:
        if not isinstance(permissions, Mapping):
            raise ConfigurationError("permissions is a mapping, such as {'contents': 'read'}")
        restrictions["permissions"] = dict(permissions)
    return restrictions


def _refused(answer: Answer, what: str) -> StorageError:
    wait = _wait(answer)
    return answer.refusal(
        what,
        provider="github",
        message=answer.document().get("message"),
        throttled=answer.status == 429 or (answer.status == 403 and wait is not None),
        retry_after=wait,
        request_id=answer.headers.get("X-GitHub-Request-Id"),
    )


def _wait(answer: Answer) -> float | None:
    """Seconds to wait until the rate limit allows requests; ``None`` if it does."""
    headers = answer.headers
    if (after := headers.get("Retry-After", "")).isdecimal():
        return float(after)
    # https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") != "0" or not reset.isdecimal():
        return None
    return max(0.0, int(reset) - time.time() - answer.clock_offset())
