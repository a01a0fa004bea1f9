"""
Sends the small requests that obtain credentials: to token services, and to services of this machine.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from yarl import URL

from asyncstore._support.redact import redact
from asyncstore._support.threads import in_thread
from asyncstore.auth.tokens import NoLocalServiceError
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError, ThrottledError, UnauthenticatedError, UnavailableError
from asyncstore.http.clock import server_offset
from asyncstore.http.errors import FAILURES, translated
from asyncstore.http.origin import is_loopback, require_tls
from asyncstore.http.session import make_session, needs_file, tls_of, with_ca_file

#: Bytes of the longest reply that is read.
MAX_REPLY: Final = 64 * 1024

# Characters of a service's own message that are shown.
_MAX_MESSAGE: Final = 300

_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=5)

# A service on this machine that does not accept a connection at once does not exist.
_NEAR: Final = aiohttp.ClientTimeout(total=10, sock_connect=1)

_INVALID_URL: Final = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A complete reply. ``repr`` never shows its body, which can hold secrets.

    Attributes:
        place: The URL that was asked, without its query, for messages.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    place: str

    def text(self) -> str:
        return self.body.decode("utf-8", "replace").strip()

    def document(self) -> dict[str, Any]:
        """
        Return the JSON object in the body; an empty one if the body is anything else.
        """
        try:
            document = json.loads(self.body)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    def clock_offset(self) -> float:
        """
        Return the seconds by which the service's clock is ahead of ours; 0 if the reply has no date.
        """
        return server_offset(self.headers, time.time) or 0.0

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status >= 500 or self.status in (408, 429)

    def refusal(
        self,
        text: str,
        *,
        provider: str,
        code: Any = None,
        message: Any = None,
        secrets: Iterable[str] = (),
        transient: bool = False,
        throttled: bool = False,
        **facts: Any,
    ) -> StorageError:
        """
        Return the error that this reply means.

        It is a :class:`ThrottledError` if *throttled*, an :class:`UnavailableError` if a later
        request may succeed, else an :class:`UnauthenticatedError`.

        Args:
            code: The service's error code; ignored if it is not text.
            message: The service's own message, appended with secrets masked; ignored if it is not text.
            secrets: Secrets that were sent, which the message may repeat.
            transient: Whether the code says that a later request may succeed.
            facts: Further arguments of the error, such as ``request_id``.
        """
        if isinstance(message, str) and message:
            for secret in secrets:
                message = message.replace(secret, "***")
            text += f": {redact(message)[:_MAX_MESSAGE]}"
        kind = UnavailableError if transient or self.transient else UnauthenticatedError
        kind = ThrottledError if throttled else kind
        code = code if isinstance(code, str) else None
        return kind(text, provider=provider, code=code, status=self.status, **facts)


class TokenService:
    """
    Sends single requests, each over its own connection: they are an hour apart.

    No redirect is followed and at most 64 KiB are read.

    Args:
        http: TLS settings and proxy. Services of this machine are never asked through a proxy.
        ca_file: Returns the file of the certificate authorities to trust if *http* does not say what is
            trusted; ``None`` for the system's.
    """

    def __init__(
        self, http: HTTPOptions | None = None, *, ca_file: Callable[[], Awaitable[Path | None]] | None = None
    ) -> None:
        self._http = http or HTTPOptions()
        self._ca_file = ca_file

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        *,
        near: bool = False,
        timeout: float | None = None,
        pin: aiohttp.Fingerprint | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """
        Return the reply, whatever its status.

        Args:
            near: The service runs on this machine or is link-local. The caller has checked
                that it may receive secrets over plain HTTP.
            timeout: Seconds that the request may take, instead of 10 with *near* and 20 without.
            pin: The only certificate that is trusted, instead of those that authorities signed.
            tls: The TLS context, instead of that of the configuration.

        Raises:
            ConfigurationError: *url* is not valid, or is plain HTTP to another host.
            NoLocalServiceError: A service with *near* did not answer; not retryable if its host does not exist.
            UnavailableError: Another service did not answer; the reply was a redirect, too
                long, or broke off.
        """
        place = redact(url.partition("?")[0])
        if not near:
            require_tls(url, allow_http=self._http.allow_http)
        address = _address(url, place)
        async with make_session(self._http, pin or tls or await self._trusted()) as session:
            try:
                async with session.request(
                    method,
                    address,
                    headers=headers,
                    data=data,
                    proxy=None if near or is_loopback(address.host or "") else self._http.proxy,
                    allow_redirects=False,
                    auto_decompress=True,
                    timeout=_timeout(timeout, near=near),
                ) as reply:
                    return Answer(reply.status, reply.headers, await _body(reply, place), place)
            except _INVALID_URL:
                raise _invalid_url(place) from None
            except aiohttp.ServerFingerprintMismatch:
                raise UnavailableError(f"{place} presents another certificate than the expected one") from None
            except FAILURES as exc:
                kind = NoLocalServiceError if near else UnavailableError
                raise kind(
                    f"no answer from {place}: {translated(exc).message}", retryable=not (near and _is_unknown(exc))
                ) from None
            except ValueError:
                raise ConfigurationError(f"a header for {place} has characters that HTTP forbids") from None

    async def _trusted(self) -> ssl.SSLContext | bool:
        http = self._http if self._ca_file is None else with_ca_file(self._http, await self._ca_file())
        return await in_thread(tls_of, http) if needs_file(http) else tls_of(http)


def _is_unknown(error: BaseException) -> bool:
    return isinstance(error, aiohttp.ClientConnectorDNSError) and error.os_error.errno != socket.EAI_AGAIN


def _timeout(seconds: float | None, *, near: bool) -> aiohttp.ClientTimeout:
    if seconds is not None:
        return aiohttp.ClientTimeout(total=seconds)
    return _NEAR if near else _TIMEOUT


def _address(url: str, place: str) -> URL:
    try:
        return URL(url, encoded=True)
    except ValueError:
        raise _invalid_url(place) from None


def _invalid_url(place: str) -> ConfigurationError:
    return ConfigurationError(f"{place} is not a valid URL to request credentials from")


async def _body(reply: aiohttp.ClientResponse, place: str) -> bytes:
    if 300 <= reply.status < 400:
        raise UnavailableError(f"{place} answers with a redirect, which is not followed", status=reply.status)
    parts, size = [], 0
    while chunk := await reply.content.read(MAX_REPLY + 1 - size):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_REPLY:
            raise UnavailableError(f"{place} answers with more than {MAX_REPLY} bytes", status=reply.status)
    return b"".join(parts)
