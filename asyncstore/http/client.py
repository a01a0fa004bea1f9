"""
Sends requests over one connection pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import anyio
import anyio.to_thread
from yarl import URL

from asyncstore.config import HTTPOptions
from asyncstore.driver.body import Body
from asyncstore.driver.noted import NOTED
from asyncstore.errors import ConfigurationError, InvalidRequestError, UnavailableError
from asyncstore.http.errors import FAILURES, translated
from asyncstore.http.fast.receiving import is_watched
from asyncstore.http.noting import Send, noting
from asyncstore.http.origin import Origin
from asyncstore.http.payload import BodyPayload
from asyncstore.http.reply import Reply
from asyncstore.http.session import (
    bounded_request,
    make_session,
    make_timeout,
    middlewares_for,
    needs_file,
    tls_of,
    with_ca_file,
)

USER_AGENT: Final = "asyncstore"

#: Bytes that a socket accepts at once, so that no timer is needed.
_SMALL: Final = 64 * 1024


class HTTPClient:
    """
    The connections of one storage.

    The aiohttp session is opened in the event loop that sends the first request, and used in
    that loop only. A session that the caller passed in is left open.

    No request is sent twice, no redirect is followed and no reply is decompressed. A transfer
    that makes progress is never stopped; one that stalls for ``options.stall_timeout`` seconds
    is, in either direction. The head of a reply has this time as a whole, with all 1xx before it.

    Args:
        request_id_header: Where the provider puts the id of a request, for its support desk.
    """

    def __init__(
        self,
        options: HTTPOptions,
        session: aiohttp.ClientSession | None = None,
        *,
        request_id_header: str = "x-request-id",
    ) -> None:
        self._options = options
        self._request_id_header = request_id_header
        self._session = session
        self._request: Send
        self._owned = session is None
        self._opening: anyio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._headers = _base_headers(options)
        # Passed with each request, since the caller's session may have other settings.
        self._arguments: dict[str, Any] = {"allow_redirects": False}
        if session is not None:
            self._arguments |= {
                "auto_decompress": False,
                "raise_for_status": False,
                "timeout": make_timeout(options),
            }
            self._use(session)

    def trust(self, ca_file: Path | None) -> None:
        """
        Trust the certificate authorities in a PEM file, unless the options say what is trusted.

        It has no effect on connections that are open.
        """
        self._options = with_ca_file(self._options, ca_file)

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
    ) -> Reply:
        """
        Send one request, once, and return when the head of the reply has arrived.

        Once this returns or raises, *body* is not read again. A reply that arrives before the
        end of the body is returned like any other.

        Args:
            path: From the root of the server, percent-encoded.
            query: Percent-encoded, without the ``?``.
            headers: Added to the client's own, which they replace.
            patience: Multiplies the stall timeout while waiting for the reply, for slow
                operations of the server.

        Raises:
            UnavailableError: The connection could not be opened, broke, or no reply arrived.
            InvalidRequestError: A header contains a character that HTTP forbids.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._bind(loop)
        if self._session is None:
            await self._open()
        url = origin.at(path, query)
        merged = {**self._headers, **headers}
        arguments = self._arguments
        if patience != 1.0 or self._options.proxy is not None:
            arguments = self._special(origin, patience)
        patient = self._options.stall_timeout * patience
        request = self._request
        if (noted := NOTED.get()) is not None:
            request = noting(request, noted, 0 if body is None else body.size)
        if body is not None and body.size:
            return await self._send_body(request, method, url, merged, body, arguments, patient)
        try:
            response = await request(method, url, headers=merged, **arguments)
            return Reply(response, self._request_id_header, patient)
        except FAILURES as exc:
            raise translated(exc) from None
        except ValueError:
            raise _forbidden() from None

    async def _send_body(
        self,
        request: Send,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: Body,
        arguments: Mapping[str, Any],
        patient: float,
    ) -> Reply:
        if body.data is not None and body.size <= _SMALL:
            try:
                response = await request(method, url, headers=headers, data=body.data, **arguments)
                return Reply(response, self._request_id_header, patient)
            except FAILURES as exc:
                raise translated(exc) from None
            except ValueError:
                raise _forbidden() from None
        payload = BodyPayload(body, self._options.stall_timeout)
        try:
            response = await request(method, url, headers=headers, data=payload, **arguments)
            reply = Reply(response, self._request_id_header, patient)
            if not payload.finished:
                # The server has answered early. Reading the reply now stops the upload,
                # so that nothing reads the body any more.
                await reply.read_error()
            return reply
        except FAILURES as exc:
            # A source that fails breaks the connection: report the cause.
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
                # After the last wait: it may have been closed meanwhile.
                if self._closed:
                    raise UnavailableError("the storage is closed", retryable=False)
                session = make_session(self._options, verified)
                self._use(session)
                self._session = session
        return self._session

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            raise ConfigurationError(
                "the connections of this storage belong to another event loop: open one storage for each loop"
            )
        self._loop = loop

    def _use(self, session: aiohttp.ClientSession) -> None:
        if not isinstance(session, aiohttp.ClientSession):
            raise ConfigurationError(f"session takes an aiohttp.ClientSession, not {type(session).__name__}")
        if session.closed:
            raise ConfigurationError("the aiohttp session is closed")
        middlewares = middlewares_for(session)
        if middlewares is not None:
            self._arguments["middlewares"] = middlewares
        self._request = session.request if is_watched(session) else partial(bounded_request, session)

    async def session(self) -> aiohttp.ClientSession:
        """
        Return the session, for an SDK that shares the connections; it is closed by :meth:`aclose`.
        """
        return self._session or await self._open()

    async def aclose(self) -> None:
        """
        Close the connections, except those of a caller's session; may be called twice.
        """
        self._closed = True
        session, self._session = self._session, None
        if self._owned and session is not None:
            await session.close()


def _forbidden() -> InvalidRequestError:
    return InvalidRequestError("a header or the URL has a character that HTTP forbids, such as a line break")


def _base_headers(options: HTTPOptions) -> dict[str, str]:
    agent = f"{options.user_agent} {USER_AGENT}" if options.user_agent else USER_AGENT
    # All headers that aiohttp would otherwise compute and add for each request. With identity
    # servers do not compress, and objects that are stored compressed arrive unchanged.
    base = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": agent}
    own = {name.lower() for name in options.headers}
    return {name: value for name, value in base.items() if name.lower() not in own} | dict(options.headers)
