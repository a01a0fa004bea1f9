"""
Makes the aiohttp session of one storage.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Final, cast

import aiohttp

from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError
from asyncstore.http import receiving
from asyncstore.http.failures import translated

#: Bytes read ahead of who takes them; what memory a download needs.
READ_AHEAD: Final = 256 * 1024

#: A reply with longer or more headers than this is refused.
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_HEADERS: Final = 256

# aiohttp before 3.14 bounds the size of headers, not their number.
_HEADER_COUNT: Final[dict[str, Any]] = (
    {"max_headers": MAX_HEADERS} if "max_headers" in signature(aiohttp.ClientSession).parameters else {}
)

#: Seconds that an idle connection is kept; the providers close theirs later.
KEEP_ALIVE: Final = 15.0

# On some versions of Python a TLS connection that is left in the middle of a reply stays
# open (https://github.com/python/cpython/pull/118960). aiohttp knows which, can close
# such ones, and warns of being told to where there are none.
_TLS_LINGERS: Final = bool(getattr(aiohttp.connector, "NEEDS_CLEANUP_CLOSED", False))


#: Bytes that one read from a socket asks for: asyncio takes that much memory and
#: gives back what was not needed. From 128 KiB on it comes from the kernel each
#: time, which costs more than all the rest of a small reply.
SMALL_READ: Final = 64 * 1024
LARGE_READ: Final = 256 * 1024


class _Connector(aiohttp.TCPConnector):
    """
    Makes connections that begin with small reads.
    """

    async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> Any:
        # Private: were it to go, reads would begin large, and that is all.
        transport, protocol = await super()._wrap_create_connection(*args, **kwargs)
        read_by(transport, SMALL_READ)
        return transport, protocol


def read_by(transport: asyncio.BaseTransport | None, size: int) -> None:
    """
    Set how much a plain connection reads at a time; others have their own ways.
    """
    if transport is not None and hasattr(transport, "max_size"):
        cast("Any", transport).max_size = size


async def never_twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """
    Keep aiohttp from sending a request a second time by itself.

    It does so, for GET, HEAD, PUT and DELETE, when it sees a lost connection:
    a create-only PUT that got through would then be told that it failed. What
    leaves here as our own error is not sent again.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise translated(exc) from None


def make_session(options: HTTPOptions, verified: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    """
    Return a session for the running loop.

    The pool has no limit of its own: the engine limits requests, and one that
    waited for a connection would do so inside its time-out.
    """
    connector = aiohttp.TCPConnector(
        limit=0, ssl=verified, keepalive_timeout=KEEP_ALIVE, enable_cleanup_closed=_TLS_LINGERS
    )
    receiving.install(connector)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=make_timeout(options),
        read_bufsize=READ_AHEAD,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        **_HEADER_COUNT,
    )
    if hasattr(session, "_retry_connection"):
        # Private, and cheaper than the middleware, which stands in for it
        # where a version of aiohttp has no such attribute.
        session._retry_connection = False
    return session


def middlewares_for(session: aiohttp.ClientSession) -> Sequence[aiohttp.ClientMiddlewareType] | None:
    """
    Return the middlewares to pass with each request; ``None`` if none are needed.
    """
    if getattr(session, "_retry_connection", True) is False:
        return None
    return (never_twice, *getattr(session, "_middlewares", ()))


def make_timeout(options: HTTPOptions, patience: float = 1.0) -> aiohttp.ClientTimeout:
    """
    Return the time-outs: to connect, and between bytes, but none for the whole.
    """
    return aiohttp.ClientTimeout(
        total=None, connect=options.connect_timeout, sock_read=options.stall_timeout * patience
    )


def needs_file(options: HTTPOptions) -> bool:
    """
    Tell whether :func:`tls_of` reads a file, so that it has to run in a thread.
    """
    return options.ca_file is not None


def tls_of(options: HTTPOptions) -> ssl.SSLContext | bool:
    """
    Return what decides about certificates; ``True`` is the system's authorities.
    """
    if options.ssl_context is not None:
        return options.ssl_context
    if options.ca_file is None:
        return options.verify
    return _context(options.ca_file, verify=options.verify)


def _context(ca_file: Path, *, verify: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except OSError as exc:
        raise ConfigurationError(f"ca_file {ca_file} cannot be used: {exc.strerror or type(exc).__name__}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
