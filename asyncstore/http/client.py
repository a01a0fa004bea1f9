"""
Sends requests over one pool of connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import anyio
import anyio.to_thread
from yarl import URL

from asyncstore.body import Body
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, InvalidRequestError
from asyncstore.http.failures import FAILURES, translated
from asyncstore.http.origin import Origin
from asyncstore.http.payload import BodyPayload
from asyncstore.http.reply import Reply
from asyncstore.http.session import make_session, make_timeout, middlewares_for, needs_file, tls_of

USER_AGENT: Final = "asyncstore"

#: Bytes that a socket takes without waiting, so that nobody has to watch it.
_SMALL: Final = 64 * 1024


class HTTPClient:
    """
    The connections of one storage.

    The aiohttp session is made in the event loop that sends the first request,
    and used in that loop only. One that the caller passed in is left open.

    No request is sent twice, no redirect is followed, nothing is decompressed.
    A transfer that moves is never stopped; one that stalls for
    ``options.stall_timeout`` seconds is, in either direction.
    """

    def __init__(self, options: HTTPOptions, session: aiohttp.ClientSession | None = None) -> None:
        self._options = options
        self._session = session
        self._owned = session is None
        self._opening: anyio.Lock | None = None
        self._headers = _base_headers(options)
        # Given with each request, since they may not be those of the caller's session.
        self._arguments: dict[str, Any] = {"allow_redirects": False}
        if session is not None:
            self._arguments |= {"auto_decompress": False, "timeout": make_timeout(options)}
            self._add_middlewares(session)

    async def send(
        self,
        method: str,
        origin: Origin,
        path: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        *,
        query: str = "",
        patience: float = 1.0,
        middleware: aiohttp.ClientMiddlewareType | None = None,
    ) -> Reply:
        """
        Send one request, once, and return when the head of the reply is here.

        When this returns or raises, *body* is not read any more. A reply that
        comes before the body was read to its end is returned like any other.

        Args:
            path: From the root of the server, percent-encoded.
            query: Percent-encoded, without the ``?``.
            headers: Added to the client's own, which they replace.
            patience: Times the stall timeout to wait for the reply, for
                requests that make the server work.
            middleware: What signs the request; it may send it once more.

        Raises:
            UnavailableError: No connection, no reply, or the connection broke.
            InvalidRequestError: A header has a character that HTTP forbids.
        """
        session = self._session or await self._open()
        url = origin.at(path, query)
        merged = {**self._headers, **headers}
        arguments = self._arguments
        if patience != 1.0 or self._options.proxy is not None:
            arguments = self._special(origin, patience)
        if middleware is not None:
            arguments = {**arguments, "middlewares": (middleware, *arguments.get("middlewares", ()))}
        if body is not None and body.size:
            return await self._send_body(session, method, url, merged, body, arguments)
        try:
            return Reply(await session.request(method, url, headers=merged, **arguments))
        except FAILURES as exc:
            raise translated(exc) from None
        except ValueError:
            raise _forbidden() from None

    async def _send_body(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: Body,
        arguments: Mapping[str, Any],
    ) -> Reply:
        if body.data is not None and body.size <= _SMALL:
            try:
                return Reply(await session.request(method, url, headers=headers, data=body.data, **arguments))
            except FAILURES as exc:
                raise translated(exc) from None
            except ValueError:
                raise _forbidden() from None
        payload = BodyPayload(body, self._options.stall_timeout)
        try:
            reply = Reply(await session.request(method, url, headers=headers, data=payload, **arguments))
            if not payload.finished:
                # The server has made up its mind. Its answer is read now, since
                # reading it stops the upload, and with it ends our use of the body.
                await reply.read_error()
            return reply
        except FAILURES as exc:
            # A source that fails takes the connection with it: report the cause.
            raise payload.error or translated(exc) from None
        except ValueError:
            raise _forbidden() from None
        finally:
            if not payload.finished:
                await payload.settle()

    def _special(self, origin: Origin, patience: float) -> dict[str, Any]:
        arguments = dict(self._arguments)
        if patience != 1.0:
            arguments["timeout"] = make_timeout(self._options, patience)
        if self._options.proxy is not None and not origin.loopback:
            arguments["proxy"] = self._options.proxy
        return arguments

    async def _open(self) -> aiohttp.ClientSession:
        self._opening = self._opening or anyio.Lock()
        async with self._opening:
            if self._session is None:
                verified = (
                    tls_of(self._options)
                    if not needs_file(self._options)
                    else await anyio.to_thread.run_sync(tls_of, self._options)
                )
                session = make_session(self._options, verified)
                self._add_middlewares(session)
                self._session = session
        return self._session

    def _add_middlewares(self, session: aiohttp.ClientSession) -> None:
        if session.closed:
            raise ConfigurationError("the aiohttp session is closed")
        middlewares = middlewares_for(session)
        if middlewares is not None:
            self._arguments["middlewares"] = middlewares

    async def session(self) -> aiohttp.ClientSession:
        """
        Return the session, for an SDK that is to share its connections; it stays ours to close.
        """
        return self._session or await self._open()

    async def aclose(self) -> None:
        """
        Close the connections, unless the session is the caller's; may be called twice.
        """
        session, self._session = self._session, None
        if self._owned and session is not None:
            await session.close()


def _forbidden() -> InvalidRequestError:
    return InvalidRequestError("a header or the address has a character that HTTP forbids")


def _base_headers(options: HTTPOptions) -> dict[str, str]:
    agent = f"{options.user_agent} {USER_AGENT}" if options.user_agent else USER_AGENT
    # All of those that aiohttp would add: it is quicker to be told. Whoever
    # stored something compressed gets it as it is, and nothing else is.
    base = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": agent}
    given = {name.lower() for name in options.headers}
    return {name: value for name, value in base.items() if name.lower() not in given} | dict(options.headers)
