"""
Authenticates GitHub's requests, and sends none while the rate limit is exceeded.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from asyncstore.auth.github.credentials import API_VERSION, GitHubCredentials, headers_of
from asyncstore.auth.tokens import Secret
from asyncstore.driver.body import Body, BytesBody
from asyncstore.drivers.github.addresses import repository_place, split_repository
from asyncstore.drivers.github.errors import REDIRECTS, limit_wait, named
from asyncstore.errors import StorageError, ThrottledError
from asyncstore.http.client import HTTPClient
from asyncstore.http.exchange import NO_HEADERS, Exchange
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply
from asyncstore.options import MiB

_LOG: Final = logging.getLogger("asyncstore")

_JSON: Final = "application/vnd.github+json"
_API_HEADERS: Final = {"Accept": _JSON, "X-GitHub-Api-Version": API_VERSION}

# GitHub's longest rate limit window: a later time in a reply is not believed.
_LONGEST_WAIT: Final = 3600.0


class Request(NamedTuple):
    """
    One request, before it is authenticated.

    Attributes:
        path: Percent-encoded, relative to the API or to *origin*.
        query: Percent-encoded, without the ``?``.
        origin: An upload host that ``addresses.upload_place`` has checked; by default the API.
        accept: A status that counts as success: 302 where the redirect to the bytes of an asset is wanted.
        patience: Multiplies ``stall_timeout`` for the reply.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    origin: Origin | None = None
    accept: int = 0
    patience: float = 1.0


class Wire(Exchange["Secret | None"]):
    """
    Locates and signs the requests of one storage, and explains their refusals.

    Attributes:
        http: The HTTP client, also used for the asset host, without the token.
        api: The server of the API.
    """

    credentials: GitHubCredentials
    # A token that has expired, and a repository that was renamed.
    max_recoveries = 2
    recoverable = frozenset({401, *REDIRECTS})
    # A page of releases with 1,000 assets each.
    max_reply = 128 * MiB

    def __init__(
        self,
        http: HTTPClient,
        credentials: GitHubCredentials,
        api: Origin,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(http, credentials)
        self.api = api
        self._monotonic = monotonic
        self._held_until = 0.0
        # The present paths of repositories that were renamed or moved to another owner.
        self._moved: dict[str, str] = {}

    @property
    def held(self) -> float:
        """Seconds until the rate limit is reset; 0 if it is not exceeded."""
        return max(0.0, self._held_until - self._monotonic())

    def locate(self, request: Request) -> tuple[Origin, str]:
        if request.origin is not None:
            return request.origin, request.path
        if not self._moved:
            return self.api, self.api.path + request.path
        repository, rest = split_repository(request.path)
        return self.api, self.api.path + self._moved.get(repository, repository) + rest

    def sign(self, request: Request, origin: Origin, path: str, keys: Secret | None) -> tuple[Mapping[str, str], str]:
        return {**_API_HEADERS, **request.headers, **headers_of(keys)}, request.query

    def explain(self, request: Request, reply: Reply, body: bytes) -> StorageError:
        error = named(reply, body)
        self._hold(limit_wait(reply))
        if isinstance(error, ThrottledError) and reply.status < 500:
            self._hold(error.retry_after)
        return error

    def relocate(self, request: Request, reply: Reply, body: bytes) -> bool:
        """
        Follow a redirect to the present path of a repository that was renamed, on the API's own host.

        Only replies to reads are believed. Writes follow a read, so they use its result.
        https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
        """
        if request.method != "GET" or request.origin is not None or reply.status not in REDIRECTS:
            return False
        repository, rest = split_repository(request.path)
        place = repository_place(self.api, reply.headers.get("Location", ""), rest)
        if place is None or place == self._moved.get(repository, repository):
            return False
        _LOG.debug("%s has moved to %s", repository, place)
        self._moved[repository] = place
        return True

    async def send(self, request: Request) -> Reply:
        """
        Send a request; see :meth:`Exchange.send`.

        Raises:
            ThrottledError: The rate limit is exceeded. Nothing is sent until it is reset.
        """
        if (wait := self.held) > 0:
            # GitHub may ban clients that continue to send requests.
            raise ThrottledError("GitHub's rate limit is exceeded", retry_after=wait, status=429, provider="github")
        reply = await super().send(request)
        self._hold(limit_wait(reply))
        return reply

    def _hold(self, wait: float | None) -> None:
        if wait is not None:
            self._held_until = max(self._held_until, self._monotonic() + min(wait, _LONGEST_WAIT))


def with_json(method: str, path: str, document: Mapping[str, Any]) -> Request:
    """
    Return a request that sends *document*.
    """
    body = BytesBody(json.dumps(document).encode())
    return Request(method, path, headers={"Content-Type": "application/json"}, body=body)
