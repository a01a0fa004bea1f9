"""
The requests that obtain Google's tokens.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from yarl import URL

from asyncstore.auth.credentials import is_loopback, require_tls
from asyncstore.auth.redact import redact
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

#: Bytes of the longest reply that is read.
MAX_REPLY: Final = 64 * 1024

_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=5)

# The service is on the machine itself: whoever is not there at once is not there.
_NEAR: Final = aiohttp.ClientTimeout(total=10, sock_connect=2)

_FAILURES: Final = (aiohttp.ClientError, OSError, TimeoutError, ssl.CertificateError)

# Assertions are dated in seconds, so clocks that differ by less are not what is refused.
_CLOCK_TOLERANCE: Final = 60.0


class WrongClockError(UnauthenticatedError):
    """
    The token was refused, and our clock is not that of whoever refused it.

    Attributes:
        offset: Seconds by which the other clock is ahead of ours.
    """

    def __init__(self, message: str, offset: float, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.offset = offset


class TokenExchange:
    """
    Asks for tokens, each time over a connection of its own: once an hour is seldom.

    Args:
        http: Whom to trust, and which proxy leads to the token endpoint.
    """

    def __init__(self, http: HTTPOptions | None = None) -> None:
        self._http = http or HTTPOptions()
        self._context: ssl.SSLContext | None = None

    async def post(self, url: str, fields: Mapping[str, str]) -> Grant[Secret | None]:
        """
        Send a form, and return the token in the reply.

        Raises:
            ConfigurationError: *url* is plain HTTP to another host.
            UnauthenticatedError: The request was refused.
            UnavailableError: There was no answer, or one of a server in trouble.
        """
        require_tls(url, allow_http=self._http.allow_http)
        async with await self._session(_TIMEOUT) as session:
            try:
                async with session.post(url, data=dict(fields), allow_redirects=False, **self._route(url)) as reply:
                    return _grant(reply, await reply.content.read(MAX_REPLY), url)
            except _FAILURES as exc:
                raise UnavailableError(f"no answer from {_place(url)}: {type(exc).__name__}", provider="gcs") from None

    async def metadata(self, url: str, query: Mapping[str, str]) -> Grant[Secret | None]:
        """
        Return the token that the metadata server of this machine gives.

        Raises:
            UnauthenticatedError: The request was refused.
            UnavailableError: There is no such server.
        """
        headers = {"Metadata-Flavor": "Google"}
        async with aiohttp.ClientSession(timeout=_NEAR, trust_env=False) as session:
            try:
                async with session.get(url, params=query, headers=headers, allow_redirects=False) as reply:
                    if reply.headers.get("Metadata-Flavor") != "Google":
                        raise UnavailableError(f"{_place(url)} is no metadata server of Google", provider="gcs")
                    return _grant(reply, await reply.content.read(MAX_REPLY), url)
            except _FAILURES as exc:
                raise UnavailableError(
                    f"no metadata server at {_place(url)}: {type(exc).__name__}", provider="gcs"
                ) from None

    async def _session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        verified: ssl.SSLContext | bool = True
        http = self._http
        if http.ssl_context is not None:
            verified = http.ssl_context
        elif not http.verify:
            verified = False
        elif http.ca_file is not None:
            if self._context is None:
                self._context = await in_thread(_trusting, str(http.ca_file))
            verified = self._context
        connector = aiohttp.TCPConnector(ssl=verified, limit=1)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)

    def _route(self, url: str) -> dict[str, Any]:
        host = URL(url).host or ""
        return {} if self._http.proxy is None or is_loopback(host) else {"proxy": self._http.proxy}


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError(f"ca_file {ca_file} cannot be read: {type(exc).__name__}") from None


def _grant(reply: aiohttp.ClientResponse, body: bytes, url: str) -> Grant[Secret | None]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    said = document if isinstance(document, dict) else {}
    if reply.status != 200:
        raise _refusal(reply, said, url)
    token, ttl = said.get("access_token"), said.get("expires_in")
    if not isinstance(token, str) or not token:
        raise UnavailableError(f"the reply of {_place(url)} has no access_token", provider="gcs")
    return Grant(Secret(token), float(ttl) if isinstance(ttl, int | float) else None)


def _refusal(reply: aiohttp.ClientResponse, said: Mapping[str, Any], url: str) -> StorageError:
    error = said.get("error")
    code = error if isinstance(error, str) else None
    words = redact(said.get("error_description") or code or f"status {reply.status}")[:300]
    message = f"{_place(url)} gives no token: {words}"
    facts: dict[str, Any] = {"provider": "gcs", "code": code, "status": reply.status}
    if reply.status >= 500 or reply.status in (408, 429):
        return UnavailableError(message, **facts)
    offset = _clock_offset(reply)
    if code == "invalid_grant" and abs(offset) > _CLOCK_TOLERANCE:
        return WrongClockError(message, offset, **facts)
    return UnauthenticatedError(message, **facts)


def _clock_offset(reply: aiohttp.ClientResponse) -> float:
    try:
        return parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - time.time()
    except ValueError:
        return 0.0


def _place(url: str) -> str:
    # Without the query, which can hold secrets.
    return redact(url.partition("?")[0])
