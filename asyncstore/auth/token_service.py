"""
The small requests that obtain credentials: to token services, and to the services of a machine itself.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from yarl import URL

from asyncstore.auth.chain import NobodyThereError
from asyncstore.auth.credentials import is_loopback, require_tls
from asyncstore.auth.redact import redact
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, UnavailableError
from asyncstore.threads import in_thread

#: Bytes of the longest reply that is read.
MAX_REPLY: Final = 64 * 1024

_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=5)

# The service is on the machine itself: whoever is not there at once is not there.
_NEAR: Final = aiohttp.ClientTimeout(total=10, sock_connect=1)

_NO_ADDRESS: Final = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)

# A certificate that is refused is a ValueError too.
_FAILURES: Final = (aiohttp.ClientError, OSError, TimeoutError, ssl.CertificateError)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A whole reply. Its body never shows in ``repr``: it can hold secrets.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    place: str

    def text(self) -> str:
        return self.body.decode("utf-8", "replace").strip()

    def document(self) -> dict[str, Any]:
        """
        Return the JSON object that the body is; an empty one if it is none.
        """
        try:
            document = json.loads(self.body)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    def clock_offset(self) -> float:
        """
        Return the seconds by which the clock there is ahead of ours.
        """
        try:
            return parsedate_to_datetime(self.headers.get("Date", "")).timestamp() - time.time()
        except ValueError:
            return 0.0

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status >= 500 or self.status in (408, 429)


class TokenService:
    """
    Sends one request at a time, each over a connection of its own: once an hour is seldom.

    No redirect is followed and no more than 64 KiB are read.

    Args:
        http: Whom to trust, and which proxy leads there. Services of the machine
            itself are never asked through a proxy.
    """

    def __init__(self, http: HTTPOptions | None = None) -> None:
        self._http = http or HTTPOptions()
        self._context: ssl.SSLContext | None = None

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        *,
        near: bool = False,
        pin: aiohttp.Fingerprint | None = None,
    ) -> Answer:
        """
        Return the reply, whatever its status.

        Args:
            near: The service is on this machine, or on the link to it. The caller
                has checked that it is one that may see secrets over plain HTTP.
            pin: The one certificate that is trusted, instead of those of authorities.

        Raises:
            ConfigurationError: *url* is plain HTTP to another host.
            NobodyThereError: Nobody near replied.
            UnavailableError: Nobody else replied; the reply was a redirect, too long,
                or broke off.
        """
        place = redact(url.partition("?")[0])
        if not near:
            require_tls(url, allow_http=self._http.allow_http)
        address = _address(url, place)
        session = await self._session(_NEAR if near else _TIMEOUT)
        async with session:
            try:
                proxy = None if near or is_loopback(address.host or "") else self._http.proxy
                trusted: aiohttp.Fingerprint | bool = True if pin is None else pin
                async with session.request(
                    method, address, headers=headers, data=data, proxy=proxy, allow_redirects=False, ssl=trusted
                ) as reply:
                    return Answer(reply.status, reply.headers, await _body(reply, place), place)
            except _NO_ADDRESS:
                raise _no_address(place) from None
            except aiohttp.ServerFingerprintMismatch:
                raise UnavailableError(f"{place} shows another certificate than the one expected of it") from None
            except _FAILURES as exc:
                # Its text can hold the request with its headers.
                kind = NobodyThereError if near else UnavailableError
                raise kind(f"no answer from {place}: {type(exc).__name__}") from None
            except ValueError:
                raise ConfigurationError(f"what would be sent to {place} is no valid request") from None

    async def _session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        # Kept alive until the session is closed, which waits for the end of what it holds: with
        # force_close a TLS connection is given up to end by itself, maybe after its loop.
        connector = aiohttp.TCPConnector(ssl=await self._trusted(), limit=1)
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def _trusted(self) -> ssl.SSLContext | bool:
        http = self._http
        if http.ssl_context is not None:
            return http.ssl_context
        if http.ca_file is None or not http.verify:
            return http.verify
        if self._context is None:
            self._context = await in_thread(_trusting, str(http.ca_file))
        return self._context


def _address(url: str, place: str) -> URL:
    try:
        return URL(url, encoded=True)
    except ValueError:
        raise _no_address(place) from None


def _no_address(place: str) -> ConfigurationError:
    return ConfigurationError(f"{place} is no address that credentials can be asked for at")


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


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError(f"ca_file {ca_file} cannot be read: {type(exc).__name__}") from None
