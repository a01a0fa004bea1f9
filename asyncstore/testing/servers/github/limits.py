"""
Who asks, and how often.

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
    Who sent a request; *login* is ``None`` for one without a token.
    """

    login: str | None

    def sees(self, repository: Repository) -> bool:
        """
        Tell whether the caller may know that the repository is there.
        """
        return not repository.private or self.login in repository.writers | repository.readers

    def writes(self, repository: Repository) -> bool:
        """
        Tell whether the caller may change it.
        """
        return self.login in repository.writers


class Tokens:
    """
    The tokens that are good, and whose they are.
    """

    def __init__(self, tokens: dict[str, str]) -> None:
        self.logins = tokens
        self._ends: dict[str, float] = {}

    def add(self, token: str, login: str, ends: float) -> None:
        """
        Let in who has *token*, as *login*, until *ends*, in seconds since 1970.
        """
        self.logins[token] = login
        self._ends[token] = ends

    def caller(self, request: web.BaseRequest) -> Caller:
        """
        Return who sent *request*.

        Raises:
            Refused: The token is not good.
        """
        given = request.headers.get("Authorization")
        if given is None:
            return Caller(None)
        kind, _, token = given.partition(" ")
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
    The primary limit, on requests an hour, and a secondary one, on writes a minute.

    Attributes:
        authenticated: Requests an hour with a token.
        anonymous: Requests an hour without.
        writes: Requests a minute that change something; ``None`` is no limit.
        status: Of a refusal: GitHub answers 403 or 429.
        seconds: Of the longer of both windows.
        refused: How many requests came all the same.
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
        Count a request in, and return the headers that say how many are left.

        Raises:
            Refused: There was none left.
        """
        allowed = self.anonymous if caller.login is None else self.authenticated
        window = _current(self._windows, caller.login, self.seconds)
        over = window.used >= allowed
        window.used += not over
        headers = {
            "x-ratelimit-limit": str(allowed),
            "x-ratelimit-remaining": str(allowed - window.used),
            "x-ratelimit-used": str(window.used),
            # Whole seconds, and never before the window has ended.
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
