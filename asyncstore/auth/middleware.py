"""
The one place where requests get their credentials.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from aiohttp.payload import BytesPayload
from yarl import URL

from asyncstore.auth.credentials import Credentials, require_tls
from asyncstore.auth.sigv4 import Scope
from asyncstore.auth.tokens import Lease

#: Bytes of an error reply that are read at the most.
MAX_ERROR_BODY: Final = 64 * 1024

# Clocks closer than this are the same clock, to a provider that allows minutes.
_TOLERANCE: Final = 60.0

# Statuses under which providers report credentials that have expired or a wrong clock.
_REFUSALS: Final = frozenset({400, 401, 403})

_CODE: Final = re.compile(rb"<Code>\s*([\w.]{1,128})\s*</Code>")


class AuthMiddleware:
    """
    An aiohttp client middleware that signs what goes to the provider's own origins.

    A redirect to any other origin passes through here again and goes out bare.
    If the provider says that the credentials have expired, or that the clock is
    wrong, the cause is mended and the request is sent once more, provided that
    its body can be: none, bytes, or a payload with a true ``replayable``. Twenty
    requests refused at the same time renew the credentials once. Where the body
    cannot be sent again the cause is mended too, for the next request.

    Args:
        credentials: Left open.
        scope: Can be replaced at any time through the attribute, as soon as the
            region is known better.
        origins: Scheme, host and port that may see the credentials.
        allows: Decides on URLs of other origins, such as buckets that are part
            of the host name.
        scope_of: Knows the scope of further URLs by their hosts.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self,
        credentials: Credentials[Any],
        scope: Scope,
        origins: Iterable[str | URL],
        *,
        allows: Callable[[URL], bool] | None = None,
        scope_of: Callable[[URL], Scope | None] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.scope = scope
        self.clock_offset = 0.0
        self._credentials = credentials
        self._origins = frozenset(_origin(URL(origin)) for origin in origins)
        self._allows = allows
        self._scope_of = scope_of
        self._wall_clock = wall_clock

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        scope = self._signed_scope(request.url)
        if scope is None:
            return await handler(request)
        lease = self._credentials.current() or await self._credentials.get()
        offset = self.clock_offset
        self._credentials.apply(request, lease, offset, scope)
        reply = await handler(request)
        if reply.status not in _REFUSALS or not await self._mended(reply, lease, offset) or not _replayable(request):
            return reply
        reply.release()
        # Its writer may still be busy with the first body.
        await request.close()
        lease = self._credentials.current() or await self._credentials.get()
        self._credentials.apply(request, lease, self.clock_offset, self._signed_scope(request.url) or scope)
        return await handler(request)

    def _signed_scope(self, url: URL) -> Scope | None:
        if self._credentials.anonymous:
            return None
        if _origin(url) in self._origins or (self._allows is not None and self._allows(url)):
            return self.scope
        return None if self._scope_of is None else self._scope_of(url)

    async def _mended(self, reply: ClientResponse, lease: Lease[Any], offset: float) -> bool:
        try:
            code = await _error_code(reply)
            self._learn_clock(reply)
            expired = code in self._credentials.expired_codes or _maybe_expired(reply, code)
            if expired:
                self._credentials.heed(reply.headers)
            if expired and (await self._credentials.refresh(lease)).value != lease.value:
                return True
            # A provider can have one code for both.
            # Another request may have learnt it while this one was under way.
            return self._blames_clock(code) and abs(self.clock_offset - offset) > _TOLERANCE
        except BaseException:
            reply.close()
            raise

    def _blames_clock(self, code: str | None) -> bool:
        return code is None or code in self._credentials.skew_codes

    def _learn_clock(self, reply: ClientResponse) -> None:
        try:
            server = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp()
        except ValueError:
            return
        offset = server - self._wall_clock()
        if abs(offset - self.clock_offset) > _TOLERANCE:
            self.clock_offset = offset


async def error_body(reply: ClientResponse) -> bytes:
    """
    Return the body of an error reply, up to 64 KiB of it.

    Whatever is read here comes back from ``reply.read()`` afterwards, and from
    another call. The rest of a longer body is never read.
    """
    # Where aiohttp's own read() keeps what it has read.
    if reply._body is None:
        parts, missing = [], MAX_ERROR_BODY
        while missing > 0 and (chunk := await reply.content.read(missing)):
            parts.append(chunk)
            missing -= len(chunk)
        reply._body = b"".join(parts)
    return reply._body


def check_origins(credentials: Credentials[Any], origins: Iterable[str], *, allow_http: bool) -> None:
    """
    Check that *credentials* may be sent to all *origins*.

    Raises:
        ConfigurationError: One is plain HTTP on another host.
    """
    if not credentials.anonymous:
        for origin in origins:
            require_tls(origin, allow_http=allow_http)


def signed_session(
    credentials: Credentials[Any],
    origins: Iterable[str],
    scope: Scope,
    *,
    by_host: bool = False,
    **session_options: Any,
) -> aiohttp.ClientSession:
    """
    Return a session whose middleware signs; see :meth:`Credentials.http_client`.

    Args:
        by_host: Sign also for the provider's own hosts, in the scope that each tells.
    """
    options: dict[str, Any] = {"trust_env": False, "auto_decompress": False, **session_options}
    options.setdefault("cookie_jar", aiohttp.DummyCookieJar())
    scope_of = credentials.scope_of if by_host else None
    middleware = AuthMiddleware(credentials, scope, origins, scope_of=scope_of)
    return aiohttp.ClientSession(middlewares=(middleware,), **options)


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.raw_host, url.port


def _replayable(request: ClientRequest) -> bool:
    body = request.body
    return not body or isinstance(body, BytesPayload) or bool(getattr(body, "replayable", False))


def _maybe_expired(reply: ClientResponse, code: str | None) -> bool:
    # S3 has no room for a code in its reply to a HEAD, and says 400 for a token that has expired.
    return reply.status == 401 or (reply.status == 400 and code is None and reply.method == "HEAD")


async def _error_code(reply: ClientResponse) -> str | None:
    found = _CODE.search(await error_body(reply))
    return found.group(1).decode() if found else None
