"""
An aiohttp session that puts credentials on requests to a provider.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from aiohttp.payload import BytesPayload
from yarl import URL

from asyncstore.auth.tokens import Scope
from asyncstore.http.clock import ServerClock
from asyncstore.http.exchange import AnyCredentials, AnyLease, Refusal, recover
from asyncstore.http.fast.private import body_read, keep_body
from asyncstore.http.origin import require_tls

#: Bytes of an error reply that are read at most.
MAX_ERROR_BODY: Final = 64 * 1024

# Statuses that providers use for expired credentials and clock skew.
_REFUSALS: Final = frozenset({400, 401, 403})

_CODE: Final = re.compile(rb"<Code>\s*([\w.]{1,128})\s*</Code>")


class SessionCredentials(AnyCredentials[Any], Protocol):
    """
    What a session needs of :class:`~asyncstore.auth.credentials.Credentials`.
    """

    anonymous: bool

    def scope_of(self, url: URL) -> Scope | None: ...

    def apply(self, request: ClientRequest, lease: Any, clock_offset: float, scope: Scope) -> None: ...


class AuthMiddleware:
    """
    An aiohttp client middleware that signs requests to the provider's own origins.

    A redirect passes through it again; requests to any other origin are sent without
    credentials. If the provider reports expired credentials or clock skew, the
    middleware refreshes the credentials or corrects the clock, and sends the request
    once more if its body can be sent again: none, bytes, or a payload with a true
    ``replayable``. If it cannot, the next request benefits. Twenty requests rejected at
    the same time cause one refresh.

    Args:
        credentials: Not closed.
        scope: For *origins*.
        origins: Scheme, host and port that may see the credentials.
        scope_of: Returns the scope of other URLs; ``None`` for those that may not see the credentials.
    """

    def __init__(
        self,
        credentials: SessionCredentials,
        scope: Scope,
        origins: Iterable[str | URL],
        *,
        scope_of: Callable[[URL], Scope | None] | None = None,
    ) -> None:
        self._credentials = credentials
        self._scope = scope
        self._origins = frozenset(_origin(URL(origin)) for origin in origins)
        self._scope_of = scope_of
        self._clock = ServerClock()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        scope = self._signed_scope(request.url)
        if scope is None:
            return await handler(request)
        lease = self._credentials.current() or await self._credentials.get()
        offset = self._clock.offset
        self._credentials.apply(request, lease, offset, scope)
        reply = await handler(request)
        if reply.status not in _REFUSALS or not await self._recovered(reply, lease, offset) or not _replayable(request):
            return reply
        reply.release()
        # Its writer may still be busy with the first body.
        await request.close()
        lease = self._credentials.current() or await self._credentials.get()
        self._credentials.apply(request, lease, self._clock.offset, self._signed_scope(request.url) or scope)
        return await handler(request)

    def _signed_scope(self, url: URL) -> Scope | None:
        if self._credentials.anonymous:
            return None
        if _origin(url) in self._origins:
            return self._scope
        return None if self._scope_of is None else self._scope_of(url)

    async def _recovered(self, reply: ClientResponse, lease: AnyLease[Any], offset: float) -> bool:
        try:
            refusal = Refusal(reply.method, reply.status, await _error_code(reply), reply.headers)
            return await recover(refusal, self._credentials, self._clock, lease, offset) is not None
        except BaseException:
            reply.close()
            raise


async def error_body(reply: ClientResponse) -> bytes:
    """
    Return the body of an error reply, up to 64 KiB of it.

    Later calls, and ``reply.read()``, return the same bytes. The rest of a longer
    body is never read.
    """
    known = body_read(reply)
    if known is None:
        parts, missing = [], MAX_ERROR_BODY
        while missing > 0 and (chunk := await reply.content.read(missing)):
            parts.append(chunk)
            missing -= len(chunk)
        known = b"".join(parts)
        keep_body(reply, known)
    return known


def check_origins(credentials: SessionCredentials, origins: Iterable[str], *, allow_http: bool) -> None:
    """
    Check that *credentials* may be sent to all *origins*.

    Raises:
        ConfigurationError: One is plain HTTP on another host.
    """
    if not credentials.anonymous:
        for origin in origins:
            require_tls(origin, allow_http=allow_http)


def signed_session(
    credentials: SessionCredentials,
    origins: Iterable[str],
    scope: Scope,
    *,
    by_host: bool = False,
    **session_options: Any,
) -> aiohttp.ClientSession:
    """
    Return a session that signs requests to *origins*; see ``Credentials.http_client``.

    Args:
        by_host: Sign requests to the provider's own hosts too, each in its own scope.
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


async def _error_code(reply: ClientResponse) -> str | None:
    found = _CODE.search(await error_body(reply))
    return found.group(1).decode() if found else None
