"""
Creates the aiohttp session of a storage.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from math import inf
from pathlib import Path
from typing import Any, Final

import aiohttp
from yarl import URL

from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError
from asyncstore.http.errors import SlowHeadError, translated
from asyncstore.http.fast import private, receiving
from asyncstore.http.payload import BodyPayload

#: Bytes that aiohttp buffers for each reply before it stops reading.
READ_AHEAD: Final = 256 * 1024

#: A reply with longer or more headers than this is refused.
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_HEADERS: Final = 256

# aiohttp before 3.14 limits the size of headers, not their number.
_HEADER_COUNT: Final[dict[str, Any]] = (
    {"max_headers": MAX_HEADERS} if "max_headers" in signature(aiohttp.ClientSession).parameters else {}
)

#: Seconds that an idle connection is kept; providers close theirs later than that.
KEEP_ALIVE: Final = 15.0

# On some versions of Python a TLS connection that is dropped in the middle of a reply stays
# open (https://github.com/python/cpython/pull/118960). aiohttp knows which versions, can
# close such connections, and warns if that is enabled but not needed.
_TLS_LINGERS: Final = bool(getattr(aiohttp.connector, "NEEDS_CLEANUP_CLOSED", False))


#: Bytes to request in one read from a socket. asyncio allocates that much and frees what was
#: not used; from 128 KiB on malloc maps fresh pages each time, which costs more than
#: all the rest of a small reply.
SMALL_READ: Final = 64 * 1024
LARGE_READ: Final = 256 * 1024


async def never_twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """
    Keep aiohttp from sending a request a second time by itself.

    After a lost connection it repeats GET, HEAD, PUT and DELETE: a create-only PUT that
    succeeded would then be reported as failed. It does not repeat what fails with another
    error than its own.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise translated(exc) from None


def make_session(options: HTTPOptions, verified: ssl.SSLContext | aiohttp.Fingerprint | bool) -> aiohttp.ClientSession:
    """
    Return a session for the running loop.

    The pool is not limited, since the engine limits requests: a request that waited for a
    connection would do so inside its timeout.
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
    private.disable_retry(session)
    return session


def middlewares_for(session: aiohttp.ClientSession) -> Sequence[aiohttp.ClientMiddlewareType] | None:
    """
    Return the middlewares to pass with each request; ``None`` if none is needed.
    """
    return (never_twice, *private.middlewares_of(session)) if private.retries(session) else None


async def bounded_request(
    session: aiohttp.ClientSession, method: str, url: URL, **arguments: Any
) -> aiohttp.ClientResponse:
    """
    Send a request on connections of aiohttp's own kind, whose timeout starts again with each byte of a reply's head.

    Raises:
        SlowHeadError: The head was not complete in time after the request was sent.
    """
    timeout = arguments.get("timeout", session.timeout)
    loop, patient = asyncio.get_running_loop(), timeout.sock_read or inf
    body = arguments.get("data")
    scope = asyncio.timeout(None)
    try:
        async with scope:
            if isinstance(body, BodyPayload):
                body.on_finish = lambda: scope.reschedule(loop.time() + patient)
            else:
                scope.reschedule(loop.time() + (timeout.connect or 0.0) + patient)
            return await session.request(method, url, **arguments)
    except TimeoutError as exc:
        raise (SlowHeadError() if scope.expired() else exc) from None


def make_timeout(options: HTTPOptions, patience: float = 1.0) -> aiohttp.ClientTimeout:
    """
    Return the timeouts for connecting and between bytes; the request as a whole has no timeout.
    """
    return aiohttp.ClientTimeout(
        total=None, connect=options.connect_timeout, sock_read=options.stall_timeout * patience
    )


def with_ca_file(options: HTTPOptions, ca_file: Path | None) -> HTTPOptions:
    """
    Return *options* with *ca_file*, unless they say themselves what is trusted.
    """
    if ca_file is None or options.ca_file is not None or options.ssl_context is not None or not options.verify:
        return options
    return replace(options, ca_file=ca_file)


def needs_file(options: HTTPOptions) -> bool:
    """
    Return whether :func:`tls_of` reads a file, and so must run in a thread.
    """
    return options.ca_file is not None


def tls_of(options: HTTPOptions) -> ssl.SSLContext | bool:
    """
    Return the TLS context, or ``True`` for the system's certificate authorities.
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
        raise ConfigurationError(f"ca_file {ca_file} cannot be read: {exc.strerror or type(exc).__name__}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
