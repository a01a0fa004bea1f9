"""
Installations of GitHub Apps: a key that signs for the app, and the tokens that it is given for an hour.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from asyncstore.auth.json_web_token import signed_token
from asyncstore.auth.key_files import read_key_file
from asyncstore.auth.method import Given
from asyncstore.auth.redact import redact
from asyncstore.auth.rsa_keys import load_rsa_key
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import ConfigurationError, StorageError, ThrottledError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

#: https://docs.github.com/rest/about-the-rest-api/api-versions
API_VERSION: Final = "2022-11-28"

# "To protect against clock drift, we recommend that you set this 60 seconds in the past."
_BACKDATED: Final = 60

# "The time must be no more than 10 minutes into the future": a minute less, for clocks differ.
_LIFETIME: Final = 540

# Clocks closer than this are the same clock.
_CLOCK_TOLERANCE: Final = 30.0

_SAFE: Final = "-._~"


class AppInstallation:
    """
    Asks for tokens of one installation.

    Args:
        api_url: Where the API is.
        repository: ``owner/repo`` to look the installation up by, if the settings name none.

    Raises:
        ConfigurationError: A setting is missing, contradicts another, or does not fit.
    """

    def __init__(self, given: Given, service: TokenService, *, api_url: str, repository: str | None) -> None:
        self._given = given
        self._service = service
        self._api_url = api_url.rstrip("/")
        self._clock_offset = 0.0
        self._found: str | None = None
        self._lookups = _lookups(given, repository)
        self._narrowed = _narrowed(given)
        if "private_key" in given.settings and "private_key_file" in given.settings:
            raise ConfigurationError("give private_key or private_key_file, not both")

    async def fetch(self) -> Grant[Secret | None]:
        """
        Return a new token.

        Raises:
            ConfigurationError: There is no key, or no installation to ask for.
            UnauthenticatedError: The app or its installation is not known.
            ThrottledError: GitHub wants fewer requests.
        """
        app_id, key = await self._app()
        installation = self._given.get("installation_id") or self._found or await self._look_up(app_id, key)
        path = f"/app/installations/{quote(str(installation), safe='')}/access_tokens"
        answer = await self._send("POST", path, app_id, key)
        if answer.status != 201:
            # It may have been installed anew meanwhile.
            self._found = None
            raise _refused(answer, f"no token for installation {installation}")
        return _grant(answer)

    async def _app(self) -> tuple[str, RSAPrivateKey]:
        app_id = self._given.get("app_id")
        pem = await secret_text("private_key", self._given.get("private_key"))
        file = None if "private_key" in self._given.settings else self._given.get("private_key_file")
        if file is not None:
            pem = (await in_thread(read_key_file, str(file), "private key of the GitHub App")).decode(
                "utf-8", "replace"
            )
        if not app_id or not pem:
            missing = [
                name for name, value in (("app_id", app_id), ("private_key or private_key_file", pem)) if not value
            ]
            raise ConfigurationError(f"a GitHub App needs {' and '.join(missing)}, or the variables for them")
        # In variables lines are often kept apart by their escapes.
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
                self._found = str(found)
                return self._found
            if answer.status != 404:
                raise _refused(answer, "the installation is not told")
        raise UnauthenticatedError(
            f"the GitHub App is not installed for {self._lookups[0].removesuffix('/installation').partition('/')[2]}",
            provider="github",
            status=404,
        )

    async def _send(self, method: str, path: str, app_id: str, key: RSAPrivateKey) -> Answer:
        answer = await self._ask(method, path, app_id, key)
        offset = answer.clock_offset()
        if answer.status == 401 and abs(offset - self._clock_offset) > _CLOCK_TOLERANCE:
            self._clock_offset = offset
            answer = await self._ask(method, path, app_id, key)
        return answer

    async def _ask(self, method: str, path: str, app_id: str, key: RSAPrivateKey) -> Answer:
        now = int(time.time() + self._clock_offset)
        claims = {"iat": now - _BACKDATED, "exp": now + _LIFETIME, "iss": app_id}
        headers = {
            "Authorization": f"Bearer {signed_token(claims, key)}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
        }
        data = None
        if method == "POST" and self._narrowed:
            headers["Content-Type"] = "application/json"
            data = json.dumps(self._narrowed).encode()
        return await self._service.send(method, self._api_url + path, headers, data)


def _lookups(given: Given, repository: str | None) -> list[str]:
    """Where an installation is looked for, in this order."""
    organization = given.get("organization")
    named = given.get("repository")
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


def _narrowed(given: Given) -> dict[str, Any]:
    narrowed: dict[str, Any] = {}
    if (names := given.get("repositories")) is not None:
        parts = names.split(",") if isinstance(names, str) else list(names)
        narrowed["repositories"] = [str(name).strip().rpartition("/")[2] for name in parts]
    if (permissions := given.get("permissions")) is not None:
        if not isinstance(permissions, Mapping):
            raise ConfigurationError("permissions is a mapping, such as {'contents': 'read'}")
        narrowed["permissions"] = dict(permissions)
    return narrowed


def _grant(answer: Answer) -> Grant[Secret | None]:
    document = answer.document()
    token, ends = document.get("token"), document.get("expires_at")
    try:
        end = datetime.fromisoformat(str(ends)).timestamp()
    except ValueError:
        end = 0.0
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or not end:
        raise UnavailableError(f"{answer.place} answers without a token", provider="github", status=answer.status)
    offset = answer.clock_offset()
    return Grant(Secret(token), end - time.time() - (offset if abs(offset) > _CLOCK_TOLERANCE else 0.0))


def _refused(answer: Answer, what: str) -> StorageError:
    words = answer.document().get("message")
    said = f": {redact(words)[:300]}" if isinstance(words, str) else ""
    facts: dict[str, Any] = {
        "provider": "github",
        "status": answer.status,
        "request_id": answer.headers.get("X-GitHub-Request-Id"),
    }
    text = f"GitHub gives {what}{said}" if what.startswith("no ") else f"{what}{said}"
    wait = _wait(answer)
    if answer.status == 429 or (answer.status == 403 and wait is not None):
        return ThrottledError(text, retry_after=wait, **facts)
    kind = UnavailableError if answer.passing else UnauthenticatedError
    return kind(text, **facts)


def _wait(answer: Answer) -> float | None:
    """Seconds for which GitHub wants no requests; ``None`` if it takes them."""
    headers = answer.headers
    if (after := headers.get("Retry-After", "")).isdecimal():
        return float(after)
    # https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") != "0" or not reset.isdecimal():
        return None
    return max(0.0, int(reset) - time.time() - answer.clock_offset())
