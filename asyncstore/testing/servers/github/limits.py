"""
Authentication and rate limits.

https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from asyncstore.testing.servers.github.replies import Refused
from asyncstore.testing.servers.github.store import Repository

_HOUR: Final = 3600.0
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """
    The sender of a request; *login* is ``None`` without a token.
    """

    login: str | None

    def sees(self, repository: Repository) -> bool:
        """
        Return whether the caller may see the repository.
        """
        return not repository.private or self.login in repository.writers | repository.readers

    def writes(self, repository: Repository) -> bool:
        """
        Return whether the caller may change the repository.
        """
        return self.login in repository.writers


class Tokens:
    """
    The valid tokens, and their owners.
    """

    def __init__(self, tokens: dict[str, str]) -> None:
        self.logins = tokens
        self._ends: dict[str, float] = {}

    def add(self, token: str, login: str, ends: float) -> None:
        """
        Accept *token* as *login* until *ends* (seconds since 1970).
        """
        self.logins[token] = login
        self._ends[token] = ends

    def caller(self, request: web.BaseRequest) -> Caller:
        """
        Return who sent *request*.

        Raises:
            Refused: The token is invalid or expired.
        """
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return Caller(None)
        kind, _, token = authorization.partition(" ")
        token = token.strip()
        login = self.logins.get(token) if time.time() < self._ends.get(token, math.inf) else None
        if kind.lower() not in ("bearer", "token") or login is None:
            raise Refused(401, "Bad credentials")
        return Caller(login)


@dataclass(slots=True)
class _Window:
    ends: float
    used: int = 0


class Limits:
    """
    The primary rate limit, on requests per hour, and the secondary one, on writes per minute.

    Attributes:
        authenticated: Requests per hour with a token.
        anonymous: Requests per hour without a token.
        writes: Writes per minute; ``None`` means no limit.
        status: Status of a refusal: GitHub answers 403 or 429.
        seconds: Length of the primary limit's window.
        refused: How many requests exceeded a limit.
    """

    def __init__(self, *, authenticated: int, anonymous: int, writes: int | None) -> None:
        self.authenticated = authenticated
        self.anonymous = anonymous
        self.writes = writes
        self.status = 403
        self.seconds = _HOUR
        self.refused = 0
        self._windows: dict[str | None, _Window] = {}
        self._writing: dict[str | None, _Window] = {}

    def count(self, caller: Caller, method: str) -> dict[str, str]:
        """
        Count a request, and return the headers with the remaining number.

        Raises:
            Refused: A limit is exceeded.
        """
        allowed = self.anonymous if caller.login is None else self.authenticated
        window = _current(self._windows, caller.login, self.seconds)
        over = window.used >= allowed
        window.used += not over
        headers = {
            "x-ratelimit-limit": str(allowed),
            "x-ratelimit-remaining": str(allowed - window.used),
            "x-ratelimit-used": str(window.used),
            # Whole seconds, rounded up so the window has ended by then.
            "x-ratelimit-reset": str(int(window.ends) + 1),
            "x-ratelimit-resource": "core",
        }
        if over:
            self.refused += 1
            raise Refused(self.status, f"API rate limit exceeded for {caller.login or '127.0.0.1'}.", headers=headers)
        if method not in ("GET", "HEAD") and self.writes is not None:
            self._count_write(caller, self.writes, headers)
        return headers

    def _count_write(self, caller: Caller, allowed: int, headers: dict[str, str]) -> None:
        window = _current(self._writing, caller.login, min(self.seconds, _MINUTE))
        if window.used >= allowed:
            self.refused += 1
            wait = max(1, round(window.ends - time.time()))
            raise Refused(
                self.status,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                headers={**headers, "retry-after": str(wait)},
            )
        window.used += 1


def _current(windows: dict[str | None, _Window], login: str | None, seconds: float) -> _Window:
    window = windows.get(login)
    if window is None or window.ends <= time.time():
        window = windows[login] = _Window(time.time() + seconds)
    return window
