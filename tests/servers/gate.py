"""
A proxy that refuses expired credentials and limits the throughput.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict
from yarl import URL

_CHUNK: Final = 64 * 1024
_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "expect"}

#: Returns the credentials in the headers of a request, or ``None``.
Shown = Callable[[CIMultiDict[str]], str | None]


class Gate:
    """
    Forwards requests unchanged, including Host, so that signatures stay valid.

    Args:
        shown: Returns the credentials of a request that expire.
        rate: Body bytes per second, over all requests.
        tls: Context that trusts the upstream server.
        lifetime: Seconds for which credentials are accepted, from their first use; ``None`` leaves the check to
            the upstream server.
        refusal: Returns the reply to expired credentials.

    Attributes:
        seen: Time of the first use of each set of credentials, in order.
        last: Time of the last use of each.
        refused: Number of requests refused, here or upstream.
        passed: Body bytes forwarded, in both directions.
    """

    def __init__(
        self,
        upstream: str,
        *,
        shown: Shown,
        rate: float,
        tls: ssl.SSLContext | None = None,
        lifetime: float | None = None,
        refusal: Callable[[], web.Response] = lambda: web.Response(status=401),
    ) -> None:
        self.seen: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.refused = 0
        self.passed = 0
        self._upstream = URL(upstream)
        self._shown = shown
        self._refusal = refusal
        self._lifetime = lifetime
        self._rate = rate
        self._tls = tls
        self._free_at = 0.0
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """
        Serve until the block ends; yields the URL.
        """
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self._answer)
        connector = aiohttp.TCPConnector(ssl=self._tls or True)
        async with (
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session,
            TestServer(app) as server,
        ):
            yield str(server.make_url("/")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        shown, now = self._shown(CIMultiDict(request.headers)), time.monotonic()
        if shown is not None:
            first = self.seen.setdefault(shown, now)
            self.last[shown] = now
            if self._lifetime is not None and now - first > self._lifetime:
                self.refused += 1
                return self._refusal()
        return await self._pass_on(request)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP)
        path, _, query = request.raw_path.partition("?")
        url = URL.build(
            scheme=self._upstream.scheme,
            authority=self._upstream.authority,
            path=path,
            query_string=query,
            encoded=True,
        )
        body = self._paced(request.content) if request.body_exists else None
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False, skip_auto_headers=("User-Agent",)
        ) as reply:
            self.refused += reply.status == 401
            back = CIMultiDict((k, v) for k, v in reply.headers.items() if k.lower() not in _HOP_BY_HOP)
            response = web.StreamResponse(status=reply.status, headers=back)
            await response.prepare(request)
            async for chunk in self._paced(reply.content):
                await response.write(chunk)
            await response.write_eof()
            return response

    async def _paced(self, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        while chunk := await content.read(_CHUNK):
            self.passed += len(chunk)
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + len(chunk) / self._rate
            # All requests share one schedule.
            await asyncio.sleep(self._free_at - now)
            yield chunk


def bearer(headers: CIMultiDict[str]) -> str | None:
    """Return the bearer token of a request."""
    kind, _, token = headers.get("Authorization", "").partition(" ")
    return token if kind in ("Bearer", "token") else None
