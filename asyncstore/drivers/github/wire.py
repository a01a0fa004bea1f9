"""
Sends requests to the API, with the token, and holds them back while GitHub wants none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from asyncstore.auth.github import API_VERSION, GitHubCredentials, headers_of
from asyncstore.body import Body, BytesBody
from asyncstore.drivers.github.errors import limit_wait, refusal
from asyncstore.errors import ThrottledError, UnavailableError
from asyncstore.http.client import HTTPClient
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply
from asyncstore.options import MiB
from asyncstore.threads import in_thread

#: Bytes of the longest reply that is read into memory: a page of releases with 1,000 assets each.
MAX_REPLY: Final = 128 * MiB

_JSON: Final = "application/vnd.github+json"
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

# Replies of more bytes are parsed in a thread.
_PARSED_HERE: Final = MiB // 4

# GitHub's longest window, for limits that a broken reply puts further off.
_LONGEST_WAIT: Final = 3600.0


class Wire:
    """
    How one storage talks to GitHub's API.

    Attributes:
        http: The connections, which the asset host is asked through as well: without the token.
        api: Where the API is.
    """

    def __init__(
        self,
        http: HTTPClient,
        credentials: GitHubCredentials,
        api: Origin,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.http = http
        self.credentials = credentials
        self.api = api
        self._clock = clock
        self._held_until = 0.0

    @property
    def held(self) -> float:
        """Seconds for which GitHub wants no more requests."""
        return max(0.0, self._held_until - self._clock())

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] = _NO_HEADERS,
        body: Body | None = None,
        origin: Origin | None = None,
        patience: float = 1.0,
    ) -> Reply:
        """
        Send a request and return the reply: a success, or a 302 to somewhere else.

        Where the token is refused and another can be had, it is sent once more, if its
        body can be.

        Args:
            path: Below the API, percent-encoded; from the root of *origin* if that is given.
            origin: An upload host, checked by ``addresses.upload_place``.

        Raises:
            ThrottledError: A limit is used up. While it is known to be, nothing is sent.
            StorageError: What GitHub answered, or that it did not.
        """
        renewed = False
        while True:
            self._check_limit()
            lease = self.credentials.current() or await self.credentials.get()
            reply = await self.http.send(
                method,
                origin or self.api,
                path if origin is not None else self.api.path + path,
                {"Accept": _JSON, "X-GitHub-Api-Version": API_VERSION, **headers, **headers_of(lease.value)},
                body,
                query=query,
                patience=patience,
            )
            self._hold(limit_wait(reply))
            if reply.status < 300 or reply.status == 302:
                return reply
            error = await refusal(reply)
            if isinstance(error, ThrottledError) and reply.status < 500:
                self._hold(error.retry_after)
            if reply.status != 401 or renewed or not (body is None or body.replayable):
                raise error
            if (await self.credentials.refresh(lease)).value == lease.value:
                raise error
            renewed = True

    async def ask(
        self, method: str, path: str, *, query: str = "", document: Mapping[str, Any] | None = None
    ) -> tuple[Any, Reply]:
        """
        Send a request whose reply is JSON, and return that with the reply.
        """
        body = None if document is None else BytesBody(json.dumps(document).encode())
        headers = _NO_HEADERS if document is None else {"Content-Type": "application/json"}
        reply = await self.send(method, path, query=query, headers=headers, body=body)
        return await parsed(reply), reply

    def _check_limit(self) -> None:
        if (wait := self.held) > 0:
            # As if GitHub had answered: going on in spite of a limit can get a client banned.
            raise ThrottledError("GitHub's rate limit is used up", retry_after=wait, status=429, provider="github")

    def _hold(self, wait: float | None) -> None:
        if wait is not None:
            self._held_until = max(self._held_until, self._clock() + min(wait, _LONGEST_WAIT))


async def parsed(reply: Reply) -> Any:
    """
    Return the JSON of a reply.

    Raises:
        UnavailableError: It is none.
    """
    data = await reply.read(MAX_REPLY)
    try:
        return json.loads(data) if len(data) <= _PARSED_HERE else await in_thread(json.loads, data)
    except ValueError:
        raise UnavailableError(
            "the reply is not the JSON that was expected", status=reply.status, request_id=reply.request_id
        ) from None
